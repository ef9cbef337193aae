"""How log records are stored: one row each, compressed, found by the span they belong to."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

import msgspec
import zstandard

from tracer.otlp.records import LogRecord, Scope

_encode = msgspec.msgpack.Encoder().encode


def encode_log(record: LogRecord) -> tuple[bytes, bytes]:
    """Return (digest, body): the digest is the same whenever the same record is delivered again."""
    packed = _encode(
        [
            record.time,
            record.event_name,
            record.severity,
            record.body,
            record.attributes,
            record.resource,
            [record.scope.name, record.scope.version, record.scope.attributes],
        ]
    )
    return blake2b(packed, digest_size=16).digest(), zstandard.ZstdCompressor(level=3).compress(packed)


def decode_log(row: Any) -> LogRecord:
    """Read a row of the log table back into the record that came."""
    time, event_name, severity, body, attributes, resource, scope = msgspec.msgpack.decode(
        zstandard.ZstdDecompressor().decompress(row.body)
    )
    return LogRecord(row.trace_id, row.span_id, time, event_name, severity, body, attributes, resource, Scope(*scope))
