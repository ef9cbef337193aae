"""Metrics as they are asked for: of steps from the cube, of traces from their rows."""

from __future__ import annotations

from sqlalchemy import Connection

from tracer.errors import BadRequest
from tracer.queries.metrics import BY, EVERY_STEP, By, Only, metrics
from tracer.queries.rows import Metrics
from tracer.queries.scope import Scope
from tracer.queries.step_metrics import step_metrics
from tracer.queries.trace_metrics import TRACE_BY, TraceBy, trace_metrics
from tracer.search.tree import Node
from tracer.units import Nanos, UnixNanos


def measured(
    conn: Connection,
    *,
    scope: Scope,
    project_id: int,
    since: UnixNanos,
    until: UnixNanos,
    of: str = "steps",
    by: str | None = None,
    interval: Nanos | None = None,
    limit: int = 10,
    only: Only = EVERY_STEP,
    search: Node | None = None,
    abandoned_after: int = 10,
) -> Metrics:
    """Series and totals of a project's steps or traces, by a word that a person may have typed.

    `search` is one among spans where they are of steps; `only` holds for steps without one. Raises BadRequest for an
    `of` or a `by` that there is not.
    """
    if of not in ("steps", "traces"):
        raise BadRequest(f"There are no metrics of {of[:40]!r}: use of=steps or of=traces.", field="of")
    if of == "traces":
        return trace_metrics(
            conn,
            scope=scope,
            project_id=project_id,
            since=since,
            until=until,
            by=_trace_by(by),
            interval=interval,
            limit=limit,
            search=search,
            abandoned_after=abandoned_after,
        )
    if search is not None:
        return step_metrics(
            conn,
            search,
            scope=scope,
            project_id=project_id,
            since=since,
            until=until,
            by=_step_by(by),
            interval=interval,
            limit=limit,
            abandoned_after=abandoned_after,
        )
    return metrics(
        conn,
        scope=scope,
        project_id=project_id,
        since=since,
        until=until,
        by=_step_by(by),
        interval=interval,
        limit=limit,
        only=only,
    )


def _trace_by(word: str | None) -> TraceBy | None:
    for one in TRACE_BY:
        if one == word:
            return one
    if word is None:
        return None
    raise BadRequest(f"Traces have no {word[:40]!r}: use one of {', '.join(TRACE_BY)}.", field="by")


def _step_by(word: str | None) -> By | None:
    for one in BY:
        if one == word:
            return one
    if word is None:
        return None
    raise BadRequest(f"Steps have no {word[:40]!r}: use one of {', '.join(BY)}.", field="by")
