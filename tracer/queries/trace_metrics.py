"""Metrics of a project's traces, by what only a trace knows: its user, tags, environment, release, services.

They are read from the trace rows of the time, newest first, under a work limit; what it leaves out the answer says.
Percentiles are exact. A trace with several tags counts for each of them, and once in the totals.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, and_, select
from sqlalchemy.sql import Select

from tracer.errors import BadRequest, NotFound
from tracer.otlp.dialects.reading import Usage
from tracer.queries.metrics import MAX_POINTS, MONDAY
from tracer.queries.rows import Figures, Metrics, Percentiles, Point, Series
from tracer.queries.scope import Scope
from tracer.store.models import Status, annotation, trace
from tracer.units import DAY, HOUR, MINUTE, Nanos, NanoUsd, UnixNanos

TraceBy = Literal["name", "user", "tag", "environment", "release", "service", "status"]
TRACE_BY: tuple[TraceBy, ...] = ("name", "user", "tag", "environment", "release", "service", "status")

ROWS_READ = 50_000
WORK_LIMIT_S = 0.25
AT_ONCE = 2_000

_CHOICES = (
    (2 * HOUR, MINUTE),
    (12 * HOUR, 5 * MINUTE),
    (2 * DAY, 30 * MINUTE),
    (10 * DAY, HOUR),
    (120 * DAY, DAY),
)
_TOKENS = ("input_tokens", "output_tokens", "total_tokens", "cached_input_tokens", "cache_write_tokens")
_TOKENS += ("reasoning_tokens",)
COLUMNS = 4 + len(_TOKENS)
"""Of a row: start, end, status, cost and the tokens; after them stands what it is divided by."""
_failed, _running = int(Status.error), int(Status.running)
_columns = {
    "name": trace.c.name,
    "user": trace.c.user_id,
    "environment": trace.c.environment,
    "release": trace.c.release,
    "service": trace.c.services,
    "tag": trace.c.tags,
    "status": trace.c.status,
}


@dataclass(slots=True)
class _Sum:
    count: int = 0
    errors: int = 0
    told: int = 0
    tokens: list[int] = field(default_factory=lambda: [0] * len(_TOKENS))
    cost: int = 0
    priced: int = 0
    durations: list[int] = field(default_factory=list)

    def take(self, one: tuple[Any, ...]) -> None:
        """Count one trace, a row of `_rows`."""
        start, end, status, cost, given, out, total, cached, written, reasoning = one
        self.count += 1
        if status == _failed:
            self.errors += 1
        if end is not None and status != _running:
            self.durations.append(end - start if end > start else 0)
        if given is not None or out is not None or total is not None:
            self.told += 1
            sums = self.tokens
            sums[0] += given or 0
            sums[1] += out or 0
            sums[2] += total if total is not None else (given or 0) + (out or 0)
            sums[3] += cached or 0
            sums[4] += written or 0
            sums[5] += reasoning or 0
        if cost is not None:
            self.cost += cost
            self.priced += 1

    def add(self, other: _Sum) -> None:
        """Add what another one counted."""
        self.count += other.count
        self.errors += other.errors
        self.told += other.told
        self.tokens = [one + more for one, more in zip(self.tokens, other.tokens, strict=True)]
        self.cost += other.cost
        self.priced += other.priced
        self.durations += other.durations

    def figures(self) -> Figures:
        """What it comes to."""
        usage = None
        if self.told:
            given, out, total, cached, written, reasoning = self.tokens
            usage = Usage(given, out, total, cached or None, written or None, reasoning or None)
        cost = NanoUsd(self.cost) if self.priced else None
        return Figures(self.count, self.errors, _percentiles(self.durations), usage, cost, None)


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
    where: Sequence[ColumnElement[bool]] = (),
    seconds: float = WORK_LIMIT_S,
) -> Metrics:
    """Series and totals over the traces of a project that began in [since, until), each time from its first minute on.

    `limit` is the number of series; the largest get one of their own, the rest shares one. At most ROWS_READ traces
    are read, for at most `seconds`: where that is not all, `searched_to` says from when on the answer is whole. Raises
    NotFound for a project out of sight, BadRequest for a time that is empty or has too many points.
    """
    if not scope.allows(project_id):
        raise NotFound("There is no such project.", field="project")
    if since >= until:
        raise BadRequest("`from` has to lie before `to`.", field="from")
    step = interval or fitting_trace_interval(until - since)
    if (until - since) // step * (limit + 1 if by else 1) > MAX_POINTS:
        raise BadRequest(
            f"These are more than {MAX_POINTS:,} points: ask for a longer interval, a shorter time or fewer series.",
            field="interval",
        )
    sums: dict[tuple[str | None, int], _Sum] = {}
    whole: dict[int, _Sum] = {}
    end = time.monotonic() + seconds
    read, searched_to = 0, None
    query = _rows(project_id, since, until, by, where)
    with conn.execute(query, execution_options={"stream_results": True, "max_row_buffer": AT_ONCE}) as rows:
        for part in rows.partitions(AT_ONCE):
            for row in part:
                one = row[:COLUMNS]
                at = one[0] - (one[0] - MONDAY) % step
                found = whole.get(at)
                if found is None:
                    found = whole[at] = _Sum()
                found.take(one)
                if by is None:
                    continue
                for value in _values(row[COLUMNS:], by):
                    found = sums.get((value, at))
                    if found is None:
                        found = sums[value, at] = _Sum()
                    found.take(one)
            read += len(part)
            if len(part) == AT_ONCE and (read >= ROWS_READ or time.monotonic() > end):
                searched_to = UnixNanos(part[-1].start_time)
                break
    series = _series(sums, limit) if by is not None else _one(whole)
    total = _Sum()
    for found in whole.values():
        total.add(found)
    return Metrics(since, until, Nanos(step), searched_to, total.figures(), series)


def fitting_trace_interval(length: int) -> Nanos:
    """An interval that gives some ten to some hundred points over so many nanoseconds."""
    return Nanos(next((interval for longest, interval in _CHOICES if length <= longest), 7 * DAY))


def _rows(
    project_id: int, since: int, until: int, by: TraceBy | None, where: Sequence[ColumnElement[bool]]
) -> Select[*tuple[Any, ...]]:
    columns = [trace.c.start_time, trace.c.end_time, trace.c.status, trace.c.cost]
    columns += [trace.c[name] for name in _TOKENS]
    query = select(*columns, *([] if by is None else [_columns[by].label("value")]))
    if by == "tag":
        query = query.add_columns(annotation.c.tags.label("given")).outerjoin(
            annotation, and_(annotation.c.trace_id == trace.c.trace_id, annotation.c.project_id == trace.c.project_id)
        )
    time_of_it = (trace.c.project_id == project_id, trace.c.start_time >= since, trace.c.start_time < until)
    newest = query.where(*time_of_it, *where).order_by(trace.c.start_time.desc(), trace.c.id.desc())
    return newest.limit(ROWS_READ + AT_ONCE)


def _values(told: tuple[Any, ...], by: TraceBy) -> list[str | None]:
    if by == "status":
        return [Status(told[0]).name]
    if by == "service":
        return json.loads(told[0]) or [None]
    if by == "tag":
        return list(dict.fromkeys([*json.loads(told[0]), *(json.loads(told[1]) if told[1] else ())])) or [None]
    return [told[0]]


def _series(sums: dict[tuple[str | None, int], _Sum], limit: int) -> tuple[Series, ...]:
    counts: Counter[str | None] = Counter()
    for (value, _), found in sums.items():
        counts[value] += found.count
    ordered = sorted(counts, key=lambda value: (-counts[value], value or ""))
    places = {value: min(place, limit) for place, value in enumerate(ordered)}
    merged: dict[int, dict[int, _Sum]] = {}
    for (value, at), found in sums.items():
        merged.setdefault(places[value], {}).setdefault(at, _Sum()).add(found)
    done: list[Series] = []
    for place in sorted(merged):
        [one] = _one(merged[place])
        other = place == limit
        done.append(Series(None if other else ordered[place], other, one.totals, one.points))
    return tuple(done)


def _one(sums: dict[int, _Sum]) -> tuple[Series, ...]:
    total = _Sum()
    points = [Point(UnixNanos(at), sums[at].figures()) for at in sorted(sums)]
    for found in sums.values():
        total.add(found)
    return (Series(None, False, total.figures(), tuple(points)),) if points else ()


def _percentiles(durations: list[int]) -> Percentiles | None:
    if not durations:
        return None
    durations.sort()
    count = len(durations)
    p50, p95, p99 = (Nanos(durations[-(-count * percent // 100) - 1]) for percent in (50, 95, 99))
    return Percentiles(Nanos(sum(durations) // count), p50, p95, p99)
