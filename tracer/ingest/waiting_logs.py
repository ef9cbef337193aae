"""Log records whose span never came: they belong to no trace that could be deleted, and go by their time."""

from __future__ import annotations

from collections.abc import Iterator

from tracer.ingest.locks import lock_traces
from tracer.ingest.people import delete_added
from tracer.ingest.receipts import Receipt
from tracer.ingest.tombstones import write_tombstones
from tracer.store.engine import Store
from tracer.store.sql import Sql

AT_ONCE = 500
LogKey = tuple[bytes, int, bytes, bytes]
"""(trace id, project id, span id, digest)."""

FIRST: LogKey = (b"", 0, b"", b"")


def waiting_logs(store: Store, receipt: Receipt) -> Iterator[list[LogKey]]:
    """Lists of the log records of a deletion's projects and time that wait for their span."""
    at = FIRST
    while keys := _next(store, receipt, at):
        yield keys
        at = keys[-1]


def _next(store: Store, receipt: Receipt, at: LogKey) -> list[LogKey]:
    moment = "CASE WHEN time > 0 THEN time ELSE received_at END"
    where, parameters = ["received_at <= ?"], [receipt.started_at]
    for condition, value in (
        (f"{moment} >= ?", receipt.since),
        (f"{moment} < ?", receipt.until),
        ("project_id = ?", receipt.project_id),
    ):
        if value is not None:
            where.append(condition)
            parameters.append(value)
    with store.reading() as connection:
        rows = Sql(connection).rows(
            "SELECT trace_id, project_id, span_id, digest FROM log_record "
            f"WHERE (trace_id, project_id, span_id, digest) > (?, ?, ?, ?) AND {' AND '.join(where)} "
            "AND NOT EXISTS (SELECT 1 FROM trace WHERE trace.trace_id = log_record.trace_id "
            "AND trace.project_id = log_record.project_id) "
            "ORDER BY trace_id, project_id, span_id, digest LIMIT ?",
            [*at, *parameters, AT_ONCE],
        )
    return [(row.trace_id, row.project_id, row.span_id, row.digest) for row in rows]


def drop_logs(sql: Sql, keys: list[LogKey], now: int) -> None:
    """Delete log records, but those whose span has come since they were chosen.

    Their traces get tombstones, so that a repeated delivery changes nothing.
    """
    lock_traces(sql, [key[0] for key in keys])
    found = sql.rows_in("SELECT project_id, trace_id FROM trace WHERE trace_id IN ({keys})", [key[0] for key in keys])
    taken = {(row.project_id, row.trace_id) for row in found}
    left = [key for key in keys if (key[1], key[0]) not in taken]
    sql.many("DELETE FROM log_record WHERE trace_id = ? AND project_id = ? AND span_id = ? AND digest = ?", left)
    gone = sorted({(key[1], key[0]) for key in left})
    delete_added(sql, gone)
    write_tombstones(sql, gone, now)
