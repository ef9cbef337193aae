"""Puts a stored span's row and body together into the record that came."""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Any

from tracer.otlp.dialects.reading import Usage
from tracer.otlp.records import Flag, SpanRecord
from tracer.store.bodies import Body, BodyReader, Place
from tracer.store.models import PACKS_PER_TRACE, Status

NO_USAGE = Usage()

USAGE_COLUMNS = (
    "input_tokens",
    "output_tokens",
    "total_tokens",
    "cached_input_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "audio_tokens",
)
_counts = attrgetter(*USAGE_COLUMNS)
_NO_COUNTS = (None,) * len(USAGE_COLUMNS)


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
        Flag(row.flags) if row.flags else Flag.NONE,
    )


def usage_of_row(row: Any) -> Usage | None:
    """The usage in a row of the span or the trace table; None when nothing was reported."""
    return usage_of(_counts(row))


def usage_of(counts: tuple[int | None, ...]) -> Usage | None:
    """The usage of the columns USAGE_COLUMNS; None when nothing was reported."""
    return None if counts == _NO_COUNTS else Usage(*counts)
