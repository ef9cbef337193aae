"""What the traces that a search finds have in common: counts by value, and how they spread over time.

Over the newest matches, up to MOST of them and for a bounded time; the answer says whether that was all.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Sequence
from operator import attrgetter
from typing import Any

from sqlalchemy import Connection, select

from tracer.otlp.dialects.reading import Kind
from tracer.queries.found import searched_projects
from tracer.queries.rows import Facet, Facets, FacetValue, TimeBar
from tracer.queries.scope import Scope
from tracer.queries.traces import status_now
from tracer.search.fields import ABANDONED
from tracer.search.find import find_traces
from tracer.search.tree import Node
from tracer.search.walk import Range
from tracer.store.models import Status, annotation, trace
from tracer.store.sql import Sql, chunked
from tracer.units import DAY, HOUR, MINUTE, SECOND, Nanos, UnixNanos

MOST = 10_000
"""Matches that are counted, the newest."""

SECONDS = 0.15
"""For finding them; counting them takes about as long again."""

STEPS = 20_000
"""Steps whose kinds are counted: those of the newest matches."""

BARS = 60
"""At most so many bars over time."""

FIELDS = ("status", "name", "kind", "model", "service", "tag", "user", "session", "environment", "release")
_PLAIN = {"user": "user_id", "session": "session_id", "environment": "environment", "release": "release"}
_LISTS = {"model": "models", "service": "services", "tag": "tags"}
_ENDED = {int(status): status.name for status in Status} | {int(Status.running): ABANDONED}
_LENGTHS = (
    *(number * SECOND for number in (1, 2, 5, 10, 15, 30)),
    *(number * MINUTE for number in (1, 2, 5, 10, 15, 30)),
    *(number * HOUR for number in (1, 2, 3, 6, 12)),
    *(number * DAY for number in (1, 2, 7, 14, 28, 56, 364, 3_640)),
)
_COLUMNS = (
    "id", "start_time", "name", "status", "running_count", "changed_at", "span_count", "user_id", "session_id",
    "environment", "release", "models", "services", "tags",
)  # fmt: skip


def facets(
    conn: Connection,
    search: Node | None,
    *,
    scope: Scope,
    project_id: int | None = None,
    since: UnixNanos | None = None,
    until: UnixNanos | None = None,
    values: int = 10,
    abandoned_after: int = 10,
    seconds: float = SECONDS,
) -> Facets:
    """Counts of the traces that meet a search, by field, at most so many `values` of each, and over time."""
    sql = Sql(conn)
    range_ = Range(searched_projects(conn, scope, project_id), since=since, until=until)
    found = find_traces(sql, search, range_, limit=MOST, seconds=seconds, abandoned_after=abandoned_after)
    pks = [place.pk for place in found.places]
    rows = _rows(conn, pks)
    now = time.time_ns()
    statuses = [
        _ENDED[row.status] if not row.running_count else status_now(row, abandoned_after=abandoned_after, now=now)
        for row in rows
    ]
    counters: dict[str, Counter[Any]] = {
        "status": Counter(statuses),
        "name": Counter(row.own_name or row.name for row in rows),
    }
    for name, column in _PLAIN.items():
        counters[name] = Counter(map(attrgetter(column), rows))
        del counters[name][None]
    for name, column in _LISTS.items():
        counters[name] = _counted(Counter(map(attrgetter(column), rows)))
    _add_own_tags(counters["tag"], rows)
    times = [(row.start_time, status == Status.error.name) for row, status in zip(rows, statuses, strict=True)]
    steps = [(row.id, row.span_count) for row in rows]
    looked_at = dict.fromkeys(FIELDS, len(times))
    counters["kind"], looked_at["kind"] = _kinds(sql, steps)
    interval, bars = _bars(times, since, until)
    to = found.searched_to
    return Facets(
        traces=len(times),
        searched_to=None if to is None else UnixNanos(to.value),
        facets=tuple(_facet(name, counters[name], values, looked_at[name]) for name in FIELDS),
        interval=interval,
        bars=bars,
    )


def _rows(conn: Connection, pks: Sequence[int]) -> list[Any]:
    """What is counted of each trace."""
    added = (annotation.c.trace_id == trace.c.trace_id) & (annotation.c.project_id == trace.c.project_id)
    query = select(
        *(trace.c[name] for name in _COLUMNS), annotation.c.name.label("own_name"), annotation.c.tags.label("own_tags")
    ).select_from(trace.outerjoin(annotation, added))
    return [row for part in chunked(pks, 1_000) for row in conn.execute(query.where(trace.c.id.in_(part))).all()]


def _counted(texts: Counter[str]) -> Counter[Any]:
    """Values of JSON lists, each list read once however many traces have it."""
    found: Counter[Any] = Counter()
    for text, count in texts.items():
        for value in json.loads(text):
            found[value] += count
    return found


def _add_own_tags(tags: Counter[Any], rows: Sequence[Any]) -> None:
    for row in rows:
        if row.own_tags is not None:
            tags.update(set(json.loads(row.own_tags)) - set(json.loads(row.tags)))


def _kinds(sql: Sql, steps: list[tuple[int, int]]) -> tuple[Counter[str], int]:
    """How many of the newest traces have steps of each kind, and how many traces that is about."""
    some: list[int] = []
    left = STEPS
    for pk, count in sorted(steps, reverse=True):
        left -= count
        if left < 0:
            break
        some.append(pk)
    found: Counter[str] = Counter()
    for part in chunked(some, 1_000):
        for row in sql.rows_in(
            "SELECT kind, count(DISTINCT trace_pk) AS traces FROM span WHERE trace_pk IN ({keys}) GROUP BY kind", part
        ):
            found[Kind(row.kind).name] += row.traces
    return found, len(some)


def _facet(name: str, counter: Counter[str], values: int, traces: int) -> Facet:
    ordered = sorted(counter.items(), key=lambda item: (-item[1], item[0]))
    shown = tuple(FacetValue(value, count) for value, count in ordered[:values])
    return Facet(name, shown, len(ordered) - len(shown), traces)


def _bars(
    times: list[tuple[int, bool]], since: UnixNanos | None, until: UnixNanos | None
) -> tuple[Nanos, tuple[TimeBar, ...]]:
    """Counts by intervals of the clock, those without a trace left out."""
    if not times:
        return Nanos(_LENGTHS[0]), ()
    first = since if since is not None else min(start for start, _ in times)
    last = until if until is not None else max(start for start, _ in times)
    interval = next((length for length in _LENGTHS if (last - first) // length < BARS), _LENGTHS[-1])
    counts: Counter[int] = Counter()
    failed: Counter[int] = Counter()
    for start, error in times:
        counts[start // interval] += 1
        failed[start // interval] += error
    bars = tuple(TimeBar(UnixNanos(number * interval), counts[number], failed[number]) for number in sorted(counts))
    return Nanos(interval), bars
