"""Every trace that a search finds, each exactly once while others arrive, in slices that hold no transaction open."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, func, select

from tracer.queries.added import with_added
from tracer.queries.found import found_traces
from tracer.queries.rows import TraceRow
from tracer.queries.scope import Scope
from tracer.queries.traces import traces_numbered
from tracer.search.tree import Node
from tracer.store.engine import Store
from tracer.store.models import trace
from tracer.units import UnixNanos

WINDOW = 5_000
"""Row numbers that one transaction of a walk looks at, whoever's traces they are."""

FOUND_AT_ONCE = 200
FIND_S = 0.5
"""Seconds of searching in one transaction of a walk."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which traces are walked through. `since` is inclusive, `until` exclusive; `abandoned_after` in minutes."""

    scope: Scope
    project_id: int | None = None
    search: Node | None = None
    since: UnixNanos | None = None
    until: UnixNanos | None = None
    abandoned_after: int = 10

    def conditions(self) -> list[ColumnElement[bool]]:
        """What the trace's own row has to meet, without the search."""
        where: list[ColumnElement[bool]] = [self.scope.condition(trace.c.project_id)]
        if self.project_id is not None:
            where.append(trace.c.project_id == self.project_id)
        if self.since is not None:
            where.append(trace.c.start_time >= self.since)
        if self.until is not None:
            where.append(trace.c.start_time < self.until)
        return where


@dataclass(frozen=True, slots=True)
class Place:
    """A trace to be read: its row number, and how many spans it had when the walk came by."""

    pk: int
    span_count: int


def walk(store: Store, wanted: Wanted) -> Iterator[list[Place]]:
    """Go through the traces that were there when the walk began, in the order in which they were received.

    Each is met once: its row number never changes.
    """
    with store.reading() as conn:
        # What comes later is left to the next walk: a busy server's export ends.
        last: int = conn.execute(select(func.coalesce(func.max(trace.c.id), 0))).scalar_one()
    return _received(store, wanted, last) if wanted.search is None else _found(store, wanted, wanted.search, last)


def _received(store: Store, wanted: Wanted, last: int) -> Iterator[list[Place]]:
    at, where = 0, wanted.conditions()
    while at < last:
        with store.reading() as conn:
            first = conn.execute(select(func.min(trace.c.id)).where(trace.c.id > at)).scalar()
            if first is None:
                return
            at = min(first + WINDOW, last)
            rows = conn.execute(
                select(trace.c.id, trace.c.span_count).where(trace.c.id.between(first, at), *where).order_by(trace.c.id)
            )
            found = [Place(row.id, row.span_count) for row in rows]
        if found:
            yield found


def _found(store: Store, wanted: Wanted, search: Node, last: int) -> Iterator[list[Place]]:
    after: str | None = None
    while True:
        with store.reading() as conn:
            page = found_traces(
                conn,
                search,
                scope=wanted.scope,
                project_id=wanted.project_id,
                after=after,
                limit=FOUND_AT_ONCE,
                order="received",
                since=wanted.since,
                until=wanted.until,
                abandoned_after=wanted.abandoned_after,
                seconds=FIND_S,
            )
        found = [Place(row.received, row.span_count) for row in page.items if row.received <= last]
        if found:
            yield found
        after = page.next_cursor
        if after is None or len(found) < len(page.items):
            return


def traces_at(conn: Connection, places: Sequence[Place], *, abandoned_after: int = 10) -> list[TraceRow]:
    """The traces of a walk as they are now, in its order; those that were deleted meanwhile are left out."""
    rows = traces_numbered(conn, [place.pk for place in places], abandoned_after=abandoned_after)
    return with_added(conn, [rows[place.pk] for place in places if place.pk in rows])
