"""Builders of OTLP requests: spans and log records as OTLP/JSON, and the same as protobuf."""

from __future__ import annotations

import base64
import json
from typing import Any, TypeAlias
from uuid import uuid4

from google.protobuf import json_format
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

Value: TypeAlias = "str | bytes | bool | int | float | list[Value] | dict[str, Value] | None"
"""What an attribute can hold; a list is an array, a dict a map of OTLP."""

Message: TypeAlias = dict[str, Any]
"""A message of OTLP/JSON."""

START = 1_764_000_000_000_000_000
"""When spans start unless told otherwise: 2025-11-24T16:00:00Z, in Unix nanoseconds."""

SECOND = 1_000_000_000


def new_trace_id() -> str:
    """32 hex digits that no other trace of the run has."""
    return uuid4().hex


def new_span_id() -> str:
    """16 hex digits."""
    return uuid4().hex[16:]


def any_value(value: Value) -> Message:
    """A value as OTLP's AnyValue."""
    match value:
        case None:
            return {}
        case bool():
            return {"boolValue": value}
        case int():
            return {"intValue": str(value)}
        case float():
            known = {"inf": "Infinity", "-inf": "-Infinity", "nan": "NaN"}
            return {"doubleValue": known.get(repr(value), value)}
        case str():
            return {"stringValue": value}
        case bytes():
            return {"bytesValue": base64.b64encode(value).decode()}
        case list():
            return {"arrayValue": {"values": [any_value(item) for item in value]}}
        case dict():
            return {"kvlistValue": {"values": attributes(value)}}


def attributes(values: dict[str, Value]) -> list[Message]:
    """Attributes as OTLP's list of keys and values."""
    return [{"key": key, "value": any_value(value)} for key, value in values.items()]


def span(
    name: str = "step",
    *,
    trace: str | None = None,
    id: str | None = None,
    parent: str | None = None,
    start: int = START,
    end: int = START + SECOND,
    status: int = 0,
    having: dict[str, Value] | None = None,
    **more: Any,
) -> Message:
    """One span; `having` are its attributes, `more` are fields of OTLP/JSON as they are (`kind`, `events`, `links`)."""
    made: Message = {
        "traceId": trace or new_trace_id(),
        "spanId": id or new_span_id(),
        "name": name,
        "kind": 1,
        "startTimeUnixNano": str(start),
        "endTimeUnixNano": str(end),
        "status": {"code": status},
        "attributes": attributes(having or {}),
    }
    if parent is not None:
        made["parentSpanId"] = parent
    return made | more


def event(name: str, having: dict[str, Value] | None = None, *, time: int = START) -> Message:
    """One event of a span."""
    return {"name": name, "timeUnixNano": str(time), "attributes": attributes(having or {})}


def model_call(
    name: str = "chat", *, tokens: tuple[int, int] = (12, 5), having: dict[str, Value] | None = None
) -> Message:
    """A model call in OpenTelemetry's GenAI convention, a trace of its own."""
    said: dict[str, Value] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o-mini",
        "gen_ai.usage.input_tokens": tokens[0],
        "gen_ai.usage.output_tokens": tokens[1],
    }
    return span(name, having={**said, **(having or {})})


def log(body: Value, *, trace: str, span: str, having: dict[str, Value] | None = None, **more: Any) -> Message:
    """One log record of a span."""
    made: Message = {
        "traceId": trace,
        "spanId": span,
        "timeUnixNano": str(START),
        "body": any_value(body),
        "attributes": attributes(having or {}),
    }
    return made | more


def request(*spans: Message, resource: dict[str, Value] | None = None, scope: Message | None = None) -> Message:
    """An ExportTraceServiceRequest."""
    under: Message = {"scope": scope if scope is not None else {"name": "tests"}, "spans": list(spans)}
    return {"resourceSpans": [{"resource": {"attributes": attributes(resource or {})}, "scopeSpans": [under]}]}


def log_request(*logs: Message, resource: dict[str, Value] | None = None) -> Message:
    """An ExportLogsServiceRequest."""
    under: Message = {"scope": {"name": "tests"}, "logRecords": list(logs)}
    return {"resourceLogs": [{"resource": {"attributes": attributes(resource or {})}, "scopeLogs": [under]}]}


def as_json(request: Message) -> bytes:
    """A request as the body of `application/json`."""
    return json.dumps(request).encode()


def as_protobuf(request: Message) -> bytes:
    """The same request as the body of `application/x-protobuf`."""
    logs = "resourceLogs" in request
    kind = ExportLogsServiceRequest if logs else ExportTraceServiceRequest
    return json_format.ParseDict(_ids_as_base64(request), kind()).SerializeToString()


def _ids_as_base64(value: Any) -> Any:
    if isinstance(value, list):
        return [_ids_as_base64(item) for item in value]
    if isinstance(value, dict):
        return {
            key: base64.b64encode(bytes.fromhex(item)).decode()
            if key in ("traceId", "spanId", "parentSpanId") and isinstance(item, str)
            else _ids_as_base64(item)
            for key, item in value.items()
        }
    return value


def field(number: int, content: bytes) -> bytes:
    """A length-delimited field of protobuf, for bodies that no library would make."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def varint(number: int) -> bytes:
    """A whole number as protobuf writes it."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def raw_span(*fields: bytes, trace: str | None = None, id: str | None = None) -> bytes:
    """A protobuf request with one span: its ids, then the given fields as they are."""
    ids = field(1, bytes.fromhex(trace or new_trace_id())) + field(2, bytes.fromhex(id or new_span_id()))
    return field(1, field(2, field(2, ids + b"".join(fields))))
