"""Writes slices of the index, takes texts out of it, and says who indexes: one process at a time.

A slice is made outside any transaction and written in one, which also deletes the lines of work: a crash leaves the
lines, never half a slice. Every change to the index locks its one row of state first, so that a trace deleted in the
meantime is seen.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence

from tracer.search.seen import count_entries, encode_entries
from tracer.search.segments import (
    Run,
    decode_runs,
    delete_segment,
    encode_runs,
    insert_segment,
)
from tracer.search.slices import Slice
from tracer.search.work import Outrun, note_steps
from tracer.store.sql import Sql
from tracer.units import SECOND

LEASE = 4 * SECOND
"""A process that indexed may go on for so long without asking; after a crash another waits so long."""


def take_lease(sql: Sql, owner: str, now: int) -> bool:
    """Become the process that indexes, or stay it; False while another one is."""
    return (
        sql.run(
            "UPDATE search_state SET owner = ?, until = ? WHERE id = 1 AND (owner = ? OR until < ? OR until > ?)",
            [owner, now + LEASE, owner, now, now + 2 * LEASE],
        )
        == 1
    )


def write_slice(sql: Sql, made: Slice, *, owner: str, now: int) -> None:
    """Add a slice to the index and delete its lines of work.

    Raises Outrun, and the transaction has to be rolled back, when the lease is lost or a trace or a line is gone.
    """
    rows = sql.rows(
        "UPDATE search_state SET until = ?, next_entry = next_entry + ? "
        "WHERE id = 1 AND owner = ? AND until >= ? RETURNING next_entry",
        [now + LEASE, made.entries, owner, now],
    )
    if not rows:
        raise Outrun("another process indexes")
    there = sum(1 for _ in sql.rows_in("SELECT id FROM trace WHERE id IN ({keys})", made.traces))
    if there < len(made.traces):
        raise Outrun("a trace was deleted")
    if delete_lines(sql, made.lines) < len(made.lines):
        raise Outrun("the work was done already")
    remove_traces(sql, made.rebuilt)
    base = number = rows[0].next_entry - made.entries
    for segment in made.segments:
        insert_segment(sql, number, segment)
        number += segment.entries
    sql.insert(
        "search_seen",
        ("trace_pk", "entry", "data"),
        [(pk, base + first, encode_entries(entries)) for pk, first, entries in made.seen],
    )


def delete_lines(sql: Sql, lines: Sequence[int]) -> int:
    """Delete lines of work and return how many were there."""
    done = 0
    for start in range(0, len(lines), 1000):
        part = lines[start : start + 1000]
        done += sql.run(f"DELETE FROM search_work WHERE id IN ({', '.join('?' * len(part))})", part)
    return done


def lock_index(sql: Sql) -> None:
    """Hold the index for this transaction; on SQLite the transaction itself does."""
    if not sql.sqlite:
        sql.rows("SELECT id FROM search_state WHERE id = 1 FOR UPDATE")


def remove_traces(sql: Sql, pks: Iterable[int], *, large: Iterable[int] = ()) -> None:
    """Take traces out of the index, in the caller's transaction: from now on no search finds them.

    Segments with nothing else in them are gone at once. From the others the words go when they are written anew, which
    `purge` does; `purge_due` tells when nothing is left. Of `large` traces it stays noted what of them was in the
    index, which may be much: `forget_seen` deletes that in slices.
    """
    some, many = sorted(set(pks)), set(large)
    if not some and not many:
        return
    lock_index(sql)
    starts = [row.id for row in sql.rows("SELECT id FROM search_segment ORDER BY id")]
    segments: set[int] = set()
    for row in sql.rows_in("SELECT entry, data FROM search_seen WHERE trace_pk IN ({keys})", some):
        last = row.entry + count_entries(row.data) - 1
        segments.update(starts[bisect_right(starts, row.entry) - 1 : bisect_right(starts, last)])
    for pk in many:
        rows = sql.rows("SELECT id FROM search_segment WHERE first_trace <= ? AND last_trace >= ?", [pk, pk])
        segments.update(row.id for row in rows)
    _kill(sql, segments, frozenset((*some, *many)))
    for start in range(0, len(some), 1000):
        part = some[start : start + 1000]
        sql.run(f"DELETE FROM search_seen WHERE trace_pk IN ({', '.join('?' * len(part))})", part)


def forget_seen(sql: Sql, pk: int, *, rows: int) -> int:
    """Delete what is noted of a trace that was taken out, up to so many rows; returns how many there were."""
    return sql.run(
        "DELETE FROM search_seen WHERE trace_pk = ? AND entry IN "
        "(SELECT entry FROM search_seen WHERE trace_pk = ? ORDER BY entry LIMIT ?)",
        [pk, pk, rows],
    )


def index_anew(sql: Sql, pk: int, *, owner: str, now: int) -> None:
    """Take a trace out of the index and note all its steps as work, where it is too large for one slice.

    Raises Outrun, and the transaction has to be rolled back, when the lease is lost.
    """
    if not take_lease(sql, owner, now):
        raise Outrun("another process indexes")
    remove_traces(sql, [pk])
    note_steps(sql, pk, now)


def _kill(sql: Sql, segments: Iterable[int], gone: frozenset[int]) -> None:
    for number in sorted(segments):
        row = sql.rows("SELECT dead, runs FROM search_segment WHERE id = ?", [number])[0]
        runs = decode_runs(row.runs)
        killed = sum(count for pk, count in runs if pk in gone)
        if not killed:
            continue
        left: list[Run] = [(0 if pk in gone else pk, count) for pk, count in runs]
        if not any(pk for pk, _ in left):
            delete_segment(sql, number)
            continue
        sql.run(
            "UPDATE search_segment SET dead = ?, runs = ? WHERE id = ?", [row.dead + killed, encode_runs(left), number]
        )


def purge_due(sql: Sql) -> int:
    """How many segments still hold words of what was removed."""
    return sql.rows("SELECT count(*) AS due FROM search_segment WHERE dead > 0")[0].due
