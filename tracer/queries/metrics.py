"""Metrics of a project's steps, from the hourly cube: never from the spans.

The time is cut at hours, in UTC. Whole days are read from the cells of days where the interval allows it, so that a
year costs little more than a month. Tokens and cost are those that model and embedding steps report, as in a trace's
roll-up; what agents and chains sum up is not counted again.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from sqlalchemy import Connection

from tracer.errors import BadRequest, NotFound
from tracer.otlp.dialects.reading import CALL_KINDS, Kind, Usage
from tracer.queries.rows import Figures, Metrics, Percentiles, Point, Series
from tracer.queries.scope import Scope
from tracer.store.cube import CellRange, Period, count_rows, newest_first, read_sums, spans_by, start_of_newest
from tracer.store.histogram import percentiles, sum_histograms
from tracer.store.models import Status
from tracer.store.sql import Sql
from tracer.units import DAY, HOUR, LAST_INSTANT, MINUTE, Nanos, NanoUsd, UnixNanos

By = Literal["name", "kind", "model", "status"]
BY: tuple[By, ...] = ("name", "kind", "model", "status")

MAX_POINTS = 10_000
"""Of all series together."""

ROWS_READ = 200_000
"""The work limit, about a second: the newest so many rows of the cube."""

PERCENTS = (50, 95, 99)
MONDAY = 4 * DAY
"""1970-01-05, from where intervals of several days are counted: weeks begin on Mondays."""

_INTERVAL = re.compile(r"([1-9][0-9]{0,3})([mhd])")
_CHOICES = ((7 * DAY, HOUR), (120 * DAY, DAY), (3 * 365 * DAY, 7 * DAY), (50 * 365 * DAY, 30 * DAY))


@dataclass(slots=True)
class Sum:
    """What rows of the cube add up to; `of_calls` are the sums of model and embedding steps alone."""

    span_count: int = 0
    error_count: int = 0
    sums: int = 0
    of_calls: int = 0
    durations: int = 0
    first_tokens: int = 0

    def add(self, other: Sum) -> None:
        """Add what another one holds."""
        self.span_count += other.span_count
        self.error_count += other.error_count
        self.sums += other.sums
        self.of_calls += other.of_calls
        self.durations += other.durations
        self.first_tokens += other.first_tokens


@dataclass(slots=True)
class Rows:
    """The rows of one series and interval, their histograms as they are stored."""

    found: Sum = field(default_factory=Sum)
    durations: list[bytes] = field(default_factory=list)
    first_tokens: list[bytes] = field(default_factory=list)

    def take(self, kind: int, status: int, span_count: int, packed: bytes, durations: bytes, firsts: bytes) -> None:
        """Add one row of the cube."""
        found = self.found
        numbers = int.from_bytes(packed, "little", signed=True)
        found.span_count += span_count
        found.sums += numbers
        if kind in _call_kinds:
            found.of_calls += numbers
        if status == _failed:
            found.error_count += span_count
        if durations:
            self.durations.append(durations)
        if firsts:
            self.first_tokens.append(firsts)

    def sum(self) -> Sum:
        """What they add up to."""
        self.found.durations = sum_histograms(self.durations)
        self.found.first_tokens = sum_histograms(self.first_tokens)
        return self.found


@dataclass(slots=True)
class _Group:
    total: Sum = field(default_factory=Sum)
    points: list[Point] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Only:
    """Which steps are meant: those of a name, of a model, of a kind; None is any."""

    name: str | None = None
    model: str | None = None
    kind: str | None = None

    def allows(self, name: str | None, model: str | None, kind: int) -> bool:
        """True for a row of the cube that is meant."""
        return (
            (self.name is None or name == self.name)
            and (self.model is None or model == self.model)
            and (self.kind is None or _kinds[kind] == self.kind)
        )


EVERY_STEP = Only()

_Key = tuple[str | None, bool]
"""A series' value, and whether it is that of all others."""

_EVERYTHING: _Key = (None, False)


def read_interval(text: str, *, minutes: bool = False) -> Nanos:
    """Read `1h`, `6h`, `1d`, `7d`, and with `minutes` `5m`.

    Raises BadRequest for anything else: hours must be a part of a day, minutes of an hour.
    """
    found = _INTERVAL.fullmatch(text)
    count, unit = (int(found[1]), found[2]) if found else (0, "")
    if found is None or (unit == "h" and 24 % count) or (unit == "m" and (60 % count or not minutes)):
        raise BadRequest(
            f"{text[:20]!r} is no interval: write hours that a day can be divided by, such as 1h or 6h, or days, "
            f"such as 1d or 7d{', or minutes that an hour can be divided by, such as 5m' if minutes else ''}.",
            field="interval",
        )
    return Nanos(count * {"m": MINUTE, "h": HOUR, "d": DAY}[unit])


def fitting_interval(length: int) -> Nanos:
    """An interval that gives some ten to some hundred points over so many nanoseconds."""
    return Nanos(next((interval for longest, interval in _CHOICES if length <= longest), 365 * DAY))


def metrics(
    conn: Connection,
    *,
    scope: Scope,
    project_id: int,
    since: UnixNanos,
    until: UnixNanos,
    by: By | None = None,
    interval: Nanos | None = None,
    limit: int = 10,
    only: Only = EVERY_STEP,
) -> Metrics:
    """Series and totals over the finished steps of a project that began in [since, until), or `only` some of them.

    `limit` is the number of series; the largest get one of their own, the rest shares one. The work is bounded by the
    cube's size, and that by ROWS_READ: beyond it the answer says in `searched_to` from when on it is whole. Raises
    NotFound for a project out of sight, BadRequest for a time that is empty or has more than MAX_POINTS points.
    """
    if not scope.allows(project_id):
        raise NotFound("There is no such project.", field="project")
    if since >= until:
        raise BadRequest("`from` has to lie before `to`.", field="from")
    begin, end = hour_before(since), hour_before(until + HOUR - 1)
    step = interval or fitting_interval(end - begin)
    if (end - begin) // step * (limit + 1 if by else 1) > MAX_POINTS:
        raise BadRequest(
            f"These are more than {MAX_POINTS:,} points: ask for a longer interval, a shorter time or fewer series.",
            field="interval",
        )
    sql = Sql(conn)
    ranges, searched_to = within_limit(sql, list(ranges_of(project_id, begin, end, step)))
    shown = _largest(sql, by, ranges, limit) if by in ("name", "model") else None
    groups = _sum_up(_rows(sql, ranges, only), by, shown, step)
    total = Sum()
    for group in groups.values():
        total.add(group.total)
    ordered = sorted(groups.items(), key=lambda item: (item[0][1], -item[1].total.span_count, item[0][0] or ""))
    return Metrics(
        UnixNanos(begin),
        UnixNanos(end),
        Nanos(step),
        None if searched_to is None else UnixNanos(searched_to),
        figures_of(total),
        tuple(
            Series(value, other, figures_of(group.total), tuple(reversed(group.points)))
            for (value, other), group in ordered
        ),
    )


def hour_before(instant: int) -> int:
    """The hour that began last, held to the times that steps can have."""
    return min(max(0, instant), LAST_INSTANT) // HOUR * HOUR


def ranges_of(project_id: int, begin: int, end: int, interval: int) -> Iterator[CellRange]:
    """Which cells make up the time, the newest first: hours at its ends and days between, where intervals are days."""
    first, last = -(-begin // DAY) * DAY, end // DAY * DAY
    if interval % DAY or first >= last:
        yield project_id, int(Period.hour), begin, end
        return
    yield project_id, int(Period.hour), last, end
    yield project_id, int(Period.day), first, last
    yield project_id, int(Period.hour), begin, first


def within_limit(sql: Sql, ranges: list[CellRange]) -> tuple[list[CellRange], int | None]:
    """The newest part of the ranges that the work limit allows, and where it begins when that is not all."""
    left = ROWS_READ
    kept: list[CellRange] = []
    for one in ranges:
        count = count_rows(sql, one)
        if count > left:
            begin = start_of_newest(sql, one, left)
            return [*kept, (*one[:2], begin, one[3])], begin
        kept.append(one)
        left -= count
    return kept, None


def _largest(sql: Sql, by: By | None, ranges: list[CellRange], limit: int) -> frozenset[str | None]:
    counts: Counter[str | None] = Counter()
    for one in ranges:
        counts.update(dict(spans_by(sql, "model" if by == "model" else "name", one)))
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0] or ""))
    return frozenset(value for value, count in ordered[:limit] if count)


def _rows(sql: Sql, ranges: list[CellRange], only: Only = EVERY_STEP) -> Iterator[Any]:
    for one in ranges:
        if only == EVERY_STEP:
            yield from newest_first(sql, one)
        else:
            yield from (row for row in newest_first(sql, one) if only.allows(row.name, row.model, row.kind))


def _sum_up(
    rows: Iterator[Any], by: By | None, shown: frozenset[str | None] | None, interval: int
) -> dict[_Key, _Group]:
    """Sum rows, newest first, by series and interval: the sums of one interval at a time are in memory."""
    groups: dict[_Key, _Group] = {}
    sums: dict[_Key, Rows] = {}
    at, key = -1, _EVERYTHING
    for start, kind, status, name, model, other, span_count, packed, durations, first_tokens in rows:
        begin = start - (start - MONDAY) % interval
        if begin != at:
            _close(groups, sums, at)
            at = begin
        if shown is not None:
            value = model if by == "model" else name
            key = (None, True) if other or value not in shown else (value, False)
        elif by == "kind":
            key = (_kinds[kind], False)
        elif by == "status":
            key = (_statuses[status], False)
        of_key = sums.get(key)
        if of_key is None:
            of_key = sums[key] = Rows()
        of_key.take(kind, status, span_count, packed, durations, first_tokens)
    _close(groups, sums, at)
    return groups


_kinds = {int(kind): kind.name for kind in Kind}
_statuses = {int(status): status.name for status in Status}
_call_kinds = frozenset(map(int, CALL_KINDS))
_failed = int(Status.error)


def _close(groups: dict[_Key, _Group], sums: dict[_Key, Rows], at: int) -> None:
    """Make points of an interval's rows."""
    for key, of_key in sums.items():
        if of_key.found.span_count:
            group = groups.setdefault(key, _Group())
            found = of_key.sum()
            group.total.add(found)
            group.points.append(Point(UnixNanos(at), figures_of(found)))
    sums.clear()


def figures_of(found: Sum) -> Figures:
    """What a sum comes to."""
    times = read_sums(found.sums)
    calls = times if found.of_calls == found.sums else read_sums(found.of_calls)
    usage = None
    if calls["told"]:
        usage = Usage(
            calls["input"],
            calls["output"],
            calls["total"],
            calls["cached_input"] or None,
            calls["cache_write"] or None,
            calls["reasoning"] or None,
        )
    return Figures(
        found.span_count,
        found.error_count,
        _percentiles(found.durations, times["duration"]),
        usage,
        NanoUsd(calls["cost"]) if calls["cost_count"] else None,
        _percentiles(found.first_tokens, times["first_tokens"]),
    )


def _percentiles(histogram: int, total: int) -> Percentiles | None:
    found = percentiles(histogram, PERCENTS)
    if found is None:
        return None
    count, (p50, p95, p99) = found
    return Percentiles(Nanos(total // count), Nanos(p50), Nanos(p95), Nanos(p99))
