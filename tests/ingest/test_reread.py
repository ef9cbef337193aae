"""`stepscope reread`: what an older reader wrote becomes what this one reads, and nothing else changes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
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
from tracer.ingest.fold import fold
from tracer.ingest.reread import Wanted, reread_spans
from tracer.ingest.verify import verify
from tracer.otlp.assemble import is_running
from tracer.otlp.dialects import READER_VERSION, ResourceFacts, read_facts
from tracer.otlp.dialects.reading import Facts, Usage
from tracer.otlp.records import LogRecord, SpanRecord
from tracer.prices import PriceBook
from tracer.store.sql import Sql
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


def read_as_long_ago(
    record: SpanRecord, records: Sequence[LogRecord] = (), of_resource: ResourceFacts | None = None
) -> Facts:
    """What an older reader made of a span; a step that still runs is read again when it ends."""
    if is_running(record):
        return read_facts(record, records, of_resource)
    return Facts(model="wrong", usage=Usage(input=7))


@contextmanager
def long_ago(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Spans that come meanwhile are read as an older version read them."""
    with monkeypatch.context() as patch:
        for module in (prepare, logs):
            patch.setattr(module, "read_facts", read_as_long_ago)
        patch.setattr(columns, "READER_VERSION", 0)
        yield


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


def small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FEWEST_SPANS", "FIRST_SPANS", "MOST_SPANS"):
        monkeypatch.setattr(reread, name, 2)


def again(service: Service, wanted: Wanted, own: Path | None = None, **options: Any) -> int:
    return reread_spans(service.store, service.app.state.writer, PriceBook(own), wanted, **options)


@pytest.fixture
def mine(database_url: str, tmp_path: Path) -> Any:
    with in_process(database_url, data=str(tmp_path)) as service, Client(service.url) as client:
        yield service, client


def test_what_an_older_reader_wrote_becomes_what_this_one_reads(mine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    service, older = mine
    small_slices(monkeypatch)
    runs = [batches(calls=calls) for calls in (1, 5, 2)]
    with long_ago(monkeypatch):
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

    done = again(service, Wanted(), progress=lambda at, of: seen.append((at, of)))

    assert [shown(older, run.trace) for run in runs] == expected
    assert done == 1 + 5 + 2 + 3
    assert list(verify(service.store)) == []
    assert seen[-1] == (done, done)
    assert len(seen) >= done / 2
    assert again(service, Wanted()) == 0


def test_sent_costs_and_hits_of_a_cache_stay_what_they_are(mine: Any) -> None:
    service, client = mine
    sent = make.span("sent", having={**CALL, "gen_ai.usage.cost": 0.25})
    hit = make.span("hit", having={**CALL, "stepscope.cache_hit": True})
    client.store(sent, hit)
    before = [client.trace(one["traceId"]) for one in (sent, hit)]
    with service.store.writing() as connection:
        connection.execute(text("UPDATE span SET reader_version = 0"))
    assert again(service, Wanted()) == 2
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
        assert again(service, Wanted(since=later)) == 0
        assert again(service, Wanted(project=row.project_id)) == 4
        assert client.trace(trace)["models"] == ["gpt-4o-mini"]
        assert again(service, Wanted()) == 4


def test_prices_change_only_when_they_are_asked_for(mine: Any, tmp_path: Path) -> None:
    service, client = mine
    trace = run_of(client)
    before = client.trace(trace)["cost_usd"]
    own = tmp_path / "prices.toml"
    own.write_text('[[price]]\nmodel = "gpt-4o-mini"\ninput = 1000.0\noutput = 0.0\n')
    with service.store.writing() as connection:
        connection.execute(text("UPDATE span SET reader_version = 0"))
    assert again(service, Wanted(), own) == 4
    assert client.trace(trace)["cost_usd"] == before
    assert again(service, Wanted(prices=True), own) == 3
    found = client.trace(trace)
    assert (found["cost_usd"], {span["cost_usd"] for span in found["spans"]}) == (3.0, {1.0, None})


def test_a_slice_that_fails_leaves_what_was_done(mine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    service, client = mine
    small_slices(monkeypatch)
    trace = run_of(client)
    before = shown(client, trace)
    damage(service)

    def interrupt(at: int, of: int) -> None:
        if at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        again(service, Wanted(), progress=interrupt)
    assert again(service, Wanted()) == 2
    assert shown(client, trace) == before


def test_what_comes_between_reading_and_writing_is_not_lost(mine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    service, client = mine
    run, gone = batches(), batches()
    with long_ago(monkeypatch):
        for one in (run, gone):
            client.store(*one.spans)
    read = reread._read

    def meanwhile(*arguments: Any, **named: Any) -> Any:
        found = read(*arguments, **named)
        assert client.ingest(run.log, path="/v1/logs").status_code == 200
        assert client.delete(f"/api/v1/traces/{gone.trace}").status_code == 200
        return found

    monkeypatch.setattr(reread, "_read", meanwhile)
    assert again(service, Wanted()) == 8
    with Client(service.url) as today:
        send(today, run)
        assert shown(client, run.trace) == shown(today, run.trace) | {"project": client.project}
    assert client.get(f"/api/v1/traces/{gone.trace}").status_code == 404
    assert list(verify(service.store)) == []


def test_metrics_follow_where_rare_lines_were_put_together(mine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    service, client = mine
    with long_ago(monkeypatch):
        for calls in (1, 2):
            run_of(client, calls=calls)
    with service.store.writing() as connection:
        sql = Sql(connection)
        for row in sql.rows("SELECT DISTINCT project_id, period, start FROM metric_cell"):
            fold(sql, (row.project_id, row.period, row.start), now=2**62, kept=1)
    assert again(service, Wanted()) == 5
    assert list(verify(service.store)) == []


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
