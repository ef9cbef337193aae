"""OTLP over HTTP: 200 means committed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

from fastapi import APIRouter, Request, Response
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from starlette.requests import ClientDisconnect

from tracer.api.answers import JSON, PROTOBUF, JsonAnswer, media_type
from tracer.errors import BadPayload, Overloaded, TooSlow, UnsupportedMedia
from tracer.ingest.prepare import prepare, project_of
from tracer.ingest.writer import Writer
from tracer.otlp.addresses import LOGS, METRICS, TRACES, asked_project
from tracer.otlp.decode import Rejections, decode_logs, decode_traces
from tracer.otlp.inflate import inflate, too_large
from tracer.prices import PriceBook
from tracer.settings import Settings

router = APIRouter(tags=["OTLP"])

BODY_TIME_S = 40.0
"""A body must have come within this time: a slow sender holds a connection no longer."""

WEIGHT = 4
"""Bytes of memory that a byte of an inflated body takes while it is decoded and waits for its commit."""


class Budget:
    """The bytes that waiting requests may hold together; used on the event loop only."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = 0

    def take(self, size: int, *, mine: int) -> int:
        """Hold `size` bytes more for a request that holds `mine`.

        Raises Overloaded when that is too much, unless no other request holds anything: a large one is taken alone.
        """
        if self._held > mine and self._held + size > self._limit:
            raise Overloaded("The server has more to write than it may hold; send this again in a second.")
        self._held += size
        return size

    def give_back(self, size: int) -> None:
        """Let go of bytes that were taken."""
        self._held -= size


@dataclass(slots=True)
class Ingest:
    """What the OTLP routes share: settings, the writer, threads to decode on, the budget."""

    settings: Settings
    prices: PriceBook
    writer: Writer
    threads: ThreadPoolExecutor
    budget: Budget


@dataclass(frozen=True, slots=True)
class _Accepted:
    committed: Future[None] | None
    rejected: Rejections


async def receive_traces(request: Request) -> Response:
    """Take an ExportTraceServiceRequest; 200 once every span in it, but those counted as rejected, is on disk."""
    ingest: Ingest = request.app.state.ingest

    def accept(body: bytes, json: bool, project: str | None) -> _Accepted:
        decoded = decode_traces(body, json=json)
        spans = prepare(decoded.spans, asked_project=project, prices=ingest.prices)
        return _Accepted(ingest.writer.submit(spans) if spans else None, decoded.rejected)

    rejected = await _receive(request, ingest, accept)
    answer = ExportTraceServiceResponse()
    if rejected.count:
        answer.partial_success.rejected_spans = rejected.count
        answer.partial_success.error_message = rejected.message
    return _answer(request, answer, {"rejectedSpans": rejected.count, "errorMessage": rejected.message})


async def receive_logs(request: Request) -> Response:
    """Take an ExportLogsServiceRequest; the records are joined to their spans, whichever comes first."""
    ingest: Ingest = request.app.state.ingest

    def accept(body: bytes, json: bool, project: str | None) -> _Accepted:
        decoded = decode_logs(body, json=json)
        logs = [(project_of(log, project), log) for log in decoded.logs]
        return _Accepted(ingest.writer.submit((), logs) if logs else None, decoded.rejected)

    rejected = await _receive(request, ingest, accept)
    answer = ExportLogsServiceResponse()
    if rejected.count:
        answer.partial_success.rejected_log_records = rejected.count
        answer.partial_success.error_message = rejected.message
    return _answer(request, answer, {"rejectedLogRecords": rejected.count, "errorMessage": rejected.message})


async def receive_metrics(request: Request) -> Response:
    """Answer 200 with a partial success that says that metrics are not stored, so that exporters log no errors."""
    _form(request)
    await _read(request, request.app.state.ingest.settings.max_body)
    message = "Metrics are not stored here; traces and logs are."
    answer = ExportMetricsServiceResponse()
    answer.partial_success.error_message = message
    return _answer(request, answer, {"errorMessage": message})


for _paths, _receiver in ((TRACES, receive_traces), (LOGS, receive_logs), (METRICS, receive_metrics)):
    for _path in _paths:
        router.add_api_route(
            _path,
            _receiver,
            methods=["POST"],
            include_in_schema=_path.startswith("/v1/"),
            openapi_extra={"requestBody": {"content": {JSON: {}, PROTOBUF: {}}, "required": True}},
        )


async def _receive(
    request: Request, ingest: Ingest, accept: Callable[[bytes, bool, str | None], _Accepted]
) -> Rejections:
    json = _form(request)
    encoding = request.headers.get("content-encoding", "")
    project = asked_project(request.headers)
    limit = ingest.settings.max_body
    held = 0
    try:
        body = await _read(request, limit, ingest.budget)
        held = len(body)
        loop = asyncio.get_running_loop()
        inflated = await loop.run_in_executor(ingest.threads, partial(inflate, body, encoding=encoding, limit=limit))
        held += ingest.budget.take(WEIGHT * len(inflated), mine=held)
        accepted = await loop.run_in_executor(ingest.threads, accept, inflated, json, project)
        del body, inflated
        if accepted.committed is not None:
            await asyncio.wrap_future(accepted.committed)
        return accepted.rejected
    finally:
        ingest.budget.give_back(held)


def _form(request: Request) -> bool:
    """True for JSON, False for protobuf; raises UnsupportedMedia for anything else."""
    kind = media_type(request)
    if kind == JSON:
        return True
    if kind == PROTOBUF:
        return False
    raise UnsupportedMedia(f"Content-Type {kind[:60]!r} is not served: use {PROTOBUF} or {JSON}.")


async def _read(request: Request, limit: int, budget: Budget | None = None) -> bytes:
    """Read the body as it came, within the limit and in time; the budget holds its length on return."""
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limit:
        raise too_large(limit)
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_TIME_S):
            async for chunk in request.stream():
                size += len(chunk)
                if size > limit:
                    raise too_large(limit)
                if budget is not None:
                    budget.take(len(chunk), mine=size - len(chunk))
                chunks.append(chunk)
    except BaseException as problem:
        if budget is not None:
            budget.give_back(sum(map(len, chunks)))
        if isinstance(problem, TimeoutError):
            raise TooSlow("The body did not come in time; send smaller batches.") from None
        if isinstance(problem, ClientDisconnect):
            raise BadPayload("The body was cut short.") from None
        raise
    return b"".join(chunks)


def _answer(request: Request, message: Any, told: dict[str, Any]) -> Response:
    if media_type(request) == PROTOBUF:
        return Response(message.SerializeToString(), media_type=PROTOBUF)
    counted = {name: str(value) if isinstance(value, int) else value for name, value in told.items()}
    return JsonAnswer({"partialSuccess": counted} if told.get("errorMessage") else {})
