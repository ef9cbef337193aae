"""What the writer looks up of traces that it already has."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from tracer.ingest.call_state import Edge
from tracer.ingest.calls import TOKEN_FIELDS, Call, CallTotals
from tracer.ingest.columns import held
from tracer.ingest.logs import logs_of_traces, reread
from tracer.ingest.prepare import PreparedSpan
from tracer.ingest.tombstones import Key
from tracer.otlp.records import LogRecord
from tracer.prices import PriceBook
from tracer.store.bodies import RUNNING_ONLY
from tracer.store.models import Status
from tracer.store.spans import body_reader, place_of, usage_of_row
from tracer.store.sql import Sql

__all__ = ["RUNNING_ONLY"]


def span_rows(sql: Sql, keys: Sequence[tuple[int, bytes]]) -> list[Any]:
    """The rows of the named spans, (trace's row number, span id), that are stored."""
    return list(sql.rows_at("span", ("trace_pk", "span_id"), keys))


def all_spans(sql: Sql, pk: int) -> Sequence[Any]:
    """Every row of a trace's spans."""
    return sql.rows("SELECT * FROM span WHERE trace_pk = ?", [pk])


def partial_output(sql: Sql, pk: int, span_id: bytes) -> str | None:
    """The output so far of a running step; None when it has told none, or has ended."""
    found = sql.rows("SELECT text FROM partial_output WHERE trace_pk = ? AND span_id = ?", [pk, span_id])
    return found[0].text if found else None


def pack_loader(sql: Sql) -> Callable[[int], bytes]:
    """What fetches a pack's compressed bytes by its row number, for a `body_reader`."""
    return lambda number: sql.rows("SELECT data FROM pack WHERE id = ?", [number])[0].data


def stored_span(sql: Sql, trace_id: bytes, row: Any, logs: list[LogRecord], prices: PriceBook) -> PreparedSpan:
    """A stored span prepared again: as if its row, its body, its log records and its output so far came now."""
    span = reread(trace_id, row, body_reader(row.trace_pk, pack_loader(sql)).read(place_of(row)), logs, prices)
    if span.running:
        span.partial_output = partial_output(sql, row.trace_pk, row.span_id)
    return span


Stored = tuple[PreparedSpan, Any]
"""A stored span prepared again, with its row."""


def read_stored(sql: Sql, spans: dict[Key, list[bytes]], prices: PriceBook) -> dict[Key, list[Stored]]:
    """Stored, finished spans prepared again; what is not there any more, or still runs, is left out."""
    ids = {trace_id for _, trace_id in spans}
    found = sql.rows_in("SELECT id, project_id, trace_id FROM trace WHERE trace_id IN ({keys})", sorted(ids))
    pks = {(row.project_id, row.trace_id): row.id for row in found}
    logs = logs_of_traces(sql, ids)
    keys = {pks[key]: key for key in spans if key in pks}
    out: dict[Key, list[Stored]] = {key: [] for key in keys.values()}
    for row in span_rows(sql, [(pk, span_id) for pk, key in keys.items() for span_id in spans[key]]):
        if row.status != Status.running:
            key = keys[row.trace_pk]
            span = stored_span(sql, key[1], row, logs.get((*key, row.span_id), []), prices)
            out[key].append((span, row))
    return out


def stored_ids(sql: Sql, pk: int, ids: Iterable[bytes]) -> set[bytes]:
    """Which of the ids are spans of the trace; asked before the commit's own spans count."""
    found = sql.rows_in("SELECT span_id FROM span WHERE trace_pk = ? AND span_id IN ({keys})", sorted(ids), before=[pk])
    return {row.span_id for row in found}


def call_of(span: PreparedSpan) -> Call:
    """A model call that is being written."""
    record, facts = span.record, span.facts
    return Call(
        record.span_id,
        record.parent_id,
        +facts.kind,
        record.start_time,
        span.status is Status.error,
        facts.response_id,
        facts.usage,
        held(span.price.total),
        span.price.source,
    )


def stored_calls(sql: Sql, pk: int) -> tuple[list[tuple[bytes, Edge]], list[Call]]:
    """The place of every span of a stored trace, and its finished model calls."""
    rows = sql.rows("SELECT span_id, parent_id, kind FROM span WHERE trace_pk = ?", [pk])
    edges = [(row.span_id, (row.parent_id, row.kind)) for row in rows]
    rows = sql.rows(
        "SELECT span_id, parent_id, kind, start_time, status, response_id, input_tokens, output_tokens, total_tokens, "
        "cached_input_tokens, cache_write_tokens, reasoning_tokens, audio_tokens, cost, cost_source "
        f"FROM span WHERE trace_pk = ? AND kind IN (3, 6) AND status <> {int(Status.running)}",
        [pk],
    )
    calls = [
        Call(
            row.span_id,
            row.parent_id,
            row.kind,
            row.start_time,
            row.status == Status.error,
            row.response_id,
            usage_of_row(row),
            row.cost,
            row.cost_source,
        )
        for row in rows
    ]
    return edges, calls


_TOKEN_COLUMNS = tuple((name, f"{name}_tokens") for name in TOKEN_FIELDS)


def call_columns(totals: CallTotals) -> dict[str, Any]:
    """A trace's columns of tokens and cost."""
    columns: dict[str, Any] = {column: held(totals.tokens.get(name)) for name, column in _TOKEN_COLUMNS}
    columns["llm_call_count"] = totals.llm_call_count
    columns["cost"] = held(totals.cost)
    sources = totals.cost_sources
    columns["cost_source"] = "mixed" if len(sources) > 1 else sources[0] if sources else None
    columns["partial_reasons"] = json.dumps(totals.reasons) if totals.reasons else None
    columns["partial_count"] = totals.partial_count
    return columns
