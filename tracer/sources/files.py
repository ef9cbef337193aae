"""Reads files of traces for an import, of any size, in batches: our own exports and OTLP in each of its forms."""

from __future__ import annotations

import gzip
import io
import sys
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO, cast

import msgspec
import zstandard
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tracer.errors import BadPayload
from tracer.sources.source import Batch, BatchKind
from tracer.units import format_bytes

BATCH_BYTES = 4 * 2**20
"""A batch ends once it has so many bytes."""

LINE_LIMIT = 512 * 2**20
"""A line, a document or one resource's part of a protobuf file is held in memory whole, up to so many bytes."""

_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_MARK = b"\xef\xbb\xbf"
_FIRST_TAG = b"\x0a"
"""Field 1, length-delimited: a resource's part of a request."""
_NOTHING = msgspec.Raw()


class _Document(msgspec.Struct):
    """The outermost fields by which a JSON document is known."""

    resource_spans: list[msgspec.Raw] | None = msgspec.field(default=None, name="resourceSpans")
    resource_logs: list[msgspec.Raw] | None = msgspec.field(default=None, name="resourceLogs")
    otlp: msgspec.Raw = _NOTHING
    trace_id: str | None = None


_decoder = msgspec.json.Decoder(_Document)


class ImportFile:
    """An open file; `position` and `size` tell how far it is read, in bytes as they lie on the disk."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._stack = ExitStack()
        if path == "-":
            self._raw: BinaryIO = sys.stdin.buffer
            self.size = 0
        else:
            try:
                self.size = Path(path).stat().st_size
                self._raw = self._stack.enter_context(Path(path).open("rb"))  # noqa: SIM115 - the stack closes it
            except OSError as problem:
                raise BadPayload(f"{path} cannot be read: {problem.strerror}.") from None
        self._counted = _Counted(self._raw)

    @property
    def position(self) -> int:
        """Bytes read of the file as it is."""
        return self._counted.count

    def close(self) -> None:
        """Close the file."""
        self._stack.close()

    def batches(self) -> Iterator[Batch]:
        """The file in batches.

        Raises BadPayload, with the file's name and what is wrong, for what is none of the forms or is cut short.
        """
        try:
            yield from _batches(_inflated(io.BufferedReader(self._counted, 1 << 20)))
        except BadPayload as problem:
            raise BadPayload(f"{self.path}: {problem.message}") from None
        except (EOFError, zlib.error, zstandard.ZstdError, OSError) as problem:
            raise BadPayload(f"{self.path} is broken or cut short: {problem}.") from None


class _Counted(io.RawIOBase):
    """Passes a file's bytes on and counts them."""

    def __init__(self, raw: BinaryIO) -> None:
        self._raw = raw
        self.count = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(cast("bytearray", buffer))
        data = self._raw.read(len(view))
        view[: len(data)] = data
        self.count += len(data)
        return len(data)


class _Zstd(io.RawIOBase):
    """Inflates frames one after the other, and notices when the last one has no end, which the library does not."""

    STEP = 1 << 14

    def __init__(self, stream: io.BufferedReader) -> None:
        self._stream = stream
        self._frame = zstandard.ZstdDecompressor().decompressobj()
        self._inside = False
        self._left = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(cast("bytearray", buffer))
        while not self._left:
            data = self._stream.read(self.STEP)
            if not data:
                if self._inside:
                    raise EOFError("the last frame has no end")
                return 0
            self._left = memoryview(self._inflate(data))
        count = min(len(view), len(self._left))
        view[:count] = self._left[:count]
        self._left = self._left[count:]
        return count

    def _inflate(self, data: bytes) -> bytes:
        out: list[bytes] = []
        while data:
            self._inside = True
            out.append(self._frame.decompress(data))
            data = b""
            if self._frame.eof:
                data = self._frame.unused_data
                self._frame = zstandard.ZstdDecompressor().decompressobj()
                self._inside = False
        return b"".join(out)


def _inflated(stream: io.BufferedReader) -> io.BufferedReader:
    start = stream.peek(4)[:4]
    if start.startswith(_GZIP):
        return io.BufferedReader(cast("io.RawIOBase", gzip.GzipFile(fileobj=stream)), 1 << 20)
    if start == _ZSTD:
        return io.BufferedReader(_Zstd(stream), 1 << 20)
    return stream


def _batches(stream: io.BufferedReader) -> Iterator[Batch]:
    if stream.peek(3)[:3] == _MARK:
        stream.read(3)
    start = stream.peek(1)[:1]
    if start in (b"{", b"["):
        yield from _json(stream)
    elif start == _FIRST_TAG:
        yield from _protobuf(stream)
    elif start == b"\0":
        yield from _length_prefixed(stream)
    elif start:
        raise BadPayload("this is neither an export of ours nor OTLP, as JSON or protobuf.")


def _json(stream: io.BufferedReader) -> Iterator[Batch]:
    group, line, number = _Group(), _line(stream), 1
    try:
        yield from group.add(line)
    except msgspec.DecodeError:
        # One document on many lines.
        rest = stream.read(LINE_LIMIT - len(line) + 1)
        if len(line) + len(rest) > LINE_LIMIT:
            raise _too_long() from None
        try:
            yield from group.add(line + rest)
        except msgspec.DecodeError as problem:
            raise BadPayload(f"this is no JSON, or it is cut short: {problem}.") from None
    while line := _line(stream):
        number += 1
        if line.strip():
            try:
                yield from group.add(line)
            except msgspec.DecodeError as problem:
                raise BadPayload(f"line {number} is no JSON, or it is cut short: {problem}.") from None
    yield from group.flush()


class _Group:
    """Collects what follows each other and is of one kind until it is worth a request."""

    def __init__(self) -> None:
        self._kind: BatchKind = "own"
        self._parts: list[bytes] = []
        self._size = 0

    def add(self, text: bytes) -> Iterator[Batch]:
        """Add a document, or a list of them. Raises msgspec.DecodeError when it is no JSON."""
        if text.lstrip().startswith(b"["):
            for one in msgspec.json.decode(text, type=list[msgspec.Raw]):
                yield from self.add(bytes(one))
            return
        found = _decoder.decode(text)
        if bytes(found.otlp):
            yield from self._put("own", text.strip())
        elif found.resource_spans is None and found.resource_logs is None:
            if found.trace_id is not None:
                raise BadPayload("this is what the REST interface shows of a trace: export it with format=jsonl.")
            raise BadPayload("a document in it is neither of an export of ours nor OTLP.")
        for part in found.resource_spans or ():
            yield from self._put("traces", bytes(part))
        for part in found.resource_logs or ():
            yield from self._put("logs", bytes(part))

    def _put(self, kind: BatchKind, part: bytes) -> Iterator[Batch]:
        if self._parts and (kind != self._kind or self._size + len(part) > BATCH_BYTES):
            yield from self.flush()
        self._kind = kind
        self._parts.append(part)
        self._size += len(part)

    def flush(self) -> Iterator[Batch]:
        """What is collected, if anything is."""
        if not self._parts:
            return
        if self._kind == "own":
            body = b"\n".join(self._parts)
        else:
            name = b"resourceSpans" if self._kind == "traces" else b"resourceLogs"
            body = b'{"' + name + b'":[' + b",".join(self._parts) + b"]}"
        self._parts.clear()
        self._size = 0
        yield Batch(self._kind, body)


def _line(stream: io.BufferedReader) -> bytes:
    line = stream.readline(LINE_LIMIT + 1)
    if len(line) > LINE_LIMIT:
        raise _too_long()
    return line


def _too_long() -> BadPayload:
    return BadPayload(f"a part of it is over {format_bytes(LINE_LIMIT)} and cannot be taken apart.")


def _protobuf(stream: io.BufferedReader) -> Iterator[Batch]:
    """A request whose parts, one a resource, are read one after the other."""
    parts: list[bytes] = []
    size = 0
    kind: BatchKind | None = None
    while tag := stream.read(1):
        if tag != _FIRST_TAG:
            raise BadPayload("this is no OTLP as protobuf.")
        length, written = _varint(stream)
        part = tag + written + _exactly(stream, length)
        if kind is None:
            kind = _kind_of(part)
        if parts and size + len(part) > BATCH_BYTES:
            yield Batch(kind, b"".join(parts), json=False)
            parts.clear()
            size = 0
        parts.append(part)
        size += len(part)
    if kind is not None:
        yield Batch(kind, b"".join(parts), json=False)


def _length_prefixed(stream: io.BufferedReader) -> Iterator[Batch]:
    """Messages with their lengths in front, as the Collector's file exporter writes them."""
    while head := stream.read(4):
        if len(head) < 4:
            raise BadPayload("it is cut short.")
        body = _exactly(stream, int.from_bytes(head, "big"))
        yield Batch(_kind_of(body), body, json=False)


def _varint(stream: io.BufferedReader) -> tuple[int, bytes]:
    number, written = 0, b""
    for shift in range(0, 35, 7):
        byte = stream.read(1)
        if not byte:
            raise BadPayload("it is cut short.")
        written += byte
        number |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return number, written
    raise BadPayload("this is no OTLP as protobuf.")


def _exactly(stream: io.BufferedReader, length: int) -> bytes:
    if length > LINE_LIMIT:
        raise _too_long()
    data = stream.read(length)
    if len(data) < length:
        raise BadPayload("it is cut short.")
    return data


def _kind_of(body: bytes) -> BatchKind:
    """Spans or log records: read as spans, the latter have no ids, since those lie in other fields."""
    try:
        found = ExportTraceServiceRequest.FromString(body)
    except DecodeError:
        try:
            ExportLogsServiceRequest.FromString(body)
        except DecodeError:
            raise BadPayload("this is no OTLP as protobuf.") from None
        return "logs"
    spans = (span for resource in found.resource_spans for scope in resource.scope_spans for span in scope.spans)
    one = next(spans, None)
    return "traces" if one is None or one.trace_id else "logs"
