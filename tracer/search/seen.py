"""Which fragments of a trace are in the index already, and which entry brought them.

A row holds the entries that one slice made of one trace, one after the other: the step's id, how many fragments it
brought, their digests.
"""

from __future__ import annotations

import struct
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from tracer.search.documents import DIGEST_SIZE
from tracer.store.sql import Sql

KEPT = 50_000
"""Digests remembered between slices, over all traces (about 8 MB)."""

_entry = struct.Struct("<8sI")
_WIDTH = DIGEST_SIZE + 1

Entry = tuple[bytes, list[bytes]]
"""(span id, digests of the fragments that it brought)."""


def encode_entries(entries: Iterable[Entry]) -> bytes:
    """The entries of one trace as a row holds them."""
    return b"".join(part for span_id, digests in entries for part in (_entry.pack(span_id, len(digests)), *digests))


def decode_entries(data: bytes) -> Iterator[Entry]:
    """The entries in a row, in their order."""
    place = 0
    while place < len(data):
        span_id, count = _entry.unpack_from(data, place)
        place += _entry.size
        end = place + count * _WIDTH
        yield span_id, [data[start : start + _WIDTH] for start in range(place, end, _WIDTH)]
        place = end


def count_entries(data: bytes) -> int:
    """How many entries a row has."""
    place = count = 0
    while place < len(data):
        place += _entry.size + _WIDTH * _entry.unpack_from(data, place)[1]
        count += 1
    return count


@dataclass(slots=True)
class Seen:
    """What of one trace is in the index."""

    digests: set[bytes] = field(default_factory=set)
    spans: dict[bytes, list[bytes]] = field(default_factory=dict)
    """What each step brought."""

    def add(self, span_id: bytes, digests: list[bytes]) -> None:
        """Note an entry."""
        self.digests.update(digests)
        self.spans.setdefault(span_id, []).extend(digests)


class SeenTraces:
    """The traces indexed last; everything is forgotten when a slice was not written."""

    def __init__(self) -> None:
        self._traces: OrderedDict[int, Seen] = OrderedDict()
        self._count = 0

    def forget(self) -> None:
        """Ask the database again next time."""
        self._traces.clear()
        self._count = 0

    def load(self, sql: Sql, pks: Iterable[int]) -> dict[int, Seen]:
        """What of these traces is in the index; give it back with `keep` once the slice is written."""
        found: dict[int, Seen] = {}
        missing: list[int] = []
        for pk in pks:
            known = self._traces.pop(pk, None)
            if known is None:
                found[pk] = Seen()
                missing.append(pk)
            else:
                found[pk] = known
                self._count -= len(known.digests)
        rows = sql.rows_in("SELECT trace_pk, entry, data FROM search_seen WHERE trace_pk IN ({keys})", missing)
        for row in sorted(rows, key=lambda row: row.entry):
            for span_id, digests in decode_entries(row.data):
                found[row.trace_pk].add(span_id, digests)
        return found

    def keep(self, traces: dict[int, Seen]) -> None:
        """Remember what was written, and drop what was used longest ago."""
        for pk, seen in traces.items():
            self._traces[pk] = seen
            self._count += len(seen.digests)
        while self._count > KEPT and self._traces:
            _, dropped = self._traces.popitem(last=False)
            self._count -= len(dropped.digests)
