"""Lists of traces and one trace's roll-up."""

from __future__ import annotations

import json
import time
from collections import namedtuple
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import msgspec
from sqlalchemy import BigInteger, Column, ColumnElement, Connection, Row, and_, bindparam, func, or_, select
from sqlalchemy.sql import Select
from sqlalchemy.sql.base import ReadOnlyColumnCollection

from tracer.errors import BadRequest, NotFound
from tracer.queries.added import with_added
from tracer.queries.cursor import Cursor, Page, read_cursor, write_cursor
from tracer.queries.rows import Partial, TraceRow
from tracer.queries.scope import Scope
from tracer.search.fields import ABANDONED
from tracer.store.models import Status, project, tombstone, trace
from tracer.store.spans import usage_of_row
from tracer.store.sql import chunked
from tracer.units import MINUTE, SECOND, Nanos, UnixNanos, rfc3339

NEWEST_FIRST = "-start_time"
ORDERS = (NEWEST_FIRST, "start_time", "-duration", "-cost", "-tokens", "received")
NEWEST = 100_000
"""Orders other than time, without a time range, are over so many newest traces."""

_duration = func.coalesce(trace.c.end_time - trace.c.start_time, 0)
_tokens = func.coalesce(
    trace.c.total_tokens, func.coalesce(trace.c.input_tokens, 0) + func.coalesce(trace.c.output_tokens, 0)
)
_values: dict[str, tuple[ColumnElement[Any], bool]] = {
    "-start_time": (trace.c.start_time, True),
    "start_time": (trace.c.start_time, False),
    "-duration": (_duration, True),
    "-cost": (func.coalesce(trace.c.cost, -1), True),
    "-tokens": (_tokens, True),
    "received": (trace.c.id, False),
}


def newest_traces(
    conn: Connection,
    *,
    scope: Scope,
    project_id: int | None = None,
    after: str | None = None,
    limit: int = 50,
    order: str = "-start_time",
    since: UnixNanos | None = None,
    until: UnixNanos | None = None,
    abandoned_after: int = 10,
) -> Page[TraceRow]:
    """Return one page of traces; `after` is the cursor of the page before.

    Pages by position, not by offset: page 1,000 costs what page 1 costs, and a trace that arrives while someone
    scrolls moves no row to another page. `since` is inclusive, `until` exclusive; `abandoned_after` is in minutes.
    Raises BadRequest for an order that does not exist or a cursor that is none.
    """
    if order not in _values:
        raise BadRequest(f"There is no order {order[:40]!r}: use one of {', '.join(ORDERS)}.", field="order")
    if project_id is not None and not scope.allows(project_id):
        return Page([], None)
    at = None if after is None else read_cursor(after, order=order)
    kind = (order, at is not None, since is not None, until is not None)
    query = _page_in(scope.condition(trace.c.project_id), *kind) if project_id is None else _page_of_project(*kind)
    given = {"project": project_id, "since": since, "until": until, "most": limit + 1}
    if at is not None:
        given |= {"value": at.value, "id": at.id}
    rows = conn.execute(query, {name: one for name, one in given.items() if one is not None}).all()
    items = with_added(conn, [trace_row(row, abandoned_after=abandoned_after) for row in rows[:limit]])
    last = rows[limit - 1] if len(rows) > limit else None
    return Page(items, write_cursor(Cursor(order, int(last.sort_value), last.id)) if last is not None else None)


@lru_cache(maxsize=128)
def _page_of_project(order: str, after: bool, since: bool, until: bool) -> Select[*tuple[Any, ...]]:
    """The statement of one page, made once for each kind: making it takes as long as running it."""
    return _page_in(trace.c.project_id == bindparam("project"), order, after, since, until)


def _page_in(
    projects: ColumnElement[bool], order: str, after: bool, since: bool, until: bool
) -> Select[*tuple[Any, ...]]:
    value, falling = _values[order]
    where: list[ColumnElement[bool]] = [projects]
    if since:
        where.append(trace.c.start_time >= bindparam("since"))
    if until:
        where.append(trace.c.start_time < bindparam("until"))
    if order in ("-duration", "-cost", "-tokens") and not since:
        newest = select(trace.c.id).where(*where).order_by(trace.c.start_time.desc(), trace.c.id.desc()).limit(NEWEST)
        where = [trace.c.id.in_(newest.scalar_subquery())]
    if after:
        at, pk = bindparam("value", type_=BigInteger), bindparam("id", type_=BigInteger)
        past = value < at if falling else value > at
        tie = trace.c.id < pk if falling else trace.c.id > pk
        where.append(past if order == "received" else or_(past, and_(value == at, tie)))
        if order in ("-start_time", "start_time"):
            # Said twice, so that the index is entered at the position.
            where.append(value <= at if falling else value >= at)
    by = (value.desc(), trace.c.id.desc()) if falling else (value, trace.c.id)
    selected = traces_selected().add_columns(value.label("sort_value"))
    return selected.where(*where).order_by(*by).limit(bindparam("most", type_=BigInteger))


def last_received(conn: Connection) -> int:
    """The row number of the trace that came last, of whichever project: later ones have higher numbers."""
    return int(conn.execute(select(func.coalesce(func.max(trace.c.id), 0))).scalar_one())


def first_received(
    conn: Connection, *, scope: Scope, project_id: int, since: int, abandoned_after: int = 10
) -> TraceRow | None:
    """The first trace of a project that came after the one of a row number; None when none has come."""
    where = (scope.condition(trace.c.project_id), trace.c.project_id == project_id, trace.c.id > since)
    row = conn.execute(traces_selected().where(*where).order_by(trace.c.id).limit(1)).first()
    return None if row is None else with_added(conn, [trace_row(row, abandoned_after=abandoned_after)])[0]


def trace_by_id(
    conn: Connection, *, scope: Scope, trace_id: str, project_id: int | None = None, abandoned_after: int = 10
) -> TraceRow:
    """One trace, in the named project or in any that the caller may see (the one that changed last).

    Raises NotFound when there is none, also for an id that cannot be one; it says so when the trace was deleted.
    """
    where = _named(trace.c, scope, trace_id, project_id)
    row = conn.execute(traces_selected().where(*where).order_by(trace.c.changed_at.desc(), trace.c.id).limit(1)).first()
    if row is None:
        raise _no_trace(conn, scope, trace_id, project_id)
    return with_added(conn, [trace_row(row, abandoned_after=abandoned_after)])[0]


def traces_of_id(
    conn: Connection, *, scope: Scope, trace_id: str, project_id: int | None = None
) -> Sequence[Row[int, int]]:
    """The (id, project_id) of the traces with this id, one a project; raises NotFound when there is none."""
    rows = conn.execute(
        select(trace.c.id, trace.c.project_id).where(*_named(trace.c, scope, trace_id, project_id))
    ).all()
    if not rows:
        raise _no_trace(conn, scope, trace_id, project_id)
    return rows


def _named(
    columns: ReadOnlyColumnCollection[str, Column[Any]], scope: Scope, trace_id: str, project_id: int | None
) -> list[ColumnElement[bool]]:
    try:
        raw = bytes.fromhex(trace_id) if len(trace_id) == 32 else b""
    except ValueError:
        raw = b""
    where: list[ColumnElement[bool]] = [columns.trace_id == raw, scope.condition(columns.project_id)]
    if project_id is not None:
        where.append(columns.project_id == project_id)
    return where


def _no_trace(conn: Connection, scope: Scope, trace_id: str, project_id: int | None) -> NotFound:
    where = _named(tombstone.c, scope, trace_id, project_id)
    deleted = conn.execute(select(func.max(tombstone.c.deleted_at)).where(*where)).scalar()
    if deleted is None:
        return NotFound(f"There is no trace {trace_id[:40]!r}.", field="trace_id")
    at = rfc3339(deleted // SECOND * SECOND)
    return NotFound(f"The trace {trace_id[:40]} was deleted at {at}, with everything in it.", field="trace_id")


def traces_selected() -> Select[*tuple[Any, ...]]:
    """Every column that `trace_row` reads, with the project."""
    return select(
        *(column for column in trace.c if column.name != "state"),
        project.c.name.label("project"),
        project.c.slug,
    ).join(project, and_(project.c.id == trace.c.project_id, project.c.gone.is_(None)))


# A row's columns by name are looked up in a dict each time, fifty of them; a named tuple knows their places.
_Columns: Any = namedtuple("_Columns", traces_selected().selected_columns.keys())  # pyrefly: ignore[bad-class-definition]
_columns = len(_Columns._fields)


# Made once: SQLAlchemy's lists of values are circles of objects, and an export would leave some with each part of it.
_NUMBERED = traces_selected().where(trace.c.id.in_(bindparam("pks", expanding=True)))


def traces_numbered(conn: Connection, pks: Sequence[int], *, abandoned_after: int) -> dict[int, TraceRow]:
    """The traces with these row numbers, by them; those that are not there are left out."""
    return {
        row.id: trace_row(row, abandoned_after=abandoned_after)
        for some in chunked(pks, 1_000)
        for row in conn.execute(_NUMBERED, {"pks": some})
    }


def status_now(row: Any, *, abandoned_after: int, now: int | None = None) -> str:
    """The status of a row of the trace table as people see it at a moment, in Unix nanoseconds."""
    at = time.time_ns() if now is None else now
    if row.running_count > 0 and at - row.changed_at < abandoned_after * MINUTE:
        return Status.running.name
    return ABANDONED if row.status == Status.running else Status(row.status).name


def trace_row(found: Row[Any], *, abandoned_after: int) -> TraceRow:
    """One row of `traces_selected`, as people see it now."""
    now = time.time_ns()
    row = _Columns._make(found[:_columns])
    status = status_now(row, abandoned_after=abandoned_after, now=now)
    live = status == Status.running.name
    if live:
        duration: Nanos | None = Nanos(max(0, now - row.start_time))
    else:
        duration = None if row.end_time is None else Nanos(max(0, row.end_time - row.start_time))
    reasons = _texts(row.partial_reasons) if row.partial_reasons else ()
    return TraceRow(
        received=row.id,
        project_id=row.project_id,
        project=row.project,
        slug=row.slug,
        trace_id=row.trace_id.hex(),
        name=row.name,
        start_time=row.start_time,
        end_time=None if live else row.end_time,
        duration=duration,
        status=status,
        span_count=row.span_count,
        error_count=row.error_count,
        llm_call_count=row.llm_call_count,
        running_count=row.running_count,
        tokens=usage_of_row(row),
        cost=row.cost,
        cost_source=row.cost_source,
        partial=Partial(reasons, row.partial_count) if reasons else None,
        models=_texts(row.models),
        session_id=row.session_id,
        user_id=row.user_id,
        environment=row.environment,
        release=row.release,
        services=_texts(row.services),
        tags=_texts(row.tags),
        metadata=_object(row.metadata),
        input_preview=row.input_preview,
        output_preview=row.output_preview,
        failed_in=row.failed_in,
        version=row.version,
    )


_read = msgspec.json.Decoder().decode


@lru_cache(maxsize=4_096)
def _texts(said: str) -> tuple[str, ...]:
    """A list of texts as it is stored: traces have few different ones."""
    return tuple(json.loads(said))


def _object(said: str) -> dict[str, Any]:
    if said == "{}":
        return {}
    try:
        return _read(said)
    except msgspec.DecodeError:  # a lone surrogate, a number beyond all bounds
        return json.loads(said)
