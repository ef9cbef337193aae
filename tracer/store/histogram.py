"""Histograms of lengths of time that add and subtract exactly: one integer each, 64 bits of it a bin.

A bin's neighbour begins at most 6 % later, so that the geometric middle of a bin is at most 3 % from every value in it.
The edges are made by integer arithmetic: a value falls into the same bin on every machine. Since the counts lie side by
side in one integer, adding two histograms is adding two integers, and what is subtracted was exactly what was added.
"""

from __future__ import annotations

import struct
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import accumulate, pairwise
from math import isqrt

BIN_BITS = 64
LAST = 2**63
_offset = struct.Struct("<H")


def _edges() -> list[int]:
    edges = [0]
    while edges[-1] < LAST:
        edges.append(max(edges[-1] + 1, edges[-1] * 106 // 100))
    return edges


EDGES = _edges()
"""Bin `i` holds the values from `EDGES[i]` up to, not including, `EDGES[i + 1]`, in nanoseconds."""

MIDDLES = [(isqrt(4 * low * (high - 1)) + 1) // 2 for low, high in pairwise(EDGES)]
"""What stands for all values of a bin."""


def bin_of(value: int) -> int:
    """The bin of a value from 0 to 2^63 - 1."""
    return bisect_right(EDGES, value) - 1


def histogram_of(values: Iterable[int]) -> int:
    """The histogram of some values, each from 0 to 2^63 - 1."""
    counts = Counter([bisect_right(EDGES, value) for value in values])
    if not counts:
        return 0
    lowest = min(counts)
    packed = sum([count << BIN_BITS * (place - lowest) for place, count in counts.items()])
    return packed << BIN_BITS * (lowest - 1)


def write_histogram(packed: int) -> bytes:
    """A histogram, or a difference of two, as bytes: its lowest bin, then the bins from there on."""
    if not packed:
        return b""
    lowest = ((packed & -packed).bit_length() - 1) // BIN_BITS
    rest = packed >> BIN_BITS * lowest
    return _offset.pack(lowest) + rest.to_bytes(rest.bit_length() // 8 + 1, "little", signed=True)


def read_histogram(data: bytes | None) -> int:
    """What `write_histogram` wrote; 0, the empty histogram, for nothing."""
    if not data:
        return 0
    return int.from_bytes(data[2:], "little", signed=True) << BIN_BITS * _offset.unpack_from(data)[0]


def sum_histograms(stored: Sequence[bytes]) -> int:
    """The sum of what `write_histogram` wrote, many times: faster than reading each."""
    if not stored:
        return 0
    # Only as far up as the lowest of them lies: integers of hundreds of bytes, not of thousands.
    places = [_offset.unpack_from(data)[0] for data in stored]
    lowest = min(places)
    total = 0
    for data, place in zip(stored, places, strict=True):
        total += int.from_bytes(data[2:], "little", signed=True) << BIN_BITS * (place - lowest)
    return total << BIN_BITS * lowest


def counts_of(packed: int) -> tuple[int, tuple[int, ...]]:
    """The lowest bin with anything in it, and the counts of it and the bins above; (0, ()) for the empty histogram."""
    if not packed:
        return 0, ()
    lowest = ((packed & -packed).bit_length() - 1) // BIN_BITS
    rest = packed >> BIN_BITS * lowest
    bins = (rest.bit_length() - 1) // BIN_BITS + 1
    return lowest, struct.unpack(f"<{bins}Q", rest.to_bytes(bins * (BIN_BITS // 8), "little"))


def percentiles(packed: int, percents: Sequence[int]) -> tuple[int, list[int]] | None:
    """How many values there are, and those that so many percent of all do not exceed, each within 3 %.

    None for the empty histogram.
    """
    lowest, counts = counts_of(packed)
    if not counts:
        return None
    up_to = list(accumulate(counts))
    ranks = [-(-up_to[-1] * percent // 100) for percent in percents]
    return up_to[-1], [MIDDLES[lowest + bisect_left(up_to, rank)] for rank in ranks]
