"""Puts a stored span's row and body together into the record that came."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tracer.otlp.dialects.reading import Usage
from tracer.otlp.records import Flag, SpanRecord
from tracer.store.bodies import Body, BodyReader, Place
from tracer.store.models import PACKS_PER_TRACE, Status

NO_USAGE = Usage()


def body_reader(pk: int, load: Callable[[int], bytes]) -> BodyReader:
    """A reader of one trace's bodies; `load` fetches a pack's data by its row number."""
    return BodyReader(lambda number: load(pk * PACKS_PER_TRACE + number))


def place_of(row: Any) -> Place:
    """Where a span row's body lies."""
    return Place(row.pack, row.body_offset, row.body_length)


def record_of(trace_id: bytes, row: Any, body: Body) -> SpanRecord:
    """The span as it came; a running one has its `stepscope.seq` back."""
    running = row.status == Status.running
    attributes = {**body.attributes, "stepscope.seq": row.seq or 0} if running else body.attributes
    return SpanRecord(
        trace_id,
        row.span_id,
        row.parent_id,
        row.name,
        row.otlp_kind,
        row.start_time,
        row.end_time or 0,
        0 if running else row.status,
        row.status_message or "",
        attributes,
        body.events,
        body.links,
        body.resource,
        body.scope,
        body.trace_state,
        body.otlp_flags,
        Flag(row.flags),
    )


def usage_of_row(row: Any) -> Usage | None:
    """The usage in a row of the span or the trace table; None when nothing was reported."""
    usage = Usage(
        row.input_tokens,
        row.output_tokens,
        row.total_tokens,
        row.cached_input_tokens,
        row.cache_write_tokens,
        row.reasoning_tokens,
        row.audio_tokens,
    )
    return None if usage == NO_USAGE else usage
