"""Fixtures for tests in a real browser: pytest-playwright, with the Chromium of this machine."""

import os

import pytest

from tests.needs import missing
from tools.provision import NoBrowser, find_browser

QUIET = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, object]) -> dict[str, object]:
    """How pytest-playwright starts the browser: the one found here, silent towards the outside."""
    try:
        browser = find_browser()
    except NoBrowser as error:
        missing(f"pages in a browser ({error})")
    if browser is None:
        missing("pages in a browser (run: python -m tools.provision)")
    return {**browser_type_launch_args, "executable_path": str(browser), "args": arguments()}


def arguments() -> list[str]:
    """What a Chromium is started with here."""
    as_root = hasattr(os, "geteuid") and os.geteuid() == 0
    return [*QUIET, "--no-sandbox"] if as_root else [*QUIET]  # as root it refuses to start with a sandbox
