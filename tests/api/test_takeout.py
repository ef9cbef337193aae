"""Exports of whatever a search finds, in every form, and imports that make the same traces again."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
import threading
import zlib
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.pool import QueuePool

from tests import make
from tests.api.test_export import ODD, send_again
from tests.api.test_traces import error_of
from tests.client import Client, Service, on_one_database, wait_until
from tests.counts import counted
from tests.search.test_rest import caught_up
from tracer.api import schemas
from tracer.api.takeout import forms, parquet_form, pieces
from tracer.api.takeout.forms import form_of, stream
from tracer.api.takeout.pieces import SPANS_AT_ONCE
from tracer.prices import PriceBook
from tracer.queries.projects import project_by_name
from tracer.queries.scope import EVERYTHING
from tracer.queries.walk import Wanted
from tracer.units import rfc3339

PAYLOADS = Path(__file__).parent.parent / "payloads"


def export(client: Client, **parameters: str) -> bytes:
    answer = client.get("/api/v1/export", params={"project": client.project, **parameters})
    assert answer.status_code == 200, answer.text
    return answer.content


def lines_of(client: Client, **parameters: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in export(client, **parameters).splitlines()]


def take_back(client: Client, lines: bytes, **headers: str) -> dict[str, Any]:
    named = {"x-stepscope-project": client.project, **{key.replace("_", "-"): value for key, value in headers.items()}}
    answer = client.post("/api/v1/import", content=lines, headers=named)
    assert answer.status_code == 200, answer.text
    return schemas.Import.model_validate(answer.json()).model_dump()


def fill(client: Client) -> str:
    """Traces of every sort, with all that people add; returns the id of the first."""
    trace = make.new_trace_id()
    root = make.span("root", trace=trace, having=ODD, traceState="a=b", flags=257)
    twice = make.span("twice", trace=trace, parent=root["spanId"], status=2)
    twice["attributes"] += [*make.attributes({"key": "one"}), *make.attributes({"key": "two"})]
    client.store(root, twice)
    client.ingest(make.log_request(make.log({"a": 1}, trace=trace, span=root["spanId"])), path="/v1/logs")
    client.store(make.span("running", end=0, having={"stepscope.seq": 3, "stepscope.output.partial": "so far"}))
    large = make.new_trace_id()
    client.store(*(make.span(f"step {n}", trace=large, start=make.START + n) for n in range(SPANS_AT_ONCE + 5)))
    for file in sorted(PAYLOADS.glob("**/*.otlp.pb"))[:: counted(30, 1)]:
        client.ingest(file.read_bytes(), json=False, path="/v1/logs" if ".logs." in file.name else "/v1/traces")
    named = {"project": client.project}
    for number, value in enumerate((True, 0.1, "warm", 3)):
        score = {"trace_id": trace, "name": f"judged {number}", "value": value, "source": "user", "comment": "=1+1"}
        assert client.post("/api/v1/scores", json={**score, **named}).status_code == 200
    of_step = {"trace_id": large, "span_id": root["spanId"], "name": "late", "value": 1.5, "source": "model", "id": "x"}
    assert client.post("/api/v1/scores", json={**of_step, **named}).status_code == 200
    patch = {"tags": ["golden", "ß"], "name": "What people call it", "note": "Two\nlines"}
    assert client.patch(f"/api/v1/traces/{trace}", params=named, json=patch).status_code == 200
    return trace


def same(line: dict[str, Any]) -> dict[str, Any]:
    """A line without what belongs to the place and the moment that it was read."""
    kept = {key: value for key, value in line.items() if key != "project"}
    if line["status"] == "running":
        kept["duration_ms"] = None
        kept["spans"] = [{**span, "duration_ms": None} for span in line["spans"]]
    if line["added"] is not None:
        scores = [{key: value for key, value in one.items() if key != "project"} for one in line["added"]["scores"]]
        kept["added"] = {**line["added"], "scores": scores}
    return kept


def test_an_export_taken_back_makes_the_same_traces_and_again_changes_nothing(client: Client) -> None:
    trace = fill(client)
    exported = export(client)
    before = [json.loads(line) for line in exported.splitlines()]
    assert [line["part"] for line in before].count(2) == 1, "the large trace has a second line"
    first = next(line for line in before if line["trace_id"] == trace)
    assert "key_repeated" in first["spans"][1]["flags"]
    assert first["name"] == "What people call it"
    assert {one["name"] for one in first["added"]["scores"]} == {f"judged {n}" for n in range(4)}
    client.project += "-again"
    told = take_back(client, exported)
    assert told["traces"] == len({line["trace_id"] for line in before})
    assert told["spans"] == sum(len(line["spans"]) for line in before)
    assert (told["scores"], told["rejected"]["count"]) == (5, 0)
    # The order of arrival within one batch is the server's own.
    by_id = sorted(before, key=lambda line: (line["trace_id"], line["part"]))
    for _ in range(2):
        after = sorted(lines_of(client), key=lambda line: (line["trace_id"], line["part"]))
        assert [same(line) for line in after] == [same(line) for line in by_id]
        take_back(client, zlib.compress(exported, wbits=31), content_encoding="gzip")


def test_what_people_said_here_since_outlives_an_import(client: Client) -> None:
    client.store(make.span("answer"))
    trace = client.traces()[0]["trace_id"]
    score = {"trace_id": trace, "name": "helpful", "value": 0.25, "project": client.project}
    client.post("/api/v1/scores", json=score)
    exported = export(client)
    client.post("/api/v1/scores", json={**score, "value": 0.75})
    client.patch(f"/api/v1/traces/{trace}", params={"project": client.project}, json={"note": "mine"})
    take_back(client, exported)
    assert client.trace(trace)["scores"][0]["value"] == 0.75
    assert client.trace(trace)["note"] == "mine"


def test_a_deleted_trace_does_not_come_back_and_the_answer_says_so(client: Client) -> None:
    client.store(make.span("answer"))
    trace = client.traces()[0]["trace_id"]
    client.patch(f"/api/v1/traces/{trace}", params={"project": client.project}, json={"note": "mine"})
    exported = export(client)
    client.delete(f"/api/v1/traces/{trace}", params={"project": client.project})
    told = take_back(client, exported)
    assert told["rejected"]["count"] == 2
    assert "deleted here" in told["rejected"]["message"]
    assert client.traces() == []


@on_one_database
@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"\n{}", "Line 2 is not of an export of ours"),
        (b'{"project": "p", "trace_id": "ab", "otlp": {}}', "trace_id"),
        (b'{"project": "p", "trace_id": "%s", "otlp": 7}' % (b"ab" * 16), "Line 1"),
        (b"\xff\xfe", "Line 1"),
        (b"[" * 100_000, "Line 1"),
    ],
)
def test_what_is_no_export_is_refused_with_its_line(client: Client, body: bytes, words: str) -> None:
    answer = client.post("/api/v1/import", content=body)
    assert words in error_of(answer, 400, "bad_payload")


def test_otlp_lines_sent_to_any_server_make_the_same_traces(client: Client) -> None:
    client.store(make.span("one", having=ODD), make.model_call())
    lines = export(client, format="otlp")
    before = {one["trace_id"]: client.trace(one["trace_id"])["spans"] for one in client.traces()}
    client.project += "-again"
    send_again(client, lines)
    assert {one["trace_id"]: client.trace(one["trace_id"])["spans"] for one in client.traces()} == before


def test_the_walk_meets_each_trace_once_while_others_arrive(
    client: Client, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tracer.queries.walk.WINDOW", 7)
    monkeypatch.setattr(pieces, "TRACES_AT_ONCE", 3)
    client.store(*(make.span(f"before {n}") for n in range(40)))
    there = {one["trace_id"] for one in client.traces(limit=1_000)}
    with service.store.reading() as conn:
        project_id = project_by_name(conn, scope=EVERYTHING, name=client.project).id
    wanted = Wanted(EVERYTHING, project_id)
    done = threading.Event()

    def ingest() -> None:
        with Client(service.url, project=client.project) as other:
            while not done.is_set():
                other.store(*(make.span("meanwhile") for _ in range(5)))

    sender = threading.Thread(target=ingest)
    sender.start()
    try:
        parts = list(stream(service.store, wanted, form_of("jsonl", "traces", PriceBook())))
    finally:
        done.set()
        sender.join()
    met = [json.loads(line)["trace_id"] for part in parts for line in part.splitlines()]
    assert len(met) == len(set(met))
    assert there <= set(met)


def test_a_slow_reader_holds_no_transaction_and_no_connection(client: Client, service: Service) -> None:
    client.store(*(make.span("one") for _ in range(120)))
    parts = stream(service.store, Wanted(EVERYTHING), form_of("jsonl", "traces", PriceBook()))
    pool = service.store._reader.pool
    assert isinstance(pool, QueuePool)
    for _ in range(3):
        assert next(parts)
        # The service's own threads use the pool as well, for moments.
        wait_until(lambda: pool.checkedout() == 0, "every connection is given back", seconds=5)


def test_an_export_can_be_of_a_search_and_of_a_time(client: Client) -> None:
    client.store(make.span("apple pie"), make.span("apple tart", start=make.START + 10**12), make.span("plum"))
    cut = rfc3339(make.START + 10**11)
    assert {line["name"] for line in lines_of(client, to=cut)} == {"apple pie", "plum"}
    assert [line["name"] for line in lines_of(client, **{"from": cut})] == ["apple tart"]
    wait_until(lambda: caught_up(client), "the index has caught up")
    assert {line["name"] for line in lines_of(client, q="apple")} == {"apple tart", "apple pie"}
    assert [line["name"] for line in lines_of(client, q="apple", to=cut)] == ["apple pie"]
    assert export(client, q="nothing has this") == b""


def test_R66_no_cell_of_a_table_is_a_formula(client: Client) -> None:
    bad = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", '=HYPERLINK("http://x")', "＝1"]
    client.store(*(make.span(text, having={"input.value": text, "session.id": text}) for text in bad))
    for of in ("traces", "spans"):
        rows = list(csv.DictReader(io.StringIO(export(client, format="csv", of=of).decode(), newline="")))
        assert sorted(row["name"].removeprefix("'") for row in rows) == sorted(bad)
        for row in rows:
            for cell in row.values():
                assert not cell.startswith(("=", "+", "-", "@", "\t", "\r", "＝")), cell


def test_tables_hold_what_the_interface_tells(client: Client) -> None:
    client.store(make.model_call(having={"tag.tags": ["a", "b"]}) | {"traceId": "ab" * 16}, make.span("plain"))
    told = {one["trace_id"]: one for one in client.traces()}
    in_csv = list(csv.DictReader(io.StringIO(export(client, format="csv").decode(), newline="")))
    table = pq.read_table(io.BytesIO(export(client, format="parquet"))).to_pylist()
    assert {row["trace_id"] for row in in_csv} == {row["trace_id"] for row in table} == set(told)
    call = next(row for row in table if row["trace_id"] == "ab" * 16)
    assert (call["input_tokens"], call["models"], call["tags"]) == (12, ["gpt-4o-mini"], told["ab" * 16]["tags"])
    assert call["cost_usd"] == told["ab" * 16]["cost_usd"]
    assert call["start_time"].timestamp() == make.START // make.SECOND
    spans = pq.read_table(io.BytesIO(export(client, format="parquet", of="spans"))).to_pylist()
    assert {(row["name"], row["kind"]) for row in spans} == {("chat", "llm"), ("plain", "other")}
    empty = pq.read_table(io.BytesIO(export(client, format="parquet", to="1970-01-02")))
    assert (empty.num_rows, empty.schema.names) == (0, list(table[0]))
    assert export(client, format="csv", to="1970-01-02").decode().splitlines()[0].startswith("trace_id,project,name,")


words = st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=5)


@given(
    st.one_of(
        st.tuples(st.just("text"), st.lists(words, max_size=40)),
        st.tuples(st.just("texts"), st.lists(st.none() | st.lists(words.filter(lambda one: one is not None)))),
        st.tuples(st.just("whole"), st.lists(st.none() | st.integers(-(2**63), 2**63 - 1), max_size=40)),
        st.tuples(st.just("number"), st.lists(st.none() | st.floats(allow_nan=False), max_size=40)),
    )
)
def test_a_column_of_parquet_holds_what_it_was_given(column: tuple[str, list[object]]) -> None:
    type, values = column
    made = parquet_form._ARRAYS[type](values)
    made.validate(full=True)
    assert made.to_pylist() == values


def test_writing_parquet_leaves_pandas_alone() -> None:
    """It takes 50 MB of the server's memory."""
    tried = (
        "import sys; from tracer.api.takeout.parquet_form import Parquet; form = Parquet('traces', None); "
        "form._rows = [[None] * len(form._columns)]; form.end(); assert 'pandas' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", tried], check=True)


@on_one_database
def test_a_table_needs_what_it_needs_and_says_so(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    client.store(make.span())
    error_of(client.get("/api/v1/export?format=xml"), 422, "invalid", "format")
    error_of(client.get("/api/v1/export?of=spans"), 400, "bad_request", "of")
    error_of(client.get("/api/v1/export?project=nobody"), 404, "not_found", "project")
    error_of(client.get("/api/v1/export?from=soon"), 400, "bad_request", "from")
    error_of(client.get('/api/v1/export?q="open'), 400, "bad_search", "q")
    monkeypatch.delitem(sys.modules, "tracer.api.takeout.parquet_form", raising=False)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    said = error_of(client.get("/api/v1/export?format=parquet"), 400, "bad_request", "format")
    assert "stepscope-server[parquet]" in said


@on_one_database
def test_R65_a_projects_name_adds_no_header_to_a_download(client: Client) -> None:
    client.project = 'x"\r\nSet-Cookie: a=b; \u2603'
    client.ingest(make.request(make.span(), resource={"stepscope.project": client.project}), x_stepscope_project="")
    answer = client.get(f"/api/v1/export?project={quote(client.project)}")
    assert answer.status_code == 200
    assert "set-cookie" not in answer.headers
    name = answer.headers["content-disposition"].removeprefix('attachment; filename="').removesuffix('"')
    assert name.endswith("Z.jsonl")
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789.-TZ")


@on_one_database
def test_an_export_that_breaks_off_does_not_look_complete(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    client.store(*(make.span("one") for _ in range(5)))
    monkeypatch.setattr(pieces, "TRACES_AT_ONCE", 2)
    whole, count = forms.traces_line, 0

    def breaks(records: Any) -> bytes:
        nonlocal count
        count += 1
        if count > 3:
            raise RuntimeError("the disk is gone")
        return whole(records)

    monkeypatch.setattr(forms, "traces_line", breaks)
    with pytest.raises(httpx.RemoteProtocolError):
        export(client)


def test_R63_a_key_takes_out_and_puts_back_its_own_projects_traces_only(client: Client, service: Service) -> None:
    client.store(make.span("theirs"))
    lines = export(client)
    with Client(service.url) as plain, Client(service.url, project=plain.project) as keyed:
        plain.store(make.span("mine"))
        given = {"project": plain.project, "name": "app", "right": "full"}
        keyed.headers["x-api-key"] = client.post("/api/v1/keys", json=given).json()["key"]
        answer = keyed.get("/api/v1/export")
        assert [json.loads(line)["name"] for line in answer.content.splitlines()] == ["mine"]
        error_of(keyed.get("/api/v1/export", params={"project": client.project}), 404, "not_found", "project")
        answer = keyed.post("/api/v1/import", content=lines, headers={"x-stepscope-project": client.project})
        assert answer.status_code == 200, answer.text
        assert {one["name"] for one in plain.traces()} == {"mine", "theirs"}
    assert [one["project"] for one in client.traces()] == [client.project]
