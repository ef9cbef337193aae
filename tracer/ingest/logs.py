"""Joins log records to their spans, whichever comes first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from tracer.ingest.prepare import PreparedSpan, prepare, price_of
from tracer.otlp.dialects import read_facts
from tracer.otlp.records import LogRecord
from tracer.prices import PriceBook
from tracer.store.bodies import Body
from tracer.store.logs import decode_log, encode_log
from tracer.store.spans import record_of
from tracer.store.sql import Sql

SpanKey = tuple[int, bytes, bytes]
"""(project id, trace id, span id)."""


def write_logs(sql: Sql, records: Sequence[tuple[int, LogRecord]], now: int) -> set[SpanKey]:
    """Store the log records that are not there yet, and return the spans that those belong to."""
    rows: dict[tuple[bytes, int, bytes, bytes], tuple[Any, ...]] = {}
    for project, record in records:
        if record.trace_id is not None and record.span_id is not None:
            digest, body = encode_log(record)
            key = (record.trace_id, project, record.span_id, digest)
            rows[key] = (*key, record.time, now, body)
    known = sql.rows_in(
        "SELECT trace_id, project_id, span_id, digest FROM log_record WHERE trace_id IN ({keys})",
        sorted({key[0] for key in rows}),
    )
    for row in known:
        rows.pop((row.trace_id, row.project_id, row.span_id, row.digest), None)
    sql.insert(
        "log_record",
        ("trace_id", "project_id", "span_id", "digest", "time", "received_at", "body"),
        [rows[key] for key in sorted(rows)],
        then="ON CONFLICT DO NOTHING",
    )
    return {(project, trace_id, span_id) for trace_id, project, span_id, _ in rows}


def logs_of_traces(sql: Sql, trace_ids: Iterable[bytes]) -> dict[SpanKey, list[LogRecord]]:
    """The log records of traces by span, each in the order of their times."""
    out: dict[SpanKey, list[LogRecord]] = {}
    rows = sql.rows_in("SELECT * FROM log_record WHERE trace_id IN ({keys})", sorted(set(trace_ids)))
    for row in sorted(rows, key=lambda row: (row.time, row.digest)):
        out.setdefault((row.project_id, row.trace_id, row.span_id), []).append(decode_log(row))
    return out


def attach(span: PreparedSpan, logs: list[LogRecord], prices: PriceBook) -> None:
    """Read a span's facts and price again, with its log records."""
    span.logs = logs
    span.facts = read_facts(span.record, logs)
    if not span.running:
        span.price = price_of(span.record, span.facts, prices)


def reread(trace_id: bytes, row: Any, body: Body, logs: list[LogRecord], prices: PriceBook) -> PreparedSpan:
    """A stored span prepared again, with its log records."""
    record = record_of(trace_id, row, body)
    span = prepare([record], asked_project="stored", prices=prices)[0]
    attach(span, logs, prices)
    return span
