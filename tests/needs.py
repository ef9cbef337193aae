"""What a test needs from the machine: skipped by name where it is missing, failed in CI."""

import os
from typing import NoReturn

import pytest

NOT_TESTED = "NOT TESTED: "
"""How the reason of such a skip begins; the summary at the end looks for it."""


def in_ci() -> bool:
    """Say whether this run has to be complete."""
    return os.environ.get("CI", "").lower() not in ("", "0", "false", "no")


def missing(what: str) -> NoReturn:
    """End the test for want of `what`: a failure in CI, elsewhere a skip that the summary names."""
    if in_ci():
        pytest.fail(f"{NOT_TESTED}{what}", pytrace=False)
    pytest.skip(f"{NOT_TESTED}{what}")
