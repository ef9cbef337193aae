"""Keeps the index small and quick to ask: joins neighbouring segments, and writes those anew that hold removed words.

Segments grow by joining: of a kind's size (a few steps, hundreds, thousands) there are never more than some, so that a
search opens few of them. The new segment is made outside any transaction, in steps that let others run, and takes the
old ones' place in one. No transaction is open meanwhile, which would keep SQLite's log from being cut: what a segment
holds changes only when it is written anew, and that is found out at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from tracer.search.postings import Block, Posting, blocks, decode, encode, joined
from tracer.search.segments import (
    MAX_ENTRIES,
    MERGED_LEVEL,
    Run,
    Segment,
    decode_runs,
    delete_segment,
    insert_segment,
    segment_rows,
    traces_of,
)
from tracer.search.work import Outrun
from tracer.search.write import lock_index
from tracer.store.engine import Store
from tracer.store.sql import Sql

KINDS = ((16, 64), (256, 1024), (MAX_ENTRIES // 4, MAX_ENTRIES * 7 // 8))
"""Neighbours of up to so many entries each become one, as soon as together they have so many."""

NEIGHBOURS = 16
"""Or as soon as there are so many of them."""

SPARE = 40
"""Segments beyond what full ones would be, before any neighbours are joined that fit together."""

_SAME = "id, entries, documents, terms, dead, bytes"
"""What stays the same exactly as long as a segment is not written anew."""

SMALL_TERMS = 1 << 20
"""Joined segments have no more terms than this, counted before those in common are one: bounds a step's work."""


@dataclass(frozen=True, slots=True)
class Source:
    """A segment that is written anew, as it was found."""

    id: int
    documents: int
    dead: int
    same: tuple[Any, ...]
    """The values of _SAME."""
    runs: list[Run]
    blocks: list[bytes]
    """The first term of each."""


def plan(rows: Sequence[Any], *, purging: bool = True) -> list[int]:
    """The segments to write anew next, neighbours by number; empty when there is nothing to do.

    `rows` are all segments, the oldest first. Words of removed texts go before anything else, unless `purging` is
    False: then segments that have some are left as they are.
    """
    if purging:
        for row in rows:
            if row.dead:
                return [row.id]
    for size, whole in KINDS:
        run: list[Any] = []
        for row in rows:
            alone = row.entries > size or row.dead
            if alone or (run and not _fit([*run, row])):
                if len(run) > 1 and sum(one.entries for one in run) > whole // 2:
                    return [one.id for one in run]
                run = []
            if not alone:
                run.append(row)
            if len(run) > 1 and (len(run) == NEIGHBOURS or sum(one.entries for one in run) >= whole):
                return [one.id for one in run]
    if len(rows) > SPARE + 2 * sum(row.entries for row in rows) // MAX_ENTRIES:
        pairs = [pair for pair in pairwise(rows) if _fit(pair) and not pair[0].dead and not pair[1].dead]
        if pairs:
            return [one.id for one in min(pairs, key=lambda pair: pair[0].entries + pair[1].entries)]
    return []


def _fit(run: Sequence[Any]) -> bool:
    whole = run[-1].id + run[-1].entries - run[0].id
    return whole <= MAX_ENTRIES and sum(row.terms for row in run) <= SMALL_TERMS


def merge_once(
    store: Store,
    *,
    pause: Callable[[], None] = lambda: None,
    purging: bool = True,
    joining: bool = True,
    join: Callable[[list[Source]], Segment] | None = None,
) -> bool:
    """Write one group of segments anew; False when there was nothing to do.

    `purging` says whether segments with removed words are meant, `joining` whether neighbours are; `join` makes the
    new segment, in this thread unless told otherwise. Raises Unavailable when the database does not take it now.
    """
    with store.reading() as connection:
        sql = Sql(connection)
        rows = segment_rows(sql)
        chosen = plan(rows if joining else [row for row in rows if row.dead], purging=purging)
        if not chosen:
            return False
        sources = [_source(sql, number) for number in chosen]
    try:
        made = join(sources) if join is not None else join_segments(store, sources, pause)
        with store.writing(patient=False) as connection:
            _replace(Sql(connection), sources, made)
    except Outrun:
        pass
    return True


def purge(store: Store, *, pause: Callable[[], None] = lambda: None, stop: Callable[[], bool] = lambda: False) -> bool:
    """Write every segment anew that holds words of removed texts; False when `stop` said so before the end."""

    def look_up() -> None:
        if stop():
            raise _Stopped
        pause()

    try:
        while merge_once(store, pause=look_up, joining=False):
            pass
    except _Stopped:
        return False
    return True


class _Stopped(Exception):
    """Whoever purges has no more time."""


def _source(sql: Sql, number: int) -> Source:
    row = sql.rows(f"SELECT {_SAME}, runs FROM search_segment WHERE id = ?", [number])[0]
    blocks = sql.rows("SELECT first_term FROM search_block WHERE segment_id = ? ORDER BY first_term", [number])
    first_terms = [bytes(block.first_term) for block in blocks]
    return Source(row.id, row.documents, row.dead, tuple(row[:-1]), decode_runs(row.runs), first_terms)


def join_segments(store: Store, sources: list[Source], pause: Callable[[], None] = lambda: None) -> Segment:
    """One segment out of neighbours, without what is dead. The first keeps its number, gaps between them are entries
    that belong to no trace.
    """
    runs: list[Run] = []
    raised: list[int] = []
    for source in sources:
        offset = source.id - sources[0].id
        filled = sum(count for _, count in runs)
        if offset > filled:
            runs.append((0, offset - filled))
        raised.append(offset << 2)
        runs += source.runs
    count = 0
    gone: set[int] = set()

    def counted() -> Iterator[Posting]:
        nonlocal count
        for posting in _merged(store, sources, raised, pause, gone):
            count += 1
            yield posting

    made = list(blocks(counted(), level=MERGED_LEVEL))
    documents = sum(source.documents for source in sources) - len(gone)
    return Segment(sum(entries for _, entries in runs), documents, count, runs, made)


def _merged(
    store: Store, sources: list[Source], raised: list[int], pause: Callable[[], None], gone: set[int]
) -> Iterator[Posting]:
    """The postings of all sources in the order of their terms. Opens one block of each at a time."""
    streams = [_blocks_of(store, source, up, gone) for source, up in zip(sources, raised, strict=True)]
    waiting: list[list[Posting]] = [[] for _ in streams]
    while True:
        for place, stream in enumerate(streams):
            if not waiting[place]:
                waiting[place] = next(stream, [])
        heads = [found for found in waiting if found]
        if not heads:
            return
        pause()
        end = min(found[-1][0] for found in heads)
        together: dict[bytes, list[tuple[bytes, int]]] = {}
        for place, found in enumerate(waiting):
            taken = 0
            for term, posting in found:
                if term > end:
                    break
                taken += 1
                together.setdefault(term, []).append((posting, raised[place]))
            waiting[place] = found[taken:]
        for term in sorted(together):
            parts = together[term]
            yield term, parts[0][0] if len(parts) == 1 and not parts[0][1] else joined(parts)


def _blocks_of(store: Store, source: Source, up: int, gone: set[int]) -> Iterator[list[Posting]]:
    """A segment's postings block by block, without its dead entries' documents, which are added to `gone`, raised."""
    dead: set[int] = set()
    if source.dead:
        dead = {entry << 2 | side for entry, pk in enumerate(traces_of(source.runs)) if not pk for side in range(4)}
    for first_term in source.blocks:
        with store.reading() as connection:
            rows = Sql(connection).rows(
                "SELECT data FROM search_block WHERE segment_id = ? AND first_term = ?", [source.id, first_term]
            )
        if not rows:
            raise Outrun("a segment was written anew")
        found = Block(rows[0].data).postings()
        if dead:
            kept: list[Posting] = []
            for term, posting in found:
                documents = decode(posting)
                if dead.isdisjoint(documents):
                    kept.append((term, posting))
                    continue
                gone.update(document + up for document in documents if document in dead)
                left = [document for document in documents if document not in dead]
                if left:
                    kept.append((term, encode(left)))
            found = kept
        if found:
            yield found


def _replace(sql: Sql, sources: list[Source], made: Segment) -> None:
    lock_index(sql)
    for source in sources:
        rows = sql.rows(f"SELECT {_SAME} FROM search_segment WHERE id = ?", [source.id])
        if not rows or tuple(rows[0]) != source.same:
            raise Outrun("a segment changed")
        delete_segment(sql, source.id)
    insert_segment(sql, sources[0].id, made)
