"""A trace of very many spans: all of it is stored, read page by page, and its page stays small and quick."""

from __future__ import annotations

import time

import pytest

from tests import make
from tests.client import Client
from tests.counts import counted

SPANS = counted(10_000, 100_000)
AT_ONCE = 5_000

pytestmark = [pytest.mark.serial, pytest.mark.soak]


def test_R41_a_large_trace_is_stored_whole_paged_and_drawn_in_time(client: Client) -> None:
    root = make.span("root")
    trace = root["traceId"]
    client.store(root)
    for begin in range(0, SPANS, AT_ONCE):
        part = [make.span(f"step {n % 50}", trace=trace, parent=root["spanId"]) for n in range(begin, begin + AT_ONCE)]
        answer = client.ingest(make.request(*part), json=False)
        assert (answer.status_code, answer.content) == (200, b"")
    assert client.traces()[0]["span_count"] == SPANS + 1
    first = client.read(f"/api/v1/traces/{trace}/spans", limit=1000, bodies="false")
    second = client.read(f"/api/v1/traces/{trace}/spans", limit=1000, bodies="false", cursor=first["next_cursor"])
    ids = {span["span_id"] for span in first["items"] + second["items"]}
    assert len(ids) == 2_000
    began = time.monotonic()
    page = client.get(f"/p/{client.project}/traces/{trace}")
    skeleton = client.get(f"/p/{client.project}/traces/{trace}/skeleton")
    assert time.monotonic() - began < 5
    assert (page.status_code, skeleton.status_code) == (200, 200)
    assert len(page.content) + len(skeleton.content) < 15 * 2**20
