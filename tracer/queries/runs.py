"""The runs of one chain: the traces of a project whose roots have the same name, by an index of their own."""

from __future__ import annotations

from sqlalchemy import ColumnElement, Connection, and_, or_, select

from tracer.queries.added import with_added
from tracer.queries.rows import TraceRow
from tracer.queries.scope import Scope
from tracer.queries.traces import trace_row, traces_selected
from tracer.store.models import trace

LOOKED_AT = 200
"""Runs before one, the newest, among which one of the same input is looked for."""


def runs(
    conn: Connection,
    *,
    scope: Scope,
    like: TraceRow,
    before: bool = True,
    limit: int = 1,
    abandoned_after: int = 10,
) -> list[TraceRow]:
    """The runs of the chain that `like` is a run of, newest first; with `before` only those that began before it.

    It reads `limit` entries of `trace_project_named` and no other row, however many traces there are.
    """
    where = _of_chain(scope, like, before=before)
    newest = traces_selected().where(*where).order_by(trace.c.start_time.desc(), trace.c.id.desc()).limit(limit)
    return with_added(conn, [trace_row(row, abandoned_after=abandoned_after) for row in conn.execute(newest)])


def run_before(conn: Connection, *, scope: Scope, like: TraceRow, abandoned_after: int = 10) -> TraceRow | None:
    """The earlier run that says most beside `like`: the last of the same input, else the last; None for a first run.

    Inputs are the same when they begin alike, as far as a list shows them; LOOKED_AT runs are looked at.
    """
    if like.input_preview is not None:
        columns = (trace.c.id, trace.c.start_time, trace.c.input_preview)
        newest = select(*columns).where(*_of_chain(scope, like, before=True))
        some = newest.order_by(trace.c.start_time.desc(), trace.c.id.desc()).limit(LOOKED_AT).subquery()
        alike = select(some.c.id).where(some.c.input_preview == like.input_preview)
        found = alike.order_by(some.c.start_time.desc(), some.c.id.desc()).limit(1)
        row = conn.execute(traces_selected().where(trace.c.id == found.scalar_subquery())).first()
        if row is not None:
            return with_added(conn, [trace_row(row, abandoned_after=abandoned_after)])[0]
    return next(iter(runs(conn, scope=scope, like=like, abandoned_after=abandoned_after)), None)


def _of_chain(scope: Scope, like: TraceRow, *, before: bool) -> list[ColumnElement[bool]]:
    # By the name that its root has, whatever people call this run.
    this = trace.alias()
    where = [
        scope.condition(trace.c.project_id),
        trace.c.project_id == like.project_id,
        trace.c.name == select(this.c.name).where(this.c.id == like.received).scalar_subquery(),
    ]
    if before:
        earlier = and_(trace.c.start_time == like.start_time, trace.c.id < like.received)
        # Said twice, so that the index is entered at the position.
        where += [trace.c.start_time <= like.start_time, or_(trace.c.start_time < like.start_time, earlier)]
    return where
