"""Undoes a body's content encoding, never holding more than the limit."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import zstandard

from tracer.errors import BadPayload, TooLarge, UnsupportedMedia
from tracer.units import format_bytes

if TYPE_CHECKING:
    fast_zlib = zlib
else:
    try:
        # The same interface, twice as fast; there are machines for which it is not built.
        from isal import isal_zlib as fast_zlib
    except ImportError:
        fast_zlib = zlib

STEP = 1 << 20
SLICE = 1 << 16
"""Bytes of a compressed body that are looked at together, so that what follows a member's end is not copied over."""

ZSTD_SLICE = 512
"""A block of 4 bytes can stand for 128 KiB: so many bytes hold at most 17 MB."""

ZSTD_WINDOW = 1 << 23
"""The largest window that RFC 9659 allows in HTTP."""

MEMBERS = 4096
"""Gzip members or zstd frames in one body; each costs time, however short."""


def inflate(body: bytes, *, encoding: str, limit: int) -> bytes:
    """Return the body without its `Content-Encoding` (`gzip`, `deflate`, `zstd`, `identity` or empty).

    Raises UnsupportedMedia for another encoding or several, TooLarge over `limit` bytes (checked as it grows, so that
    a bomb costs no memory), BadPayload when the stream is broken or cut short.
    """
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        if len(body) > limit:
            raise too_large(limit)
        return body
    if encoding in ("gzip", "x-gzip"):
        return _zlib(body, wbits=31, limit=limit, name="gzip")
    if encoding == "deflate":
        # RFC 9110 means zlib's format; some senders leave its header out.
        wrapped = len(body) >= 2 and body[0] & 0x0F == 8 and (body[0] << 8 | body[1]) % 31 == 0
        return _zlib(body, wbits=15 if wrapped else -15, limit=limit, name="deflate")
    if encoding == "zstd":
        return _zstd(body, limit=limit)
    raise UnsupportedMedia(f"Content-Encoding {encoding[:40]!r} is not served: use gzip, deflate, zstd or none.")


def too_large(limit: int) -> TooLarge:
    """The refusal of a body over `limit` bytes."""
    return TooLarge(f"The body is over {format_bytes(limit)} after decompression: send smaller batches.")


def _zlib(body: bytes, *, wbits: int, limit: int, name: str) -> bytes:
    out: list[bytes] = []
    size = at = members = 0
    if not body:
        raise BadPayload(f"The {name} body is empty.")
    try:
        while at < len(body):
            members += 1
            if members > MEMBERS:
                raise BadPayload(f"The {name} body is in more than {MEMBERS} parts.")
            stream = fast_zlib.decompressobj(wbits)
            while not stream.eof:
                data = stream.unconsumed_tail
                if not data:
                    data = body[at : at + SLICE]
                    at += len(data)
                part = stream.decompress(data, min(STEP, limit - size + 1))
                size += len(part)
                out.append(part)
                if size > limit:
                    raise too_large(limit)
                if not (data or part):
                    raise BadPayload(f"The {name} body is cut short.")
            at -= len(stream.unused_data)
            if name == "gzip":
                while at < len(body) and not body[at]:
                    at += 1  # padding that RFC 1952 readers pass over
            elif at < len(body):
                raise BadPayload("The deflate body has bytes after its end.")
    except fast_zlib.error as problem:
        raise BadPayload(f"The {name} body is broken: {problem}.") from None
    return b"".join(out)


def _zstd(body: bytes, *, limit: int) -> bytes:
    out: list[bytes] = []
    size = at = members = 0
    if not body:
        raise BadPayload("The zstd body is empty.")
    try:
        while at < len(body):
            members += 1
            if members > MEMBERS:
                raise BadPayload(f"The zstd body is in more than {MEMBERS} parts.")
            stream = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW).decompressobj()
            while not stream.eof:
                data = body[at : at + ZSTD_SLICE]
                if not data:
                    raise BadPayload("The zstd body is cut short.")
                at += len(data)
                part = stream.decompress(data)
                size += len(part)
                if size > limit:
                    raise too_large(limit)
                out.append(part)
            at -= len(stream.unused_data)
    except zstandard.ZstdError as problem:
        raise BadPayload(f"The zstd body is broken: {problem}.") from None
    return b"".join(out)
