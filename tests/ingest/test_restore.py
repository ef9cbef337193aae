"""Whatever a file holds, an import reads it or says in one sentence why not."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import make
from tracer.errors import BadPayload, TracerError
from tracer.ingest.restore import read_lines
from tracer.sources.files import ImportFile

TRACE, SPAN = "ab" * 16, "cd" * 8
SCORE: dict[str, Any] = {
    "id": "one",
    "name": "helpful",
    "value": True,
    "source": "user",
    "created_at": "2026-01-01T00:00:00Z",
    "updated_at": "2026-01-01T00:00:00Z",
}


def line(**more: Any) -> dict[str, Any]:
    whole = {
        "project": "shop",
        "trace_id": TRACE,
        "spans": [{"span_id": SPAN, "flags": ["no_end", "made_up"]}],
        "otlp": make.request(make.span("answer", trace=TRACE, id=SPAN)),
        "otlp_logs": make.log_request(make.log("said", trace=TRACE, span=SPAN)),
        "added": {"name": "n", "tags": ["a"], "note": "x", "scores": [SCORE]},
    }
    return whole | more


def as_bytes(*lines: dict[str, Any]) -> bytes:
    return b"\n".join(json.dumps(one).encode() for one in lines)


def test_a_line_is_read_whole() -> None:
    found = read_lines(as_bytes(line(), line(project="other", added=None, otlp_logs=None)))
    assert {name: len(spans) for name, spans in found.spans.items()} == {"shop": 1, "other": 1}
    assert (len(found.logs), len(found.added), found.rejected.count) == (1, 1, 0)
    assert found.added[0].scores[0].score.value is True
    assert found.spans["shop"][0].flags.name == "NO_END"
    named = read_lines(as_bytes(line()), project="mine", author="anna")
    assert (set(named.spans), named.added[0].project, named.added[0].scores[0].score.author) == (
        {"mine"},
        "mine",
        "anna",
    )


@pytest.mark.parametrize(
    "change",
    [
        {"project": " "},
        {"trace_id": "AB" * 16},
        {"otlp": []},
        {"otlp_logs": "x"},
        {"spans": [{"span_id": "zz", "flags": ["no_end"]}]},
        {"added": {"scores": [{**SCORE, "source": "nobody"}]}},
        {"added": {"scores": [{**SCORE, "value": None}]}},
        {"added": {"scores": [{**SCORE, "value": float("nan")}]}},
        {"added": {"scores": [{**SCORE, "span_id": "short"}]}},
        {"added": {"scores": [{**SCORE, "created_at": "soon"}]}},
        {"added": {"scores": [{**SCORE, "name": " "}]}},
        {"added": {"tags": "a"}},
    ],
)
def test_a_line_that_cannot_be_is_refused_with_its_number(change: dict[str, Any]) -> None:
    with pytest.raises(BadPayload, match="Line 2"):
        read_lines(as_bytes(line(), line(**change)))


def test_R24_millions_of_empty_lines_cost_no_memory_and_are_counted() -> None:
    body = b"\n" * 4_000_000 + b" \t \r\n" * 3 + b"{}"
    tracemalloc.start()
    try:
        with pytest.raises(BadPayload, match="Line 4000004 "):
            read_lines(body)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def complaint(read: Callable[[], object]) -> str:
    """What a reader refuses its text with; empty when it takes it."""
    try:
        read()
    except TracerError as problem:
        return problem.message
    return ""


@given(st.data())
def test_a_damaged_line_is_read_or_refused(data: st.DataObject) -> None:
    whole = bytearray(as_bytes(line()))
    for _ in range(data.draw(st.integers(1, 6))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    said = complaint(lambda: read_lines(bytes(whole)))
    assert not said or said.startswith("Line ")


BROKEN_GZIP = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
STARTS = (b"", b"\x0a", b"\0\0", b"{", b"[", BROKEN_GZIP[:2], BROKEN_GZIP, b"\x28\xb5\x2f\xfd")
STARTS += (b'{"resourceSpans":[', b'{"otlp":{}}\n')


@given(st.sampled_from(STARTS), st.binary(max_size=300))
def test_a_file_of_any_bytes_is_read_or_refused(tmp_path: Path, start: bytes, rest: bytes) -> None:
    file = tmp_path / "any"
    file.write_bytes(start + rest)
    opened = ImportFile(str(file))
    said = complaint(lambda: [batch.body for batch in opened.batches()])
    opened.close()
    assert not said or said.startswith(str(file))
