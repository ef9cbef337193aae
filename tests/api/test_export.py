"""A trace written out and sent again is the same trace."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests import make
from tests.api.test_traces import error_of
from tests.client import Client, on_one_database
from tests.counts import counted
from tracer.api import schemas

PAYLOADS = Path(__file__).parent.parent / "payloads"
OF_THE_SERVER = ("project",)


def exported(client: Client, trace: str, **parameters: str) -> bytes:
    answer = client.get(f"/api/v1/traces/{trace}/export", params={"project": client.project, **parameters})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-disposition"].startswith(f'attachment; filename="trace-{trace}.')
    return answer.content


def send_again(client: Client, lines: bytes) -> None:
    for line in lines.splitlines():
        path = "/v1/logs" if line.startswith(b'{"resourceLogs"') else "/v1/traces"
        answer = client.ingest(line, path=path)
        assert (answer.status_code, answer.content) == (200, b"{}"), answer.text


def told(client: Client, trace: str) -> dict[str, Any]:
    found = client.trace(trace)
    for name in OF_THE_SERVER:
        found.pop(name)
    return found


ODD: dict[str, Any] = {
    "text": "naïve 🦊\n",
    "yes": True,
    "whole": 2**62,
    "part": 0.1,
    "list": ["a", 1, 2.5, False, None, ["b"]],
    "map": {"a": {"b": 1}},
    "bytes": b"\x00\xff",
    "huge": 1e308,
    "endless": float("inf"),
}


@pytest.mark.parametrize("json_sent", [True, False])
def test_s39_a_trace_sent_again_from_its_export_is_the_same(client: Client, json_sent: bool) -> None:
    trace = make.new_trace_id()
    root = make.span("root", trace=trace, having=ODD, traceState="a=b", flags=257)
    odd = make.span(
        "odd",
        trace=trace,
        parent=root["spanId"],
        having={"input.value": "long " * 3_000},
        status=2,
        events=[{"name": "exception", "timeUnixNano": str(make.START), "attributes": []}],
        links=[{"traceId": "ab" * 16, "spanId": "cd" * 8, "attributes": []}],
    )
    client.store(root, odd, make.model_call() | {"traceId": trace}, json=json_sent)
    before = told(client, trace)
    lines = exported(client, trace)
    client.project += "-again"
    send_again(client, lines)
    assert told(client, trace) == before
    assert exported(client, trace) == lines


def test_s39_every_recorded_client_comes_back_the_same(client: Client) -> None:
    for file in sorted(PAYLOADS.glob("**/*.otlp.pb"))[:: counted(3, 1)]:
        client.ingest(file.read_bytes(), json=False, path="/v1/logs" if ".logs." in file.name else "/v1/traces")
    traces = [one["trace_id"] for one in client.traces(limit=1_000)]
    assert traces
    before = {trace: told(client, trace) for trace in traces}
    lines = {trace: exported(client, trace) for trace in traces}
    client.project += "-again"
    for trace in traces:
        send_again(client, lines[trace])
        assert told(client, trace) == before[trace]


def test_s39_the_json_is_what_the_trace_answers(client: Client) -> None:
    client.store(*(make.span(f"step {number}", trace="ab" * 16) for number in range(250)))
    found = json.loads(exported(client, "ab" * 16, format="json"))
    schemas.Trace.model_validate(found)
    assert found == client.trace("ab" * 16)


@on_one_database
def test_an_export_of_nothing_is_refused(client: Client) -> None:
    error_of(client.get(f"/api/v1/traces/{'ef' * 16}/export"), 404, "not_found", "trace_id")
    error_of(client.get(f"/api/v1/traces/{'ef' * 16}/export?format=xml"), 422, "invalid", "format")
