"""Brings stored spans up to this version's reader, or to today's prices, in slices that let ingest pass."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from threading import Event, Lock, Thread
from typing import Any, Literal

from sqlalchemy import Connection

from tracer.errors import Unavailable
from tracer.ingest.apply import Applier, Changes
from tracer.ingest.columns import held
from tracer.ingest.prepare import CACHED, PreparedSpan, Price
from tracer.ingest.relate import Stored, read_stored
from tracer.ingest.tombstones import Key
from tracer.ingest.writer import Writer
from tracer.otlp.dialects import READER_VERSION
from tracer.prices import PriceBook
from tracer.store.engine import Store
from tracer.store.models import Status
from tracer.store.spans import usage_of_row
from tracer.store.sql import Sql
from tracer.units import UnixNanos

logger = logging.getLogger(__name__)

FEWEST_SPANS, FIRST_SPANS, MOST_SPANS = 50, 200, 1_000
"""Of one slice. It grows and shrinks towards SLICE_S."""

SLICE_S = 0.03
"""What a slice should hold the writer: batches wait for it."""

PAUSE_S = 0.01
"""The least time between slices; a long one is followed by a pause as long as it took, reading included."""

TRACES_AT_ONCE = 500
TRIES, TRY_AGAIN_S = 30, 1.0
"""How often a slice is tried while the database is busy or away, and how far apart."""

Progress = Callable[[int, int], None]
"""Called after each slice with the spans done and the spans found at the start."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which spans are read again: those of an older reader; with `prices`, every finished model call too.

    `project` is a project's row number; `since` bounds the traces by their start. None for all.
    """

    project: int | None = None
    since: UnixNanos | None = None
    prices: bool = False

    @property
    def of_spans(self) -> str:
        """The condition on a span, `s`. A running step is read when it ends."""
        calls = " OR s.kind IN (3, 6)" if self.prices else ""
        return f"s.status <> {int(Status.running)} AND (s.reader_version < {READER_VERSION}{calls})"

    def of_traces(self) -> tuple[str, list[Any]]:
        """The condition on a trace, `t`, with its parameters."""
        terms, parameters = ["1 = 1"], list[Any]()
        if self.project is not None:
            terms.append("t.project_id = ?")
            parameters.append(self.project)
        if self.since is not None:
            terms.append("t.start_time >= ?")
            parameters.append(self.since)
        return " AND ".join(terms), parameters


def reread_spans(
    store: Store,
    writer: Writer,
    prices: PriceBook,
    wanted: Wanted,
    *,
    progress: Progress = lambda done, of: None,
    stopping: Event | None = None,
) -> int:
    """Read the wanted spans again and write what follows from it; returns how many there were.

    Spans are read here and written in slices between the writer's commits, each a transaction of its own, so that it
    can be stopped and begun again at any time. It ends early once `stopping` is set. Raises Unavailable when the
    database stays away or the writer ends.
    """
    stop = stopping or Event()
    total = _count(store, wanted)
    done = 0
    if total:
        progress(done, total)
    slices = _Slices(store, wanted)
    for part in slices:
        if stop.is_set():
            break
        start = time.perf_counter()
        for tries_left in reversed(range(TRIES)):
            try:
                slices.learn(_write(writer, _read(store, part, prices, settled=not wanted.prices)))
                break
            except Unavailable:
                if not tries_left or stop.wait(TRY_AGAIN_S):
                    raise
        done += sum(len(ids) for ids in part.values())
        progress(done, max(total, done))
        stop.wait(max(time.perf_counter() - start, PAUSE_S))
    return done


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a reading is, or how the last one ended."""

    state: Literal["idle", "running", "done", "stopped", "failed"] = "idle"
    done: int = 0
    total: int = 0
    problem: str | None = None


class Rereader:
    """Reads stored spans again on a thread of its own, one reading at a time, when it is asked to."""

    def __init__(self, store: Store, writer: Writer, prices: PriceBook) -> None:
        self._store = store
        self._writer = writer
        self._prices = prices
        self._lock = Lock()
        self._stopping = Event()
        self._thread: Thread | None = None
        self._standing = Standing()

    @property
    def standing(self) -> Standing:
        """How far it is."""
        return self._standing

    def ask(self, wanted: Wanted) -> bool:
        """Begin; False when a reading is under way already. Raises Unavailable when the database is read-only."""
        if self._store.read_only:
            raise Unavailable(f"{self._store.description} cannot be written.")
        with self._lock:
            if self._stopping.is_set() or self._standing.state == "running":
                return False
            self._standing = Standing("running")
            self._thread = Thread(target=self._run, args=[wanted], name="rereader", daemon=True)
            self._thread.start()
        return True

    def stop(self, *, within: float | None = None) -> None:
        """End after the slice that is under way, or after `within` seconds."""
        self._stopping.set()
        with self._lock:
            thread = self._thread
        if thread is not None:
            thread.join(within)

    def _run(self, wanted: Wanted) -> None:
        def progress(done: int, total: int) -> None:
            self._standing = Standing("running", done, total)

        try:
            self._prices.look()
            done = reread_spans(
                self._store, self._writer, self._prices, wanted, progress=progress, stopping=self._stopping
            )
        except Unavailable as problem:
            self._standing = replace(self._standing, state="failed", problem=problem.message)
        except Exception:
            logger.exception("stored steps could not be read again")
            self._standing = replace(self._standing, state="failed", problem="Something went wrong; the log has it.")
        else:
            state: Literal["stopped", "done"] = "stopped" if self._stopping.is_set() else "done"
            self._standing = Standing(state, done, done if state == "done" else self._standing.total)


def _read(store: Store, part: dict[Key, list[bytes]], prices: PriceBook, *, settled: bool) -> dict[Key, list[Stored]]:
    """What is stored of these spans, with what today's reader makes of it; `settled` prices stay."""
    with store.reading() as connection:
        read = read_stored(Sql(connection), part, prices)
    if settled:
        for span, row in (pair for pairs in read.values() for pair in pairs):
            if _same_call(row, span):
                span.price = Price(row.cost, row.input_cost, row.output_cost, row.cost_source)
    return read


def _write(writer: Writer, read: dict[Key, list[Stored]]) -> float:
    """Write one slice; returns for how many seconds it held the writer."""
    held = 0.0

    def work(applier: Applier, connection: Connection) -> Changes:
        nonlocal held
        start = time.perf_counter()
        changes = applier.reread(connection, read)
        held = time.perf_counter() - start
        return changes

    writer.change(work).result()
    return held


def _same_call(row: Any, span: PreparedSpan) -> bool:
    """True when nothing was read that a price follows from: the price stays the one of its day then."""
    facts = span.facts
    if facts.cache_hit or row.cost_source == CACHED.source:
        return False
    if row.cost_source == "sent" or facts.sent_cost is not None:
        return row.cost_source == "sent" and row.cost == held(facts.sent_cost)
    if facts.usage is not None and facts.usage.audio_output is not None:
        return False  # the columns do not hold what was told apart
    return (row.kind, row.model, row.provider, usage_of_row(row)) == (
        int(facts.kind),
        facts.model,
        facts.provider,
        facts.usage,
    )


def _count(store: Store, wanted: Wanted) -> int:
    condition, parameters = wanted.of_traces()
    with store.reading() as connection:
        rows = Sql(connection).rows(
            f"SELECT count(*) FROM span s JOIN trace t ON t.id = s.trace_pk WHERE {wanted.of_spans} AND {condition}",
            parameters,
        )
    return int(rows[0][0])


class _Slices:
    """The wanted spans by trace, so many together, traces in the order of their row numbers."""

    def __init__(self, store: Store, wanted: Wanted) -> None:
        self._store = store
        self._wanted = wanted
        self._spans = FIRST_SPANS

    def learn(self, held: float) -> None:
        """Make slices larger or smaller, after one that held the writer so long."""
        if held > 2 * SLICE_S:
            self._spans = max(FEWEST_SPANS, self._spans // 2)
        elif held < SLICE_S / 2:
            self._spans = min(MOST_SPANS, self._spans * 3 // 2)

    def __iter__(self) -> Iterator[dict[Key, list[bytes]]]:
        part: dict[Key, list[bytes]] = {}
        size = 0
        for key, pk in _traces(self._store, self._wanted):
            after = b""
            while ids := _span_ids(self._store, self._wanted, pk, after, max(1, self._spans - size)):
                part[key] = ids
                size, after = size + len(ids), ids[-1]
                if size >= self._spans:
                    yield part
                    part, size = dict[Key, list[bytes]](), 0
        if part:
            yield part


def _traces(store: Store, wanted: Wanted) -> Iterator[tuple[Key, int]]:
    condition, parameters = wanted.of_traces()
    last = 0
    while True:
        with store.reading() as connection:
            rows: Sequence[Any] = Sql(connection).rows(
                f"SELECT t.id, t.project_id, t.trace_id FROM trace t WHERE t.id > ? AND {condition} "
                f"AND EXISTS (SELECT 1 FROM span s WHERE s.trace_pk = t.id AND {wanted.of_spans}) "
                "ORDER BY t.id LIMIT ?",
                [last, *parameters, TRACES_AT_ONCE],
            )
        for row in rows:
            yield (row.project_id, row.trace_id), row.id
        if not rows:
            return
        last = rows[-1].id


def _span_ids(store: Store, wanted: Wanted, pk: int, after: bytes, limit: int) -> list[bytes]:
    with store.reading() as connection:
        rows = Sql(connection).rows(
            f"SELECT s.span_id FROM span s WHERE s.trace_pk = ? AND s.span_id > ? AND {wanted.of_spans} "
            "ORDER BY s.span_id LIMIT ?",
            [pk, after, limit],
        )
    return [row.span_id for row in rows]
