"""Metrics of a project's traces, by what only a trace knows: its user, tags, environment, release, services.

They are read from the trace rows of the time, newest first, under a work limit; what it leaves out the answer says.
Percentiles are exact. A trace with several tags counts for each of them, and once in the totals.
"""

from __future__ import annotations

import json
import time
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, and_, select
from sqlalchemy.sql import Select

from tracer.errors import NotFound
from tracer.queries.figures import TOKENS, Tally, check_range
from tracer.queries.rows import Metrics
from tracer.queries.scope import Scope
from tracer.search.find import find_traces
from tracer.search.tree import Node
from tracer.search.walk import Range
from tracer.store.models import Status, annotation, trace
from tracer.store.sql import Sql, chunked
from tracer.units import DAY, HOUR, MINUTE, Nanos, UnixNanos

TraceBy = Literal["name", "user", "tag", "environment", "release", "service", "status"]
TRACE_BY: tuple[TraceBy, ...] = ("name", "user", "tag", "environment", "release", "service", "status")

ROWS_READ = 50_000
FOUND = 10_000
"""Traces of a search that are counted, the newest."""
WORK_LIMIT_S = 0.25
AT_ONCE = 2_000

_CHOICES = (
    (2 * HOUR, MINUTE),
    (12 * HOUR, 5 * MINUTE),
    (2 * DAY, 30 * MINUTE),
    (10 * DAY, HOUR),
    (120 * DAY, DAY),
)
COLUMNS = 4 + len(TOKENS)
"""Of a row: start, end, status, cost and the tokens; after them stands what it is divided by."""
_columns = {
    "name": trace.c.name,
    "user": trace.c.user_id,
    "environment": trace.c.environment,
    "release": trace.c.release,
    "service": trace.c.services,
    "tag": trace.c.tags,
    "status": trace.c.status,
}


def trace_metrics(
    conn: Connection,
    *,
    scope: Scope,
    project_id: int,
    since: UnixNanos,
    until: UnixNanos,
    by: TraceBy | None = None,
    interval: Nanos | None = None,
    limit: int = 10,
    search: Node | None = None,
    abandoned_after: int = 10,
    seconds: float = WORK_LIMIT_S,
) -> Metrics:
    """Series and totals over the traces of a project that began in [since, until), each time from its first minute on.

    `limit` is the number of series; the largest get one of their own, the rest shares one. With a `search`, as
    `read_search` gives it, they are those that meet it. At most ROWS_READ traces are read (FOUND of a search), for at
    most `seconds`: where that is not all, `searched_to` says from when on the answer is whole. Raises NotFound for a
    project out of sight, BadRequest for a time that is empty or has too many points.
    """
    if not scope.allows(project_id):
        raise NotFound("There is no such project.", field="project")
    step = interval or fitting_trace_interval(until - since)
    check_range(since, until, step, series=limit + 1 if by else 1)
    tally = Tally(step, split=by is not None)
    query = _rows(by)
    if search is None:
        searched_to = _newest(conn, query.where(*_of(project_id, since, until)), tally, by, seconds)
    else:
        range_ = Range((project_id,), since=since, until=until)
        found = find_traces(Sql(conn), search, range_, limit=FOUND, seconds=seconds, abandoned_after=abandoned_after)
        for pks in chunked([place.pk for place in found.places], AT_ONCE):
            for row in conn.execute(query.where(trace.c.id.in_(pks))):
                _count(tally, row, by)
        searched_to = None if found.searched_to is None else UnixNanos(found.searched_to.value)
    return tally.metrics(since, until, searched_to, limit=limit)


def _newest(
    conn: Connection, query: Select[*tuple[Any, ...]], tally: Tally, by: TraceBy | None, seconds: float
) -> UnixNanos | None:
    """Count the newest traces; returns from when on they are all there, None where none was left out."""
    end = time.monotonic() + seconds
    read = 0
    query = query.order_by(trace.c.start_time.desc(), trace.c.id.desc()).limit(ROWS_READ + AT_ONCE)
    with conn.execute(query, execution_options={"stream_results": True, "max_row_buffer": AT_ONCE}) as rows:
        for part in rows.partitions(AT_ONCE):
            for row in part:
                _count(tally, row, by)
            read += len(part)
            if len(part) == AT_ONCE and (read >= ROWS_READ or time.monotonic() > end):
                return UnixNanos(part[-1].start_time)
    return None


def _count(tally: Tally, row: Any, by: TraceBy | None) -> None:
    tally.take(row[:COLUMNS], () if by is None else _values(row[COLUMNS:], by))


def fitting_trace_interval(length: int) -> Nanos:
    """An interval that gives some ten to some hundred points over so many nanoseconds."""
    return Nanos(next((interval for longest, interval in _CHOICES if length <= longest), 7 * DAY))


def _rows(by: TraceBy | None) -> Select[*tuple[Any, ...]]:
    columns = [trace.c.start_time, trace.c.end_time, trace.c.status, trace.c.cost]
    columns += [trace.c[name] for name in TOKENS]
    query = select(*columns, *([] if by is None else [_columns[by].label("value")]))
    if by == "tag":
        query = query.add_columns(annotation.c.tags.label("given")).outerjoin(
            annotation, and_(annotation.c.trace_id == trace.c.trace_id, annotation.c.project_id == trace.c.project_id)
        )
    return query


def _of(project_id: int, since: int, until: int) -> tuple[ColumnElement[bool], ...]:
    return trace.c.project_id == project_id, trace.c.start_time >= since, trace.c.start_time < until


def _values(told: tuple[Any, ...], by: TraceBy) -> list[str | None]:
    if by == "status":
        return [Status(told[0]).name]
    if by == "service":
        return json.loads(told[0]) or [None]
    if by == "tag":
        return list(dict.fromkeys([*json.loads(told[0]), *(json.loads(told[1]) if told[1] else ())])) or [None]
    return [told[0]]
