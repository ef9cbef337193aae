"""The bytes of the search index: blocks of terms, each with the documents that hold it.

A document is one side of one entry of a segment, `entry << 2 | side`, in 16 bits. A *posting* is a term's documents:
a byte for the width of the gaps, the first document in two bytes, then the gaps in one or two bytes each. A *block* is
the terms of a range, in order, and their postings, each compressed as a whole: that a term is not there is told without
its postings. All numbers are little-endian.
"""

from __future__ import annotations

import struct
import sys
import threading
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from itertools import accumulate
from operator import sub

import zstandard

BLOCK_SIZE = 24_576
"""Bytes, before compression, from which a block is closed."""

_NARROW, _WIDE = b"\0", b"\1"
_head = struct.Struct("<II")
_first = struct.Struct("<H")

Posting = tuple[bytes, bytes]
"""(term, its documents)."""


def _numbers(kind: str, data: bytes) -> array[int]:
    numbers = array(kind, data)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers


def _raw(kind: str, numbers: Iterable[int]) -> bytes:
    made = array(kind, numbers)
    if sys.byteorder == "big":
        made.byteswap()
    return made.tobytes()


def encode(documents: Sequence[int]) -> bytes:
    """A posting of documents, rising and none twice."""
    first = _first.pack(documents[0])
    if len(documents) == 1:
        return _NARROW + first
    gaps = list(map(sub, documents[1:], documents))
    if max(gaps) < 256:
        return _NARROW + first + bytes(gaps)
    return _WIDE + first + _raw("H", gaps)


def decode(posting: bytes) -> list[int]:
    """The documents of a posting."""
    if len(posting) == 3:
        return [posting[1] | posting[2] << 8]
    gaps = posting[3:] if posting[0] == 0 else _numbers("H", posting[3:])
    return list(accumulate(gaps, initial=posting[1] | posting[2] << 8))


def count(posting: bytes) -> int:
    """How many documents a posting has."""
    return len(posting) - 2 if posting[0] == 0 else 1 + (len(posting) - 3) // 2


def joined(parts: Sequence[tuple[bytes, int]]) -> bytes:
    """One posting out of (posting, by how much its documents are to be raised), in the order of the documents."""
    first = last = -1
    narrow = True
    gaps: list[int] = []
    for posting, raised in parts:
        start = (posting[1] | posting[2] << 8) + raised
        if first < 0:
            first = start
        else:
            gaps.append(start - last)
            narrow = narrow and start - last < 256
        last = start
        if len(posting) > 3:
            inside = posting[3:] if posting[0] == 0 else _numbers("H", posting[3:])
            narrow = narrow and posting[0] == 0
            gaps.extend(inside)
            last += sum(inside)
    return (_NARROW if narrow else _WIDE) + _first.pack(first) + (bytes(gaps) if narrow else _raw("H", gaps))


_threads = threading.local()


def _decompressed(data: bytes) -> bytes:
    """Blocks are opened by the thousand: making what opens them takes as long as opening one."""
    opener: zstandard.ZstdDecompressor | None = getattr(_threads, "opener", None)
    if opener is None:
        opener = _threads.opener = zstandard.ZstdDecompressor()
    return opener.decompress(data)


class Block:
    """A block opened: its terms, and the postings among which each is found."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._number, length = _head.unpack_from(data)
        self._postings_at = _head.size + length
        self._words = _decompressed(data[_head.size : self._postings_at])

    @cached_property
    def terms(self) -> list[bytes]:
        """Every term, in order."""
        return self._words.split(b"\0")

    @cached_property
    def _raw(self) -> bytes:
        """Where each posting ends, then the postings."""
        return _decompressed(self._data[self._postings_at :])

    @cached_property
    def _ends(self) -> array[int]:
        return _numbers("I", self._raw[: 4 * self._number])

    def find(self, term: bytes) -> bytes | None:
        """A term's posting; None when no document holds it."""
        if term not in self._words:  # most often so, and told before all terms are made
            return None
        place = bisect_left(self.terms, term)
        return self._posting(place) if place < len(self.terms) and self.terms[place] == term else None

    def beginning(self, prefix: bytes) -> list[bytes]:
        """The postings of the terms with this beginning."""
        found = list[bytes]()
        if prefix not in self._words:
            return found
        for place in range(bisect_left(self.terms, prefix), len(self.terms)):
            if not self.terms[place].startswith(prefix):
                break
            found.append(self._posting(place))
        return found

    def postings(self) -> list[Posting]:
        """Every term with its posting."""
        starts = (0, *self._ends)
        raw, base = self._raw, 4 * self._number
        return [
            (term, raw[base + starts[place] : base + end])
            for place, (term, end) in enumerate(zip(self.terms, self._ends, strict=True))
        ]

    def _posting(self, place: int) -> bytes:
        base, start = 4 * self._number, self._ends[place - 1] if place else 0
        return self._raw[base + start : base + self._ends[place]]


def blocks(postings: Iterable[Posting], *, level: int) -> Iterator[tuple[bytes, bytes]]:
    """Blocks out of postings in the order of their terms, as (first term, data); `level` is the compression's."""
    compress = zstandard.ZstdCompressor(level=level).compress
    terms: list[bytes] = []
    documents: list[bytes] = []
    size = 0
    for term, posting in postings:
        terms.append(term)
        documents.append(posting)
        size += len(term) + len(posting) + 5
        if size >= BLOCK_SIZE:
            yield terms[0], _block(terms, documents, compress)
            terms, documents, size = list[bytes](), list[bytes](), 0
    if terms:
        yield terms[0], _block(terms, documents, compress)


def _block(terms: list[bytes], documents: list[bytes], compress: Callable[[bytes], bytes]) -> bytes:
    words = compress(b"\0".join(terms))
    postings = compress(b"".join((_raw("I", accumulate(map(len, documents))), *documents)))
    return b"".join((_head.pack(len(terms), len(words)), words, postings))
