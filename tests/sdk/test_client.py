"""The client of the SDK against a real server: pages, records, data frames, and what it says when it fails."""

from __future__ import annotations

import re
import socket
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from stepscope import client as module
from stepscope.client import ApiError, Client, Trace
from tests import make
from tests.client import Client as Sender
from tests.client import Guarded, Service, on_one_database

DOCS = (Path(__file__).parents[2] / "docs" / "client.md").read_text("utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", DOCS, re.DOTALL)


@pytest.fixture
def reader(client: Sender, service: Service) -> Iterator[Client]:
    """The client of the SDK, for the project of the test."""
    with Client(service.url, project=client.project) as made:
        yield made


def test_every_page_of_a_list_is_asked_for_once_and_no_record_more_than_wanted(
    client: Sender, reader: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAGE", 3)
    client.store(*(make.span(f"run {number}", start=make.START + number) for number in range(8)))
    names = [trace.name for trace in reader.traces()]
    assert names == [f"run {number}" for number in reversed(range(8))]
    found = reader.traces(limit=5)
    assert [trace.name for trace in found] == [trace.name for trace in found] == names[:5]
    received = list(reader.traces(order="received"))
    assert sorted(trace.name for trace in received) == sorted(names)
    assert reader.traces(order="received").first() == received[0]
    assert reader.traces(project=client.project, since="2030-01-01").first() is None
    assert [trace.name for trace in reader.traces('name:"run 3"')] == ["run 3"]


def test_records_hold_what_the_server_tells(client: Sender, reader: Client) -> None:
    call = make.model_call(having={"session.id": "chat-7", "input.value": "Hi?", "tag.tags": ["beta"]})
    client.store(call)
    client.post(
        "/api/v1/scores", json={"trace_id": call["traceId"], "name": "ok", "value": True, "project": client.project}
    )
    (trace,) = reader.traces()
    told = client.traces()[0]
    assert trace.raw == told
    assert isinstance(trace, Trace)
    assert trace.start_time == datetime(2025, 11, 24, 16, 0, tzinfo=UTC)
    assert trace.tokens is not None
    assert (trace.tokens.input, trace.tokens.output, trace.tokens.total) == (12, 5, 17)
    assert (trace.cost_usd, trace.models, trace.session_id) == (told["cost_usd"], ["gpt-4o-mini"], "chat-7")
    assert [(one.name, one.value, one.count) for one in trace.scores] == [("ok", True, 1)]
    assert trace.spans == ()
    whole = reader.trace(call["traceId"])
    (span,) = whole.spans
    assert (span.name, span.kind, span.input, span.tags) == ("chat", "llm", "Hi?", ["beta"])
    assert span == reader.span(call["traceId"], call["spanId"])
    assert reader.trace(call["traceId"], bodies=False).spans[0].input is None
    (score,) = reader.scores(trace_id=call["traceId"])
    assert (score.name, score.value, score.source, score.created_at.tzinfo) == ("ok", True, "code", UTC)
    assert client.project in {project.name for project in reader.projects()}


def test_spans_are_found_across_traces(client: Sender, reader: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAGE", 2)
    client.store(*(make.model_call(having={"input.value": f"Hi {n}?"}) for n in range(5)), make.span("plain"))
    assert len(list(reader.spans())) == 6
    assert {(span.kind, span.input) for span in reader.spans("kind:llm")} == {("llm", None)}
    whole = reader.spans("kind:llm", bodies=True, limit=3)
    assert all(str(span.input).startswith("Hi ") for span in whole)
    assert len(whole.to_pandas()) == 3


def test_a_conversation_has_all_its_turns_in_order(
    client: Sender, reader: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAGE", 2)
    client.store(
        *(make.span(f"turn {n}", start=make.START + n, having={"session.id": "a/b c"}) for n in range(5)),
        make.span("alone"),
    )
    (session,) = reader.sessions()
    assert (session.session_id, session.trace_count, session.turns) == ("a/b c", 5, ())
    assert [turn.name for turn in reader.session("a/b c").turns] == [f"turn {n}" for n in range(5)]
    assert [one.session_id for one in reader.sessions('name:"turn 3"')] == ["a/b c"]
    assert list(reader.sessions("name:alone")) == []


def test_figures_are_of_what_a_search_finds(client: Sender, reader: Client) -> None:
    client.store(*(make.model_call() for _ in range(3)), make.span("plain", status=2))
    at = {"since": "2020-01-01", "until": "2040-01-01", "project": client.project}
    metrics = reader.metrics("kind:llm", by="model", **at)
    assert (metrics.of, metrics.totals.count, metrics.totals.errors) == ("steps", 3, 0)
    assert metrics.totals.tokens is not None
    assert metrics.totals.tokens.total == 3 * 17
    (series,) = metrics.series
    assert (series.value, series.totals.count) == ("gpt-4o-mini", 3)
    assert series.totals.duration_ms is not None
    assert sum(point.count for point in series.points) == 3
    assert series.points[0].time.tzinfo == UTC
    assert reader.metrics(of="traces", **at).totals.errors == 1


def test_a_list_makes_a_data_frame(client: Sender, reader: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    client.store(make.model_call(), make.span("plain"))
    frame = reader.traces().to_pandas()
    assert set(frame["name"]) == {"chat", "plain"}
    assert sorted(frame["total_tokens"].dropna()) == [17]
    assert str(frame["start_time"].dtype).startswith("datetime64[")
    assert reader.traces(since="2030-01-01").to_pandas().empty
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="pip install pandas"):
        reader.traces().to_pandas()


@on_one_database
def test_a_refusal_is_an_error_with_the_servers_sentence(client: Sender, reader: Client, guarded: Guarded) -> None:
    client.store(make.span())
    with pytest.raises(ApiError, match="There is no trace") as refused:
        reader.trace("0f" * 16)
    assert (refused.value.status, refused.value.code, refused.value.field) == (404, "not_found", "trace_id")
    with pytest.raises(ApiError) as refused:
        list(reader.traces(order="sideways"))
    assert refused.value.field == "order"
    with pytest.raises(ApiError) as refused:
        Client(guarded.service.url).projects()
    assert refused.value.status == 401
    assert Client(guarded.service.url, guarded.token).projects() is not None


def test_what_does_not_answer_or_is_no_server_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(ApiError, match=f"No answer from http://127.0.0.1:{port}") as unreached:
        Client(f"http://127.0.0.1:{port}").projects()
    assert unreached.value.status == 0
    with pytest.raises(ValueError, match="no http"):
        Client("ftp://example.org")


@on_one_database
def test_a_busy_server_is_asked_again(reader: Client, client: Sender, monkeypatch: pytest.MonkeyPatch) -> None:
    client.store(make.span("one"))
    asked, whole = 0, Client._once

    def busy_twice(self: Client, address: str) -> tuple[int, str | None, bytes]:
        nonlocal asked
        asked += 1
        return (503, "0.01", b"") if asked < 3 else whole(self, address)

    monkeypatch.setattr(Client, "_once", busy_twice)
    assert [trace.name for trace in reader.traces()] == ["one"]
    assert asked == 3


def test_every_name_is_documented_and_every_example_runs(
    client: Sender, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in module.__all__:
        assert re.search(rf"\b{name}\b", DOCS), f"{name} is not in docs/client.md"
        assert getattr(module, name).__doc__
    for name in dir(Client):
        if not name.startswith("_"):
            assert f".{name}" in DOCS or name in ("close",), f"Client.{name} has no example"
    monkeypatch.setenv("STEPSCOPE_ENDPOINT", service.url)
    client.ingest(
        make.request(make.span("answer", status=2, having={"session.id": "chat-7"})), x_stepscope_project="shop"
    )
    space: dict[str, object] = {"__name__": "docs"}
    for example in EXAMPLES:
        exec(compile(example, "docs/client.md", "exec"), space)
    assert len(EXAMPLES) == 6
