"""Reads an OTLP body, protobuf or JSON, into records; spans are refused one by one, bodies only when unreadable."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from tracer.otlp import json_form, protobuf_form
from tracer.otlp.records import LogRecord, SpanRecord


@dataclass(slots=True)
class Rejections:
    """What of a request was refused, counted by reason."""

    reasons: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    """What was done with records that were taken, where their sender should know."""

    @property
    def count(self) -> int:
        """How many spans or log records were refused."""
        return self.reasons.total()

    @property
    def message(self) -> str:
        """The reasons and notes in one line that a person can act on; empty when there are none."""
        refused = (f"{count} refused: {reason}" for reason, count in self.reasons.most_common(5))
        return "; ".join((*refused, *self.notes))


@dataclass(slots=True)
class DecodedTraces:
    """The spans of one request, in its order."""

    spans: list[SpanRecord]
    rejected: Rejections


@dataclass(slots=True)
class DecodedLogs:
    """The log records of one request, in its order."""

    logs: list[LogRecord]
    rejected: Rejections


def decode_traces(body: bytes, *, json: bool) -> DecodedTraces:
    """Read an inflated ExportTraceServiceRequest.

    Raises BadPayload when the body is not one; a span with an invalid id is refused alone and counted.
    """
    rejected = Rejections()
    form = json_form if json else protobuf_form
    return DecodedTraces(form.spans(body, rejected.reasons), rejected)


def decode_logs(body: bytes, *, json: bool) -> DecodedLogs:
    """Read an inflated ExportLogsServiceRequest; raises BadPayload when the body is not one."""
    rejected = Rejections()
    form = json_form if json else protobuf_form
    return DecodedLogs(form.logs(body, rejected.reasons), rejected)
