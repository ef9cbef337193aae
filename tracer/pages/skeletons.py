"""The skeletons of traces that were opened lately, ready to send: the page makes one, its script asks for it next."""

from __future__ import annotations

import gzip
from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock

import msgspec

from tracer.pages.tree_rows import skeleton
from tracer.pages.wrong import Wrong, wrong_in
from tracer.queries.outline import Outline
from tracer.queries.rows import TraceRow

MOST_BYTES = 16 << 20
"""Compressed bytes kept; a trace of 100,000 steps takes about 1.5 MB."""

LEVEL = 1
"""Ids hardly compress: more work would not make the answer smaller."""

Key = tuple[int, int, str]


def key_of(trace: TraceRow) -> Key:
    """What a skeleton depends on: a running trace turns abandoned without a new version."""
    return trace.received, trace.version, trace.status


@dataclass(frozen=True, slots=True)
class Kept:
    """A trace's skeleton as gzipped JSON, and what its head says of the same state."""

    body: bytes
    wrong: Wrong | None


class SkeletonCache:
    """The newest skeletons, gzipped, up to `most` bytes; the least lately used goes first."""

    def __init__(self, most: int = MOST_BYTES) -> None:
        self._most = most
        self._size = 0
        self._kept: OrderedDict[Key, Kept] = OrderedDict()
        self._lock = Lock()

    def find(self, trace: TraceRow) -> Kept | None:
        """The trace's skeleton; None when it is not here."""
        with self._lock:
            key = key_of(trace)
            found = self._kept.get(key)
            if found is not None:
                self._kept.move_to_end(key)
            return found

    def make(self, trace: TraceRow, rows: Outline) -> Kept:
        """Make the skeleton of a trace whose tree was read, and keep it."""
        made = Kept(
            gzip.compress(msgspec.json.encode(skeleton(trace, rows)), LEVEL, mtime=0),
            wrong_in(trace, rows),
        )
        with self._lock:
            before = self._kept.pop(key_of(trace), None)
            if before is not None:
                self._size -= len(before.body)
            if len(made.body) <= self._most:
                self._kept[key_of(trace)] = made
                self._size += len(made.body)
            while self._size > self._most:
                self._size -= len(self._kept.popitem(last=False)[1].body)
        return made
