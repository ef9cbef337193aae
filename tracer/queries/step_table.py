"""The chain across its runs: what every step name (with its model and kind) comes to in a time, and in the one before.

Read from the hourly cube, never from the spans.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlalchemy import Connection, bindparam, select

from tracer.errors import BadRequest, NotFound
from tracer.otlp.dialects.reading import Kind
from tracer.queries.metrics import Rows, figures_of, fitting_interval, hour_before, ranges_of, within_limit
from tracer.queries.rows import Figures, StepLine, StepTable
from tracer.queries.scope import Scope
from tracer.store.cube import newest_first, read_sums
from tracer.store.models import Status, trace
from tracer.store.sql import Sql
from tracer.units import DAY, HOUR, Nanos, UnixNanos

BARS = 30
"""Parts of the time in a line's trend, at the most."""

_Key = tuple[str | None, str | None, int, bool]
"""Name, model, kind, and whether it stands for all that are not kept apart."""


@dataclass(slots=True)
class _Line:
    now: Rows = field(default_factory=Rows)
    before: Rows = field(default_factory=Rows)
    counts: dict[int, int] = field(default_factory=dict)
    errors: dict[int, int] = field(default_factory=dict)


def step_table(conn: Connection, *, scope: Scope, project_id: int, since: UnixNanos, until: UnixNanos) -> StepTable:
    """The finished steps of a project that began in [since, until), in whole hours, by name, model and kind.

    Each line has what it came to in the time of the same length before, where that is known whole. `searched_to` is set
    where the work limit was reached. Raises NotFound for a project out of sight, BadRequest for a time that is empty.
    """
    if not scope.allows(project_id):
        raise NotFound("There is no such project.", field="project")
    if since >= until:
        raise BadRequest("`from` has to lie before `to`.", field="from")
    begin, end = hour_before(since), hour_before(until + HOUR - 1)
    step = fitting_interval(end - begin)
    bar = trend_interval(end - begin)
    sql = Sql(conn)
    ranges, searched_to = within_limit(sql, list(ranges_of(project_id, begin, end, step)))
    earlier, cut = within_limit(sql, list(ranges_of(project_id, max(0, 2 * begin - end), begin, step)))
    lines: dict[_Key, _Line] = {}
    for one in ranges:
        for row in newest_first(sql, one):
            line = lines.setdefault((row.name, row.model, row.kind, bool(row.other)), _Line())
            line.now.take(row.kind, row.status, row.span_count, row.sums, row.durations, row.first_tokens)
            place = (row.start - begin) // bar
            line.counts[place] = line.counts.get(place, 0) + row.span_count
            if row.status == Status.error:
                line.errors[place] = line.errors.get(place, 0) + row.span_count
    compared = searched_to is None and cut is None
    for one in earlier if compared else ():
        for row in newest_first(sql, one):
            line = lines.setdefault((row.name, row.model, row.kind, bool(row.other)), _Line())
            line.before.take(row.kind, row.status, row.span_count, row.sums, row.durations, row.first_tokens)
    bars = -(-(end - begin) // bar)
    return StepTable(
        UnixNanos(begin),
        UnixNanos(end),
        Nanos(bar),
        None if searched_to is None else UnixNanos(searched_to),
        compared and any(line.before.found.span_count for line in lines.values()),
        tuple(
            made
            for key, line in lines.items()
            if (made := _made(key, line, bars)).now.span_count or (made.before and made.before.span_count)
        ),
    )


def trend_interval(length: int) -> int:
    """The time of one bar: whole hours, and whole days where cells of days are read."""
    unit = DAY if fitting_interval(length) % DAY == 0 else HOUR
    return -(-length // BARS // unit) * unit or unit


def _made(key: _Key, line: _Line, bars: int) -> StepLine:
    name, model, kind, other = key
    now, before = line.now.sum(), line.before.sum()
    earlier: Figures | None = figures_of(before) if before.span_count else None
    return StepLine(
        name,
        model,
        Kind(kind).name,
        other,
        figures_of(now),
        Nanos(read_sums(now.sums)["duration"]),
        earlier,
        tuple(line.counts.get(place, 0) for place in range(bars)),
        tuple(line.errors.get(place, 0) for place in range(bars)),
    )


def newest_runs(conn: Connection, *, scope: Scope, project_id: int, names: list[str]) -> dict[str, str]:
    """The newest trace (its id) of every chain among these names: of those that name a trace's root."""
    query = (
        select(trace.c.trace_id)
        .where(scope.condition(trace.c.project_id), trace.c.project_id == project_id, trace.c.name == bindparam("name"))
        .order_by(trace.c.start_time.desc(), trace.c.id.desc())
        .limit(1)
    )
    found: dict[str, str] = {}
    for name in dict.fromkeys(names):
        newest = conn.execute(query, {"name": name}).scalar()
        if newest is not None:
            found[name] = newest.hex()
    return found
