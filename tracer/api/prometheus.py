"""The service's figures in the text format of Prometheus."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fastapi import APIRouter, Request, Response
from sqlalchemy import func, select

from tracer import __version__
from tracer.auth import Caller
from tracer.errors import TracerError
from tracer.search.status import database_bytes, index_status
from tracer.store.models import project_counter
from tracer.store.sql import Sql

router = APIRouter(tags=["health"])

MEDIA = "text/plain; version=0.0.4; charset=utf-8"
Figure = tuple[str, str, str, float]
"""A figure's name, its kind, what it is, its value."""


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}, "description": "Figures"}},
)
def prometheus(request: Request) -> Response:
    """How the service is doing, for Prometheus. While the database is away, what is known without it."""
    lines: list[str] = []
    for name, kind, words, value in _figures(request.app.state, request.state.caller):
        lines += (f"# HELP {name} {words}", f"# TYPE {name} {kind}", f"{name} {value:.15g}")
    lines += ("# HELP stepscope_info The version.", "# TYPE stepscope_info gauge")
    lines.append(f'stepscope_info{{version="{__version__}"}} 1')
    return Response("\n".join(lines) + "\n", media_type=MEDIA)


def _figures(state: Any, caller: Caller) -> Iterator[Figure]:
    ready = state.readiness.problem() is None
    yield "stepscope_ready", "gauge", "1 while the database takes spans.", ready
    written = state.writer.spans_written
    yield "stepscope_spans_written_total", "counter", "Spans that this process has written.", written
    yield "stepscope_ingest_backlog", "gauge", "Spans and log records that wait for their commit.", state.writer.backlog
    try:
        with state.store.reading() as connection:
            sql = Sql(connection)
            index, size = index_status(sql, on=state.settings.search == "on"), database_bytes(sql)
            columns = (project_counter.c.trace_count, project_counter.c.span_count)
            stored = select(*(func.coalesce(func.sum(one), 0) for one in columns))
            in_sight = caller.scope.condition(project_counter.c.project_id)
            traces, spans = connection.execute(stored.where(in_sight)).one()
    except TracerError:
        return
    yield "stepscope_traces", "gauge", "Traces stored, in the projects in sight.", traces
    yield "stepscope_spans", "gauge", "Spans stored, in the projects in sight.", spans
    yield "stepscope_database_bytes", "gauge", "Size of the database.", size
    yield "stepscope_index_bytes", "gauge", "Size of the search index.", index.bytes
    yield "stepscope_index_lag_spans", "gauge", "Spans that are not found by their words yet.", index.lag_spans
    yield "stepscope_index_lag_seconds", "gauge", "Age of the oldest of them.", index.lag_seconds
