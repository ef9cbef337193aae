"""Traces found by a search."""

from __future__ import annotations

from sqlalchemy import Connection, select

from tracer.errors import BadRequest
from tracer.queries.added import with_added
from tracer.queries.cursor import Cursor, Page, read_cursor, write_cursor
from tracer.queries.rows import SpanRow, TraceRow
from tracer.queries.scope import Scope
from tracer.queries.steps import listed
from tracer.queries.traces import NEWEST_FIRST, ORDERS, traces_numbered
from tracer.search.find import find_traces
from tracer.search.find_spans import SpanPlace, SpanRange, find_spans
from tracer.search.pace import WORK_LIMIT_S
from tracer.search.parse import read_search
from tracer.search.tree import Node, Says, leaves
from tracer.search.walk import BY_TIME, Place, Range
from tracer.store.models import project
from tracer.store.sql import Sql
from tracer.units import UnixNanos


def read_q(q: str, *, searching: bool, spans: bool = False) -> Node | None:
    """What `q` asks for; None when it asks for nothing. With `spans` it is a search among spans.

    Raises BadSearch for what cannot be read, BadRequest for words where the index is off (`searching` is False).
    """
    search = read_search(q, spans=spans)
    if not searching and any(isinstance(one, Says) for one in leaves(search)):
        raise BadRequest(
            "Words are not searched for on this server (STEPSCOPE_SEARCH=off); fields are, as in status:error.",
            field="q",
        )
    return search


def found_traces(
    conn: Connection,
    search: Node | None,
    *,
    scope: Scope,
    project_id: int | None = None,
    after: str | None = None,
    limit: int = 50,
    order: str = NEWEST_FIRST,
    since: UnixNanos | None = None,
    until: UnixNanos | None = None,
    abandoned_after: int = 10,
    seconds: float = WORK_LIMIT_S,
) -> Page[TraceRow]:
    """One page of the traces that meet a search, as `read_search` gives it; `after` is the cursor of the page before.

    After `seconds` of work the page holds what was found, and says with `searched_to` how far it looked in an order of
    time. Raises BadRequest for an order that does not exist or a cursor that is none.
    """
    if order not in ORDERS:
        raise BadRequest(f"There is no order {order[:40]!r}: use one of {', '.join(ORDERS)}.", field="order")
    place = None
    if after is not None:
        at = read_cursor(after, order=order)
        place = Place(at.value, at.id)
    range_ = Range(searched_projects(conn, scope, project_id), order, place, since, until)
    found = find_traces(Sql(conn), search, range_, limit=limit, seconds=seconds, abandoned_after=abandoned_after)
    items = rows_at(conn, found.places, abandoned_after=abandoned_after)
    to = found.searched_to
    if to is None:
        return Page(items, None)
    cursor = write_cursor(Cursor(order, to.value, to.pk))
    told = order in BY_TIME and len(items) < limit
    return Page(items, cursor, UnixNanos(to.value) if told else None)


SPAN_ORDERS = BY_TIME


def found_spans(
    conn: Connection,
    search: Node | None,
    *,
    scope: Scope,
    project_id: int | None = None,
    after: str | None = None,
    limit: int = 50,
    order: str = NEWEST_FIRST,
    since: UnixNanos | None = None,
    until: UnixNanos | None = None,
    abandoned_after: int = 10,
    seconds: float = WORK_LIMIT_S,
) -> Page[tuple[TraceRow, SpanRow]]:
    """One page of the spans that meet a search, as `read_search(…, spans=True)` gives it, each with its trace.

    Otherwise as `found_traces`; the time is that of the spans' starts.
    """
    if order not in SPAN_ORDERS:
        raise BadRequest(f"There is no order {order[:40]!r}: use one of {', '.join(SPAN_ORDERS)}.", field="order")
    mark = f"spans {order}"
    place = None
    if after is not None:
        at = read_cursor(after, order=mark)
        place = SpanPlace(at.value, at.id, at.more)
    range_ = SpanRange(searched_projects(conn, scope, project_id), order == NEWEST_FIRST, place, since, until)
    found = find_spans(Sql(conn), search, range_, limit=limit, seconds=seconds, abandoned_after=abandoned_after)
    items = _span_rows(conn, found.places, abandoned_after=abandoned_after)
    to = found.searched_to
    if to is None:
        return Page(items, None)
    cursor = write_cursor(Cursor(mark, to.start_time, to.trace_pk, to.span_id))
    return Page(items, cursor, UnixNanos(to.start_time) if len(items) < limit else None)


def _span_rows(conn: Connection, places: list[SpanPlace], *, abandoned_after: int) -> list[tuple[TraceRow, SpanRow]]:
    pks = dict.fromkeys(place.trace_pk for place in places)
    traces = {row.received: row for row in rows_at(conn, [Place(0, pk) for pk in pks], abandoned_after=abandoned_after)}
    rows = {
        (row.trace_pk, row.span_id): row
        for row in Sql(conn).rows_at("span", ("trace_pk", "span_id"), [place.pair for place in places])
    }
    return [
        (traces[place.trace_pk], listed(rows[place.pair], traces[place.trace_pk]))
        for place in places
        if place.pair in rows and place.trace_pk in traces
    ]


def searched_projects(conn: Connection, scope: Scope, project_id: int | None) -> tuple[int, ...]:
    """The projects that are looked through: the one that is named, else all in sight."""
    if project_id is not None:
        return (project_id,) if scope.allows(project_id) else ()
    there = (scope.condition(project.c.id), project.c.gone.is_(None))
    rows = conn.execute(select(project.c.id).where(*there).order_by(project.c.id))
    return tuple(rows.scalars())


def rows_at(conn: Connection, places: list[Place], *, abandoned_after: int) -> list[TraceRow]:
    """The traces at these places, in their order; one that went meanwhile is left out."""
    rows = traces_numbered(conn, [place.pk for place in places], abandoned_after=abandoned_after)
    return with_added(conn, [rows[place.pk] for place in places if place.pk in rows])
