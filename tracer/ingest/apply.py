"""Writes what many requests brought in one transaction: spans, bodies, roll-ups, counters, the change feed."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection

from tracer.ingest import cube, relate
from tracer.ingest.alike import Recount, notes_of
from tracer.ingest.call_state import TRACES_KEPT, CallState, CallStates
from tracer.ingest.columns import SPAN_COLUMNS, TRACE_COLUMNS, NewSpans, facts_of, facts_of_row, span_row
from tracer.ingest.fold import Folding
from tracer.ingest.labels import Relabelled
from tracer.ingest.locks import lock_traces
from tracer.ingest.logs import attach, logs_of_traces, write_logs
from tracer.ingest.prepare import PreparedSpan, as_json
from tracer.ingest.rollup import Rollup
from tracer.ingest.tombstones import Key, deleted_among
from tracer.ingest.words import words_as_json
from tracer.otlp.dialects.reading import CALL_KINDS
from tracer.otlp.records import LogRecord
from tracer.prices import PriceBook
from tracer.search.work import note_work
from tracer.store.bodies import Packer, known_pieces
from tracer.store.models import PACKS_PER_TRACE, Status
from tracer.store.projects import ProjectIds
from tracer.store.spans import body_reader, place_of
from tracer.store.sql import Sql

KNOWN_PIECES_KEPT = 50_000
"""Places of pieces remembered between commits, over all traces (about 10 MB)."""


@dataclass(slots=True)
class Changes:
    """What a commit changed: by project, the traces; `at` marks its lines in the change feed.

    `refused` has the traces, by the project's name and their id, of which nothing was written: they were deleted.
    """

    at: int = 0
    traces: dict[int, set[bytes]] = field(default_factory=dict)
    refused: set[tuple[str, bytes]] = field(default_factory=set)

    def add(self, key: Key) -> None:
        """Note a trace."""
        self.traces.setdefault(key[0], set()).add(key[1])


@dataclass(slots=True)
class _Touched:
    """One trace that a commit writes to."""

    key: Key
    pk: int
    new: bool
    row: Any
    rollup: Rollup
    spans: dict[bytes, PreparedSpan]
    stored: dict[bytes, Any] = field(default_factory=dict)
    """The rows, before this commit, of the incoming span ids that the trace already had."""
    inserted: list[PreparedSpan] = field(default_factory=list)
    finished: list[PreparedSpan] = field(default_factory=list)
    reread: list[tuple[PreparedSpan, Any]] = field(default_factory=list)
    """Stored spans whose log records came now, with their rows."""
    rebuild: bool = False
    packer: Packer | None = None
    pack_count: int = 0
    body_bytes: int = 0
    """Of the packs that this commit writes."""

    @property
    def written(self) -> list[bytes]:
        """The ids of the spans whose rows this commit writes."""
        written = (*self.inserted, *self.finished, *(span for span, _ in self.reread))
        return [span.record.span_id for span in written]

    @property
    def changed(self) -> bool:
        return bool(self.inserted or self.finished or self.rebuild)


_in_order = itemgetter(*TRACE_COLUMNS)
"""Takes a row's values out of its columns by name."""


class Applier:
    """Applies prepared batches. One an engine's writer: it remembers projects and pieces between commits.

    `search`: note what is written as work for the search index.
    """

    def __init__(self, *, shard: int, prices: PriceBook, search: bool = True) -> None:
        self._search = search
        self._prices = prices
        self.projects = ProjectIds()
        self.folding = Folding()
        self.shard = shard
        self._known: OrderedDict[int, tuple[int, dict[bytes, bytes]]] = OrderedDict()
        self._known_count = 0
        self._calls = CallStates()

    def forget(self) -> None:
        """Drop what was remembered: a transaction was rolled back."""
        self.projects.forget()
        self._known.clear()
        self._known_count = 0
        self._calls.forget()

    def apply(
        self, connection: Connection, spans: Sequence[PreparedSpan], logs: Sequence[tuple[str, LogRecord]] = ()
    ) -> Changes:
        """Write spans and log records; everything here is one transaction, which the caller commits.

        Order, repetition and lateness change nothing: finished beats running, the higher seq beats the lower, and of
        two finished versions the first stays.
        """
        sql, now, changes = Sql(connection), time.time_ns(), Changes()
        changes.at = now
        names = {span.project for span in spans} | {project for project, _ in logs}
        ids = self.projects.resolve(sql, names, now)
        incoming: dict[Key, dict[bytes, PreparedSpan]] = {}
        for span in spans:
            record = span.record
            key = (ids[span.project], record.trace_id)
            of_trace = incoming.get(key)
            if of_trace is None:
                of_trace = incoming[key] = dict[bytes, PreparedSpan]()
            known = of_trace.get(record.span_id)
            if known is None or span.beats(known):
                of_trace[record.span_id] = span
        records = [(ids[project], record) for project, record in logs]
        log_keys = {(project, record.trace_id) for project, record in records if record.trace_id}

        touched, deleted = self._touch(sql, incoming, log_keys)
        if deleted:
            records = [(project, record) for project, record in records if (project, record.trace_id) not in deleted]
            changes.refused = {(name, trace_id) for name in names for at, trace_id in deleted if ids[name] == at}
        self._sort_out(sql, touched)
        self._join_logs(sql, touched, write_logs(sql, records, now) if records else set())
        return self._write(sql, touched, changes)

    def reread(self, connection: Connection, spans: dict[Key, list[relate.Stored]]) -> Changes:
        """Write stored, finished spans as they were read again before, in one transaction.

        One whose row has changed since is read anew.
        """
        sql, changes = Sql(connection), Changes(at=time.time_ns())
        touched, _ = self._touch(sql, {}, set(spans))
        for trace in touched:
            read = {row.span_id: (span, row) for span, row in spans[trace.key]}
            rows = relate.span_rows(sql, [(trace.pk, span_id) for span_id in read])
            changed = [row.span_id for row in rows if tuple(row) != tuple(read[row.span_id][1])]
            if changed:
                again = relate.read_stored(sql, {trace.key: changed}, self._prices)
                read |= {row.span_id: (span, row) for span, row in again[trace.key]}
            trace.reread = [read[row.span_id] for row in rows]
            trace.rebuild = True
        return self._write(sql, touched, changes)

    def _write(self, sql: Sql, touched: list[_Touched], changes: Changes) -> Changes:
        """Write what was found to change: rows, bodies, roll-ups, counters, the change feed."""
        now = changes.at
        counted, replaced = self._write_spans(sql, touched, now)
        for trace in touched:
            if trace.changed:
                self._roll_up(sql, trace)
        recount = self._write_rollups(sql, touched, now)
        self._count(sql, touched, now)
        self.folding.watch(cube.add(sql, counted, instead_of=replaced))
        recount.write(sql)
        if self._search:
            note_work(sql, ((trace.pk, trace.written) for trace in touched if trace.changed), now)
        for trace in touched:
            if trace.changed:
                changes.add(trace.key)
        sql.insert(
            "change",
            ("project_id", "trace_id", "at"),
            [(trace.key[0], trace.key[1], now) for trace in touched if trace.changed],
        )
        return changes

    def _touch(
        self, sql: Sql, incoming: dict[Key, dict[bytes, PreparedSpan]], log_keys: set[Key]
    ) -> tuple[list[_Touched], set[Key]]:
        """The traces that spans or log records came for, locked; and those among them that were deleted."""
        keys = sorted({*incoming, *log_keys})
        lock_traces(sql, [trace_id for _, trace_id in keys])
        rows = {
            (row.project_id, row.trace_id): row
            for row in sql.rows_in(
                "SELECT * FROM trace WHERE trace_id IN ({keys})", sorted({trace_id for _, trace_id in keys})
            )
        }
        deleted = deleted_among(sql, (key for key in keys if key not in rows))
        keys = [key for key in keys if key not in deleted]
        new = [key for key in keys if key not in rows and key in incoming]
        pks = iter(self._new_pks(sql, len(new)))
        touched = []
        for key in keys:
            row = rows.get(key)
            if row is None and key not in incoming:
                continue  # logs alone make no trace: they wait for their span
            rollup = Rollup.load(row) if row is not None else Rollup()
            pk = row.id if row is not None else next(pks)
            trace = _Touched(key, pk, row is None, row, rollup, incoming.get(key, {}))
            trace.pack_count = row.pack_count if row is not None else 0
            touched.append(trace)
        return touched, deleted

    def _new_pks(self, sql: Sql, count: int) -> list[int]:
        if not count:
            return []
        if sql.sqlite:
            found = sql.rows("SELECT seq FROM sqlite_sequence WHERE name = 'trace'")
            last = found[0][0] if found else 0
            return list(range(last + 1, last + 1 + count))
        rows = sql.rows("SELECT nextval(pg_get_serial_sequence('trace', 'id')) FROM generate_series(1, ?)", [count])
        return sorted(row[0] for row in rows)

    def _sort_out(self, sql: Sql, touched: list[_Touched]) -> None:
        """Decide for each incoming span: inserted, finished (replaces a running version), or known already."""
        existing = [trace for trace in touched if not trace.new]
        by_pk = {trace.pk: trace for trace in existing}
        wanted = [(trace.pk, span_id) for trace in existing for span_id in trace.spans]
        for row in relate.span_rows(sql, wanted):
            by_pk[row.trace_pk].stored[row.span_id] = row
        for trace in touched:
            for span_id, span in trace.spans.items():
                row = trace.stored.get(span_id)
                if row is None:
                    trace.inserted.append(span)
                elif row.status == Status.running and (not span.running or (span.seq or 0) > (row.seq or 0)):
                    trace.finished.append(span)
            trace.inserted.sort(key=lambda span: span.order)

    def _join_logs(self, sql: Sql, touched: list[_Touched], arrived: set[tuple[int, bytes, bytes]]) -> None:
        """Give incoming spans the log records that waited, and stored spans those that came now."""
        logs = logs_of_traces(sql, (trace.key[1] for trace in touched))
        if not logs:
            return
        for trace in touched:
            for span in (*trace.inserted, *trace.finished):
                found = logs.get((*trace.key, span.record.span_id))
                if found:
                    attach(span, found, self._prices)
            if trace.new:
                continue
            coming = {span.record.span_id for span in (*trace.inserted, *trace.finished)}
            late = [
                (trace.pk, span_id)
                for project, trace_id, span_id in sorted(arrived)
                if (project, trace_id) == trace.key and span_id not in coming
            ]
            for row in relate.span_rows(sql, late):
                found = logs[(*trace.key, row.span_id)]
                trace.reread.append((relate.stored_span(sql, trace.key[1], row, found, self._prices), row))
                trace.rebuild = True

    def _write_spans(
        self, sql: Sql, touched: list[_Touched], now: int
    ) -> tuple[list[cube.CountedSpan], list[cube.CountedSpan]]:
        """Write spans and bodies; returns what the metrics cube counts, and the rows that it counts no longer."""
        new = NewSpans()
        updates: list[tuple[Any, ...]] = []
        packs: list[tuple[Any, ...]] = []
        partials: list[tuple[Any, ...]] = []
        settled: list[tuple[Any, ...]] = []
        counted: list[cube.CountedSpan] = []
        replaced: list[cube.CountedSpan] = []
        for trace in touched:
            project = trace.key[0]
            for span, row in trace.reread:
                columns = span_row(span, place_of(row), row.received_at)
                updates.append((*columns[1:], trace.pk, columns[0]))
                counted.append(cube.counted(project, span))
                replaced.append(cube.counted_row(project, row))
            if not trace.inserted and not trace.finished:
                continue
            packer = trace.packer = self._packer(sql, trace)
            for span in trace.inserted:
                new.add(trace.pk, span, packer.add(span.body), now)
                if not span.running:
                    counted.append(cube.counted(project, span))
            for span in trace.finished:
                stored = trace.stored[span.record.span_id]
                same = span.running and self._same_body(sql, trace, span, stored)
                place = place_of(stored) if same else packer.add(span.body)
                columns = span_row(span, place, now)
                updates.append((*columns[1:], trace.pk, columns[0]))
                if span.partial_output is None:
                    settled.append((trace.pk, span.record.span_id))
                if not span.running:
                    counted.append(cube.counted(project, span))
            partials += [
                (trace.pk, span.record.span_id, span.partial_output)
                for span in (*trace.inserted, *trace.finished)
                if span.partial_output is not None
            ]
            packer.finish()
            packs += [(trace.pk * PACKS_PER_TRACE + number, entries, data) for number, entries, data in packer.packs]
            trace.body_bytes = sum(len(entries) + len(data) for _, entries, data in packer.packs)
            trace.pack_count = packer.next_pack
            self._remember(trace.pk, packer)
        new.write(sql)
        assignments = ", ".join(f"{name} = ?" for name in SPAN_COLUMNS[1:])
        sql.many(f"UPDATE span SET {assignments} WHERE trace_pk = ? AND span_id = ?", updates)
        sql.insert("pack", ("id", "pieces", "data"), packs)
        sql.insert(
            "partial_output",
            ("trace_pk", "span_id", "text"),
            partials,
            then="ON CONFLICT (trace_pk, span_id) DO UPDATE SET text = excluded.text",
        )
        sql.many("DELETE FROM partial_output WHERE trace_pk = ? AND span_id = ?", settled)
        return counted, replaced

    def _packer(self, sql: Sql, trace: _Touched) -> Packer:
        if trace.new or not trace.pack_count:
            return Packer(0, {})
        remembered = self._known.pop(trace.pk, None)
        if remembered is not None:
            self._known_count -= len(remembered[1])
            if remembered[0] == trace.pack_count:
                return Packer(trace.pack_count, remembered[1])
        first = trace.pk * PACKS_PER_TRACE
        rows = sql.rows("SELECT id, pieces FROM pack WHERE id >= ? AND id < ?", [first, first + PACKS_PER_TRACE])
        return Packer(trace.pack_count, known_pieces((row.id - first, row.pieces) for row in rows))

    def _remember(self, pk: int, packer: Packer) -> None:
        self._known[pk] = (packer.next_pack, packer.known)
        self._known_count += len(packer.known)
        while (self._known_count > KNOWN_PIECES_KEPT or len(self._known) > TRACES_KEPT) and self._known:
            _, (_, dropped) = self._known.popitem(last=False)
            self._known_count -= len(dropped)

    def _same_body(self, sql: Sql, trace: _Touched, span: PreparedSpan, stored: Any) -> bool:
        """True when a newer running version differs by its growing output only, so that its body need not be stored."""
        body = body_reader(trace.pk, relate.pack_loader(sql)).read(place_of(stored))
        record = span.record
        kept = {key: value for key, value in record.attributes.items() if key not in relate.RUNNING_ONLY}
        return (body.attributes, body.events, body.resource) == (kept, record.events, record.resource)

    def _roll_up(self, sql: Sql, trace: _Touched) -> None:
        if not trace.rebuild:
            parents = {span.record.parent_id for span in trace.inserted if span.record.parent_id is not None} - {
                span.record.span_id for span in trace.inserted
            }
            stored = set() if trace.new else relate.stored_ids(sql, trace.pk, parents)
            trace.rollup.add((facts_of(span) for span in trace.inserted), stored_parents=stored)
            for span in trace.finished:
                was = facts_of_row(trace.stored[span.record.span_id])
                if not trace.rollup.finish(facts_of(span), was=was):
                    trace.rebuild = True
        if trace.rebuild:
            trace.rollup = Rollup()
            rows = relate.all_spans(sql, trace.pk)
            trace.rollup.add((facts_of_row(row) for row in rows), stored_parents=set())

    def _write_rollups(self, sql: Sql, touched: list[_Touched], now: int) -> Recount:
        """Write the traces' rows and labels; returns what changes of the counts of traces that are alike."""
        inserts, updates = list[tuple[Any, ...]](), list[tuple[Any, ...]]()
        notes = notes_of(sql, (trace.key for trace in touched if trace.changed))
        relabelled, recount = Relabelled(sql, notes), Recount()
        for trace in touched:
            if not trace.changed:
                continue
            columns = self._columns(sql, trace, now)
            row = _in_order(columns)
            if trace.new:
                inserts.append((trace.pk, *trace.key, *row))
            else:
                updates.append((*row, trace.pk))
            relabelled.add(trace.key, trace.pk, was=trace.row, now=columns)
            if trace.row is not None:
                recount.add(trace.key[0], trace.row._mapping, notes.get(trace.key), -1)
            recount.add(trace.key[0], columns, notes.get(trace.key))
        sql.insert("trace", ("id", "project_id", "trace_id", *TRACE_COLUMNS), inserts)
        relabelled.write()
        assignments = ", ".join(f"{name} = ?" for name in TRACE_COLUMNS)
        sql.many(f"UPDATE trace SET {assignments} WHERE id = ?", updates)
        return recount

    def _columns(self, sql: Sql, trace: _Touched, now: int) -> dict[str, Any]:
        rollup, row = trace.rollup, trace.row
        root_id = rollup.root[1]
        written = (*trace.finished, *trace.inserted, *(span for span, _ in trace.reread))
        fresh = next((span for span in written if span.record.span_id == root_id), None)
        if fresh is not None:
            root = facts_of(fresh)
            previews = fresh.previews()
        else:
            stored = relate.span_rows(sql, [(trace.pk, root_id)])[0]
            root = facts_of_row(stored)
            state_root = Rollup.load(row).root[1] if row is not None else None
            if state_root == root_id and not trace.rebuild:
                previews = (row.input_preview, row.output_preview)
            else:
                previews = self._previews(sql, trace, stored)
        columns = rollup.head(root)
        columns["metadata"] = as_json(columns["metadata"])
        columns["tags"] = words_as_json(columns["tags"])
        columns["input_preview"], columns["output_preview"] = previews
        columns |= {
            "start_time": rollup.start_time,
            "end_time": rollup.end_time,
            "duration": rollup.duration,
            "received_at": row.received_at if row is not None else now,
            "changed_at": now,
            "span_count": rollup.span_count,
            "running_count": rollup.running_count,
            "error_count": rollup.error_count,
            "models": words_as_json(sorted(rollup.models)),
            "services": words_as_json(sorted(rollup.services)),
            "version": (row.version if row is not None else 0) + 1,
            "pack_count": trace.pack_count,
            "state": rollup.dump_state(),
        }
        return columns | self._call_columns(sql, trace)

    def _call_columns(self, sql: Sql, trace: _Touched) -> dict[str, Any]:
        """Tokens and cost: from the remembered state and what came, else from the stored spans."""
        version = trace.row.version if trace.row is not None else 0
        state = CallState() if trace.new else None if trace.rebuild else self._calls.take(trace.pk, version)
        if state is None:
            state = CallState()
            state.add(*relate.stored_calls(sql, trace.pk))
        else:
            written = (*trace.inserted, *trace.finished)
            state.add(
                ((span.record.span_id, (span.record.parent_id, +span.facts.kind)) for span in written),
                [relate.call_of(span) for span in written if span.facts.kind in CALL_KINDS and not span.running],
            )
        self._calls.put(trace.pk, version + 1, state)
        return relate.call_columns(state.totals())

    def _previews(self, sql: Sql, trace: _Touched, row: Any) -> tuple[str | None, str | None]:
        """The previews of a stored span that has become the main root."""
        logs = logs_of_traces(sql, [trace.key[1]]).get((*trace.key, row.span_id), [])
        return relate.stored_span(sql, trace.key[1], row, logs, self._prices).previews()

    def _count(self, sql: Sql, touched: Iterable[_Touched], now: int) -> None:
        """Add to this process's shard of each project's counters."""
        added: dict[int, list[int]] = {}
        for trace in touched:
            if trace.inserted or trace.body_bytes:
                counts = added.setdefault(trace.key[0], [0, 0, 0])
                counts[0] += trace.new
                counts[1] += len(trace.inserted)
                counts[2] += trace.body_bytes
        sql.insert(
            "project_counter",
            ("project_id", "shard", "trace_count", "span_count", "body_bytes", "first_seen", "last_seen"),
            [(project, self.shard, *counts, now, now) for project, counts in sorted(added.items())],
            then="ON CONFLICT (project_id, shard) DO UPDATE SET "
            "trace_count = project_counter.trace_count + excluded.trace_count, "
            "span_count = project_counter.span_count + excluded.span_count, "
            "body_bytes = project_counter.body_bytes + excluded.body_bytes, last_seen = excluded.last_seen",
        )
