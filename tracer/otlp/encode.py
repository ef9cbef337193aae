"""Spans and log records written as OTLP/JSON again, with the types that they came with.

The form is that of OpenTelemetry's file exporter: each line is one `TracesData` or `LogsData`
(https://opentelemetry.io/docs/specs/otel/protocol/file-exporter/), which any Collector reads and this server's
`/v1/traces` and `/v1/logs` take as it is.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable
from itertools import groupby
from typing import Any

import msgspec

from tracer.otlp.records import AnyValue, Attributes, LogRecord, Scope, SpanRecord

_encode = msgspec.json.Encoder().encode


def traces_line(spans: Iterable[SpanRecord]) -> bytes:
    """One line of spans; those of one resource and scope that follow each other stand together."""
    groups = [
        {
            "resource": {"attributes": _pairs(resource)},
            "scopeSpans": [{"scope": _scope(scope), "spans": [_span(span) for span in found]}],
        }
        for (resource, scope), found in _together(spans)
    ]
    return _encode({"resourceSpans": groups}) + b"\n"


def logs_line(logs: Iterable[LogRecord]) -> bytes:
    """One line of log records."""
    groups = [
        {
            "resource": {"attributes": _pairs(resource)},
            "scopeLogs": [{"scope": _scope(scope), "logRecords": [_log(log) for log in found]}],
        }
        for (resource, scope), found in _together(logs)
    ]
    return _encode({"resourceLogs": groups}) + b"\n"


def _together(records: Iterable[Any]) -> Iterable[tuple[tuple[Attributes, Scope], list[Any]]]:
    for shared, found in groupby(records, key=lambda one: (one.resource, one.scope)):
        yield shared, list(found)


def _scope(scope: Scope) -> dict[str, Any]:
    return {"name": scope.name, "version": scope.version, "attributes": _pairs(scope.attributes)}


def _span(span: SpanRecord) -> dict[str, Any]:
    parent = {} if span.parent_id is None else {"parentSpanId": span.parent_id.hex()}
    return {
        "traceId": span.trace_id.hex(),
        "spanId": span.span_id.hex(),
        **parent,
        "traceState": span.trace_state,
        "flags": span.otlp_flags,
        "name": span.name,
        "kind": span.otlp_kind,
        "startTimeUnixNano": str(span.start_time),
        "endTimeUnixNano": str(span.end_time),
        "attributes": _pairs(span.attributes),
        "events": [
            {"name": event.name, "timeUnixNano": str(event.time), "attributes": _pairs(event.attributes)}
            for event in span.events
        ],
        "links": [
            {
                "traceId": link.trace_id.hex(),
                "spanId": link.span_id.hex(),
                "traceState": link.trace_state,
                "attributes": _pairs(link.attributes),
            }
            for link in span.links
        ],
        "status": {"code": span.status_code, "message": span.status_message},
    }


def _log(log: LogRecord) -> dict[str, Any]:
    return {
        "traceId": "" if log.trace_id is None else log.trace_id.hex(),
        "spanId": "" if log.span_id is None else log.span_id.hex(),
        "timeUnixNano": str(log.time),
        "eventName": log.event_name,
        "severityText": log.severity,
        "body": _value(log.body),
        "attributes": _pairs(log.attributes),
    }


def _pairs(attributes: Attributes) -> list[dict[str, Any]]:
    return [{"key": key, "value": _value(value)} for key, value in attributes.items()]


def _value(value: AnyValue) -> dict[str, Any]:
    match value:
        case None:
            return {}
        case str():
            return {"stringValue": value}
        case bool():
            return {"boolValue": value}
        case int():
            return {"intValue": str(value)}
        case float():
            # The JSON form of protobuf has words for what JSON has no numbers for.
            return {"doubleValue": value if math.isfinite(value) else _word(value)}
        case bytes():
            return {"bytesValue": base64.b64encode(value).decode()}
        case list():
            return {"arrayValue": {"values": [_value(item) for item in value]}}
        case dict():
            return {"kvlistValue": {"values": _pairs(value)}}


def _word(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"
