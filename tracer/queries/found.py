"""Traces found by their words."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Connection

from tracer.queries.added import with_added
from tracer.queries.cursor import Cursor, Page, read_cursor, write_cursor
from tracer.queries.rows import TraceRow
from tracer.queries.scope import Scope
from tracer.queries.traces import NEWEST_FIRST, trace_row, traces_selected
from tracer.search.find import WORK_LIMIT_S, Place, find_traces
from tracer.search.query import Term
from tracer.store.models import trace
from tracer.units import UnixNanos


def found_traces(
    conn: Connection,
    terms: Sequence[Term],
    *,
    scope: Scope,
    project_id: int | None = None,
    after: str | None = None,
    limit: int = 50,
    since: UnixNanos | None = None,
    until: UnixNanos | None = None,
    abandoned_after: int = 10,
    seconds: float = WORK_LIMIT_S,
) -> Page[TraceRow]:
    """One page of the traces that meet every term, newest first; the words may lie in different steps.

    After `seconds` of work the page holds what was found, and says with `searched_to` how far back that is. Raises
    BadRequest for a cursor that is none.
    """
    where: list[ColumnElement[bool]] = [scope.condition(trace.c.project_id)]
    if project_id is not None:
        where.append(trace.c.project_id == project_id)
    if since is not None:
        where.append(trace.c.start_time >= since)
    if until is not None:
        where.append(trace.c.start_time < until)
    before = None
    if after is not None:
        at = read_cursor(after, order=NEWEST_FIRST)
        before = Place(UnixNanos(at.value), at.id)
    found = find_traces(conn, terms, where=where, before=before, limit=limit, seconds=seconds)
    rows = {
        row.id: trace_row(row, abandoned_after=abandoned_after)
        for row in conn.execute(traces_selected().where(trace.c.id.in_([place.pk for place in found.places])))
    }
    items = with_added(conn, [rows[place.pk] for place in found.places])
    to = found.searched_to
    if to is None:
        return Page(items, None)
    cursor = write_cursor(Cursor(NEWEST_FIRST, to.start_time, to.pk))
    return Page(items, cursor, None if len(items) == limit else to.start_time)
