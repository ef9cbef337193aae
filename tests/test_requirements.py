"""Every requirement on bad input and faults has a test that names it."""

from __future__ import annotations

import re

from tests.client import ROOT

LAST = 78
LATER = {67}
"""What comes with the playground."""


def test_every_requirement_has_a_test_that_names_it() -> None:
    named: set[int] = set()
    for file in (ROOT / "tests").rglob("test_*.py"):
        for name in re.findall(r"^\s*(?:async )?def (test_\w+)", file.read_text(), re.MULTILINE):
            named |= {int(number) for number in re.findall(r"_[rR](\d\d)(?=_)", name)}
    assert set(range(1, LAST + 1)) - named == LATER
