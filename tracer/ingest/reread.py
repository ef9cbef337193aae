"""Brings stored spans up to this version's reader, or to today's prices, in slices that let ingest pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from tracer.ingest.apply import Applier, Changes, Key
from tracer.ingest.columns import held
from tracer.ingest.prepare import CACHED, PreparedSpan, Price
from tracer.otlp.dialects import READER_VERSION
from tracer.prices import PriceBook
from tracer.store.engine import Store
from tracer.store.models import Status
from tracer.store.spans import usage_of_row
from tracer.store.sql import Sql
from tracer.units import UnixNanos

SPANS_PER_SLICE = 1_000
"""Spans of one transaction: about half a second."""

TRACES_AT_ONCE = 500

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


def reread_spans(store: Store, prices: PriceBook, wanted: Wanted, *, progress: Progress = lambda done, of: None) -> int:
    """Read the wanted spans again and write what follows from it; returns how many there were.

    Each slice is one transaction, so that it can be stopped and begun again at any time.
    """
    applier = Applier(shard=0, prices=prices)
    total = _count(store, wanted)
    done = 0
    for part in _slices(store, wanted):
        try:
            with store.writing() as connection:
                apply_slice(applier, connection, part, prices=wanted.prices)
        except BaseException:
            applier.forget()
            raise
        done += sum(len(ids) for ids in part.values())
        progress(done, max(total, done))
    return done


def apply_slice(applier: Applier, connection: Connection, part: dict[Key, list[bytes]], *, prices: bool) -> Changes:
    """Read these spans again within a transaction: their rows, their traces' roll-ups, the change feed."""

    def settle(row: Any, span: PreparedSpan) -> None:
        if not prices and _same_call(row, span):
            span.price = Price(row.cost, row.input_cost, row.output_cost, row.cost_source)

    return applier.reread(connection, part, settle=settle)


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


def _slices(store: Store, wanted: Wanted) -> Iterator[dict[Key, list[bytes]]]:
    """The wanted spans by trace, at most SPANS_PER_SLICE together, traces in the order of their row numbers."""
    part: dict[Key, list[bytes]] = {}
    size = 0
    for key, pk in _traces(store, wanted):
        after = b""
        while True:
            ids = _span_ids(store, wanted, pk, after, SPANS_PER_SLICE - size)
            if not ids:
                break
            part[key] = ids
            size, after = size + len(ids), ids[-1]
            if size >= SPANS_PER_SLICE:
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
