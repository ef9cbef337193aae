"""Turning attribute values of any type into the few types that the readers work with. Nothing here raises."""

from __future__ import annotations

import ast
import json
import math
import re
from typing import Any, Final

from tracer.units import Nanos, NanoUsd

MAX_WORD: Final = 500
"""Longest identifier (session, user, model, tag ...) kept as a fact, in characters; the attribute keeps all of it."""

MAX_DEPTH: Final = 64
"""Deepest JSON that is opened; deeper documents stay text."""

MAX_COUNT: Final = 10**12
SAFE_INTEGER: Final = 2**53
"""Beyond this JavaScript rounds, and not much further columns end: such integers are kept as text."""

MAX_SECONDS: Final = 10 * 365 * 86_400
MAX_DOLLARS: Final = 1_000_000.0
MAX_LITERAL: Final = 200_000

NOT_JSON: Final = object()
"""What `parse` gives for text that is not JSON."""

_LAYERS: Final = 6
_ODD_ESCAPE = re.compile(r"\\u(?:0000|[dD][89a-fA-F])")
_UNFIT = re.compile("[\x00\ud800-\udfff]")


def fit(text: str) -> str:
    """Text that every database and every client takes: U+0000 is shown as U+2400, a lone surrogate as U+FFFD."""
    return _UNFIT.sub(lambda found: "\u2400" if found.group() == "\x00" else "\ufffd", text)


def text(value: object) -> str | None:
    """A word out of a value: text that is not blank, or a number written down; else None."""
    if isinstance(value, str):
        if len(value) > MAX_WORD:
            word = value.strip()
            return word[: MAX_WORD - 1] + "…" if len(word) > MAX_WORD else word or None
        return value if value and not value.isspace() else None
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return number_text(value)[:MAX_WORD]
    return None


def number_text(number: float) -> str:
    """A number in digits; a whole one too long to be written in decimal, in hexadecimal."""
    try:
        return str(number)
    except ValueError:
        return hex(int(number))


def quoted(value: object) -> str | None:
    """A word out of a value that is a JSON document in text, as MLflow writes them: `'"chain"'` is `chain`."""
    if type(value) is str and len(value) > 1 and value[0] == '"' and value[-1] == '"':
        if "\\" not in value:
            return text(value[1:-1])
        opened = parse(value)
        return text(opened) if opened is not NOT_JSON else text(value)
    return text(value)


def count(value: object) -> int | None:
    """A number of tokens: a whole number from 0 to a million million, also when it came as float or digits."""
    if type(value) is int:
        return value if 0 <= value <= MAX_COUNT else None
    if type(value) is float:
        return int(value) if 0 <= value <= MAX_COUNT and value.is_integer() else None
    if type(value) is str and 0 < len(value) < 14 and value.isascii() and value.isdigit():
        return count(int(value))
    return None


def number(value: object) -> float | None:
    """A finite number, also when it came as text; None for anything else (booleans too)."""
    if type(value) is float or type(value) is int:
        try:
            read = float(value)
        except OverflowError:
            return None
        return read if math.isfinite(read) else None
    if type(value) is str and 0 < len(value) <= 40:
        try:
            read = float(value)
        except ValueError:
            return None
        return read if math.isfinite(read) else None
    return None


def seconds(value: object) -> Nanos | None:
    """A length of time sent in seconds."""
    read = number(value)
    return Nanos(round(read * 1e9)) if read is not None and 0 <= read <= MAX_SECONDS else None


def milliseconds(value: object) -> Nanos | None:
    """A length of time sent in milliseconds."""
    read = number(value)
    return Nanos(round(read * 1e6)) if read is not None and 0 <= read <= MAX_SECONDS * 1e3 else None


def dollars(value: object) -> NanoUsd | None:
    """A cost sent in US dollars; 0 says nothing, so it gives None."""
    read = number(value)
    return NanoUsd(round(read * 1e9)) or None if read is not None and 0 < read <= MAX_DOLLARS else None


def flag(value: object) -> bool | None:
    """Yes or no, also when it came as the word."""
    if type(value) is bool:
        return value
    if type(value) is str:
        return {"true": True, "false": False}.get(value.strip().lower())
    return None


def as_is(value: object) -> object:
    """The value itself."""
    return value


def words(value: object) -> tuple[str, ...] | None:
    """A list of words: an array, the JSON text of one, or words between commas; at most 100, none twice."""
    if type(value) is str:
        if value[:1] == "[":
            opened = parse(value)
            value = opened if isinstance(opened, list) else [value]
        else:
            value = [part.strip() for part in value.split(",", 100)]
    if not isinstance(value, list):
        return None
    found: dict[str, None] = {}
    for item in value[:100]:
        word = text(item)
        if word is not None:
            found[word] = None
    return tuple(found) or None


def mapping(value: object) -> dict[str, Any] | None:
    """An object: a kvlist, or the JSON text of one."""
    if type(value) is str and value[:1] in ("{", " ", "\n", '"'):
        value = opened(value)
    return value if isinstance(value, dict) else None


def parse(document: str) -> Any:
    """The value of a JSON text, or NOT_JSON when it isn't one, or is nested deeper than MAX_DEPTH.

    What JSON for others can't hold comes back as text (`NaN`, 1e999); U+0000 and lone surrogates are replaced.
    """
    try:
        value = _decode(document)
    except (ValueError, RecursionError):
        return NOT_JSON
    if document.count("[") + document.count("{") > MAX_DEPTH and deeper_than(value, MAX_DEPTH):
        return NOT_JSON
    odd = "\x00" in document or ("\\u" in document and _ODD_ESCAPE.search(document))
    return cleaned(value) if odd else value


def opened(value: object) -> Any:
    """The value inside JSON texts, as many layers as there are; anything that is no JSON text stays as it is.

    Only text that starts an object, an array or a quoted text is opened: `42` and `true` stay the words they are.
    """
    for _ in range(_LAYERS):
        if type(value) is not str:
            return value
        head = value[:64].lstrip()[:1]
        if head not in ("{", "[", '"') or not head:
            return value
        inner = parse(value)
        if inner is NOT_JSON:
            return value
        value = inner
    return value


def literal(source: str) -> Any:
    """The value of a Python literal (`{'city': 'Oslo'}`), or NOT_JSON when it is none, or very long or deep."""
    if len(source) > MAX_LITERAL or sum(source.count(mark) for mark in "([{") > 500 or source.count("-") > 5_000:
        return NOT_JSON
    try:
        value = ast.literal_eval(source)
        json.dumps(value, allow_nan=False)
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError, OverflowError, SystemError):
        # SystemError: some Pythons of 3.11 and 3.12 mistake two threads that parse at once for a fault.
        return NOT_JSON
    return NOT_JSON if deeper_than(value, MAX_DEPTH) else cleaned(json.loads(json.dumps(value)))


def deeper_than(value: object, depth: int) -> bool:
    """Whether lists and dicts are nested deeper than `depth`. Walks without recursion."""
    level: list[object] = [value]
    for _ in range(depth + 1):
        below: list[object] = []
        for item in level:
            if isinstance(item, dict):
                below.extend(item.values())
            elif isinstance(item, list):
                below.extend(item)
        if not below:
            return False
        level = [item for item in below if isinstance(item, (dict, list))]
    return bool(level)


def cleaned(value: Any) -> Any:
    """The same value with every text made fit. For values no deeper than MAX_DEPTH."""
    if isinstance(value, str):
        return fit(value)
    if isinstance(value, list):
        return [cleaned(item) for item in value]
    if isinstance(value, dict):
        return {fit(key): cleaned(item) for key, item in value.items()}
    return value


def plain(value: object) -> Any:
    """An attribute's value as JSON can hold it: bytes as hex, numbers beyond JSON as text, too deep ones as text."""
    if isinstance(value, (dict, list)):
        return _plain(value, 0)
    return _scalar(value)


def compact(value: object) -> str:
    """JSON text of a value without needless spaces, non-ASCII letters as they are."""
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)
    except (ValueError, TypeError, RecursionError):
        return str(type(value).__name__)


def _plain(value: object, depth: int) -> Any:
    if isinstance(value, dict):
        if depth >= MAX_DEPTH:
            return "{…}"
        return {str(key): _plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item, depth + 1) for item in value] if depth < MAX_DEPTH else "[…]"
    return _scalar(value)


def _scalar(value: object) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, bytes):
        return value.hex()
    if type(value) is int and abs(value) > SAFE_INTEGER:
        return number_text(value)
    return value


def _finite(digits: str) -> float | str:
    read = float(digits)
    return read if math.isfinite(read) else digits


# One decoder for all: `json.loads` makes a new one for each text.
_decode = json.JSONDecoder(parse_float=_finite, parse_constant=str, strict=False).decode
