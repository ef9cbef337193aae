"""How a figure is printed: its name, the median of the runs, and their range."""

from __future__ import annotations

import statistics
from collections.abc import Sequence


def heading(text: str) -> None:
    """What the lines below are about."""
    print(f"\n{text}", flush=True)


def line(name: str, values: Sequence[float], *, digits: int = 0) -> None:
    """One row: the median and the range."""
    shown = f"{statistics.median(values):,.{digits}f}"
    print(f"  {name:46} {shown:>10}   ({min(values):,.{digits}f} to {max(values):,.{digits}f})", flush=True)


def lacking(name: str, what: str) -> None:
    """A row without a figure, and why."""
    print(f"  {name:46} {'':>10}   {what.upper()}", flush=True)
