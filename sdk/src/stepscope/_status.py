"""The count of what became of the steps."""

from __future__ import annotations

from typing import NamedTuple


class Status(NamedTuple):
    """What became of the steps that ended in this process, and of its scores.

    `recorded = delivered + waiting + dropped`.
    """

    recorded: int
    delivered: int
    waiting: int
    """In memory and on disk."""
    dropped: int
    on_disk: int
    """Of those that wait: those that wait on disk."""
    left_out: int
    """Beside those: steps that sampling left out."""
    shortened: int
    """Of those recorded: large ones that ended while memory was full, of whose texts the beginnings are kept."""
    endpoint: str
    reason: str | None
    """Why steps wait or were dropped, or why nothing is recorded; None when all is well."""
