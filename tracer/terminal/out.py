"""What commands print: colours on a terminal, plain text in a pipe, and never a control character from outside."""

from __future__ import annotations

import json
import re
import sys
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from tracer.units import MILLISECOND, SECOND, format_cost, format_count, format_duration

_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_BUT_LINES = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
MARK = "\ufffd"

STYLES = {"error": "bold red", "abandoned": "red", "running": "cyan", "ok": "green", "unset": ""}
SIGNS = {"error": "✗", "abandoned": "?", "running": "…", "ok": "✓", "unset": "·"}


def console(*, error: bool = False) -> Console:
    """The terminal on standard output, or on standard error; colours only where it is one and NO_COLOR is not set."""
    return Console(stderr=error, highlight=False, soft_wrap=True, emoji=False, markup=False)


def on_terminal() -> bool:
    """True when standard output is a terminal."""
    return sys.stdout.isatty()


def line(text: object) -> str:
    """A text from outside on one line, in which nothing can steer the terminal."""
    return _CONTROLS.sub(" ", str(text).replace("\n", " ").replace("\r", " ").replace("\t", " "))


def block(text: str) -> str:
    """A text from outside with its lines; in a pipe as it is."""
    return _BUT_LINES.sub(MARK, text) if on_terminal() else text


def print_json(answer: Any) -> None:
    """One line of JSON; control characters are escaped, also those that JSON would let be."""
    text = json.dumps(answer, ensure_ascii=False)
    escaped = re.sub("[\x7f-\x9f]", lambda found: f"\\u{ord(found[0]):04x}", text)
    click.echo(escaped.encode("utf-8", "replace").decode())


def duration(millis: float | None) -> str:
    """Milliseconds of the REST interface for people; empty when unknown."""
    return "" if millis is None else format_duration(round(millis * MILLISECOND))


def cost(dollars: float | None) -> str:
    """Dollars of the REST interface for people; empty when unknown."""
    return "" if dollars is None else format_cost(round(dollars * SECOND))


def tokens(counts: dict[str, Any] | None) -> str:
    """The total of some tokens; empty when unknown."""
    total = (counts or {}).get("total")
    return "" if total is None else format_count(total)


def moment(text: str | None) -> str:
    """A time of the REST interface to the second: `2026-11-22 14:03:11`, in UTC."""
    return "" if text is None else text[:19].replace("T", " ")


def state(word: str) -> Text:
    """A status with its sign, coloured."""
    return Text(f"{SIGNS.get(word, '·')} {word}", style=STYLES.get(word, ""))
