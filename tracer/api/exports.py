"""Traces written out whole, one or all that a search finds, of any size, in constant memory."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

import msgspec
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse

from tracer.api import shape
from tracer.api.takeout.forms import Format, Of, form_of, stream
from tracer.api.takeout.pieces import SPANS_AT_ONCE
from tracer.api.traces import REFUSALS, Moment, ProjectName, Reader, SearchText, TraceId, asked, read_moment
from tracer.otlp.encode import logs_line, traces_line
from tracer.queries.outline import outline
from tracer.queries.projects import project_by_name, project_id_by_name
from tracer.queries.rows import TraceRow
from tracer.queries.steps import steps_of, whole_spans
from tracer.queries.traces import trace_by_id
from tracer.queries.walk import Wanted
from tracer.units import SECOND, rfc3339

router = APIRouter(prefix="/api/v1", tags=["export"], responses=REFUSALS)

ENDINGS = {"otlp": ("jsonl", "application/x-ndjson"), "json": ("json", "application/json")}
_encode = msgspec.json.Encoder().encode


LINES = {"schema": {"type": "string"}}


@router.get(
    "/traces/{trace_id}/export",
    response_class=StreamingResponse,
    responses={200: {"content": {"application/x-ndjson": LINES, "application/json": {}}, "description": "The trace"}},
)
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
        project_id = project_id_by_name(conn, scope=reader.scope, name=project) if project else None
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


@router.get(
    "/export",
    response_class=StreamingResponse,
    responses={
        200: {
            "content": {
                "application/x-ndjson": LINES,
                "text/csv": LINES,
                "application/vnd.apache.parquet": {"schema": {"type": "string", "format": "binary"}},
            },
            "description": "What was found",
        }
    },
)
def export_traces(
    request: Request,
    project: ProjectName = None,
    q: SearchText = "",
    since: Annotated[Moment, Query(alias="from", description="Traces that started then or later.")] = None,
    until: Annotated[Moment, Query(alias="to", description="Traces that started before.")] = None,
    format: Annotated[
        Format,
        Query(
            description="`jsonl`: a trace a line, whole, as an import takes it; `otlp`: lines of OTLP/JSON; `csv` and "
            "`parquet`: tables."
        ),
    ] = "jsonl",
    of: Annotated[Of, Query(description="What a row of a table is.")] = "traces",
) -> Response:
    """All traces that a search finds, streamed, each once while others arrive: those that are there when it begins.

    They come in the order in which they were received. Should the export break off, the answer ends without
    its last chunk: every HTTP client reports that as an error.
    """
    reader = Reader(request)
    form = form_of(format, of, reader.prices)
    named = None
    if project:
        with reader.store.reading() as conn:
            named = project_by_name(conn, scope=reader.scope, name=project)
    search = asked(q, reader)
    wanted = Wanted(
        reader.scope,
        named.id if named is not None else None,
        search,
        read_moment(since, "from"),
        read_moment(until, "to"),
        reader.abandoned_after,
    )
    moment = re.sub(r"[-:]", "", rfc3339(time.time_ns() // SECOND * SECOND))
    name = f"{named.slug if named is not None else 'traces'}-{moment}.{form.ending}"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(stream(reader.store, wanted, form), media_type=form.media, headers=headers)


def _otlp(reader: Reader, row: TraceRow, ids: Sequence[bytes]) -> Iterator[bytes]:
    for part in _parts(ids):
        with reader.store.reading() as conn:
            found = list(whole_spans(conn, trace=row, span_ids=part))
        yield traces_line(one.record for one in found)
        logs = [log for one in found for log in one.logs]
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
