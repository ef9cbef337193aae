"""Estimates how many messages a body holds, before it is read: tiny ones cost a hundred times their bytes in memory."""

from __future__ import annotations

from random import randrange

LARGE = 2 * 2**20
"""Bytes from which a body is counted whole. Below, its parts cannot be so many that counting a sample would not do."""

WINDOW, WINDOWS = 2_048, 32
SLICE = 1 << 18

_NO_LENGTH = bytes(range(32, 256))


def count_parts(body: bytes, *, json: bool) -> int:
    """At least about how many messages an inflated request has: in JSON its objects, in protobuf its short fields.

    A field of protobuf shorter than 32 bytes has its length in a byte below 32, so there are no more of them than such
    bytes; longer ones are few for their bytes. Real requests have about one such byte in 30, a bomb every second one.
    """
    if not WINDOW * WINDOWS < len(body) < LARGE:
        return _count(body, json=json)
    # At places that a sender cannot foresee.
    starts = [randrange(len(body) - WINDOW) for _ in range(WINDOWS)]
    sample = b"".join([body[start : start + WINDOW] for start in starts])
    return _count(sample, json=json) * len(body) // len(sample)


def _count(body: bytes, *, json: bool) -> int:
    if json:
        return body.count(b"{")
    # In slices: what is left of a bomb is as large as the bomb.
    return sum(len(body[at : at + SLICE].translate(None, _NO_LENGTH)) for at in range(0, len(body), SLICE))
