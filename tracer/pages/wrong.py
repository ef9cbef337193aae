"""What went wrong in a trace, for its head: the steps that failed by themselves, and what one of them said."""

from __future__ import annotations

from dataclasses import dataclass

from tracer.pages.reading import Failure
from tracer.queries.outline import CHILD_ERROR, ERROR, STATUSES, Outline
from tracer.queries.rows import TraceRow


@dataclass(frozen=True, slots=True)
class Wrong:
    """The steps of a trace that failed, summed up."""

    own: int
    """Those that failed by themselves: no step below them did."""
    above: int
    """Those that failed as a step below them did."""
    span_id: str
    """The step to look at first: of a failed trace the one that its verdict names, else the first cause."""
    name: str


@dataclass(frozen=True, slots=True)
class WrongView:
    """The same with what that step said."""

    found: Wrong
    failure: Failure | None


def last_failed(rows: Outline) -> int | None:
    """The row of the last failed step to start, as `tracer.ingest.rollup` has it; None when none failed."""
    failed = (row for row, status in enumerate(rows.status) if status == ERROR)
    return max(failed, key=lambda row: (rows.start[row], rows.ids[row]), default=None)


def wrong_in(trace: TraceRow, rows: Outline) -> Wrong | None:
    """What went wrong in a trace whose tree was read; None when nothing did."""
    last = last_failed(rows)
    if last is None:
        return None
    failed = [row for row, status in enumerate(rows.status) if status == ERROR]
    causes = [row for row in failed if not rows.flags[row] & CHILD_ERROR] or failed
    first = last if trace.status == STATUSES[ERROR] else causes[0]
    return Wrong(len(causes), len(failed) - len(causes), rows.ids[first].hex(), rows.name[first])
