"""Finds the files that ship beside the code: installed in the wheel, or in a checkout."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


def resource_dir(name: str) -> Path:
    """Return the folder `name` (`web` or `migrations`), inside the package or beside it.

    Raises FileNotFoundError when the installation lacks it.
    """
    for folder in (PACKAGE / name, PACKAGE.parent / name):
        if folder.is_dir():
            return folder
    raise FileNotFoundError(f"the installation is incomplete: no folder {name!r} beside {PACKAGE.name!r}")


@cache
def early_script() -> str:
    """The script that runs before a page's first paint: so small that it stands in the page itself."""
    return (resource_dir("web") / "static" / "early.js").read_text("utf-8")


@cache
def early_digest() -> str:
    """What a Content-Security-Policy names that script by (CSP Level 3, 2.3.1: `hash-source`)."""
    return "sha256-" + base64.b64encode(hashlib.sha256(early_script().encode()).digest()).decode()
