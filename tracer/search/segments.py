"""Segments: some thousand entries of the index, each entry the new texts of one step.

Entries are numbered for good, in the order in which they were indexed; a segment's row number is its first entry's.
Which trace each entry belongs to stands in the segment's *runs*, (trace, how many entries) one after the other; entries
of deleted texts have the trace 0.
"""

from __future__ import annotations

import sys
from array import array
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import zstandard

from tracer.search.documents import Fragment
from tracer.search.postings import blocks, encode
from tracer.search.words import PART, WORD_BYTES, cut, parts, uncut_terms
from tracer.store.sql import Sql

MAX_ENTRIES = 1 << 14
"""A document is `entry << 2 | side` in 16 bits."""

MAX_TERMS = 200_000
"""Different terms of one segment while it is built: bounds the memory."""

DOCUMENT_TERMS = 100_000
"""Different terms indexed of one side of a step, those of its beginning: more than any language's prose has."""

SHORT = 1_000
"""Characters of a document whose terms may be kept as they are until the segment is done."""

FRESH_LEVEL, MERGED_LEVEL = 1, 3
"""zstd's levels for what will soon be merged, and for what stays."""

Run = tuple[int, int]


def encode_runs(runs: Iterable[Run]) -> bytes:
    """Runs as bytes; neighbours of one trace become one."""
    flat = array("q")
    for pk, count in runs:
        if flat and flat[-2] == pk:
            flat[-1] += count
        else:
            flat.extend((pk, count))
    if sys.byteorder == "big":
        flat.byteswap()
    return zstandard.ZstdCompressor(level=MERGED_LEVEL).compress(flat.tobytes())


def decode_runs(data: bytes) -> list[Run]:
    """Runs out of bytes."""
    flat = array("q", zstandard.ZstdDecompressor().decompress(data))
    if sys.byteorder == "big":
        flat.byteswap()
    return list(zip(flat[::2], flat[1::2], strict=True))


def traces_of(runs: Iterable[Run]) -> list[int]:
    """The trace of each entry, 0 for one that is gone."""
    return [pk for pk, count in runs for _ in range(count)]


@dataclass(slots=True)
class Segment:
    """A segment ready to be written; its number is known only when it is."""

    entries: int
    documents: int
    terms: int
    runs: list[Run]
    blocks: list[tuple[bytes, bytes]]

    @property
    def size(self) -> int:
        """Bytes of its blocks."""
        return sum(len(data) for _, data in self.blocks)


@dataclass(slots=True)
class Builder:
    """Collects the entries of one segment."""

    entries: int = 0
    documents: int = 0
    runs: list[Run] = field(default_factory=list)
    _postings: defaultdict[bytes, list[int]] = field(default_factory=lambda: defaultdict(list))

    @property
    def full(self) -> bool:
        """True when the next entry belongs into another segment."""
        return self.entries >= MAX_ENTRIES or len(self._postings) >= MAX_TERMS

    def add(self, pk: int, fragments: Sequence[Fragment]) -> None:
        """Add a step's new texts as the next entry."""
        postings, first = self._postings, self.entries << 2
        texts: dict[int, list[str]] = {}
        for side, text in fragments:
            texts.setdefault(side, []).append(text)
        for side in sorted(texts):
            document = first | side
            for term in _document_terms(texts[side]):
                postings[term].append(document)
            self.documents += 1
        self.entries += 1
        if self.runs and self.runs[-1][0] == pk:
            self.runs[-1] = (pk, self.runs[-1][1] + 1)
        else:
            self.runs.append((pk, 1))

    def finish(self) -> Segment:
        """The segment of what was added."""
        postings = self._postings
        for term in [term for term in postings if len(term) > WORD_BYTES]:
            documents = postings.pop(term)
            postings[cut(term)] = sorted({*documents, *postings.get(cut(term), ())})
        in_order = ((term, encode(postings[term])) for term in sorted(postings))
        made = list(blocks(in_order, level=FRESH_LEVEL))
        return Segment(self.entries, self.documents, len(postings), self.runs, made)


def document_terms(texts: Sequence[str]) -> set[bytes]:
    """What the index holds of the texts of one side of a step."""
    return {cut(term) for term in _document_terms(texts)}


def _document_terms(texts: Sequence[str]) -> set[bytes]:
    """The same; the terms of short texts are not cut yet, which costs less once for a segment."""
    size = sum(map(len, texts))
    if size <= SHORT:
        return uncut_terms(texts[0] if len(texts) == 1 else "\n".join(texts))
    if size <= PART:
        found = uncut_terms(texts[0] if len(texts) == 1 else "\n".join(texts))
        found = {cut(term) for term in found} if max(map(len, found), default=0) > WORD_BYTES else found
    else:
        found = set[bytes]()
        for text in texts:
            for part in parts(text, overlap=WORD_BYTES):
                found.update(map(cut, uncut_terms(part)))
                if len(found) >= DOCUMENT_TERMS:
                    return _first(found)
    return _first(found)


def _first(terms: set[bytes]) -> set[bytes]:
    return terms if len(terms) <= DOCUMENT_TERMS else set(sorted(terms)[:DOCUMENT_TERMS])


def insert_segment(sql: Sql, number: int, segment: Segment) -> None:
    """Write a segment under its number."""
    pks = [pk for pk, _ in segment.runs if pk]
    runs = encode_runs(segment.runs)
    sql.insert(
        "search_segment",
        ("id", "entries", "documents", "terms", "dead", "bytes", "first_trace", "last_trace", "runs"),
        [
            (
                number,
                segment.entries,
                segment.documents,
                segment.terms,
                0,
                segment.size + len(runs),
                min(pks),
                max(pks),
                runs,
            )
        ],
    )
    sql.insert(
        "search_block",
        ("segment_id", "first_term", "data"),
        [(number, first_term, data) for first_term, data in segment.blocks],
    )


def delete_segment(sql: Sql, number: int) -> None:
    """Delete a segment with its blocks."""
    sql.run("DELETE FROM search_block WHERE segment_id = ?", [number])
    sql.run("DELETE FROM search_segment WHERE id = ?", [number])


def segment_rows(sql: Sql) -> Sequence[Any]:
    """Every segment without its runs, the oldest first."""
    return sql.rows(
        "SELECT id, entries, documents, terms, dead, bytes, first_trace, last_trace FROM search_segment ORDER BY id"
    )
