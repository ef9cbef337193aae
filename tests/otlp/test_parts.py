"""The number of messages in a body is estimated well enough to tell a request from a bomb, whatever its size."""

from __future__ import annotations

import gzip

import pytest

from tests.bench.load import Chain
from tests.make import field
from tracer.otlp.parts import LARGE, count_parts

SIZES = (1_000, 100_000, 1_000_000, LARGE, 3 * LARGE)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("tag", [0x0A, 0x12, 0x4A, 0x5A])
def test_empty_protobuf_messages_are_counted(size: int, tag: int) -> None:
    body = field(1, field(2, bytes([tag, 0]) * (size // 2)))
    assert size * 0.4 < count_parts(body, json=False) < size * 1.1


@pytest.mark.parametrize("size", SIZES)
def test_empty_json_objects_are_counted(size: int) -> None:
    body = b'{"resourceSpans":[' + b"{}," * (size // 3) + b"{}]}"
    assert size * 0.3 < count_parts(body, json=True) < size * 0.4


def test_a_real_request_is_far_from_a_bomb() -> None:
    for body in Chain(1).bodies(1_500):
        inflated = gzip.decompress(body.data)
        assert count_parts(inflated, json=False) < len(inflated) / 20
