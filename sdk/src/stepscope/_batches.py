"""Batches: what one request carries, packed, and taken in halves when a server finds it too large."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from typing import NamedTuple

from ._spool import Stored

PIECE = 512 * 1024
"""Bytes packed between two looks at what piles up meanwhile."""


class Batch(NamedTuple):
    """One request's body."""

    body: bytes
    gzipped: bool
    finals: int
    """Finished steps in it."""
    size: int
    """Bytes of memory that the steps in it were counted with."""
    stored: Stored | None = None
    counted: bool = True
    """False: another process recorded these steps, and counted them."""
    score: bool = False
    """One score instead of steps."""


def stored_batch(stored: Stored, body: bytes, counted: bool) -> Batch:
    """Return what waited on disk as a batch."""
    return Batch(body, stored.gzipped, stored.count, 0, stored, counted, stored.score)


def _nothing() -> None:
    pass


def packed(body: bytes, meanwhile: Callable[[], None]) -> bytes:
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    parts: list[bytes] = []
    whole = memoryview(body)
    for start in range(0, len(body), PIECE):
        parts.append(packer.compress(whole[start : start + PIECE]))
        meanwhile()
    parts.append(packer.flush())
    return b"".join(parts)


def halves(batch: Batch) -> list[Batch] | None:
    """Split a batch in two; None where it holds a single step, or a score."""
    if batch.score:
        return None
    document = json.loads(zlib.decompress(batch.body, 47) if batch.gzipped else batch.body)
    holders = document["resourceSpans"][0]["scopeSpans"]
    spans = [(holder["scope"], span) for holder in holders for span in holder["spans"]]
    if len(spans) < 2:
        return None
    out: list[Batch] = []
    left = batch.size
    for part in (spans[: len(spans) // 2], spans[len(spans) // 2 :]):
        scopes: list[object] = []
        for scope, _ in part:
            if scope not in scopes:
                scopes.append(scope)
        document["resourceSpans"][0]["scopeSpans"] = [
            {"scope": scope, "spans": [span for other, span in part if other == scope]} for scope in scopes
        ]
        finals = sum(span["endTimeUnixNano"] != "0" for _, span in part)
        size = left if out else left * len(part) // len(spans)
        left -= size
        body = json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace")
        out.append(Batch(packed(body, _nothing), True, finals, size, None, batch.counted))
    return out
