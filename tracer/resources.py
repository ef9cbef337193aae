"""Finds the files that ship beside the code: installed in the wheel, or in a checkout."""

from __future__ import annotations

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
