"""The runs of one chain: the traces of a project whose roots have the same name, by an index of their own."""

from __future__ import annotations

from sqlalchemy import Connection, and_, or_, select

from tracer.queries.added import with_added
from tracer.queries.rows import TraceRow
from tracer.queries.scope import Scope
from tracer.queries.traces import trace_row, traces_selected
from tracer.store.models import trace


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
    newest = traces_selected().where(*where).order_by(trace.c.start_time.desc(), trace.c.id.desc()).limit(limit)
    return with_added(conn, [trace_row(row, abandoned_after=abandoned_after) for row in conn.execute(newest)])
