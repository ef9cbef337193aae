"""JSON answers and refusals, for REST and for OTLP."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from tracer.errors import TracerError
from tracer.otlp.addresses import is_otlp

PROTOBUF = "application/x-protobuf"
JSON = "application/json"

RPC_CODES = {400: 3, 401: 16, 403: 7, 404: 5, 405: 12, 408: 4, 413: 8, 415: 3, 421: 3, 422: 3, 429: 8, 500: 13, 503: 14}
"""google.rpc.Code for each HTTP status that we answer with."""

_encode = msgspec.json.Encoder(order=None).encode


class JsonAnswer(Response):
    """Strict JSON, made by msgspec."""

    media_type = JSON

    def render(self, content: Any) -> bytes:
        """Encode the answer."""
        return _encode(content)


def media_type(request: Request) -> str:
    """The request's content type without parameters and case."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def refusal(request: Request, problem: TracerError) -> Response:
    """A refusal in the form of the interface that was called: `google.rpc.Status` for OTLP, else our own."""
    headers = {} if problem.retry_after is None else {"retry-after": str(problem.retry_after)}
    if problem.status == 408:
        headers["connection"] = "close"  # the rest of the body is not waited for
    if problem.status == 401:
        headers["www-authenticate"] = 'Bearer realm="Stepscope"'
    if is_otlp(request.scope["path"].removeprefix(request.scope.get("root_path", ""))):
        code = RPC_CODES.get(problem.status, 2)
        if media_type(request) == PROTOBUF:
            return Response(rpc_status(code, problem.message), problem.status, headers=headers, media_type=PROTOBUF)
        return JsonAnswer({"code": code, "message": problem.message}, problem.status, headers=headers)
    error = {"code": problem.code, "message": problem.message, "field": problem.field}
    return JsonAnswer({"error": error}, problem.status, headers=headers)


def rpc_status(code: int, message: str) -> bytes:
    """`google.rpc.Status` as protobuf: field 1 the code, field 2 the message."""
    text = message.encode()
    return b"\x08" + _varint(code) + b"\x12" + _varint(len(text)) + text


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
