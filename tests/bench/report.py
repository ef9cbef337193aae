"""How a figure is printed: its name, the median of the runs, and their range."""

from __future__ import annotations

import os
import platform
import sqlite3
import statistics
from collections.abc import Sequence

import psutil


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


def machine() -> None:
    """What the figures were measured on, and how busy it is at this moment."""
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    memory = psutil.virtual_memory()
    print(
        f"  {os.cpu_count()} cores, load averages {load}, {memory.available >> 20:,} of {memory.total >> 20:,} MiB "
        f"free, Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}",
        flush=True,
    )
