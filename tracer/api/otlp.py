"""OTLP over HTTP: 200 means committed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias

from fastapi import APIRouter, Request, Response
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from starlette.requests import ClientDisconnect

from tracer.api.answers import JSON, PROTOBUF, JsonAnswer, media_type
from tracer.auth import Caller
from tracer.errors import BadPayload, Overloaded, TooLarge, TooSlow, Unavailable, UnsupportedMedia
from tracer.ingest.newcomers import NOBODY, NewProjects
from tracer.ingest.prepare import DEFAULT_PROJECT, overruled, prepare, project_name, project_of
from tracer.ingest.privacy import Privacy
from tracer.ingest.retention import Retention
from tracer.ingest.writer import Writer
from tracer.otlp.addresses import LOGS, METRICS, TRACES, asked_project
from tracer.otlp.decode import Rejections, decode_logs, decode_traces
from tracer.otlp.inflate import inflate, too_large
from tracer.otlp.parts import count_parts
from tracer.otlp.records import LogRecord, SpanRecord
from tracer.prices import PriceBook
from tracer.settings import Settings

router = APIRouter(tags=["OTLP"])

BODY_TIME_S = 40.0
"""A body must have come within this time: a slow sender holds a connection no longer."""

WEIGHT = 4
"""Bytes of memory that a byte of an inflated body takes while it is decoded and waits for its commit."""

PART_WEIGHT = 100
"""Bytes of memory that each message in a body takes beside that: empty ones weigh more than their bytes."""

BYTES_PER_PART = 32
"""A body as large as the limit may have one message for so many bytes: a request of nothing but empty messages would
take a hundred times its size."""


COMMIT_WITHIN_S = 4.0
"""A sender is asked to come again when its batch is not committed by then, because the database hangs. OpenTelemetry's
exporters wait 10 s and then drop the batch; 503 makes them keep it."""

SLOWEST_RATE = 500
"""Spans a second that a slow machine commits: a long queue in front of a batch gives it more time."""


LARGE = 8 * 2**20
"""Bytes, inflated, over which a body is rare."""


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
    """What the OTLP routes share: settings, writer, threads, what is too old or hidden, new projects, the budget."""

    settings: Settings
    prices: PriceBook
    writer: Writer
    threads: ThreadPoolExecutor
    retention: Retention
    budget: Budget
    privacy: Privacy
    newcomers: NewProjects
    large: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while a body over LARGE is inflated: what it takes is known only then."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """A decoded batch on its way to the disk, and what of it was refused."""

    committed: Future[Rejections] | None
    rejected: Rejections


@dataclass(frozen=True, slots=True)
class Place:
    """Where a request's records go: into the project of its key, else the one that its headers ask for."""

    asked: str | None = None
    bound: str | None = None
    also_bound: frozenset[str] = frozenset()
    """Other names of the key's project."""

    @property
    def project(self) -> str | None:
        """The one project for all of them; None when each says its own."""
        return self.bound or self.asked

    def note_overruled(self, records: Sequence[SpanRecord | LogRecord], rejected: Rejections) -> None:
        """Tell the sender when the key's project was taken instead of another that was named."""
        if self.bound is None:
            return
        count = overruled(records, asked=self.asked, bound=self.also_bound | {self.bound})
        if count:
            rejected.notes.append(f"{count} named another project; they were stored in {self.bound!r}, the key's own")


Accept: TypeAlias = Callable[[Ingest, bytes, bool, Place], Accepted]
"""Decodes an inflated body (JSON when True) for its place and hands it to the writer; runs on a thread."""

OBJECT = {"schema": {"type": "object", "description": "As OpenTelemetry's specification has it"}}
BINARY = {"schema": {"type": "string", "format": "binary"}}

METRICS_MESSAGE = "Metrics are not stored here; traces and logs are."


async def receive_traces(request: Request) -> Response:
    """Take an ExportTraceServiceRequest; 200 once every span in it, but those counted as rejected, is on disk."""
    rejected = await _receive(request, accept_traces)
    told = {"rejectedSpans": rejected.count, "errorMessage": rejected.message}
    return _answer(request, traces_answer(rejected), told)


async def receive_logs(request: Request) -> Response:
    """Take an ExportLogsServiceRequest; the records are joined to their spans, whichever comes first."""
    rejected = await _receive(request, accept_logs)
    told = {"rejectedLogRecords": rejected.count, "errorMessage": rejected.message}
    return _answer(request, logs_answer(rejected), told)


async def receive_metrics(request: Request) -> Response:
    """Answer 200 with a partial success that says that metrics are not stored, so that exporters log no errors."""
    _form(request)
    await read_body(request, request.app.state.ingest.settings.max_body)
    return _answer(request, metrics_answer(), {"errorMessage": METRICS_MESSAGE})


def _bodies(path: str) -> dict[str, Any]:
    """What a path takes; of metrics nothing is read."""
    return {JSON: {} if path in METRICS else OBJECT, PROTOBUF: BINARY}


for _paths, _receiver in ((TRACES, receive_traces), (LOGS, receive_logs), (METRICS, receive_metrics)):
    for _path in _paths:
        router.add_api_route(
            _path,
            _receiver,
            methods=["POST"],
            include_in_schema=_path.startswith("/v1/"),
            openapi_extra={"requestBody": {"content": _bodies(_path), "required": True}},
            responses={200: {"content": {JSON: OBJECT, PROTOBUF: BINARY}, "description": "It is on disk"}},
        )


def accept_traces(ingest: Ingest, body: bytes, json: bool, place: Place) -> Accepted:
    """Decode an ExportTraceServiceRequest and hand its spans to the writer."""
    decoded = decode_traces(body, json=json)
    young = ingest.retention.refuse_old(decoded.spans, lambda span: span.start_time, decoded.rejected)
    place.note_overruled(young, decoded.rejected)
    moved = _moved(ingest, young, place, decoded.rejected)
    young = ingest.privacy.hold(young, place.project, decoded.rejected, moved=moved)
    spans = prepare(young, asked_project=place.project, prices=ingest.prices, moved=moved)
    return Accepted(ingest.writer.submit(spans) if spans else None, decoded.rejected)


def accept_logs(ingest: Ingest, body: bytes, json: bool, place: Place) -> Accepted:
    """Decode an ExportLogsServiceRequest and hand its records to the writer."""
    decoded = decode_logs(body, json=json)
    # A record without a time is as young as its arrival.
    young = ingest.retention.refuse_old(decoded.logs, lambda log: log.time or time.time_ns(), decoded.rejected)
    place.note_overruled(young, decoded.rejected)
    moved = _moved(ingest, young, place, decoded.rejected)
    young = ingest.privacy.hold(young, place.project, decoded.rejected, moved=moved)
    asked = project_name(place.project) if place.project else None
    named = [(project_of(log, asked), log) for log in young]
    logs = [(DEFAULT_PROJECT if project in moved else project, log) for project, log in named] if moved else named
    return Accepted(ingest.writer.submit((), logs) if logs else None, decoded.rejected)


def _moved(
    ingest: Ingest, records: Sequence[SpanRecord | LogRecord], place: Place, rejected: Rejections
) -> frozenset[str]:
    """The projects that are named and made no more; a key's own project is there."""
    return NOBODY if place.bound is not None else ingest.newcomers.hold(records, place.asked, rejected)


def traces_answer(rejected: Rejections) -> ExportTraceServiceResponse:
    """What is answered when the spans are on disk."""
    answer = ExportTraceServiceResponse()
    if rejected.message:
        answer.partial_success.rejected_spans = rejected.count
        answer.partial_success.error_message = rejected.message
    return answer


def logs_answer(rejected: Rejections) -> ExportLogsServiceResponse:
    """What is answered when the log records are on disk."""
    answer = ExportLogsServiceResponse()
    if rejected.message:
        answer.partial_success.rejected_log_records = rejected.count
        answer.partial_success.error_message = rejected.message
    return answer


def metrics_answer() -> ExportMetricsServiceResponse:
    """What is answered to metrics."""
    answer = ExportMetricsServiceResponse()
    answer.partial_success.error_message = METRICS_MESSAGE
    return answer


async def _receive(request: Request, accept: Accept) -> Rejections:
    ingest: Ingest = request.app.state.ingest
    json = _form(request)
    body = await read_body(request, ingest.settings.max_body, ingest.budget)
    encoding = request.headers.get("content-encoding", "")
    caller: Caller = request.state.caller
    place = Place(asked_project(request.headers), caller.project, caller.other_names)
    return await take(ingest, accept, body, encoding=encoding, json=json, place=place)


async def take(ingest: Ingest, accept: Accept, body: bytes, *, encoding: str, json: bool, place: Place) -> Rejections:
    """Inflate, decode and commit a body, and answer with what of it was refused once the rest is on disk.

    The budget holds the body's own bytes already; whatever happens, it is given all of them back. Raises a TracerError
    when nothing of the body is stored.
    """
    held = len(body)
    committed: Future[Rejections] | None = None
    try:
        loop = asyncio.get_running_loop()
        inflated, parts = await _open(ingest, body, encoding, json=json)
        held += ingest.budget.take(WEIGHT * len(inflated) + PART_WEIGHT * parts, mine=held)
        accepted = await loop.run_in_executor(ingest.threads, accept, ingest, inflated, json, place)
        del body, inflated
        committed = accepted.committed
        if committed is not None:
            refused = await _commit(committed, within=COMMIT_WITHIN_S + ingest.writer.backlog / SLOWEST_RATE)
            accepted.rejected.reasons.update(refused.reasons)
        return accepted.rejected
    finally:
        if committed is None or committed.done():
            ingest.budget.give_back(held)
        else:
            committed.add_done_callback(partial(_give_back_later, asyncio.get_running_loop(), ingest.budget, held))


async def _open(ingest: Ingest, body: bytes, encoding: str, *, json: bool) -> tuple[bytes, int]:
    """Inflate a body and count its messages, as far as it may be read at all; large ones one at a time."""
    limit = ingest.settings.max_body
    run = asyncio.get_running_loop().run_in_executor

    def work(largest: int) -> tuple[bytes, int]:
        inflated = inflate(body, encoding=encoding, limit=largest)
        return inflated, count_parts(inflated, json=json)

    try:
        inflated, parts = await run(ingest.threads, work, min(limit, LARGE))
    except TooLarge:
        if limit <= LARGE:
            raise
        async with ingest.large:
            inflated, parts = await run(ingest.threads, work, limit)
    if parts > limit // BYTES_PER_PART:
        raise TooLarge("The body has too many messages, most of them empty: send smaller batches.")
    return inflated, parts


async def _commit(committed: Future[Rejections], *, within: float) -> Rejections:
    """Wait for a batch's commit, and take the batch back when it has not begun within so many seconds."""
    try:
        async with asyncio.timeout(within):
            return await asyncio.wrap_future(committed)
    except TimeoutError:
        raise Unavailable("The database does not answer; send this again in a moment.") from None


def _give_back_later(loop: asyncio.AbstractEventLoop, budget: Budget, size: int, _: Future[Rejections]) -> None:
    """The commit of a request that was given up has ended, on the writer's thread."""
    with suppress(RuntimeError):  # the loop is closed: the server has ended
        loop.call_soon_threadsafe(budget.give_back, size)


def _form(request: Request) -> bool:
    """True for JSON, False for protobuf; raises UnsupportedMedia for anything else."""
    kind = media_type(request)
    if kind == JSON:
        return True
    if kind == PROTOBUF:
        return False
    raise UnsupportedMedia(f"Content-Type {kind[:60]!r} is not served: use {PROTOBUF} or {JSON}.")


async def read_body(request: Request, limit: int, budget: Budget | None = None) -> bytes:
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
