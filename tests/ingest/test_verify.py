"""`verify` finds every kind of damage that is planted, and nothing in what ingest wrote."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.client import Client, in_process
from tests.ingest.deleting import Bench, bench, log, one_span
from tests.ingest.reference import Sent
from tests.ingest.test_exactly_once import PRICES, Databases, databases, prepared, span_facts, trace_id
from tracer.ingest.apply import Applier
from tracer.ingest.verify import verify
from tracer.otlp.records import LogRecord

__all__ = ["databases"]

PAYLOADS = Path(__file__).parents[1] / "payloads"


@pytest.fixture
def at(databases: Databases) -> Iterator[Bench]:
    """Two traces: one of four steps with model calls, a log record and a running step; and a small one."""
    with databases.empty() as store, bench(store) as made:
        call = {"kind": "llm", "tokens": (10, 5), "model": "house-1", "session": "s1", "user": "mara"}
        made.send([one_span(1, 1, kind="agent", text="a question", tags=frozenset({"prod"}))])
        made.send([one_span(1, 2, parent=1, start=2, text="long " * 400, metadata=(("plan", "pro"),), **call)])
        made.send([replace(one_span(1, 3, parent=1, start=3), end=None, seq=1), one_span(2, text="other")])
        made.send([one_span(1, 4, parent=9, start=4, error=True)], [log(1, 2)])
        assert made.differences() == []
        yield made


def found(at: Bench) -> list[tuple[str, str | None, str | None]]:
    """What was found: what, in which trace, in which span, ids without their zeros.

    Not the metrics, the labels and the counts of traces that are alike: they differ too wherever a span's columns or a
    trace's row do (`test_cube.py`, below).
    """
    return [
        (one.what, one.trace_id and one.trace_id.lstrip("0"), one.span_id and one.span_id.lstrip("0"))
        for one in at.differences()
        if one.what not in ("metrics", "label", "alike")
    ]


def test_metrics_that_are_not_what_the_spans_add_up_to_are_found(at: Bench) -> None:
    with at.store.writing() as connection:
        connection.exec_driver_sql("UPDATE metric_cell SET span_count = span_count + 1")

    assert {one.what for one in at.differences()} == {"metrics"}


def test_labels_that_are_missing_or_that_no_trace_has_are_found(at: Bench) -> None:
    assert {row.value for row in at.rows("SELECT value FROM trace_label")} == {"house-1", "prod"}
    with at.store.writing() as connection:
        connection.exec_driver_sql("UPDATE trace_label SET value = 'elsewhere' WHERE field = 'tag'")

    assert [(one.what, one.stored.split(" under")[0]) for one in at.differences()] == [
        ("label", "tag 'prod' is missing"),
        ("label", "tag 'elsewhere' is there"),
    ]


def test_counts_of_traces_that_are_alike_and_not_so_many_are_found(at: Bench) -> None:
    assert {(row.period, row.name, row.trace_count) for row in at.rows("SELECT * FROM trace_alike")} == {
        (0, "step", 1),
        (1, "step", 1),
    }
    with at.store.writing() as connection:
        connection.exec_driver_sql("UPDATE trace_alike SET trace_count = trace_count + 1 WHERE period = 1")

    differences = at.differences()
    assert {one.what for one in differences} == {"alike"}
    assert {one.stored.partition(" ")[2].split()[1] for one in differences} == {"day"}


def row_number(at: Bench, trace: int) -> int:
    return int(at.rows("SELECT id FROM trace WHERE trace_id = ?", [trace_id(trace)])[0].id)


def test_every_column_of_a_roll_up_is_recomputed(at: Bench) -> None:
    where = ("trace_id = ?", [trace_id(1)])
    for column, value in (
        ("name", "another"),
        ("status", 2),
        ("start_time", 5),
        ("end_time", None),
        ("span_count", 5),
        ("running_count", 0),
        ("error_count", 0),
        ("llm_call_count", 2),
        ("input_tokens", 11),
        ("output_tokens", None),
        ("cost", 7),
        ("partial_reasons", None),
        ("partial_count", 0),
        ("session_id", "s2"),
        ("user_id", None),
        ("environment", "live"),
        ("release", "2"),
        ("models", "[]"),
        ("services", '["x"]'),
        ("tags", "no JSON"),
        ("metadata", '{"plan":"free"}'),
        ("input_preview", "an answer"),
        ("output_preview", "an answer"),
        ("failed_in", "step"),
        ("state", b"\x90"),
        ("state", b"no state"),
    ):
        with damaged(at, "trace", where, column, value):
            counter = [("counter span_count", None, None)] if column == "span_count" else []
            assert found(at) == [(column, "1", None), *counter]
    assert found(at) == []


def test_every_column_that_was_read_from_a_span_is_read_again_from_its_body(at: Bench) -> None:
    where = ("trace_pk = ? AND span_id = ?", [row_number(at, 1), (2).to_bytes(8)])
    calls = {"llm_call_count", "input_tokens", "output_tokens", "total_tokens", "partial_reasons", "partial_count"}
    for column, value, roll_up in (
        ("kind", 1, calls),
        ("input_tokens", 11, {"input_tokens"}),
        ("model", "gpt-6", {"models"}),
        ("session_id", None, {"session_id", "state"}),
        ("tags", '["eu"]', {"tags", "state"}),
        ("metadata", "no JSON", {"roll-up"}),
        ("dialect", "none", set[str]()),
        ("response_id", "r9", set[str]()),
    ):
        with damaged(at, "span", where, column, value):
            seen = found(at)
            assert (column, "1", "2") in seen
            assert {what for what, _, span in seen if span is None} == roll_up, column
    assert found(at) == []


@contextmanager
def damaged(at: Bench, table: str, where: tuple[str, list[Any]], column: str, value: object) -> Iterator[None]:
    """One value changed for the time of a with statement."""
    was = at.rows(f"SELECT {column} FROM {table} WHERE {where[0]}", where[1])[0][0]
    assert was != value
    assert at.run(f"UPDATE {table} SET {column} = ? WHERE {where[0]}", [value, *where[1]]) == 1
    yield
    at.run(f"UPDATE {table} SET {column} = ? WHERE {where[0]}", [was, *where[1]])


class TestBodies:
    def test_a_pack_that_is_gone(self, at: Bench) -> None:
        pk = row_number(at, 2)
        assert at.run("DELETE FROM pack WHERE id / 1048576 = ?", [pk]) == 1
        assert found(at) == [("pack_count", "2", None), ("body", "2", "1"), ("counter body_bytes", None, None)]

    def test_a_pack_whose_bytes_were_changed(self, at: Bench) -> None:
        pk = row_number(at, 1)
        data = at.rows("SELECT id, data FROM pack WHERE id / 1048576 = ? ORDER BY id LIMIT 1 OFFSET 1", [pk])[0]
        changed = bytes(data.data[:-9]) + bytes(9)
        at.run("UPDATE pack SET data = ? WHERE id = ?", [changed, data.id])
        seen = found(at)
        assert ("pack", "1", None) in seen
        assert ("body", "1", "2") in seen

    def test_a_pack_that_holds_other_pieces_than_it_says(self, at: Bench) -> None:
        pk = row_number(at, 1)
        row = at.rows("SELECT id, data FROM pack WHERE id / 1048576 = ? ORDER BY id LIMIT 1 OFFSET 1", [pk])[0]
        data = zstandard.ZstdDecompressor().decompress(row.data).replace(b"long ", b"song ", 1)
        at.run("UPDATE pack SET data = ? WHERE id = ?", [zstandard.ZstdCompressor().compress(data), row.id])
        assert ("pack", "1", None) in found(at)

    @pytest.mark.parametrize(
        ("column", "value"), [("pack", 99), ("pack", -1), ("body_offset", 1 << 30), ("body_length", 3)]
    )
    def test_a_place_beyond_what_there_is(self, at: Bench, column: str, value: int) -> None:
        at.run(f"UPDATE span SET {column} = ? WHERE trace_pk = ?", [value, row_number(at, 2)])
        assert found(at) == [("body", "2", "1")]

    def test_packs_that_nothing_counts(self, at: Bench) -> None:
        at.run("UPDATE trace SET pack_count = pack_count + 1 WHERE trace_id = ?", [trace_id(1)])
        assert found(at) == [("pack_count", "1", None)]

    def test_a_log_record_that_cannot_be_read(self, at: Bench) -> None:
        at.run("UPDATE log_record SET body = ?", [b"no zstd"])
        assert ("log record", "1", None) in found(at)


class TestRows:
    @pytest.mark.parametrize("table", ["span", "pack", "partial_output"])
    def test_rows_without_a_trace(self, at: Bench, table: str) -> None:
        if table == "partial_output":
            at.run("INSERT INTO partial_output (trace_pk, span_id, text) VALUES (77, ?, 'x')", [bytes(8)])
        elif table == "pack":
            at.run("INSERT INTO pack (id, pieces, data) VALUES (?, ?, ?)", [77 * 1048576 + 1, b"", b""])
        else:
            at.run("UPDATE span SET trace_pk = 77 WHERE trace_pk = ?", [row_number(at, 2)])
        assert ("orphan", None, None) in found(at)
        assert table in next(one.stored for one in at.differences() if one.what == "orphan")

    def test_a_span_that_is_lost(self, at: Bench) -> None:
        at.run("DELETE FROM span WHERE trace_pk = ? AND span_id = ?", [row_number(at, 1), (2).to_bytes(8)])
        assert ("span_count", "1", None) in found(at)

    def test_a_trace_without_any_span(self, at: Bench) -> None:
        at.run("DELETE FROM span WHERE trace_pk = ?", [row_number(at, 2)])
        assert found(at) == [("span_count", "2", None)]

    def test_an_output_so_far_of_a_step_that_has_ended(self, at: Bench) -> None:
        at.run(
            "INSERT INTO partial_output (trace_pk, span_id, text) VALUES (?, ?, 'so far')",
            [row_number(at, 1), (2).to_bytes(8)],
        )
        assert found(at) == [("orphan", None, "2")]

    def test_counters_that_miss_something(self, at: Bench) -> None:
        at.run("UPDATE project_counter SET trace_count = trace_count + 1, span_count = span_count - 2")
        assert [one.what for one in at.differences()] == ["counter trace_count", "counter span_count"]
        at.run("UPDATE project_counter SET trace_count = trace_count - 1, span_count = span_count + 2")
        at.run("UPDATE project_counter SET body_bytes = body_bytes + 7")
        assert [one.what for one in at.differences()] == ["counter body_bytes"]

    def test_what_is_left_of_deleted_traces(self, at: Bench) -> None:
        project_id = at.rows("SELECT project_id FROM trace")[0].project_id
        at.run("INSERT INTO tombstone (trace_id, project_id, deleted_at) VALUES (?, ?, 1)", [trace_id(1), project_id])
        at.run("INSERT INTO remains (trace_pk, project_id, deletion_id) VALUES (?, 1, 1)", [row_number(at, 2)])
        differences = at.differences()
        seen = [one.what for one in differences if one.what not in ("metrics", "counter body_bytes")]
        assert seen == ["deleted", "deleted", "deleted"]
        assert {one.stored.split(" is ")[0] for one in differences} >= {"a trace", "a log record"}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None)
@given(data=st.data())
def test_nothing_is_found_after_running_steps_with_outputs_so_far_and_late_log_records(
    databases: Databases, data: st.DataObject
) -> None:
    facts = data.draw(span_facts())
    logs = [log(trace, span) for trace in (1, 2) for span in (1, 2, 8)]
    events: list[Sent | LogRecord] = [*facts, *data.draw(st.lists(st.sampled_from(logs), max_size=4))]
    with databases.empty() as store:
        applier = Applier(shard=1, prices=PRICES)
        for event in data.draw(st.permutations(events)):
            with store.writing() as connection:
                if isinstance(event, Sent):
                    span = prepared(event)
                    if span.running:
                        span.partial_output = data.draw(st.sampled_from([None, "so", "so far"]))
                    applier.apply(connection, [span])
                else:
                    applier.apply(connection, [], [("p", event)])
        assert list(verify(store)) == []


def test_nothing_is_found_in_what_every_recorded_client_sent(database_url: str) -> None:
    with in_process(database_url) as service, Client(service.url) as client:
        for file in sorted(PAYLOADS.rglob("*.otlp.pb")):
            body = file.read_bytes()
            path = "/v1/logs" if ".logs." in file.name else "/v1/traces"
            plain = gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body
            assert client.ingest(plain, json=False, path=path).is_success
        assert list(verify(service.store)) == []


def test_what_a_call_cost_is_the_sum_of_its_parts_or_what_was_sent(at: Bench) -> None:
    at.send([one_span(3, kind="llm", tokens=(1_000, 10), model="gpt-4o-mini")])
    where = ("trace_pk = ?", [row_number(at, 3)])
    assert at.rows(f"SELECT cost, cost_source FROM span WHERE {where[0]}", where[1])[0].cost_source == "computed"
    for column, value in (("cost", 3), ("input_cost", 1), ("output_cost", None), ("cost_source", "sent")):
        with damaged(at, "span", where, column, value):
            assert ("cost", "3", "1") in found(at)
    with damaged(at, "trace", ("id = ?", where[1]), "cost_source", "mixed"):
        assert found(at) == [("cost_source", "3", None)]
