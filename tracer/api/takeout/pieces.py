"""What an export writes: traces with everything in them, read in short transactions, large ones in parts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from tracer.queries.added import scores_of
from tracer.queries.rows import ScoreRow, TraceRow
from tracer.queries.steps import WholeSpan, span_ids_of, whole_spans
from tracer.queries.walk import Place, Wanted, traces_at, walk
from tracer.store.engine import Store

SPANS_AT_ONCE = 200
"""Spans read in one transaction and held at once: those of some small traces, or a part of a large one."""

TRACES_AT_ONCE = 50
ROWS_AT_ONCE = 500
"""Traces read in one transaction where only their own rows are wanted."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A trace with its spans, or a part of a trace of more than SPANS_AT_ONCE; `part` counts from 1."""

    row: TraceRow
    spans: Sequence[WholeSpan] = ()
    part: int = 1
    more: bool = False
    """Another part follows."""
    scores: Sequence[ScoreRow] = field(default=())
    """Every score of the trace and its steps; in the first part only."""


def pieces(store: Store, wanted: Wanted, *, with_spans: bool) -> Iterator[list[Piece]]:
    """Everything that `wanted` finds, a list for each transaction; without `with_spans` the traces' rows alone."""
    for places in walk(store, wanted):
        if not with_spans:
            for begin in range(0, len(places), ROWS_AT_ONCE):
                with store.reading() as conn:
                    rows = traces_at(conn, places[begin : begin + ROWS_AT_ONCE], abandoned_after=wanted.abandoned_after)
                yield [Piece(row) for row in rows]
            continue
        for group in _groups(places):
            if group[0].span_count > SPANS_AT_ONCE:
                yield from _large(store, group[0], wanted)
            else:
                found, grown = _small(store, group, wanted)
                yield found
                for place in grown:
                    yield from _large(store, place, wanted)


def _groups(places: Sequence[Place]) -> Iterator[list[Place]]:
    group: list[Place] = []
    spans = 0
    for place in places:
        spans += place.span_count
        if group and (spans > SPANS_AT_ONCE or len(group) == TRACES_AT_ONCE):
            yield group
            group, spans = list[Place](), place.span_count
        group.append(place)
    if group:
        yield group


def _small(store: Store, group: Sequence[Place], wanted: Wanted) -> tuple[list[Piece], list[Place]]:
    """Some small traces, and the places of those that have grown large since the walk came by."""
    found: list[Piece] = []
    grown: list[Place] = []
    with store.reading() as conn:
        for row in traces_at(conn, group, abandoned_after=wanted.abandoned_after):
            if row.span_count > SPANS_AT_ONCE:
                grown.append(Place(row.received, row.span_count))
                continue
            scores: Sequence[ScoreRow] = scores_of(conn, trace=row, limit=None) if row.scores else ()
            found.append(Piece(row, list(whole_spans(conn, trace=row)), scores=scores))
    return found, grown


def _large(store: Store, place: Place, wanted: Wanted) -> Iterator[list[Piece]]:
    with store.reading() as conn:
        rows = traces_at(conn, [place], abandoned_after=wanted.abandoned_after)
        if not rows:
            return
        ids = span_ids_of(conn, trace=rows[0])
        scores = scores_of(conn, trace=rows[0], limit=None) if rows[0].scores else ()
    for number, begin in enumerate(range(0, len(ids), SPANS_AT_ONCE), 1):
        end = begin + SPANS_AT_ONCE
        with store.reading() as conn:
            spans = list(whole_spans(conn, trace=rows[0], span_ids=ids[begin:end]))
        yield [Piece(rows[0], spans, number, end < len(ids), scores if number == 1 else ())]
