"""Takes traces out of every table. `delete_traces` is the one place that knows what belongs to a trace.

A trace is gone for readers, counters and senders with the transaction of `delete_traces`. The rows of a large one
follow in slices (`sweep`), so that no transaction grows with a trace.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from tracer.ingest import cube
from tracer.ingest.alike import COUNTED, Notes, Recount, notes_of
from tracer.ingest.apply import Changes
from tracer.ingest.labels import drop_labels
from tracer.ingest.locks import lock_traces
from tracer.ingest.people import delete_added
from tracer.ingest.tombstones import write_tombstones
from tracer.search.write import forget_seen, remove_traces
from tracer.store.models import PACKS_PER_TRACE
from tracer.store.sql import Sql

LARGE = 2_000
"""Spans from which a trace's rows go in slices of their own."""

PACKS_AT_ONCE = 64
PACK_BYTES = "length(pack.data) + length(pack.pieces)"
NOTES_AT_ONCE = 50
"""Rows of what of a trace was in the search index; each has some kilobytes to a hundred."""


@dataclass(slots=True)
class Deleted:
    """What one transaction took out."""

    traces: int = 0
    spans: int = 0
    changes: Changes = field(default_factory=Changes)


def delete_traces(
    sql: Sql,
    pks: Sequence[int],
    *,
    deletion_id: int,
    shard: int,
    now: int,
    tombstones: bool = True,
    notes: Notes | None = None,
) -> Deleted:
    """Delete the traces of these row numbers that are still there, in the transaction that the caller commits.

    Their rows, tombstones, counters and lines in the change feed change together; `shard` is the writer's, `now` Unix
    nanoseconds. What is derived from spans (and asks for them) is taken back before they go. Without `tombstones` what
    comes for a trace later is taken: it lives on in another project. `notes` are what people gave the traces, where
    that has gone already.
    """
    rows = sorted(
        sql.rows_in("SELECT id, project_id, trace_id FROM trace WHERE id IN ({keys})", sorted(set(pks))),
        key=lambda row: (row.project_id, row.trace_id),
    )
    lock_traces(sql, [row.trace_id for row in rows])
    # Read again under the locks: another process may have deleted some, or added spans to others.
    rows = sorted(
        sql.rows_in(
            f"SELECT id, span_count, {', '.join(COUNTED)} FROM trace WHERE id IN ({{keys}})",
            [row.id for row in rows],
        ),
        key=lambda row: (row.project_id, row.trace_id),
    )
    deleted = Deleted(changes=Changes(at=now))
    if not rows:
        return deleted
    keys = [(row.project_id, row.trace_id) for row in rows]
    small = [row.id for row in rows if row.span_count <= LARGE]
    large = [(row.id, row.project_id, deletion_id) for row in rows if row.span_count > LARGE]
    if tombstones:
        write_tombstones(sql, keys, now)
    sizes = body_sizes(sql, small)
    count_change(sql, [(row.project_id, -1, -row.span_count, -sizes.get(row.id, 0)) for row in rows], shard)
    cube.subtract(sql, small)
    recount = Recount()
    recount.add_rows(rows, notes_of(sql, keys) if notes is None else notes, -1)
    recount.write(sql, alone=True)
    remove_traces(sql, small, large=[pk for pk, _, _ in large])
    drop_labels(sql, rows)
    sql.many("DELETE FROM trace WHERE id = ?", [(row.id,) for row in rows])
    sql.many("DELETE FROM log_record WHERE trace_id = ? AND project_id = ?", [(key[1], key[0]) for key in keys])
    delete_added(sql, keys)
    sql.many("DELETE FROM partial_output WHERE trace_pk = ?", [(row.id,) for row in rows])
    sql.many("DELETE FROM span WHERE trace_pk = ?", [(pk,) for pk in small])
    sql.many("DELETE FROM pack WHERE id >= ? AND id < ?", [_pack_range(pk) for pk in small])
    sql.insert("remains", ("trace_pk", "project_id", "deletion_id"), large)
    sql.insert("change", ("project_id", "trace_id", "at"), [(*key, now) for key in keys])
    for row in rows:
        deleted.traces += 1
        deleted.spans += row.span_count
        deleted.changes.add((row.project_id, row.trace_id))
    return deleted


def sweep(sql: Sql, *, spans: int, shard: int) -> bool:
    """Delete up to so many rows of a large trace that was deleted; False when no such trace is left.

    `shard` is the writer's.
    """
    found = sql.rows("SELECT trace_pk, project_id FROM remains ORDER BY trace_pk LIMIT 1")
    if not found:
        return False
    pk, project_id = found[0].trace_pk, found[0].project_id
    rows = sql.rows("SELECT * FROM span WHERE trace_pk = ? ORDER BY span_id LIMIT ?", [pk, spans])
    cube.take_away(sql, [cube.counted_row(project_id, row) for row in rows])
    sql.many("DELETE FROM span WHERE trace_pk = ? AND span_id = ?", [(pk, row.span_id) for row in rows])
    gone = len(rows)
    if gone == 0:
        packs = sql.rows(
            f"SELECT id, {PACK_BYTES} AS bytes FROM pack WHERE id >= ? AND id < ? ORDER BY id LIMIT ?",
            [*_pack_range(pk), PACKS_AT_ONCE],
        )
        if packs:
            sql.many("DELETE FROM pack WHERE id = ?", [(row.id,) for row in packs])
            count_change(sql, [(project_id, 0, 0, -sum(row.bytes for row in packs))], shard)
        gone = len(packs)
    if gone == 0:
        gone = forget_seen(sql, pk, rows=NOTES_AT_ONCE)
    if gone == 0:
        sql.run("DELETE FROM remains WHERE trace_pk = ?", [pk])
    return True


def body_sizes(sql: Sql, pks: Sequence[int]) -> dict[int, int]:
    """Bytes of the bodies of some traces, by row number; one without any is not named."""
    rows = sql.rows_in(
        f"SELECT trace.id, CAST(sum({PACK_BYTES}) AS BIGINT) AS bytes FROM trace JOIN pack ON "
        f"pack.id >= trace.id * {PACKS_PER_TRACE} AND pack.id < (trace.id + 1) * {PACKS_PER_TRACE} "
        "WHERE trace.id IN ({keys}) GROUP BY trace.id",
        pks,
    )
    return {row.id: row.bytes for row in rows}


def _pack_range(pk: int) -> tuple[int, int]:
    return pk * PACKS_PER_TRACE, (pk + 1) * PACKS_PER_TRACE


def count_change(sql: Sql, changes: Sequence[tuple[int, int, int, int]], shard: int) -> None:
    """Add to this process's shard of the counters, or take off: (project id, traces, spans, bytes of bodies) each."""
    counts: dict[int, list[int]] = {}
    for project_id, *numbers in changes:
        count = counts.setdefault(project_id, [0, 0, 0])
        count[:] = [before + number for before, number in zip(count, numbers, strict=True)]
    sql.insert(
        "project_counter",
        ("project_id", "shard", "trace_count", "span_count", "body_bytes"),
        [(project_id, shard, *count) for project_id, count in sorted(counts.items())],
        then="ON CONFLICT (project_id, shard) DO UPDATE SET "
        "trace_count = project_counter.trace_count + excluded.trace_count, "
        "span_count = project_counter.span_count + excluded.span_count, "
        "body_bytes = project_counter.body_bytes + excluded.body_bytes",
    )
