"""Keeps the metrics cube bounded: of each hour and day the largest lines stay apart, the rest is put together.

Names and models come from outside, and some clients make a name of its own for every step. A period that is over
keeps its LINES_KEPT lines with the most spans; one that still goes on may hold ten times as many, so that a line
that starts slowly can still become one of the largest.

Which lines are kept when depends on when this runs. What the cube says does not: a line has a row of its own exactly
where its spans are counted apart, so that `cube_check` can tell from the spans and the rows what each row must hold.
"""

from __future__ import annotations

from collections.abc import Iterable

from tracer.ingest.cube import (
    PeriodKey,
    read_rows,
    remove_cells,
    row_of,
    take_shard,
    write_rows,
)
from tracer.ingest.locks import Periods, lock_periods
from tracer.store.cube import LINES_KEPT, OTHER_LINE, Cell, Period, Totals, totals_of
from tracer.store.sql import Sql
from tracer.units import DAY, MINUTE

LINES_KEPT_MEANWHILE = 10 * LINES_KEPT
SETTLED_AFTER = 10 * MINUTE
"""After a period's end: most of its spans have come by then."""

LINES_AT_ONCE = 2_000
"""Lines put together in one transaction."""

LOOKED_BACK = 2 * DAY
PERIODS_AT_ONCE = 200


class Folding:
    """Looks after the periods that one process writes to, a few at a time."""

    def __init__(self) -> None:
        self._watched: dict[PeriodKey, None] | None = None

    def watch(self, periods: Iterable[PeriodKey]) -> None:
        """Look after periods that were written to."""
        if self._watched is not None:
            self._watched |= dict.fromkeys(periods)

    def step(self, sql: Sql, *, now: int) -> bool:
        """Do a slice of the work, some tens of milliseconds at the most; True when there is more to do at once."""
        if self._watched is None:
            # What another process may have left: it ended before these periods did.
            self._watched = dict.fromkeys(_recent_periods(sql, now))
        for period in list(self._watched)[:PERIODS_AT_ONCE]:
            if fold(sql, period, now=now):
                return True
            del self._watched[period]
            if not settled(period, now):
                self._watched[period] = None  # at the end of the line
        return any(settled(period, now) for period in self._watched)


def _recent_periods(sql: Sql, now: int) -> list[PeriodKey]:
    rows = sql.rows(
        "SELECT DISTINCT project_id, period, start FROM metric_cell WHERE start >= ? AND start <= ? ORDER BY 1, 2, 3",
        [now - LOOKED_BACK, now],
    )
    return [(row.project_id, row.period, row.start) for row in rows]


def settled(period: PeriodKey, now: int) -> bool:
    """True when a period is over, and so long that its largest lines are known."""
    _, length, start = period
    return start + Period(length).length + SETTLED_AFTER < now


def fold(sql: Sql, period: PeriodKey, *, now: int, kept: int = LINES_KEPT) -> bool:
    """Put a period's rarest lines together, as far as they are too many; True when there are more for another time.

    `kept` lines stay, ten times as many as long as the period is not settled.
    """
    limit = kept if settled(period, now) else LINES_KEPT_MEANWHILE * kept // LINES_KEPT
    lines = "SELECT line FROM metric_cell WHERE project_id = ? AND period = ? AND start = ? AND line <> ? GROUP BY line"
    if not sql.rows(f"{lines} LIMIT 1 OFFSET ?", [*period, OTHER_LINE, limit]):
        return False
    lock_periods(sql, Periods.cube, [period], alone=True)
    rarest = sql.rows(
        f"{lines} ORDER BY SUM(span_count) DESC, line LIMIT ? OFFSET ?",
        [*period, OTHER_LINE, LINES_AT_ONCE + 1, limit],
    )
    _put_together(sql, period, [row.line for row in rarest[:LINES_AT_ONCE]])
    return len(rarest) > LINES_AT_ONCE


def _put_together(sql: Sql, period: PeriodKey, lines: Iterable[bytes]) -> None:
    shard = take_shard(sql)
    gone: set[Cell] = set()
    others: dict[Cell, Totals] = {}
    for row in read_rows(sql, [(*period, line) for line in (*lines, OTHER_LINE)]):
        cell = Cell(*row[:6])
        if cell.line != OTHER_LINE:
            gone.add(cell)
        elif row.shard != shard:
            continue
        others.setdefault(cell._replace(line=OTHER_LINE), Totals()).add(totals_of(row))
    remove_cells(sql, gone)
    write_rows(sql, [row_of(cell, shard, (None, None), totals) for cell, totals in others.items()])
