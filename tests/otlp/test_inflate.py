"""Content encodings: undone within the limit, whatever comes."""

from __future__ import annotations

import gzip
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterator

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from tests.counts import counted
from tracer.errors import BadPayload, TooLarge, TracerError, UnsupportedMedia
from tracer.otlp import inflate as module
from tracer.otlp.inflate import MEMBERS, inflate

MIB = 1 << 20
TEXT = b"a span, and another span; " * 400


@pytest.fixture(scope="module", autouse=True, params=["isal", "zlib"])
def which_zlib(request: pytest.FixtureRequest) -> Iterator[None]:
    """Everything holds with the quick library, and with Python's own where that is not built."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "zlib":
            patch.setattr(module, "fast_zlib", zlib)
        yield


def raw_deflate(data: bytes) -> bytes:
    """Deflate without zlib's header, as some senders have it."""
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


def zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(data)


def zstd_stream(data: bytes) -> bytes:
    """Zstd whose frame does not say how long its content is."""
    packer = zstandard.ZstdCompressor().compressobj()
    return packer.compress(data) + packer.flush()


PACKERS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "none": ("", bytes),
    "identity": ("identity", bytes),
    "gzip": ("gzip", gzip.compress),
    "GZIP, in any case": (" GZip ", gzip.compress),
    "x-gzip": ("x-gzip", gzip.compress),
    "deflate": ("deflate", zlib.compress),
    "deflate without a header": ("deflate", raw_deflate),
    "zstd": ("zstd", zstd),
    "zstd of unknown length": ("zstd", zstd_stream),
}
every_encoding = pytest.mark.parametrize(("encoding", "pack"), PACKERS.values(), ids=PACKERS)
COMPRESSED = {name: packer for name, packer in PACKERS.items() if packer[1] is not bytes}
every_compression = pytest.mark.parametrize(("encoding", "pack"), COMPRESSED.values(), ids=COMPRESSED)


@every_encoding
def test_what_was_packed_comes_out(encoding: str, pack: Callable[[bytes], bytes]) -> None:
    assert inflate(pack(TEXT), encoding=encoding, limit=len(TEXT)) == TEXT


@every_encoding
def test_R23_one_byte_over_the_limit_is_refused(encoding: str, pack: Callable[[bytes], bytes]) -> None:
    with pytest.raises(TooLarge):
        inflate(pack(TEXT), encoding=encoding, limit=len(TEXT) - 1)


@pytest.mark.parametrize("pack", [gzip.compress, zstd], ids=["gzip", "zstd"])
def test_several_members_are_one_body(pack: Callable[[bytes], bytes]) -> None:
    encoding = "zstd" if pack is zstd else "gzip"
    assert inflate(pack(b"one ") + pack(b"") + pack(b"two"), encoding=encoding, limit=100) == b"one two"


def test_zeros_after_a_gzip_member_are_padding() -> None:
    assert inflate(gzip.compress(TEXT) + bytes(700), encoding="gzip", limit=MIB) == TEXT


@pytest.mark.parametrize("encoding", ["br", "gzip, gzip", "gzip,zstd", "snappy", "x" * 5000, "gzip;q=1", "é"])
def test_R19_unknown_and_stacked_encodings_are_not_served(encoding: str) -> None:
    with pytest.raises(UnsupportedMedia) as refused:
        inflate(gzip.compress(TEXT), encoding=encoding, limit=MIB)
    assert len(refused.value.message) < 150


@every_compression
def test_R21_a_stream_cut_short_anywhere_is_refused(encoding: str, pack: Callable[[bytes], bytes]) -> None:
    packed = pack(TEXT)
    for end in range(len(packed)):
        with pytest.raises(BadPayload):
            inflate(packed[:end], encoding=encoding, limit=MIB)


def test_R21_a_wrong_checksum_or_length_is_refused() -> None:
    packed = bytearray(gzip.compress(TEXT))
    for place in (-8, -4):
        broken = packed.copy()
        broken[place] ^= 1
        with pytest.raises(BadPayload):
            inflate(bytes(broken), encoding="gzip", limit=MIB)


@every_compression
def test_R21_bytes_after_the_end_are_refused(encoding: str, pack: Callable[[bytes], bytes]) -> None:
    with pytest.raises(BadPayload):
        inflate(pack(TEXT) + b"and more", encoding=encoding, limit=MIB)


def zeros_in_gzip(size: int) -> bytes:
    packer = zlib.compressobj(9, wbits=31)
    parts = [packer.compress(bytes(MIB)) for _ in range(size // MIB)]
    return b"".join(parts) + packer.flush()


def zeros_in_zstd(size: int) -> bytes:
    """A frame of run-length blocks: 4 bytes for each 128 KiB, as no compressor makes them."""
    block = 128 * 1024
    header = zstandard.MAGIC_NUMBER.to_bytes(4, "little") + b"\x00" + bytes([7 << 3])  # a window of 128 KiB
    run = (block << 3 | 1 << 1).to_bytes(3, "little") + b"\0"
    last = (block << 3 | 1 << 1 | 1).to_bytes(3, "little") + b"\0"
    return header + run * (size // block - 1) + last


BOMBS = {
    "gzip": ("gzip", zeros_in_gzip(counted(256, 1024) * MIB)),
    "64 gzip members": ("gzip", zeros_in_gzip(counted(4, 64) * MIB) * 64),
    "deflate": ("deflate", zlib.compress(bytes(counted(128, 1024) * MIB), 9)),
    "zstd": ("zstd", zstd(bytes(counted(256, 1024) * MIB))),
    "zstd of runs": ("zstd", zeros_in_zstd(counted(512, 2048) * MIB)),
}


@pytest.mark.parametrize(("encoding", "bomb"), BOMBS.values(), ids=BOMBS)
def test_R24_a_bomb_is_refused_before_it_fills_the_memory(encoding: str, bomb: bytes) -> None:
    limit = 8 * MIB
    tracemalloc.start()
    try:
        with pytest.raises(TooLarge):
            inflate(bomb, encoding=encoding, limit=limit)
        assert tracemalloc.get_traced_memory()[1] < 2.5 * limit + 24 * MIB
    finally:
        tracemalloc.stop()


def test_the_bomb_of_runs_is_valid_zstd() -> None:
    assert inflate(zeros_in_zstd(2 * MIB), encoding="zstd", limit=2 * MIB) == bytes(2 * MIB)


@pytest.mark.parametrize("pack", [gzip.compress, zstd], ids=["gzip", "zstd"])
def test_R24_countless_empty_members_are_refused_soon(pack: Callable[[bytes], bytes]) -> None:
    empty = pack(b"")
    body = empty * (16 * MIB // len(empty))
    start = time.thread_time()
    with pytest.raises(BadPayload, match=str(MEMBERS)):
        inflate(body, encoding="zstd" if pack is zstd else "gzip", limit=64 * MIB)
    assert time.thread_time() - start < 5  # copying the rest at each member would take minutes


def test_R24_a_window_larger_than_http_allows_is_refused() -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=27)
    packer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    with pytest.raises(BadPayload):
        inflate(packer.compress(TEXT) + packer.flush(), encoding="zstd", limit=MIB)


def status_of(body: bytes, encoding: str) -> int:
    """The HTTP status that a body comes to; anything but a named error fails the test."""
    try:
        assert len(inflate(body, encoding=encoding, limit=MIB)) <= MIB
    except TracerError as problem:
        return problem.status
    return 200


@given(st.binary(max_size=400), st.sampled_from(["", "gzip", "deflate", "zstd", "br"]))
def test_any_bytes_give_an_answer_or_a_named_error(body: bytes, encoding: str) -> None:
    assert status_of(body, encoding) in (200, 400, 413, 415)


@given(st.data(), st.sampled_from(list(COMPRESSED.values())))
def test_any_change_to_a_packed_body_gives_an_answer_or_a_named_error(
    data: st.DataObject, packing: tuple[str, Callable[[bytes], bytes]]
) -> None:
    encoding, pack = packing
    body = bytearray(pack(TEXT))
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    assert status_of(bytes(body), encoding) in (200, 400, 413)
