"""The columns that ingest writes, in the order in which it writes them."""

from __future__ import annotations

import json
from typing import Any

from tracer.ingest.prepare import NO_PRICE, PreparedSpan, Price, as_json
from tracer.ingest.rollup import SpanFacts
from tracer.otlp.dialects import READER_VERSION
from tracer.otlp.dialects.reading import Usage
from tracer.store.bodies import Place
from tracer.store.models import SPAN_COLUMNS as ALL_SPAN_COLUMNS
from tracer.store.models import TRACE_COLUMNS as ALL_TRACE_COLUMNS
from tracer.store.spans import NO_USAGE

SPAN_COLUMNS = tuple(name for name in ALL_SPAN_COLUMNS if name != "trace_pk")
"""`span_id` first."""

TRACE_COLUMNS = tuple(name for name in ALL_TRACE_COLUMNS if name not in ("id", "project_id", "trace_id"))
"""What a roll-up writes."""

MAX_INT64 = 2**63 - 1


def held(number: int | None) -> int | None:
    """Hold a number from outside to what a 64-bit column can hold."""
    return None if number is None else max(-MAX_INT64, min(MAX_INT64, number))


def span_row(span: PreparedSpan, place: Place, now: int) -> tuple[Any, ...]:
    """One span's values for SPAN_COLUMNS."""
    record, facts, usage, price = span.record, span.facts, span.facts.usage, span.price
    return (
        record.span_id,
        record.parent_id,
        record.name,
        int(facts.kind),
        record.otlp_kind,
        int(span.status),
        record.status_message or None,
        record.start_time,
        record.end_time or None,
        held(span.seq) if span.running else None,
        now,
        facts.model,
        facts.provider,
        facts.response_id,
        *(_NO_FIGURES if usage is None and price is NO_PRICE else _figures(usage or NO_USAGE, price)),
        price.source,
        held(facts.time_to_first_token),
        facts.session_id,
        facts.user_id,
        facts.environment,
        facts.release,
        facts.service,
        as_json(list(facts.tags)) if facts.tags else None,
        as_json(facts.metadata) if facts.metadata else None,
        facts.dialect,
        READER_VERSION,
        int(record.flags),
        place.pack,
        place.offset,
        place.length,
    )


_NO_FIGURES = (None,) * 10


def _figures(usage: Usage, price: Price) -> tuple[int | None, ...]:
    return (
        held(usage.input),
        held(usage.output),
        held(usage.total),
        held(usage.cached_input),
        held(usage.cache_write),
        held(usage.reasoning),
        held(usage.audio),
        held(price.total),
        held(price.input),
        held(price.output),
    )


def facts_of(span: PreparedSpan) -> SpanFacts:
    """What the roll-up takes from a span that is being written."""
    record, facts = span.record, span.facts
    return SpanFacts(
        record.span_id,
        record.parent_id,
        record.name,
        int(span.status),
        record.start_time,
        record.end_time or None,
        facts.model,
        facts.service,
        facts.session_id,
        facts.user_id,
        facts.environment,
        facts.release,
        facts.tags,
        facts.metadata,
    )


def facts_of_row(row: Any) -> SpanFacts:
    """What the roll-up takes from a stored span."""
    return SpanFacts(
        row.span_id,
        row.parent_id,
        row.name,
        row.status,
        row.start_time,
        row.end_time,
        row.model,
        row.service,
        row.session_id,
        row.user_id,
        row.environment,
        row.release,
        tuple(json.loads(row.tags)) if row.tags else (),
        json.loads(row.metadata) if row.metadata else {},
    )
