"""Recomputes the index from the stored steps and says where it differs: a trace and a segment at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import blake2b

from tracer.otlp.dialects import READER_VERSION
from tracer.search.documents import Fragment, digest
from tracer.search.postings import Block, decode
from tracer.search.seen import Entry, decode_entries
from tracer.search.segments import decode_runs, document_terms, segment_rows, traces_of
from tracer.search.slices import StepReader
from tracer.search.work import take_work, wanted
from tracer.store.engine import Store
from tracer.store.sql import Sql

_TURN = 1 << 64
ALL_WORK = 1 << 40
TOGETHER = 100
"""Traces held against the index in one transaction."""


@dataclass(frozen=True, slots=True)
class IndexDifference:
    """One difference between the index and the stored steps; `trace_pk` is 0 for what belongs to no trace."""

    trace_pk: int
    words: str


def verify_index(store: Store) -> Iterator[IndexDifference]:
    """Every difference, segment by segment and trace by trace, each in one read transaction.

    Traces that wait to be indexed are left out, and those of which an older reader read a step: reading it again
    (`stepscope reread`) indexes it again.
    """
    with store.reading() as connection:
        numbers = [row.id for row in segment_rows(Sql(connection))]
    for number in numbers:
        with store.reading() as connection:
            sql = Sql(connection)
            # A segment that was joined to its neighbours meanwhile is seen with those.
            found = list(_verify_segment(sql, number, _waiting(sql))) if _is_there(sql, number) else []
        yield from found
    last = 0
    while True:
        with store.reading() as connection:
            sql = Sql(connection)
            waiting = _waiting(sql)
            rows = sql.rows("SELECT id, changed_at FROM trace WHERE id > ? ORDER BY id LIMIT ?", [last, TOGETHER])
            since = sql.rows("SELECT off_since FROM search_state WHERE id = 1")[0].off_since
            found = list[IndexDifference]()
            for row in rows:
                if row.id not in waiting and (since is None or row.changed_at < since):
                    found += _verify_coverage(sql, row.id)
        yield from found
        if not rows:
            break
        last = rows[-1].id
    with store.reading() as connection:
        gone = Sql(connection).rows(
            "SELECT DISTINCT trace_pk FROM search_seen WHERE trace_pk NOT IN "
            "(SELECT id FROM trace UNION ALL SELECT trace_pk FROM remains)"
        )
    for row in gone:
        yield IndexDifference(row.trace_pk, "the trace is gone, its entries are not")


def verify_trace(sql: Sql, pk: int) -> list[IndexDifference]:
    """The differences of one trace; none while it waits to be indexed."""
    waiting = _waiting(sql)
    if pk in waiting:
        return []
    found = list(_verify_coverage(sql, pk))
    for row in segment_rows(sql):
        if row.first_trace <= pk <= row.last_trace:
            found += [one for one in _verify_segment(sql, row.id, waiting, only=pk) if one.trace_pk == pk]
    return found


def _waiting(sql: Sql) -> set[int]:
    return set(wanted(take_work(sql, spans=ALL_WORK)))


def _is_there(sql: Sql, number: int) -> bool:
    return bool(sql.rows("SELECT 1 FROM search_segment WHERE id = ?", [number]))


def _verify_coverage(sql: Sql, pk: int) -> Iterator[IndexDifference]:
    """Each fragment of the trace's steps was brought by one entry, and nothing else was."""
    texts = _Texts(sql, pk)
    if texts.old:
        return
    brought: set[bytes] = set()
    for _, (span_id, digests) in sorted(_entries(sql, pk).items()):
        if not set(digests) <= texts.digests(span_id):
            yield IndexDifference(pk, f"step {span_id.hex()} brought a text that it does not have")
        if not brought.isdisjoint(digests):
            yield IndexDifference(pk, f"step {span_id.hex()} brought a text that the index had")
        brought.update(digests)
    if texts.everything() - brought:
        yield IndexDifference(pk, f"{len(texts.everything() - brought)} texts are not in the index")


def _verify_segment(sql: Sql, number: int, waiting: set[int], *, only: int | None = None) -> Iterator[IndexDifference]:
    """The terms of each document are those of its texts; compared by their sums, so that few are held at once."""
    counts, sums = _sums(sql, number)
    runs = decode_runs(sql.rows("SELECT runs FROM search_segment WHERE id = ?", [number])[0].runs)
    traces = traces_of(runs)
    dead = sql.rows("SELECT dead FROM search_segment WHERE id = ?", [number])[0].dead
    entries: dict[int, list[int]] = {}
    for entry, pk in enumerate(traces):
        entries.setdefault(pk, []).append(entry)
    for pk, places in entries.items():
        if pk == 0:
            left = any(counts.get(place << 2 | side) for place in places for side in range(4))
            if left and not dead:
                yield IndexDifference(0, f"segment {number} holds words of removed texts")
            continue
        if pk in waiting or (only is not None and pk != only):
            continue
        brought = _entries(sql, pk)
        # Only these entries' steps: a trace may lie in many segments.
        texts = _Texts(sql, pk, {brought[number + place][0] for place in places if number + place in brought})
        if texts.old:
            continue
        for place in places:
            if number + place not in brought:
                yield IndexDifference(pk, f"entry {number + place} is nobody's")
                continue
            span_id, digests = brought[number + place]
            for side, found in texts.sides(span_id, digests).items():
                document = place << 2 | side
                if (counts.pop(document, 0), sums.pop(document, 0)) != _sum(document_terms(found)):
                    yield IndexDifference(pk, f"step {span_id.hex()} has other words in the index, side {side}")
            if any(counts.get(place << 2 | side) for side in range(4) if side not in texts.sides(span_id, digests)):
                yield IndexDifference(pk, f"step {span_id.hex()} has words in the index that it does not say")


def _sums(sql: Sql, number: int) -> tuple[dict[int, int], dict[int, int]]:
    """How many terms each document of a segment has, and the sum of their hashes."""
    counts: dict[int, int] = {}
    sums: dict[int, int] = {}
    for block in sql.rows("SELECT id FROM search_block WHERE segment_id = ? ORDER BY first_term", [number]):
        data = sql.rows("SELECT data FROM search_block WHERE id = ?", [block.id])[0].data
        for term, posting in Block(data).postings():
            value = _hash(term)
            for document in decode(posting):
                counts[document] = counts.get(document, 0) + 1
                sums[document] = (sums.get(document, 0) + value) % _TURN
    return counts, sums


def _sum(terms: Iterable[bytes]) -> tuple[int, int]:
    values = [_hash(term) for term in terms]
    return len(values), sum(values) % _TURN


def _hash(term: bytes) -> int:
    return int.from_bytes(blake2b(term, digest_size=8).digest())


def _entries(sql: Sql, pk: int) -> dict[int, Entry]:
    """What each of a trace's entries brought."""
    found: dict[int, Entry] = {}
    for row in sql.rows("SELECT entry, data FROM search_seen WHERE trace_pk = ? ORDER BY entry", [pk]):
        found |= dict(enumerate(decode_entries(row.data), row.entry))
    return found


class _Texts:
    """The texts of a trace's steps, or of some of them, as they are stored now."""

    def __init__(self, sql: Sql, pk: int, steps: set[bytes] | None = None) -> None:
        reader = StepReader(sql)
        there = reader.open([pk])
        bodies = reader.reader(pk)
        rows = reader.rows({pk: steps}).get(pk, []) if there else []
        self.old = any(row.reader_version != READER_VERSION for row in rows)
        self._steps: dict[bytes, dict[bytes, Fragment]] = {
            row.span_id: {digest(one): one for one in reader.fragments(row, bodies)} for row in rows
        }

    def digests(self, span_id: bytes) -> set[bytes]:
        """What a step has."""
        return set(self._steps.get(span_id, ()))

    def everything(self) -> set[bytes]:
        """What all steps have."""
        return {mark for step in self._steps.values() for mark in step}

    def sides(self, span_id: bytes, digests: Iterable[bytes]) -> dict[int, list[str]]:
        """The texts with these digests by side, in the step's order."""
        wanted_marks = set(digests)
        found: dict[int, list[str]] = {}
        for mark, (side, text) in self._steps.get(span_id, {}).items():
            if mark in wanted_marks:
                found.setdefault(int(side), []).append(text)
        return found
