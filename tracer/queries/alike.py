"""Reads how many traces are alike, as ingest keeps count of them: exact, however many traces there are.

Counts are by the hour; what of a range begins or ends within one, and what still runs, is told apart, to be looked at
trace by trace.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from tracer.search.levels import for_traces
from tracer.search.tree import All, Any, Is, Node, Not, Step
from tracer.store.cube import Period
from tracer.store.models import Status
from tracer.store.sql import Sql
from tracer.units import DAY, HOUR, UnixNanos

ROWS_READ = 50_000
"""Rows of counts that one answer reads: those of a month in which each hour has 70 kinds of traces."""

STILL_RUNNING = 1_000
"""Traces in which something runs that one answer looks at."""

FIRST, LAST = -(2**63), 2**63 - 1


@dataclass(frozen=True, slots=True)
class Kind:
    """What some traces have in common."""

    status: str
    name: str
    models: tuple[str, ...]
    services: tuple[str, ...]
    tags: tuple[str, ...]
    environment: str | None
    release: str | None


@dataclass(slots=True)
class Counted:
    """The traces of whole hours in which nothing runs."""

    kinds: Counter[Kind] = field(default_factory=Counter)
    starts: Counter[tuple[int, bool]] = field(default_factory=Counter)
    """By the start of the hour or day, and whether they failed."""


@dataclass(frozen=True, slots=True)
class Hours:
    """The whole hours of a range, and the two ends that are none; each from its first to before its last instant."""

    since: int
    until: int
    ends: tuple[tuple[int, int], ...]


def whole_hours(since: UnixNanos | None, until: UnixNanos | None) -> Hours | None:
    """The whole hours of a range; None when it has none."""
    first = FIRST if since is None else -(-since // HOUR) * HOUR
    last = LAST if until is None else until // HOUR * HOUR
    if first >= last:
        return None
    ends: list[tuple[int, int]] = []
    if since is not None and since < first:
        ends.append((since, first))
    if until is not None and last < until:
        ends.append((last, until))
    return Hours(first, last, tuple(ends))


def is_told(search: Node | None) -> bool:
    """Whether what traces have in common tells which of them meet a search."""
    return search is None or _told(for_traces(search))


def _told(node: Node) -> bool:
    match node:
        case Is(field="status"):
            return True
        case Is(field="name" | "tag" | "environment" | "release"):
            return True
        case Step(of=Is(field="model" | "service")):
            return True
        case Not():
            return _told(node.of)
        case All() | Any():
            return all(map(_told, node.of))
        case _:
            return False


def meets(node: Node, kind: Kind) -> bool:
    """Whether traces of a kind meet a tree of `for_traces` of which `is_told` is true."""
    match node:
        case Is():
            return any(pattern.meets(value) for value in _values(node.field, kind) for pattern in node.any)
        case Step(of=Is() as leaf):
            return meets(leaf, kind)
        case Not():
            return not meets(node.of, kind)
        case All():
            return all(meets(one, kind) for one in node.of)
        case Any():
            return any(meets(one, kind) for one in node.of)
        case _:
            raise ValueError(f"kinds of traces do not tell of {node}")


def _values(name: str, kind: Kind) -> Sequence[str]:
    match name:
        case "model":
            return kind.models
        case "service":
            return kind.services
        case "tag":
            return kind.tags
        case _:
            value = getattr(kind, name)
            return () if value is None else (value,)


def span_of(sql: Sql, projects: Sequence[int], hours: Hours) -> tuple[int, int] | None:
    """The first and the last whole hour in which any trace of these projects began; None without one."""
    where = "FROM trace_alike WHERE project_id = ? AND period = ? AND start >= ? AND start < ?"
    found: list[int | None] = []
    for project_id in projects:
        asked = [project_id, int(Period.hour), hours.since, hours.until]
        # One end each: both at once would go through all between them.
        found += [sql.rows(f"SELECT {end}(start) {where}", asked)[0][0] for end in ("min", "max")]
    known = [start for start in found if start is not None]
    return (min(known), max(known)) if known else None


def counted(sql: Sql, search: Node | None, projects: Sequence[int], hours: Hours, *, days: bool) -> Counted | None:
    """The traces of the hours that meet a search of which `is_told` is true; None when there is too much to read.

    With `days`, those of whole days are told by the day.
    """
    node = None if search is None else for_traces(search)
    numbers: Counter[tuple[int, bytes, int]] = Counter()
    places: dict[bytes, tuple[int, int, int, bytes]] = {}
    left = ROWS_READ
    for project_id in projects:
        for period, first, last in _periods(hours, days=days):
            rows = sql.rows(
                "SELECT start, alike, status, trace_count FROM trace_alike "
                "WHERE project_id = ? AND period = ? AND start >= ? AND start < ? LIMIT ?",
                [project_id, period, first, last, left + 1],
            )
            left -= len(rows)
            if left < 0:
                return None
            for start, alike, status, count in map(tuple[int, bytes, int, int], rows):
                numbers[start, alike, status] += count
                places[alike] = (project_id, period, start, alike)
    kinds = dict(_kinds(sql, places.values()))
    out, met = Counted(), dict[tuple[bytes, int], Kind | None]()
    for (start, alike, status), count in numbers.items():
        if (alike, status) not in met:
            kind = replace(kinds[alike], status=Status(status).name)
            met[alike, status] = kind if node is None or meets(node, kind) else None
        kind = met[alike, status]
        if kind is not None and count:
            out.kinds[kind] += count
            out.starts[start, status == Status.error] += count
    return out


def _kinds(sql: Sql, places: Iterable[tuple[int, int, int, bytes]]) -> Iterator[tuple[bytes, Kind]]:
    """What traces have in common, each told by one place in the table; without a status."""
    columns = ("project_id", "period", "start", "alike")
    wanted = "alike, name, models, services, tags, environment, release"
    for row in sql.rows_at("trace_alike", columns, sorted(places), what=wanted):
        models, services, tags = (tuple(json.loads(text)) for text in (row.models, row.services, row.tags))
        yield row.alike, Kind("", row.name, models, services, tags, row.environment, row.release)


def _periods(hours: Hours, *, days: bool) -> Iterator[tuple[int, int, int]]:
    """The periods of which the hours are: (hour or day, first start, before which start)."""
    first, last = hours.since, hours.until
    if not days:
        yield int(Period.hour), first, last
        return
    begin = first if first == FIRST else -(-first // DAY) * DAY
    end = last if last == LAST else last // DAY * DAY
    if begin >= end:
        yield int(Period.hour), first, last
        return
    yield int(Period.day), begin, end
    if first < begin:
        yield int(Period.hour), first, begin
    if end < last:
        yield int(Period.hour), end, last


def running(sql: Sql, projects: Sequence[int], hours: Hours) -> set[int] | None:
    """The row numbers of the traces of the hours in which something runs; None when there are too many."""
    found: set[int] = set()
    for project_id in projects:
        rows = sql.rows(
            "SELECT id FROM trace WHERE project_id = ? AND running_count > 0 AND start_time >= ? AND start_time < ? "
            "LIMIT ?",
            [project_id, hours.since, hours.until, STILL_RUNNING + 1],
        )
        found.update(row.id for row in rows)
        if len(found) > STILL_RUNNING:
            return None
    return found
