"""Metrics of the steps that a search finds, read from their rows: the cube knows no search.

As in the cube only finished steps count, the time is cut at hours (UTC), and tokens and cost are those that model and
embedding steps report. Percentiles are exact.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection

from tracer.errors import NotFound
from tracer.otlp.dialects.reading import CALL_KINDS, Kind
from tracer.queries.figures import TOKENS, Tally, check_range
from tracer.queries.metrics import By, fitting_interval, hour_before
from tracer.queries.rows import Metrics
from tracer.queries.scope import Scope
from tracer.search.find_spans import SpanRange, find_spans
from tracer.search.tree import Node
from tracer.store.models import Status
from tracer.store.sql import Sql
from tracer.units import HOUR, Nanos, UnixNanos

FOUND = 10_000
"""Steps that are counted, the newest."""

WORK_LIMIT_S = 0.5

_COLUMNS = ", ".join(
    ("start_time", "end_time", "status", "cost", *TOKENS, "time_to_first_token", "kind", "name", "model")
)
_calls = frozenset(map(int, CALL_KINDS))
_running = int(Status.running)
_NOTHING = (None,) * (1 + len(TOKENS))


def step_metrics(
    conn: Connection,
    search: Node,
    *,
    scope: Scope,
    project_id: int,
    since: UnixNanos,
    until: UnixNanos,
    by: By | None = None,
    interval: Nanos | None = None,
    limit: int = 10,
    abandoned_after: int = 10,
    seconds: float = WORK_LIMIT_S,
) -> Metrics:
    """Series and totals over the finished steps of a project that meet a search, read with `spans=True`.

    The newest FOUND of them, or those found in `seconds`: where that is not all, `searched_to` says from when on the
    answer is whole. `limit` is the number of series. Raises NotFound for a project out of sight, BadRequest for a time
    that is empty or has too many points.
    """
    if not scope.allows(project_id):
        raise NotFound("There is no such project.", field="project")
    begin, end = UnixNanos(hour_before(since)), UnixNanos(hour_before(until + HOUR - 1))
    step = interval or fitting_interval(end - begin)
    check_range(begin, end, step, series=limit + 1 if by else 1)
    sql = Sql(conn)
    range_ = SpanRange((project_id,), since=begin, until=end)
    found = find_spans(sql, search, range_, limit=FOUND, seconds=seconds, abandoned_after=abandoned_after)
    tally = Tally(step, split=by is not None)
    pairs = [place.pair for place in found.places]
    for row in sql.rows_at("span", ("trace_pk", "span_id"), pairs, what=_COLUMNS):
        if row.status != _running:
            told = row[3 : 4 + len(TOKENS)] if row.kind in _calls else _NOTHING
            tally.take((*row[:3], *told), (_value(row, by),), row.time_to_first_token)
    to = found.searched_to
    return tally.metrics(begin, end, None if to is None else UnixNanos(to.start_time), limit=limit)


def _value(row: Any, by: By | None) -> str | None:
    if by == "kind":
        return Kind(row.kind).name
    if by == "status":
        return Status(row.status).name
    return row.model if by == "model" else row.name
