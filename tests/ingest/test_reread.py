"""`stepscope reread`: what an older reader wrote becomes what this one reads, and nothing else changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import text

from tests import make
from tests.client import Client, Service, in_process
from tracer.cli import cli
from tracer.ingest import columns, logs, prepare, reread
from tracer.ingest.reread import Wanted, reread_spans
from tracer.ingest.verify import verify
from tracer.otlp.assemble import is_running
from tracer.otlp.dialects import READER_VERSION, read_facts
from tracer.otlp.dialects.reading import Facts, Usage
from tracer.otlp.records import LogRecord, SpanRecord
from tracer.prices import PriceBook
from tracer.units import UnixNanos

CALL: dict[str, make.Value] = {
    "gen_ai.operation.name": "chat",
    "gen_ai.request.model": "gpt-4o-mini",
    "gen_ai.usage.input_tokens": 1_000,
    "gen_ai.usage.output_tokens": 100,
    "session.id": "chat-7",
}


@dataclass(frozen=True)
class Run:
    """A trace with calls, a step that still runs, and a log record that says whose the run is."""

    trace: str
    spans: list[make.Message]
    log: make.Message


def batches(*, calls: int = 3) -> Run:
    root = make.span("root", having={"input.value": "When?", "output.value": "At nine."})
    trace = root["traceId"]
    below = [make.span(f"call {n}", trace=trace, parent=root["spanId"], having=CALL) for n in range(calls)]
    going: dict[str, make.Value] = {"stepscope.seq": 3, "stepscope.kind": "tool"}
    running = {**make.span("running", trace=trace, parent=root["spanId"], having=going), "endTimeUnixNano": "0"}
    log = make.log("gen_ai.user.message", trace=trace, span=root["spanId"], having={"user.id": "mara"})
    return Run(trace, [root, *below, running], make.log_request(log))


def send(client: Client, run: Run) -> None:
    client.store(*run.spans)
    assert client.ingest(run.log, path="/v1/logs").status_code == 200


def read_as_long_ago(record: SpanRecord, records: Sequence[LogRecord] = ()) -> Facts:
    """What an older reader made of a span; a step that still runs is read again when it ends."""
    return read_facts(record, records) if is_running(record) else Facts(model="wrong", usage=Usage(input=7))


def run_of(client: Client, *, calls: int = 3) -> str:
    run = batches(calls=calls)
    send(client, run)
    return run.trace


def shown(client: Client, trace: str) -> dict[str, Any]:
    """A trace as REST gives it, without how long it has been running by now."""
    found = client.trace(trace)
    return {key: value for key, value in found.items() if key not in ("duration_ms", "spans")} | {
        "spans": [{key: value for key, value in span.items() if key != "duration_ms"} for span in found["spans"]]
    }


def damage(service: Service) -> None:
    """Write what a reader of long ago might have."""
    with service.store.writing() as connection:
        connection.execute(
            text(
                "UPDATE span SET reader_version = 0, model = 'wrong', kind = 0, input_tokens = 7, cost = NULL, "
                "session_id = NULL, user_id = NULL, dialect = 'otel' WHERE status <> 3"
            )
        )
        connection.execute(
            text(
                "UPDATE trace SET models = '[]', input_tokens = 7, cost = NULL, session_id = NULL, "
                "llm_call_count = 0, input_preview = 'wrong', version = version + 1"
            )
        )


@pytest.fixture
def mine(database_url: str, tmp_path: Path) -> Any:
    with in_process(database_url, data=str(tmp_path)) as service, Client(service.url) as client:
        yield service, client


def test_what_an_older_reader_wrote_becomes_what_this_one_reads(mine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    service, older = mine
    monkeypatch.setattr(reread, "SPANS_PER_SLICE", 2)
    runs = [batches(calls=calls) for calls in (1, 5, 2)]
    with monkeypatch.context() as long_ago:
        for module in (prepare, logs):
            long_ago.setattr(module, "read_facts", read_as_long_ago)
        long_ago.setattr(columns, "READER_VERSION", 0)
        for run in runs:
            send(older, run)
    with Client(service.url) as today:
        for run in runs:
            send(today, run)
        expected = [shown(today, run.trace) | {"project": older.project} for run in runs]
    assert expected[1]["cost_usd"] > 0
    assert expected[1]["user_id"] == "mara"
    assert shown(older, runs[0].trace)["models"] == ["wrong"]
    seen: list[tuple[int, int]] = []

    done = reread_spans(service.store, PriceBook(), Wanted(), progress=lambda at, of: seen.append((at, of)))

    assert [shown(older, run.trace) for run in runs] == expected
    assert done == 1 + 5 + 2 + 3
    assert list(verify(service.store)) == []
    assert seen[-1] == (done, done)
    assert len(seen) >= done / 2
    assert reread_spans(service.store, PriceBook(), Wanted()) == 0


def test_sent_costs_and_hits_of_a_cache_stay_what_they_are(mine: Any) -> None:
    service, client = mine
    sent = make.span("sent", having={**CALL, "gen_ai.usage.cost": 0.25})
    hit = make.span("hit", having={**CALL, "stepscope.cache_hit": True})
    client.store(sent, hit)
    before = [client.trace(one["traceId"]) for one in (sent, hit)]
    with service.store.writing() as connection:
        connection.execute(text("UPDATE span SET reader_version = 0"))
    assert reread_spans(service.store, PriceBook(), Wanted()) == 2
    assert [client.trace(one["traceId"]) for one in (sent, hit)] == before
    assert [found["cost_usd"] for found in before] == [0.25, 0]
    assert list(verify(service.store)) == []


def test_project_and_time_bound_what_is_read(mine: Any) -> None:
    service, client = mine
    trace = run_of(client)
    with Client(service.url) as other:
        run_of(other)
        damage(service)
        with service.store.reading() as connection:
            row = connection.execute(text("SELECT project_id, start_time FROM trace ORDER BY id")).first()
        assert row is not None
        later = UnixNanos(row.start_time + 1)
        assert reread_spans(service.store, PriceBook(), Wanted(since=later)) == 0
        assert reread_spans(service.store, PriceBook(), Wanted(project=row.project_id)) == 4
        assert client.trace(trace)["models"] == ["gpt-4o-mini"]
        assert reread_spans(service.store, PriceBook(), Wanted()) == 4


def test_prices_change_only_when_they_are_asked_for(mine: Any, tmp_path: Path) -> None:
    service, client = mine
    trace = run_of(client)
    before = client.trace(trace)["cost_usd"]
    own = tmp_path / "prices.toml"
    own.write_text('[[price]]\nmodel = "gpt-4o-mini"\ninput = 1000.0\noutput = 0.0\n')
    with service.store.writing() as connection:
        connection.execute(text("UPDATE span SET reader_version = 0"))
    assert reread_spans(service.store, PriceBook(own), Wanted()) == 4
    assert client.trace(trace)["cost_usd"] == before
    assert reread_spans(service.store, PriceBook(own), Wanted(prices=True)) == 3
    found = client.trace(trace)
    assert (found["cost_usd"], {span["cost_usd"] for span in found["spans"]}) == (3.0, {1.0, None})


def test_a_slice_that_fails_leaves_what_was_done(mine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    service, client = mine
    monkeypatch.setattr(reread, "SPANS_PER_SLICE", 2)
    trace = run_of(client)
    before = shown(client, trace)
    damage(service)

    def interrupt(at: int, of: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        reread_spans(service.store, PriceBook(), Wanted(), progress=interrupt)
    assert reread_spans(service.store, PriceBook(), Wanted()) == 2
    assert shown(client, trace) == before


def test_the_command_says_what_it_did(mine: Any, database_url: str, tmp_path: Path) -> None:
    service, client = mine
    run_of(client)
    damage(service)
    where = ["reread", "--db", database_url.replace("+psycopg", ""), "--data", str(tmp_path)]
    run = CliRunner().invoke(cli, [*where, "--project", client.project, "--since", "2000-01-01"])
    assert (run.exit_code, run.stdout) == (0, "4 steps were read again.\n"), run.output
    assert "4 of 4 steps" in run.stderr
    assert "as this version reads it" in CliRunner().invoke(cli, where).stdout
    for wrong in (["--project", "nobody"], ["--since", "yesterday"]):
        assert CliRunner().invoke(cli, [*where, *wrong]).exit_code != 0


def test_the_reader_has_a_version() -> None:
    assert READER_VERSION >= 2
