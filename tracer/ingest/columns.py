"""The columns that ingest writes, in the order in which it writes them."""

from __future__ import annotations

import json
from typing import Any

from tracer.ingest.prepare import NO_PRICE, PreparedSpan, as_json
from tracer.ingest.rollup import SpanFacts
from tracer.ingest.words import words_as_json, words_of_json
from tracer.otlp.dialects import READER_VERSION
from tracer.otlp.text import cut
from tracer.store.bodies import Place
from tracer.store.models import TRACE_COLUMNS as ALL_TRACE_COLUMNS
from tracer.store.spans import NO_USAGE
from tracer.store.sql import Sql

_OF_EVERY_STEP = (
    "span_id", "parent_id", "name", "kind", "otlp_kind", "status", "start_time", "end_time", "received_at",
    "environment", "release", "service", "dialect", "reader_version", "flags", "pack", "body_offset", "body_length",
)  # fmt: skip
_OF_CALLS = (
    "model", "provider", "response_id", "input_tokens", "output_tokens", "total_tokens", "cached_input_tokens",
    "cache_write_tokens", "reasoning_tokens", "audio_tokens", "cost", "input_cost", "output_cost", "cost_source",
    "time_to_first_token",
)  # fmt: skip
_OF_FEW = ("status_message", "seq", "session_id", "user_id", "tags", "metadata")

SPAN_COLUMNS = (*_OF_EVERY_STEP, *_OF_CALLS, *_OF_FEW)
"""`span_id` first."""

TRACE_COLUMNS = tuple(name for name in ALL_TRACE_COLUMNS if name not in ("id", "project_id", "trace_id"))
"""What a roll-up writes."""

MAX_INT64 = 2**63 - 1


def held(number: int | None) -> int | None:
    """Hold a number from outside to what a 64-bit column can hold."""
    if number is None or -MAX_INT64 <= number <= MAX_INT64:
        return number
    return MAX_INT64 if number > 0 else -MAX_INT64


def span_row(span: PreparedSpan, place: Place, now: int) -> tuple[Any, ...]:
    """One span's values for SPAN_COLUMNS."""
    return (
        *_of_every_step(span, place, now),
        *(_of_call(span) or (None,) * len(_OF_CALLS)),
        *(_of_few(span) or (None,) * len(_OF_FEW)),
    )


class NewSpans:
    """Rows to insert, apart by the columns that they fill: most steps leave most of them empty, and each value that is
    handed to the database takes time.
    """

    def __init__(self) -> None:
        self._rows: dict[tuple[bool, bool], list[tuple[Any, ...]]] = {}

    def add(self, trace_pk: int, span: PreparedSpan, place: Place, now: int) -> None:
        """Add a span's row."""
        call, few = _of_call(span), _of_few(span)
        row = (trace_pk, *_of_every_step(span, place, now), *call, *few)
        self._rows.setdefault((bool(call), bool(few)), []).append(row)

    def write(self, sql: Sql) -> None:
        """Insert the rows."""
        for (of_calls, of_few), rows in self._rows.items():
            columns = ("trace_pk", *_OF_EVERY_STEP, *(_OF_CALLS if of_calls else ()), *(_OF_FEW if of_few else ()))
            sql.insert("span", columns, rows)


def _of_every_step(span: PreparedSpan, place: Place, now: int) -> tuple[Any, ...]:
    record, facts = span.record, span.facts
    return (
        record.span_id,
        record.parent_id,
        record.name,
        # `+` makes a member of an enum a plain integer, in a third of the time that `int()` takes.
        +facts.kind,
        record.otlp_kind,
        +span.status,
        record.start_time,
        record.end_time or None,
        now,
        facts.environment,
        facts.release,
        facts.service,
        facts.dialect,
        READER_VERSION,
        +record.flags,
        *place,
    )


def _of_call(span: PreparedSpan) -> tuple[Any, ...]:
    """The values for _OF_CALLS; empty when there is none."""
    facts, usage, price = span.facts, span.facts.usage, span.price
    model, provider, response_id = facts.model, facts.provider, facts.response_id
    first_token = facts.time_to_first_token
    if usage is None:
        if (model, provider, response_id, first_token) == _NO_CALL and price is NO_PRICE:
            return ()
        usage = NO_USAGE
    # The reader takes no count beyond a million million: none has to be held to what a column can.
    return (
        model,
        provider,
        response_id,
        usage.input,
        usage.output,
        usage.total,
        usage.cached_input,
        usage.cache_write,
        usage.reasoning,
        usage.audio,
        held(price.total),
        held(price.input),
        held(price.output),
        price.source,
        held(first_token),
    )


_NO_CALL = (None,) * 4


def _of_few(span: PreparedSpan) -> tuple[Any, ...]:
    """The values for _OF_FEW; empty when there is none."""
    record, facts, running = span.record, span.facts, span.running
    if not (
        record.status_message
        or running
        or facts.session_id is not None
        or facts.user_id is not None
        or facts.tags
        or facts.metadata
    ):
        return ()
    return (
        record.status_message or None,
        held(span.seq) if running else None,
        facts.session_id,
        facts.user_id,
        words_as_json(facts.tags) if facts.tags else None,
        as_json(facts.metadata) if facts.metadata else None,
    )


TRACE_NAME_LIMIT = 500
"""Characters of a step's name that a trace is called by: Postgres's indexes hold no more than some 2,700 bytes."""


def facts_of(span: PreparedSpan) -> SpanFacts:
    """What the roll-up takes from a span that is being written."""
    record, facts = span.record, span.facts
    return SpanFacts(
        record.span_id,
        record.parent_id,
        cut(record.name, TRACE_NAME_LIMIT),
        +span.status,
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
        cut(row.name, TRACE_NAME_LIMIT),
        row.status,
        row.start_time,
        row.end_time,
        row.model,
        row.service,
        row.session_id,
        row.user_id,
        row.environment,
        row.release,
        words_of_json(row.tags) if row.tags else (),
        json.loads(row.metadata) if row.metadata else {},
    )
