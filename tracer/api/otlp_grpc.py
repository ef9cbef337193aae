"""OTLP over gRPC: another door to the same path, with the same promises as `otlp.py`'s."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any, Final, NoReturn

from anyio import to_thread

os.environ.setdefault("GRPC_VERBOSITY", "ERROR")  # else it notes each connection's end on standard error

import grpc
import grpc.aio

from tracer.api.answers import RPC_CODES, rpc_status
from tracer.api.otlp import (
    BODY_TIME_S,
    Accept,
    Ingest,
    Place,
    accept_logs,
    accept_traces,
    logs_answer,
    metrics_answer,
    take,
    traces_answer,
)
from tracer.auth import Caller, Doors, Right, check_right, identify_key
from tracer.errors import BadSetting, NotSignedIn, Overloaded, TooSlow, TracerError
from tracer.otlp.addresses import asked_project
from tracer.otlp.decode import Rejections

logger = logging.getLogger(__name__)

SERVICE: Final = "opentelemetry.proto.collector.{0}.v1.{1}Service"
STOP_WITHIN_S = 2.0
"""Calls under way at the end get so long, after those over HTTP had their time; who is cut off sends it again."""

STREAMS: Final = 32
"""Calls under way at once on one connection."""

MESSAGES_COMING: Final = 8
"""Messages received at once, over all connections: each is held whole, and its size is known only at its end."""

TURN_S: Final = 4.0
"""How long a call waits for its turn to be received before it is asked to come again."""

IDLE_MS: Final = 10 * 60_000
DETAILS: Final = "grpc-status-details-bin"
RETRY_INFO: Final = b"type.googleapis.com/google.rpc.RetryInfo"
STATUS: Final = {code.value[0]: code for code in grpc.StatusCode}

Messages = AsyncIterator[bytes]
Handler = Callable[[Messages, Any], Awaitable[bytes]]


class GrpcDoor:
    """The gRPC server beside the HTTP one, on the same event loop and over the same writer and budget."""

    def __init__(self, ingest: Ingest, doors: Doors) -> None:
        self._ingest = ingest
        self._doors = doors
        self._server: Any = None
        self._turns = asyncio.Semaphore(MESSAGES_COMING)

    async def start(self) -> int:
        """Listen, and return the port; raises BadSetting when it cannot be used."""
        settings = self._ingest.settings
        self._server = grpc.aio.server(
            options=[
                ("grpc.max_receive_message_length", settings.max_body),
                # Its own inflating knows no limit: bodies come as they were sent, and `inflate` has one.
                ("grpc.per_message_decompression", 0),
                ("grpc.max_concurrent_streams", STREAMS),
                ("grpc.max_connection_idle_ms", IDLE_MS),
                ("grpc.so_reuseport", 0),
            ]
        )
        self._server.add_generic_rpc_handlers(
            (
                _service("trace", "Trace", partial(self._take, accept_traces, traces_answer)),
                _service("logs", "Logs", partial(self._take, accept_logs, logs_answer)),
                _service("metrics", "Metrics", self._metrics),
            )
        )
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        try:
            port: int = self._server.add_insecure_port(f"{host}:{settings.grpc_port}")
        except RuntimeError:
            raise BadSetting(
                f"port {settings.grpc_port} cannot be used on {host} for gRPC.", field="grpc_port"
            ) from None
        await self._server.start()
        logger.info("OTLP over gRPC is taken on %s port %d", settings.host, port)
        return port

    async def stop(self) -> None:
        """Let calls under way end, then close."""
        if self._server is not None:
            await self._server.stop(STOP_WITHIN_S)

    async def _take(
        self, accept: Accept, answer: Callable[[Rejections], Any], messages: Messages, context: Any
    ) -> bytes:
        try:
            headers = _headers(context)
            caller = await self._authorize(headers)
            body = await self._receive(messages)
            place = Place(asked_project(headers), caller.project, caller.other_names)
            rejected = await take(self._ingest, accept, body, encoding=_encoding(body), json=False, place=place)
            return answer(rejected).SerializeToString()
        except TracerError as problem:
            await _refuse(context, problem)
        except Exception as problem:
            logger.error("a call over gRPC failed", exc_info=problem)
            unforeseen = TracerError("Something went wrong here; the server's log has it.")
            unforeseen.status = 500
            await _refuse(context, unforeseen)

    async def _receive(self, messages: Messages) -> bytes:
        """The call's one message, received only now that its sender is known; the budget holds its length."""
        try:
            async with asyncio.timeout(TURN_S):
                await self._turns.acquire()
        except TimeoutError:
            raise Overloaded("The server is receiving as much as it may; send this again in a second.") from None
        try:
            async with asyncio.timeout(BODY_TIME_S):
                body = await anext(messages, b"")
            self._ingest.budget.take(len(body), mine=0)
            return body
        except TimeoutError:
            raise TooSlow("The message did not come in time; send smaller batches.") from None
        finally:
            self._turns.release()

    async def _metrics(self, messages: Messages, context: Any) -> bytes:
        try:
            await self._authorize(_headers(context))
        except TracerError as problem:
            await _refuse(context, problem)
        return metrics_answer().SerializeToString()

    async def _authorize(self, headers: dict[str, str]) -> Caller:
        caller = await to_thread.run_sync(identify_key, headers, self._doors)
        if caller is None:
            raise NotSignedIn("This server asks for a key: send it as `authorization: Bearer KEY` or `x-api-key`.")
        check_right(caller, Right.ingest)
        return caller


def _service(package: str, name: str, handler: Handler) -> Any:
    behavior: Any = handler  # asynchronous, which the types of the package do not know
    # On the wire the same as a call with one message, but the message waits until it is asked for.
    method = grpc.stream_unary_rpc_method_handler(behavior)
    return grpc.method_handlers_generic_handler(SERVICE.format(package, name), {"Export": method})


def _headers(context: Any) -> dict[str, str]:
    """A call's metadata that is text; of a name that comes twice the last."""
    return {key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)}


def _encoding(body: bytes) -> str:
    """How a message was packed: gRPC does not say so once it leaves the packing to us.

    An export request begins with its field 1, the byte 0x0A, or is empty: nothing is mistaken.
    """
    if body[:2] == b"\x1f\x8b":
        return "gzip"
    if len(body) > 1 and body[0] == 0x78 and (body[0] << 8 | body[1]) % 31 == 0:
        return "deflate"
    return ""


async def _refuse(context: Any, problem: TracerError) -> NoReturn:
    """End the call with the code that the HTTP status stands for, and when to come again if that is of use."""
    code = RPC_CODES.get(problem.status, 2)
    details = rpc_status(code, problem.message)
    if problem.retry_after is not None:
        # RetryInfo.retry_delay (1) is a Duration, whose seconds (1) are a small number.
        retry = b"\x0a\x02\x08" + bytes([min(problem.retry_after, 127)])
        info = _field(1, RETRY_INFO) + _field(2, retry)
        details += _field(3, info)
    await context.abort(STATUS[code], problem.message, ((DETAILS, details),))
    raise AssertionError("a call that was aborted goes on")


def _field(number: int, content: bytes) -> bytes:
    """A protobuf field of bytes, shorter than 128."""
    return bytes([number << 3 | 2, len(content)]) + content
