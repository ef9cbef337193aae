"""What both forms of OTLP share when a span is put together: ids, times, repeated keys."""

from __future__ import annotations

from collections import Counter

from tracer.otlp.records import AnyValue, Attributes, Flag, SpanRecord
from tracer.otlp.text import cut

MAX_INT64 = 2**63 - 1
MAX_INT16 = 2**15 - 1
BAD_TRACE_ID = "trace id must be 16 bytes, not all zero"
BAD_SPAN_ID = "span id must be 8 bytes, not all zero"
NAME_LIMIT, MESSAGE_LIMIT = 1 << 17, 1 << 20
"""Characters of a span's name and of its status message that are kept: lists carry them."""

NO_TRACE = bytes(16)
NO_SPAN = bytes(8)


def valid_ids(trace_id: bytes, span_id: bytes, reasons: Counter[str]) -> bool:
    """Tell whether both ids are of OpenTelemetry's form, counting the reason when one is not."""
    if len(trace_id) != 16 or trace_id == NO_TRACE:
        reasons[BAD_TRACE_ID] += 1
        return False
    if len(span_id) != 8 or span_id == NO_SPAN:
        reasons[BAD_SPAN_ID] += 1
        return False
    return True


def valid_parent(parent_id: bytes) -> bytes | None:
    """The parent's id; None for a root, and for an id that can belong to no span."""
    return parent_id if len(parent_id) == 8 and parent_id != NO_SPAN else None


def put(attributes: Attributes, key: str, value: AnyValue, repeats: dict[str, int]) -> bool:
    """Add an attribute; a key that is there already is kept under `key#2`, `key#3`… Returns True when it was.

    `repeats` remembers the last number of each key, so that thousands of one key take no longer than as many keys.
    """
    if key not in attributes:
        attributes[key] = value
        return False
    number = repeats.get(key, 1) + 1
    while f"{key}#{number}" in attributes:
        number += 1
    repeats[key] = number
    attributes[f"{key}#{number}"] = value
    return True


def instant(time: int) -> int:
    """An event's or a log's time, held to what the databases can hold."""
    return min(max(time, 0), MAX_INT64)


def span_kind(number: int) -> int:
    """OTLP's span kind; 0 for a number that no column can hold."""
    return number if 0 <= number <= MAX_INT16 else 0


def finish(span: SpanRecord) -> SpanRecord:
    """Hold times and texts to what can be kept, undo a span that names itself as its parent, and note it."""
    if len(span.name) > NAME_LIMIT or len(span.status_message) > MESSAGE_LIMIT:
        span.name, span.status_message = cut(span.name, NAME_LIMIT), cut(span.status_message, MESSAGE_LIMIT)
        span.flags |= Flag.CUT
    if span.start_time > MAX_INT64 or span.end_time > MAX_INT64:
        span.start_time, span.end_time = min(span.start_time, MAX_INT64), min(span.end_time, MAX_INT64)
        span.flags |= Flag.TIME_CLAMPED
    if span.start_time < 0 or span.end_time < 0:
        span.start_time, span.end_time = max(span.start_time, 0), max(span.end_time, 0)
        span.flags |= Flag.TIME_CLAMPED
    if not span.end_time:
        if not is_running(span):
            span.flags |= Flag.NO_END
    elif span.end_time < span.start_time:
        span.flags |= Flag.NEGATIVE_DURATION
    if span.parent_id == span.span_id:
        span.parent_id = None
        span.flags |= Flag.SELF_PARENT
    return span


def is_running(span: SpanRecord) -> bool:
    """A running step: no end yet, and announced as such by `stepscope.seq`."""
    return not span.end_time and type(span.attributes.get("stepscope.seq")) is int
