"""Every requirement has a test that names it: those on bad input and faults (R), those on the trace page (S)."""

from __future__ import annotations

import re

from tests.client import ROOT

LAST = 78
LATER = {67}
"""What comes with the playground."""

LAST_STATEMENT = 39
"""Of the trace page's statements; the delights that follow have tests where they are there."""
STATEMENTS_LATER = {35, 36, 37}
"""The playground, replaying, and collecting steps into datasets."""


def test_every_requirement_has_a_test_that_names_it() -> None:
    assert set(range(1, LAST + 1)) - named("rR", 2) == LATER


def test_every_statement_on_the_trace_page_has_a_test_that_names_it() -> None:
    assert set(range(1, LAST_STATEMENT + 1)) - named("sS", 1) == STATEMENTS_LATER


def named(letters: str, least: int) -> set[int]:
    """The numbers that tests have in their names after one of these letters, of that many digits at least."""
    found: set[int] = set()
    for file in (ROOT / "tests").rglob("test_*.py"):
        for name in re.findall(r"^\s*(?:async )?def (test_\w+)", file.read_text(), re.MULTILINE):
            found |= {int(number) for number in re.findall(rf"_[{letters}](\d{{{least},2}})(?=_)", name)}
    return found
