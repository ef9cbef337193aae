"""Measures an alert: the traces of its view that began in its window, under a work limit."""

from __future__ import annotations

from dataclasses import dataclass

from tracer.alerts.rows import Rule
from tracer.search.find import find_traces
from tracer.search.tree import Node
from tracer.search.walk import Range
from tracer.store.models import Status
from tracer.store.sql import Sql
from tracer.units import MILLISECOND, UnixNanos

MOST_TRACES = 20_000
WORK_LIMIT_S = 0.5


@dataclass(frozen=True, slots=True)
class Measured:
    """A value in its measure's unit, None where there was nothing to measure, and of how many traces it is.

    Not `whole`: the limit was reached, and the value is that of the newest traces.
    """

    value: float | None
    traces: int
    whole: bool


def measure(sql: Sql, search: Node | None, rule: Rule, *, project_id: int, now: int, abandoned_after: int) -> Measured:
    """Measure at a moment, in Unix nanoseconds; `abandoned_after` is minutes."""
    range_ = Range((project_id,), since=UnixNanos(now - rule.window), until=UnixNanos(now))
    found = find_traces(
        sql, search, range_, limit=MOST_TRACES, seconds=WORK_LIMIT_S, now=now, abandoned_after=abandoned_after
    )
    pks = [place.pk for place in found.places]
    whole = found.searched_to is None
    if rule.measure == "count":
        return Measured(float(len(pks)), len(pks), whole)
    rows = list(sql.rows_in("SELECT trace_id, start_time, end_time, status, cost FROM trace WHERE id IN ({keys})", pks))
    value: float | None = None
    if rule.measure == "cost_usd":
        value = sum(row.cost or 0 for row in rows) / 10**9
    elif rule.measure == "error_rate":
        failed = sum(row.status == Status.error for row in rows)
        value = 100 * failed / len(rows) if rows else None
    elif rule.measure == "p95_ms":
        lengths = sorted(
            max(0, row.end_time - row.start_time)
            for row in rows
            if row.end_time is not None and row.status != Status.running
        )
        value = lengths[-(-len(lengths) * 95 // 100) - 1] / MILLISECOND if lengths else None
    else:
        given = [
            row.number
            for row in sql.rows_in(
                "SELECT number FROM score WHERE trace_id IN ({keys}) AND project_id = ? AND name = ? "
                "AND number IS NOT NULL",
                [row.trace_id for row in rows],
                after=[project_id, rule.score],
            )
        ]
        value = sum(given) / len(given) if given else None
    return Measured(value, len(rows), whole)
