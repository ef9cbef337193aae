"""A trace written out whole, of any size: as OTLP that can be sent anywhere, or as the JSON of this interface."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

import msgspec
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse

from tracer.api import shape
from tracer.api.traces import REFUSALS, ProjectName, Reader, TraceId
from tracer.otlp.encode import logs_line, traces_line
from tracer.queries.outline import outline
from tracer.queries.projects import project_by_name
from tracer.queries.rows import TraceRow
from tracer.queries.steps import records_of, steps_of
from tracer.queries.traces import trace_by_id

router = APIRouter(prefix="/api/v1", tags=["export"], responses=REFUSALS)

SPANS_AT_ONCE = 100
"""Spans of one transaction and one line: a download at any speed holds no transaction open."""

ENDINGS = {"otlp": ("jsonl", "application/x-ndjson"), "json": ("json", "application/json")}
_encode = msgspec.json.Encoder().encode


@router.get("/traces/{trace_id}/export", response_class=StreamingResponse)
def export_trace(
    request: Request,
    trace_id: TraceId,
    project: ProjectName = None,
    format: Annotated[
        Literal["otlp", "json"],
        Query(description="`otlp`: lines of OTLP/JSON, as they came; `json`: what `/traces/{trace_id}` answers."),
    ] = "otlp",
) -> Response:
    """One trace with everything in it, streamed. Its lines sent to `/v1/traces` and `/v1/logs` make the same again."""
    reader = Reader(request)
    with reader.store.reading() as conn:
        project_id = project_by_name(conn, scope=reader.scope, name=project).id if project else None
        row = trace_by_id(
            conn,
            scope=reader.scope,
            trace_id=trace_id.lower(),
            project_id=project_id,
            abandoned_after=reader.abandoned_after,
        )
        ids = outline(conn, trace=row).ids
    ending, media = ENDINGS[format]
    parts = _otlp(reader, row, ids) if format == "otlp" else _json(reader, row, ids)
    headers = {"Content-Disposition": f'attachment; filename="trace-{row.trace_id}.{ending}"'}
    return StreamingResponse(parts, media_type=media, headers=headers)


def _otlp(reader: Reader, row: TraceRow, ids: Sequence[bytes]) -> Iterator[bytes]:
    for part in _parts(ids):
        with reader.store.reading() as conn:
            found = list(records_of(conn, trace=row, span_ids=part))
        yield traces_line([record for record, _ in found])
        logs = [log for _, joined in found for log in joined]
        if logs:
            yield logs_line(logs)


def _json(reader: Reader, row: TraceRow, ids: Sequence[bytes]) -> Iterator[bytes]:
    yield _encode(shape.trace(row))[:-1] + b',"spans":['
    separator = b""
    for part in _parts(ids):
        with reader.store.reading() as conn:
            lines = [_encode(shape.step(found, reader.prices)) for found in steps_of(conn, trace=row, span_ids=part)]
        for line in lines:
            yield separator + line
            separator = b","
    yield b"]}"


def _parts(ids: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    for begin in range(0, len(ids), SPANS_AT_ONCE):
        yield ids[begin : begin + SPANS_AT_ONCE]
