"""What is left of deleted traces: enough to refuse what comes late or again, for a while."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tracer.store.sql import Sql
from tracer.units import DAY

TOMBSTONES_KEPT = 30 * DAY
"""How long a deleted trace stays refused."""

PRUNED_AT_ONCE = 5_000

DELETED = "the trace was deleted here; what comes for it is refused for 30 days. Send it under a new trace id"
"""Why spans and log records of a deleted trace are refused."""

Key = tuple[int, bytes]
"""(project id, trace id)."""


def deleted_among(sql: Sql, keys: Iterable[Key]) -> set[Key]:
    """Which of the traces were deleted, and are not there again by way of another project that was merged."""
    wanted = set(keys)
    # What was deleted in a project stays deleted in the one that it became part of.
    rows = sql.rows_in(
        "SELECT coalesce(p.into_id, p.id) AS project_id, d.trace_id FROM tombstone d "
        "JOIN project p ON p.id = d.project_id WHERE d.trace_id IN ({keys}) "
        "AND NOT EXISTS (SELECT 1 FROM trace t WHERE t.trace_id = d.trace_id "
        "AND t.project_id = coalesce(p.into_id, p.id))",
        sorted({trace_id for _, trace_id in wanted}),
    )
    return {key for row in rows if (key := (row.project_id, row.trace_id)) in wanted}


def write_tombstones(sql: Sql, keys: Sequence[Key], now: int) -> None:
    """Leave a tombstone for each trace, dated `now` (Unix nanoseconds)."""
    sql.insert(
        "tombstone",
        ("trace_id", "project_id", "deleted_at"),
        [(trace_id, project_id, now) for project_id, trace_id in sorted(keys)],
        then="ON CONFLICT (trace_id, project_id) DO UPDATE SET deleted_at = excluded.deleted_at",
    )


def prune_tombstones(sql: Sql, now: int) -> int:
    """Forget tombstones and receipts older than TOMBSTONES_KEPT, a bounded number at once, and return how many."""
    sql.run("DELETE FROM deletion WHERE state <> 'running' AND finished_at < ?", [now - TOMBSTONES_KEPT])
    return sql.run(
        "DELETE FROM tombstone WHERE (trace_id, project_id) IN "
        "(SELECT trace_id, project_id FROM tombstone WHERE deleted_at < ? ORDER BY deleted_at LIMIT ?)",
        [now - TOMBSTONES_KEPT, PRUNED_AT_ONCE],
    )
