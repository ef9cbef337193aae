"""How bodies (attributes, events, links) are stored: in packs, each value once per trace.

A body is a msgpack document; each text of `LONG` bytes and more leaves it as *pieces*, cut where JSON and prose have
their joints, so that a history that grows by a message shares all earlier pieces. A *pack* holds the bodies and the new
pieces that one commit brings to one trace, compressed as a whole; `recipe`s in front of the bodies say where each piece
lies. Sharing never crosses a trace: deleting a trace deletes its packs.
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, NamedTuple

import msgspec
import zstandard

from tracer.otlp.records import Attributes, Event, Link, Scope, SpanRecord

LONG = 256
"""Bytes from which a text is stored apart, so that it can be shared."""

CUT_AFTER, CUT_BEFORE = 1024, 8192
"""A long text is cut at the first joint after so many bytes, at the latest after so many."""

PACK_SIZE = 1 << 20
"""Bytes, before compression, after which a new pack is begun."""

LEVEL = 1
"""zstd's: against level 3 it spares 7 % of the processor time of ingest for 2 % more bytes on the bench's load."""

DIGEST_SIZE = 12
RUNNING_ONLY = frozenset({"stepscope.seq", "stepscope.output.partial"})
"""Attributes of a running step that live in columns and rows of their own."""

_TEXT, _BYTES = 1, 2
_encode, _decode = msgspec.msgpack.Encoder().encode, msgspec.msgpack.Decoder().decode
_span_of_pieces = struct.Struct("<II")
_piece_entry = struct.Struct(f"<{DIGEST_SIZE}sII")
_place = struct.Struct("<III")
_count = struct.Struct("<I")


class Place(NamedTuple):
    """Where bytes lie: the pack's number within its trace, and offset and length before compression."""

    pack: int
    offset: int
    length: int


class EncodedBody(msgspec.Struct, gc=False):
    """A body ready to be packed: the document, and the pieces that it names by number.

    The first two pieces are the resource and the scope.
    """

    document: bytes
    pieces: list[bytes]


def cut(data: bytes) -> list[bytes]:
    """Cut a long text at joints (`{`, else a line's end), 1 to 8 KiB apart; the joined pieces are the text."""
    if len(data) <= CUT_AFTER + CUT_AFTER // 2:
        return [data]
    pieces: list[bytes] = []
    start, size = 0, len(data)
    while size - start > CUT_AFTER:
        end = data.find(b"{", start + CUT_AFTER, start + CUT_BEFORE)
        if end < 0:
            end = data.find(b"\n", start + CUT_AFTER, start + CUT_BEFORE)
        if end < 0:
            end = start + CUT_BEFORE
        if end >= size:
            break
        pieces.append(data[start:end])
        start = end
    pieces.append(data[start:])
    return pieces


class BodyEncoder:
    """Encodes the bodies of one batch; resources and scopes that spans share are encoded once."""

    def __init__(self) -> None:
        self._shared: dict[int, bytes] = {}
        self._kept: list[object] = []

    def encode(self, span: SpanRecord, *, running: bool) -> EncodedBody:
        """Encode a span's body; a running one leaves out what changes with every version."""
        pieces: list[bytes] = [self._resource(span.resource), self._scope(span.scope)]
        attributes = span.attributes
        if running:
            attributes = {key: value for key, value in attributes.items() if key not in RUNNING_ONLY}
        document = [
            _set_apart(attributes, pieces),
            span.events and [[event.name, event.time, _set_apart(event.attributes, pieces)] for event in span.events],
            span.links and [[link.trace_id, link.span_id, link.attributes, link.trace_state] for link in span.links],
            span.trace_state,
            span.otlp_flags,
        ]
        return EncodedBody(_encode(document), pieces)

    def _resource(self, resource: Attributes) -> bytes:
        found = self._shared.get(id(resource))
        if found is None:
            found = self._remember(resource, _encode(resource))
        return found

    def _scope(self, scope: Scope) -> bytes:
        found = self._shared.get(id(scope))
        if found is None:
            found = self._remember(scope, _encode([scope.name, scope.version, scope.attributes]))
        return found

    def _remember(self, owner: object, encoded: bytes) -> bytes:
        self._kept.append(owner)  # so that its id stays its own
        self._shared[id(owner)] = encoded
        return encoded


def _set_apart(attributes: Attributes, pieces: list[bytes]) -> dict[str, Any]:
    long: dict[str, Any] = {}
    for key, value in attributes.items():
        if type(value) is str:
            if len(value) >= LONG:
                long[key] = _apart(_TEXT, value.encode(), pieces)
        elif type(value) is bytes and len(value) >= LONG:
            long[key] = _apart(_BYTES, value, pieces)
    return attributes | long if long else attributes


def _apart(code: int, data: bytes, pieces: list[bytes]) -> msgspec.msgpack.Ext:
    cuts = cut(data)
    first = len(pieces)
    pieces += cuts
    return msgspec.msgpack.Ext(code, _span_of_pieces.pack(first, len(cuts)))


_of_thread = threading.local()


def _compressor() -> zstandard.ZstdCompressor:
    """The compressor of this thread: making one takes as long as compressing some kilobytes."""
    try:
        made: zstandard.ZstdCompressor = _of_thread.compressor
    except AttributeError:
        made = _of_thread.compressor = zstandard.ZstdCompressor(level=LEVEL)
    return made


class Packer:
    """Packs the bodies that one commit brings to one trace.

    `known` maps the digests of pieces that the trace has to their places, as recipes hold them; it grows as pieces are
    added. `packs` holds the finished packs: (number within the trace, entries of its pieces, compressed bytes).
    """

    __slots__ = ("_entries", "_parts", "_seen", "_size", "known", "next_pack", "packs")

    def __init__(self, next_pack: int, known: dict[bytes, bytes]) -> None:
        self.next_pack = next_pack
        self.known = known
        self.packs: list[tuple[int, bytes, bytes]] = []
        self._parts: list[bytes] = []
        self._entries: list[bytes] = []
        self._seen: dict[bytes, bytes] = {}
        self._size = 0

    def add(self, body: EncodedBody) -> Place:
        """Add a body with the pieces that are new, and return where it lies."""
        resource, scope, *pieces = body.pieces
        known = self.known
        parts = [_count.pack(len(body.pieces)), self._shared(resource), self._shared(scope)]
        for piece in pieces:
            digest = blake2b(piece, digest_size=DIGEST_SIZE).digest()
            parts.append(known.get(digest) or self._new(digest, piece))
        parts.append(body.document)
        data = b"".join(parts)
        offset = self._put(data)
        return Place(self.next_pack, offset, len(data))

    def _shared(self, piece: bytes) -> bytes:
        """A resource or a scope: the spans of a batch have them in common, so that they are digested once."""
        place = self._seen.get(piece)
        if place is None:
            digest = blake2b(piece, digest_size=DIGEST_SIZE).digest()
            place = self._seen[piece] = self.known.get(digest) or self._new(digest, piece)
        return place

    def _new(self, digest: bytes, piece: bytes) -> bytes:
        offset, length = self._put(piece), len(piece)
        self._entries.append(_piece_entry.pack(digest, offset, length))
        place = self.known[digest] = _place.pack(self.next_pack, offset, length)
        return place

    def _put(self, data: bytes) -> int:
        """Append bytes to the pack that is being filled, `next_pack`, and return their offset."""
        offset = self._size
        if offset and offset + len(data) > PACK_SIZE:
            self.finish()
            offset = 0
        self._parts.append(data)
        self._size = offset + len(data)
        return offset

    def finish(self) -> None:
        """Close the pack that is being filled, if anything is in it."""
        if not self._size:
            return
        data = _compressor().compress(b"".join(self._parts))
        self.packs.append((self.next_pack, b"".join(self._entries), data))
        self.next_pack += 1
        self._parts.clear()
        self._entries.clear()
        self._size = 0


def read_entries(entries: bytes) -> Iterator[tuple[bytes, int, int]]:
    """The entries of a pack's pieces: digest, offset and length before compression."""
    return _piece_entry.iter_unpack(entries)


def known_pieces(packs: Iterable[tuple[int, bytes]]) -> dict[bytes, bytes]:
    """The pieces of a trace's packs, given as (number, entries), for a `Packer`."""
    return {
        digest: _place.pack(number, offset, length)
        for number, entries in packs
        for digest, offset, length in read_entries(entries)
    }


@dataclass(slots=True)
class Body:
    """A stored body, as it came."""

    attributes: Attributes
    events: list[Event]
    links: list[Link]
    resource: Attributes
    scope: Scope
    trace_state: str
    otlp_flags: int


class BodyReader:
    """Reads bodies of one trace; `load` fetches a pack's compressed bytes by its number.

    Bodies share their resources and scopes as objects.
    """

    def __init__(self, load: Callable[[int], bytes]) -> None:
        self._load = load
        self._packs: dict[int, bytes] = {}
        self._shared: dict[tuple[int, int, int], Any] = {}

    def _bytes(self, number: int, offset: int, length: int) -> bytes:
        pack = self._packs.get(number)
        if pack is None:
            pack = self._packs[number] = zstandard.ZstdDecompressor().decompress(self._load(number))
        return pack[offset : offset + length]

    def _opened(self, place: tuple[int, int, int]) -> Any:
        found = self._shared.get(place)
        if found is None:
            found = self._shared[place] = _decode(self._bytes(*place))
        return found

    def forget(self) -> None:
        """Let go of the packs read so far, for walks over large traces."""
        self._packs.clear()
        self._shared.clear()

    def may_say(self, place: Place, text: bytes) -> bool:
        """False when a body and its resource surely have no key with this text in it: far sooner told than read."""
        data = self._bytes(*place)
        resource = _place.unpack_from(data, _count.size)
        return text in data or text in self._bytes(*resource)

    def read(self, place: Place) -> Body:
        """Read the body that lies at `place`."""
        data = self._bytes(*place)
        (count,) = _count.unpack_from(data)
        recipe_end = _count.size + count * _place.size
        places = list(_place.iter_unpack(data[_count.size : recipe_end]))

        def restore(code: int, piece_numbers: memoryview) -> str | bytes:
            first, many = _span_of_pieces.unpack(piece_numbers)
            if many == 1:
                joined = self._bytes(*places[first])
            else:
                joined = b"".join([self._bytes(*found) for found in places[first : first + many]])
            return joined.decode() if code == _TEXT else joined

        attributes, events, links, trace_state, otlp_flags = msgspec.msgpack.decode(data[recipe_end:], ext_hook=restore)
        return Body(
            attributes,
            [Event(*event) for event in events],
            [Link(*link) for link in links],
            self._opened(places[0]),
            Scope(*self._opened(places[1])),
            trace_state,
            otlp_flags,
        )
