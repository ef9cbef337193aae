"""OTLP as JSON (the protobuf JSON mapping, with hex ids), read by msgspec; lenient where senders differ."""

from __future__ import annotations

import base64
import binascii
import json
from collections import Counter
from collections.abc import Iterator
from typing import Any, NoReturn, TypeVar

import msgspec

from tracer.errors import BadPayload
from tracer.otlp.assemble import MAX_INT64, finish, instant, put, span_kind, valid_ids, valid_parent
from tracer.otlp.records import AnyValue, Attributes, Event, Flag, Link, LogRecord, Scope, SpanRecord
from tracer.otlp.text import clean
from tracer.otlp.wire import MAX_DEPTH

Number = int | float | str | None
"""64-bit integers come as strings, as the mapping says, or as numbers, as JavaScript's exporter sends them."""


class _Value(msgspec.Struct, rename="camel"):
    string_value: str | None = None
    bool_value: bool | None = None
    int_value: Number = None
    double_value: Number = None
    array_value: _Array | None = None
    kvlist_value: _Pairs | None = None
    bytes_value: str | None = None


class _Pair(msgspec.Struct):
    key: str | None = None
    value: _Value | None = None


class _Array(msgspec.Struct):
    values: list[_Value | None] | None = None


class _Pairs(msgspec.Struct):
    values: list[_Pair] | None = None


class _Resource(msgspec.Struct):
    attributes: list[_Pair] | None = None


class _Scope(msgspec.Struct):
    name: str | None = None
    version: str | None = None
    attributes: list[_Pair] | None = None


class _Status(msgspec.Struct):
    code: Number = None
    message: str | None = None


class _Event(msgspec.Struct, rename="camel"):
    name: str | None = None
    time_unix_nano: Number = None
    attributes: list[_Pair] | None = None


class _Link(msgspec.Struct, rename="camel"):
    trace_id: str | None = None
    span_id: str | None = None
    trace_state: str | None = None
    attributes: list[_Pair] | None = None


class _Span(msgspec.Struct, rename="camel"):
    trace_id: str | None = None
    span_id: str | None = None
    parent_span_id: str | None = None
    name: str | None = None
    kind: Number = None
    start_time_unix_nano: Number = None
    end_time_unix_nano: Number = None
    status: _Status | None = None
    attributes: list[_Pair] | None = None
    events: list[_Event] | None = None
    links: list[_Link] | None = None
    trace_state: str | None = None
    flags: Number = None


class _Log(msgspec.Struct, rename="camel"):
    trace_id: str | None = None
    span_id: str | None = None
    time_unix_nano: Number = None
    observed_time_unix_nano: Number = None
    event_name: str | None = None
    severity_text: str | None = None
    body: _Value | None = None
    attributes: list[_Pair] | None = None


class _ScopeSpans(msgspec.Struct):
    scope: _Scope | None = None
    spans: list[_Span] | None = None


class _ScopeLogs(msgspec.Struct, rename="camel"):
    scope: _Scope | None = None
    log_records: list[_Log] | None = None


class _ResourceSpans(msgspec.Struct, rename="camel"):
    resource: _Resource | None = None
    scope_spans: list[_ScopeSpans] | None = None


class _ResourceLogs(msgspec.Struct, rename="camel"):
    resource: _Resource | None = None
    scope_logs: list[_ScopeLogs] | None = None


class _Traces(msgspec.Struct, rename="camel"):
    resource_spans: list[_ResourceSpans] | None = None


class _Logs(msgspec.Struct, rename="camel"):
    resource_logs: list[_ResourceLogs] | None = None


_traces = msgspec.json.Decoder(_Traces)
_logs = msgspec.json.Decoder(_Logs)
_Request = TypeVar("_Request", _Traces, _Logs)

SPAN_KINDS = {
    f"SPAN_KIND_{word}": number
    for number, word in enumerate(("UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER"))
}
STATUS_CODES = {"STATUS_CODE_UNSET": 0, "STATUS_CODE_OK": 1, "STATUS_CODE_ERROR": 2}


def _decode(decoder: msgspec.json.Decoder[_Request], body: bytes) -> _Request:
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as problem:
        raise BadPayload(f"The body is JSON but not OTLP: {problem}.") from None
    except RecursionError:
        raise BadPayload("The body is nested too deeply.") from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _decode_leniently(decoder.type, body)


def _decode_leniently(kind: type[_Request], body: bytes) -> _Request:
    """Read what msgspec refuses and the standard library takes: lone surrogates, a byte order mark."""
    try:
        found = json.loads(body.decode("utf-8-sig"), parse_constant=_no_constant)
        return msgspec.convert(found, kind)
    except msgspec.ValidationError as problem:
        raise BadPayload(f"The body is JSON but not OTLP: {problem}.") from None
    except RecursionError:
        raise BadPayload("The body is nested too deeply.") from None
    except UnicodeDecodeError as problem:
        raise BadPayload(f"The body is not UTF-8 (byte {problem.start + 1}).") from None
    except ValueError as problem:
        raise BadPayload(f"The body is not JSON: {problem}.") from None


def _no_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is no JSON number")


class _Reader:
    def __init__(self) -> None:
        self.flags = Flag.NONE
        self.depth = 0

    def text(self, value: str | None) -> str:
        if not value:
            return ""
        cleaned = clean(value)
        if cleaned is not value and cleaned != value:
            self.flags |= Flag.TEXT_REPLACED
        return cleaned

    def attributes(self, pairs: list[_Pair] | None) -> Attributes:
        out: Attributes = {}
        repeats: dict[str, int] = {}
        for pair in pairs or ():
            if put(out, self.text(pair.key), self.value(pair.value), repeats):
                self.flags |= Flag.KEY_REPEATED
        return out

    def value(self, value: _Value | None) -> AnyValue:
        if value is None:
            return None
        if value.string_value is not None:
            return self.text(value.string_value)
        if value.int_value is not None:
            return self.integer_or_text(value.int_value)
        if value.bool_value is not None:
            return value.bool_value
        if value.double_value is not None:
            try:
                return float(value.double_value)
            except (ValueError, OverflowError):
                return self.text(str(value.double_value))
        if value.array_value is not None or value.kvlist_value is not None:
            return self.nested(value)
        if value.bytes_value is not None:
            try:
                return base64.b64decode(value.bytes_value, validate=True)
            except (binascii.Error, ValueError):
                return self.text(value.bytes_value)
        return None

    def nested(self, value: _Value) -> AnyValue:
        """A list or a map, to the depth that protobuf bodies may have too."""
        if self.depth >= MAX_DEPTH:
            raise BadPayload(f"An attribute is nested more than {MAX_DEPTH} levels deep.")
        self.depth += 1
        try:
            if value.array_value is not None:
                return [self.value(item) for item in value.array_value.values or ()]
            return self.attributes(value.kvlist_value.values if value.kvlist_value is not None else None)
        finally:
            self.depth -= 1

    def integer_or_text(self, value: int | float | str) -> AnyValue:
        """A 64-bit integer; what lies beyond, or is none, stays readable as text."""
        found = integer(value)
        if found is not None and -MAX_INT64 - 1 <= found <= MAX_INT64:
            return found
        return value if isinstance(value, float) else self.text(str(value))


def integer(value: Number) -> int | None:
    """Read a whole number that came as a number or a string of at most 40 digits; None for anything else."""
    if isinstance(value, int):
        return value
    try:
        if isinstance(value, str):
            return int(value) if len(value) <= 40 else None
        return int(value) if value is not None and value.is_integer() else None
    except (ValueError, OverflowError):
        return None


def _whole(value: Number) -> int:
    """A time, a code or flags: what is no whole number counts as not sent."""
    return integer(value) or 0


def _hex(value: str | None) -> bytes:
    """An id in hex, of any case; anything else is no id."""
    try:
        return bytes.fromhex(value) if value and len(value) <= 64 and value.isalnum() else b""
    except ValueError:
        return b""


def _enum(value: Number, words: dict[str, int]) -> int:
    if isinstance(value, str) and value in words:
        return words[value]
    return span_kind(_whole(value))


def _groups(groups: list[Any] | None, name: str, read: _Reader) -> Iterator[tuple[Attributes, Scope, list[Any]]]:
    for group in groups or ():
        read.flags = Flag.NONE
        resource = read.attributes(group.resource.attributes if group.resource else None)
        of_resource = read.flags
        for under in (group.scope_spans if name == "spans" else group.scope_logs) or ():
            read.flags = of_resource
            found = under.scope or _Scope()
            scope = Scope(read.text(found.name), read.text(found.version), read.attributes(found.attributes))
            yield resource, scope, (under.spans if name == "spans" else under.log_records) or []


def _event(event: _Event, read: _Reader) -> Event:
    return Event(read.text(event.name), instant(_whole(event.time_unix_nano)), read.attributes(event.attributes))


def spans(body: bytes, reasons: Counter[str]) -> list[SpanRecord]:
    """Read an ExportTraceServiceRequest; refused spans are counted in `reasons`. Raises BadPayload."""
    read = _Reader()
    out: list[SpanRecord] = []
    for resource, scope, records in _groups(_decode(_traces, body).resource_spans, "spans", read):
        shared = read.flags
        for span in records:
            trace_id, span_id = _hex(span.trace_id), _hex(span.span_id)
            if not valid_ids(trace_id, span_id, reasons):
                continue
            read.flags = shared
            status = span.status or _Status()
            record = SpanRecord(
                trace_id,
                span_id,
                valid_parent(_hex(span.parent_span_id)),
                read.text(span.name),
                _enum(span.kind, SPAN_KINDS),
                _whole(span.start_time_unix_nano),
                _whole(span.end_time_unix_nano),
                _enum(status.code, STATUS_CODES),
                read.text(status.message),
                read.attributes(span.attributes),
                [_event(event, read) for event in span.events or ()],
                [
                    Link(
                        _hex(link.trace_id),
                        _hex(link.span_id),
                        read.attributes(link.attributes),
                        read.text(link.trace_state),
                    )
                    for link in span.links or ()
                ],
                resource,
                scope,
                read.text(span.trace_state),
                _whole(span.flags) & 0xFFFFFFFF,
            )
            record.flags = read.flags
            out.append(finish(record))
    return out


def logs(body: bytes, reasons: Counter[str]) -> list[LogRecord]:
    """Read an ExportLogsServiceRequest; refused records are counted in `reasons`. Raises BadPayload."""
    read = _Reader()
    out: list[LogRecord] = []
    for resource, scope, records in _groups(_decode(_logs, body).resource_logs, "logs", read):
        for log in records:
            if not log.trace_id or not log.span_id:
                reasons["a log record without trace and span id belongs to no step"] += 1
                continue
            trace_id, span_id = _hex(log.trace_id), _hex(log.span_id)
            if not valid_ids(trace_id, span_id, reasons):
                continue
            out.append(
                LogRecord(
                    trace_id,
                    span_id,
                    instant(_whole(log.time_unix_nano) or _whole(log.observed_time_unix_nano)),
                    read.text(log.event_name),
                    read.text(log.severity_text),
                    read.value(log.body),
                    read.attributes(log.attributes),
                    resource,
                    scope,
                )
            )
    return out
