"""What the traces that a search finds have in common: counts by value, and how they spread over time.

Over all of them where ingest keeps count of what the search asks for (`alike.py`), else over the newest, up to MOST and
for a bounded time; the answer says which.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter
from typing import Any

from sqlalchemy import Connection, select

from tracer.otlp.dialects.reading import Kind
from tracer.queries import alike
from tracer.queries.found import searched_projects
from tracer.queries.rows import Facet, Facets, FacetValue, TimeBar
from tracer.queries.scope import Scope
from tracer.queries.traces import status_now
from tracer.search.fields import ABANDONED
from tracer.search.find import Found, find_traces, those_that_meet
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
_NEWEST = {"user": "user_id", "session": "session_id"}
"""Of these every trace may have its own: they are those of the newest traces."""

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
    """Counts of the traces that meet a search, by field, at most so many `values` of each, and over time.

    Where there are more than MOST, or finding them takes longer than `seconds`, and what traces have in common tells
    which of them meet the search, they are counted from what ingest keeps count of: exact, but for users, sessions and
    kinds of steps, which are those of the newest.
    """
    sql = Sql(conn)
    range_ = Range(searched_projects(conn, scope, project_id), since=since, until=until)
    look = _Look(conn, search, range_, seconds, abandoned_after)
    found = look.find(range_)
    to = found.searched_to
    pks = [place.pk for place in found.places]
    all_of_them = look.all_of_them() if to is not None else None
    if all_of_them is not None:
        to, rows = None, _few_columns(conn, pks)
    else:
        all_of_them, rows = _Tally(), _rows(conn, pks)
        all_of_them.add(rows, look)
    counters = all_of_them.counters
    looked_at = dict.fromkeys(FIELDS, all_of_them.traces)
    for name, column in _NEWEST.items():
        counters[name] = Counter(map(attrgetter(column), rows))
        del counters[name][None]
        looked_at[name] = len(rows)
    counters["kind"], looked_at["kind"] = _kinds(sql, [(row.id, row.span_count) for row in rows])
    interval, bars = _bars(all_of_them, since, until)
    return Facets(
        traces=all_of_them.traces,
        searched_to=None if to is None else UnixNanos(to.value),
        facets=tuple(_facet(name, counters[name], values, looked_at[name]) for name in FIELDS),
        interval=interval,
        bars=bars,
    )


@dataclass(slots=True)
class _Tally:
    """What is counted: traces, their values by field, their starts with how many of them failed."""

    traces: int = 0
    counters: dict[str, Counter[Any]] = field(default_factory=lambda: {name: Counter() for name in FIELDS})
    starts: Counter[tuple[int, bool]] = field(default_factory=Counter)
    least: int = 0
    """The length of time of which starts are told together."""

    def add(self, rows: Sequence[Any], look: _Look) -> None:
        """Count traces by their rows."""
        statuses = [
            _ENDED[row.status] if not row.running_count else status_now(row, abandoned_after=look.quiet, now=look.now)
            for row in rows
        ]
        self.traces += len(rows)
        counters = self.counters
        counters["status"].update(statuses)
        counters["name"].update(row.own_name or row.name for row in rows)
        for name in ("environment", "release"):
            counters[name].update(value for row in rows if (value := getattr(row, name)) is not None)
        for name, column in _LISTS.items():
            counters[name] += _counted(Counter(map(attrgetter(column), rows)))
        _add_own_tags(counters["tag"], rows)
        for row, status in zip(rows, statuses, strict=True):
            self.starts[row.start_time, status == Status.error.name] += 1

    def add_kinds(self, found: alike.Counted) -> None:
        """Count traces by what they have in common."""
        counters = self.counters
        for kind, count in found.kinds.items():
            self.traces += count
            counters["status"][kind.status] += count
            counters["name"][kind.name] += count
            for name, value in (("environment", kind.environment), ("release", kind.release)):
                if value is not None:
                    counters[name][value] += count
            for name, values in (("model", kind.models), ("service", kind.services), ("tag", kind.tags)):
                for value in values:
                    counters[name][value] += count
        self.starts.update(found.starts)


@dataclass(slots=True)
class _Look:
    """One look at the traces that meet a search, at one moment."""

    conn: Connection
    search: Node | None
    range: Range
    seconds: float
    quiet: int
    """Minutes after which what runs is abandoned."""
    now: int = field(default_factory=time.time_ns)

    def find(self, range_: Range) -> Found:
        """The newest traces of a range that meet the search."""
        return find_traces(
            Sql(self.conn),
            self.search,
            range_,
            limit=MOST,
            seconds=self.seconds,
            now=self.now,
            abandoned_after=self.quiet,
        )

    def all_of_them(self) -> _Tally | None:
        """All traces of the range that meet the search; None where that cannot be told in bounded time."""
        hours = alike.whole_hours(self.range.since, self.range.until)
        if hours is None or not alike.is_told(self.search):
            return None
        sql, projects = Sql(self.conn), self.range.projects
        span = alike.span_of(sql, projects, hours)
        running = alike.running(sql, projects, hours)
        if span is None or running is None:
            return None
        first = span[0] if self.range.since is None else self.range.since
        last = span[1] if self.range.until is None else self.range.until
        days = _interval(first, last, HOUR) >= DAY
        found = alike.counted(sql, self.search, projects, hours, days=days)
        if found is None:
            return None
        tally = _Tally(least=DAY if days else HOUR)
        tally.add_kinds(found)
        for begin, end in hours.ends:
            at_end = self.find(replace(self.range, since=UnixNanos(begin), until=UnixNanos(end)))
            if at_end.searched_to is not None:
                return None
            tally.add(_rows(self.conn, [place.pk for place in at_end.places]), self)
        if self.search is not None:
            running = those_that_meet(sql, self.search, running, abandoned_after=self.quiet)
        tally.add(_rows(self.conn, sorted(running)), self)
        return tally


def _rows(conn: Connection, pks: Sequence[int]) -> list[Any]:
    """What is counted of each trace."""
    added = (annotation.c.trace_id == trace.c.trace_id) & (annotation.c.project_id == trace.c.project_id)
    query = select(
        *(trace.c[name] for name in _COLUMNS), annotation.c.name.label("own_name"), annotation.c.tags.label("own_tags")
    ).select_from(trace.outerjoin(annotation, added))
    return [row for part in chunked(pks, 1_000) for row in conn.execute(query.where(trace.c.id.in_(part))).all()]


def _few_columns(conn: Connection, pks: Sequence[int]) -> list[Any]:
    """What is counted of each trace where the rest is told already."""
    wanted = "SELECT id, span_count, user_id, session_id FROM trace WHERE id IN ({keys})"
    return [row for part in chunked(pks, 1_000) for row in Sql(conn).rows_in(wanted, part)]


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


def _interval(first: int, last: int, least: int) -> int:
    """The length of a bar, at least `least`, of which at most BARS cover a time."""
    return next((one for one in _LENGTHS if one >= least and (last - first) // one < BARS), _LENGTHS[-1])


def _bars(tally: _Tally, since: UnixNanos | None, until: UnixNanos | None) -> tuple[Nanos, tuple[TimeBar, ...]]:
    """Counts by intervals of the clock, those without a trace left out."""
    if not tally.starts:
        return Nanos(_LENGTHS[0]), ()
    first = since if since is not None else min(start for start, _ in tally.starts)
    last = until if until is not None else max(start for start, _ in tally.starts)
    interval = _interval(first, last, tally.least)
    counts: Counter[int] = Counter()
    failed: Counter[int] = Counter()
    for (start, error), count in tally.starts.items():
        counts[start // interval] += count
        if error:
            failed[start // interval] += count
    bars = tuple(TimeBar(UnixNanos(number * interval), counts[number], failed[number]) for number in sorted(counts))
    return Nanos(interval), bars
