"""Deleting is real and final, whatever comes late or again, and never in the way of ingest for long."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection

from tests.databases import NewDatabase
from tests.ingest.deleting import Bench, bench, large_text, log, one_span, opened
from tests.ingest.reference import Sent, expected, surviving
from tests.ingest.test_exactly_once import PRICES, SECOND, Databases, compare, databases, prepared, span_facts, trace_id
from tracer.errors import NotFound
from tracer.ingest import delete, receipts, reclaim
from tracer.ingest.apply import Applier
from tracer.ingest.deleter import Deleter
from tracer.ingest.receipts import Receipt
from tracer.ingest.reclaim import database_size, size_in_use
from tracer.ingest.retention import Retention
from tracer.ingest.tombstones import DELETED, TOMBSTONES_KEPT, prune_tombstones
from tracer.ingest.verify import verify
from tracer.otlp.decode import Rejections
from tracer.queries.projects import projects
from tracer.queries.scope import EVERYTHING
from tracer.store.models import metadata
from tracer.store.sql import Sql
from tracer.units import DAY

__all__ = ["databases"]

KEPT_AFTER = {"project", "project_counter", "tombstone", "deletion", "change", "search_state", "alembic_version"}
"""Tables that may have rows once every trace is deleted: names, sums, and what refuses and tells."""


@pytest.fixture
def at(databases: Databases) -> Iterator[Bench]:
    with databases.empty() as store, bench(store) as made:
        yield made


@pytest.fixture
def in_file(new_database: NewDatabase) -> Iterator[Bench]:
    """On SQLite only: Postgres keeps its files to itself, and the space in them for new rows."""
    with opened(new_database("sqlite")) as store, bench(store) as made:
        yield made


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None)
@given(data=st.data())
def test_deliveries_deletions_and_replays_in_any_order_leave_what_a_slow_reference_says(
    databases: Databases, data: st.DataObject
) -> None:
    facts = data.draw(span_facts())
    events: list[Sent | int] = [*facts, *data.draw(st.lists(st.sampled_from(facts), max_size=5))]
    events += data.draw(st.lists(st.sampled_from([fact.trace for fact in facts]), max_size=3))
    events = data.draw(st.permutations(events))
    replayed = [event for event in events if isinstance(event, Sent)]
    with databases.empty() as store, bench(store) as at:
        batch: list[Sent] = []
        for event in events:
            if isinstance(event, Sent):
                batch.append(event)
                if data.draw(st.booleans()):
                    continue
            at.send(batch)
            batch = []
            if data.draw(st.sampled_from([False, False, False, True])):
                at.index()
            there = at.rows("SELECT 1 FROM trace WHERE trace_id = ?", [trace_id(event)]) if type(event) is int else []
            if there and type(event) is int:
                at.delete(event)
        at.send(batch)
        kept = surviving(events)
        gone = {fact.trace for fact in facts} - {fact.trace for fact in kept}

        compare(store, kept)
        assert refused(at, replayed) == sum(fact.trace in gone for fact in replayed)

        compare(store, kept)
        assert at.count("trace") == len(expected(kept))
        assert at.count("span") == sum(len(one.spans) for one in expected(kept).values())
        at.index()
        assert list(verify(store)) == []


def refused(at: Bench, facts: list[Sent]) -> int:
    """How many spans of a batch are refused, each because its trace was deleted."""
    reasons = at.send(facts)
    assert set(reasons) <= {DELETED}
    return sum(reasons.values())


class TestOneTrace:
    def test_every_row_of_it_goes_and_the_receipt_counts_them(self, at: Bench) -> None:
        running = replace(one_span(1, 3), end=None, seq=1, text="so far")
        at.send([one_span(1, 1, text="x" * 9_000), one_span(1, 2, parent=1), running], [log(1, 1), log(1, 9)])
        at.index()
        assert at.count("search_block") > 0
        receipt = at.delete(1)
        assert (receipt.state, receipt.traces, receipt.spans) == ("done", 1, 3)
        assert receipt.finished_at is not None
        assert {table.name for table in metadata.sorted_tables if at.count(table.name)} <= KEPT_AFTER
        assert at.differences() == []

    def test_replaying_every_earlier_batch_changes_nothing(self, at: Bench) -> None:
        batches: list[tuple[list[Sent], list[Any]]] = [
            ([one_span(1), one_span(2)], []),
            ([], [log(1, 1), log(2, 1)]),
            ([one_span(1, 2, parent=1)], [log(1, 2)]),
        ]
        for facts, logs in batches:
            at.send(facts, logs)
        at.delete(1)
        before = snapshot(at)

        answers = [at.send(facts, logs) for facts, logs in batches]

        assert answers == [{DELETED: 1}, {DELETED: 1}, {DELETED: 2}]
        assert snapshot(at) == before
        assert at.differences() == []

    def test_each_request_hears_of_its_own_refused_spans_though_one_commit_held_them_all(self, at: Bench) -> None:
        at.send([one_span(1)])
        at.delete(1)
        blocked: Future[None] = Future()
        at.writer.run(lambda _: blocked.result())  # so that the next batches wait for each other
        waiting = [
            at.writer.submit([prepared(one_span(trace, 2)) for trace in traces]) for traces in ([1, 2], [2], [1, 1])
        ]
        blocked.set_result(None)
        assert [one.result().count for one in waiting] == [1, 0, 2]

    def test_the_same_id_in_another_project_stays(self, at: Bench) -> None:
        span = prepared(one_span(1))
        span.project = "other"
        at.writer.submit([span, prepared(one_span(1))]).result()
        row = at.rows("SELECT t.id, t.project_id FROM trace t JOIN project p ON p.id = project_id WHERE p.name = 'p'")[
            0
        ]
        at.deleter.delete_trace(row.id, project_id=row.project_id)
        again = prepared(one_span(1, 2))
        again.project = "other"
        assert at.writer.submit([again]).result().count == 0
        assert totals(at) == {"p": (0, 0), "other": (1, 2)}
        assert at.differences() == []

    def test_deleting_it_twice_says_that_it_is_not_there(self, at: Bench) -> None:
        at.send([one_span(1)])
        row = at.rows("SELECT id, project_id FROM trace")[0]
        at.deleter.delete_trace(row.id, project_id=row.project_id)
        with pytest.raises(NotFound):
            at.deleter.delete_trace(row.id, project_id=row.project_id)
        assert at.count("deletion") == 1
        assert totals(at) == {"p": (0, 0)}

    def test_open_pages_are_told(self, at: Bench) -> None:
        at.send([one_span(1)])
        at.told.clear()
        at.delete(1)
        assert [ids for changes in at.told for ids in changes.traces.values()] == [{trace_id(1)}]
        newest = at.rows("SELECT trace_id, at FROM change ORDER BY id DESC LIMIT 1")[0]
        assert (newest.trace_id, newest.at) == (trace_id(1), at.told[0].at)

    def test_what_it_held_is_nowhere_in_the_file(self, in_file: Bench) -> None:
        at = in_file
        assert at.store.file is not None
        at.send([one_span(1, name="a very secret name", text="x"), one_span(2)])
        at.send([one_span(1, 2, start=0, name="another secret name", text="a secret preview")])
        files = [at.store.file, at.store.file.with_name(at.store.file.name + "-wal")]
        assert any(b"secret" in file.read_bytes() for file in files if file.exists())
        at.index()
        at.delete(1)
        assert not any(b"secret" in file.read_bytes() for file in files if file.exists())

    def test_a_state_remembered_between_commits_is_not_taken_for_a_later_trace(self, databases: Databases) -> None:
        with databases.empty() as store:
            applier = Applier(shard=1, prices=PRICES)
            sent = [one_span(1, text="shared " * 200), one_span(1, 2, parent=1, kind="llm", tokens=(5, 5))]
            with store.writing() as connection:
                applier.apply(connection, [prepared(fact) for fact in sent])
            with store.writing() as connection:
                sql = Sql(connection)
                pk = sql.rows("SELECT id FROM trace")[0].id
                delete.delete_traces(sql, [pk], deletion_id=1, shard=1, now=time.time_ns())
                prune_tombstones(sql, time.time_ns() + 2 * TOMBSTONES_KEPT)
            with store.writing() as connection:
                applier.apply(connection, [prepared(fact) for fact in sent])
            compare(store, sent)
            assert list(verify(store)) == []


class TestTombstones:
    def test_after_thirty_days_they_and_their_receipts_are_forgotten(self, at: Bench) -> None:
        at.send([one_span(1), one_span(2)])
        at.delete(1)
        now = time.time_ns()
        with at.store.writing() as connection:
            assert prune_tombstones(Sql(connection), now + TOMBSTONES_KEPT - DAY) == 0
        with at.store.writing() as connection:
            assert prune_tombstones(Sql(connection), now + TOMBSTONES_KEPT + DAY) == 1
        assert (at.count("tombstone"), at.count("deletion")) == (0, 0)
        assert at.send([one_span(1)]) == {}

    def test_log_records_alone_make_nothing_of_a_deleted_trace(self, at: Bench) -> None:
        at.send([one_span(1)])
        at.delete(1)
        assert at.send([], [log(1, 1), log(1, 2), log(3, 1)]) == {DELETED: 2}
        assert at.count("log_record") == 1


class TestManyTraces:
    def test_those_that_started_in_the_time_go_slice_by_slice_and_no_others(
        self, at: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        hold_slices(monkeypatch, at, 3)
        at.send([one_span(trace, span, start=trace) for trace in range(1, 21) for span in (1, 2)])
        receipt = at.deleter.ask(project_id=project(at), since=5 * SECOND, until=15 * SECOND)
        assert (receipt.state, receipt.total_traces) == ("waiting", None)
        slices: list[int] = []
        assert at.deleter.carry_out(receipt.id, told=lambda so_far: slices.append(so_far.traces))
        done = at.deleter.receipt(receipt.id)
        assert (done.state, done.traces, done.spans, done.total_traces) == ("done", 10, 20, 10)
        assert slices == list(range(1, 11))
        left = {int.from_bytes(row.trace_id) for row in at.rows("SELECT trace_id FROM trace")}
        assert left == {*range(1, 5), *range(15, 21)}
        assert at.differences() == []

    def test_a_trace_that_came_after_it_was_asked_for_stays(self, at: Bench) -> None:
        at.send([one_span(1)])
        receipt = at.deleter.ask(project_id=project(at))
        at.send([one_span(2)])
        at.deleter.carry_out(receipt.id)
        assert totals(at) == {"p": (1, 1)}

    def test_a_large_trace_is_gone_at_once_and_its_rows_in_slices(
        self, at: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(delete, "LARGE", 10)
        monkeypatch.setattr(delete, "PACKS_AT_ONCE", 1)
        monkeypatch.setattr(delete, "NOTES_AT_ONCE", 1)
        at.send([one_span(2)])
        for part in range(3):
            at.send([one_span(1, part * 20 + span, text=f"{part} {span}") for span in range(1, 21)])
            at.index()
        pk = at.rows("SELECT id FROM trace WHERE trace_id = ?", [trace_id(1)])[0].id
        with at.store.writing() as connection:
            delete.delete_traces(Sql(connection), [pk], deletion_id=1, shard=1, now=time.time_ns())
        assert (at.count("trace"), at.count("span"), at.count("pack"), at.count("remains")) == (1, 61, 4, 1)
        assert at.count("search_seen") == 4
        assert at.send([one_span(1, 99)]) == {DELETED: 1}
        assert at.differences() == []
        left = []
        more = True
        while more:
            with at.store.writing() as connection:
                more = delete.sweep(Sql(connection), spans=25, shard=1)
            left.append((at.count("span"), at.count("pack"), at.count("search_seen"), at.count("remains")))
        assert left[:3] == [(36, 4, 4, 1), (11, 4, 4, 1), (1, 4, 4, 1)]
        assert left[-3:] == [(1, 1, 1, 1), (1, 1, 1, 0), (1, 1, 1, 0)]
        assert at.differences() == []

    def test_what_a_stopped_process_left_another_goes_on_with(
        self, databases: Databases, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with databases.empty() as store:
            with bench(store) as first:
                hold_slices(monkeypatch, first, 2)
                first.send([one_span(trace, start=trace) for trace in range(1, 11)])
                receipt = first.deleter.ask(project_id=None)

                def end(so_far: Receipt) -> None:
                    if so_far.traces >= 4:
                        first.deleter._stopping.set()

                assert not first.deleter.carry_out(receipt.id, told=end)
                assert 0 < first.count("trace") < 10
            with bench(store) as second:
                assert not second.deleter.carry_out(receipt.id), "its process may live"
                monkeypatch.setattr(receipts, "STALE", 0)
                second.deleter.start()
                done = second.deleter.wait(receipt.id, seconds=20)
                assert (done.state, done.traces) == ("done", 10)
                assert second.count("trace") == 0
                assert second.differences() == []

    def test_one_asked_for_while_another_runs_waits_its_turn(self, at: Bench) -> None:
        at.send([one_span(trace, start=trace) for trace in range(1, 31)])
        asked = [at.deleter.ask(project_id=None, until=(end + 1) * SECOND) for end in (10, 20, 30)]
        at.deleter.start()
        assert [at.deleter.wait(one.id, seconds=20).traces for one in asked] == [10, 10, 10]

    def test_batches_are_taken_while_much_is_deleted(self, at: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        hold_slices(monkeypatch, at, 5)
        at.send([one_span(trace, start=1) for trace in range(1, 301)])
        at.deleter.start()
        receipt = at.deleter.ask(project_id=project(at))
        during = 0
        for trace in range(1_000, 1_500):
            at.send([one_span(trace)])
            if at.deleter.receipt(receipt.id).state == "done":
                break
            during += 1
        assert at.deleter.wait(receipt.id, seconds=30).traces == 300
        assert during > 3, "no batch was taken while slices were left"
        assert at.differences() == []

    def test_log_records_whose_span_never_came_go_by_their_time(self, at: Bench) -> None:
        at.send([one_span(5, start=3)], [log(5, 1, time=2 * SECOND)])
        at.send([], [log(1, 1, time=2 * SECOND), log(2, 1, time=8 * SECOND), log(3, 1, time=0)])
        receipt = at.deleter.ask(project_id=project(at), until=4 * SECOND)
        at.send([], [log(4, 1, time=2 * SECOND)])
        at.deleter.carry_out(receipt.id)
        left = {int.from_bytes(row.trace_id) for row in at.rows("SELECT trace_id FROM log_record")}
        assert left == {2, 3, 4}
        assert at.send([], [log(1, 1, time=2 * SECOND)]) == {DELETED: 1}
        assert at.differences() == []


class TestSpace:
    def test_the_file_of_sqlite_shrinks_before_the_receipt_is_done(self, in_file: Bench) -> None:
        at = in_file
        at.send([one_span(trace, start=trace, text=large_text(trace)) for trace in range(1, 81)])
        full = database_size(at.store)
        receipt = at.deleter.ask(project_id=None, until=71 * SECOND)
        at.deleter.carry_out(receipt.id)
        assert database_size(at.store) < full / 2
        assert at.rows("PRAGMA freelist_count")[0][0] == 0
        assert at.differences() == []

    def test_each_slice_gives_back_as_many_pages_as_it_may(
        self, in_file: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        at, free = in_file, list[int]()
        give = reclaim._give_pages_back

        def counted(connection: Connection) -> bool:
            free.append(Sql(connection).rows("PRAGMA freelist_count")[0][0])
            return give(connection)

        monkeypatch.setattr(reclaim, "PAGES_AT_ONCE", 50)
        monkeypatch.setattr(reclaim, "_give_pages_back", counted)
        at.send([one_span(trace, text=large_text(trace)) for trace in range(1, 81)])
        at.deleter.carry_out(at.deleter.ask(project_id=None).id)
        assert free[0] > 100
        assert [before - after for before, after in pairwise(free)] == [50] * (free[0] // 50)

    def test_a_size_cap_takes_the_oldest_of_all_projects_and_no_more_than_it_must(self, at: Bench) -> None:
        spans = [prepared(one_span(trace, start=trace, text=large_text(trace))) for trace in range(1, 61)]
        for number, span in enumerate(spans):
            span.project = f"p{number % 3}"
        at.writer.submit(spans).result()
        cap = size_in_use(at.store) * 2 // 3
        receipt = at.deleter.ask(project_id=None, max_size=cap)
        at.deleter.carry_out(receipt.id)
        left = sorted(int.from_bytes(row.trace_id) for row in at.rows("SELECT trace_id FROM trace"))
        assert size_in_use(at.store) <= cap
        assert left == list(range(61 - len(left), 61))
        assert 20 <= len(left) <= 45
        assert at.deleter.receipt(receipt.id).traces == 60 - len(left)
        assert at.differences() == []

    def test_a_reader_of_an_older_state_does_not_hold_a_deletion_up(
        self, at: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("tracer.ingest.reclaim.CHECKPOINT_TRIES", 2)
        at.send([one_span(1), one_span(2)])
        with at.store.reading() as connection:
            assert len(Sql(connection).rows("SELECT id FROM trace")) == 2
            assert at.delete(1).state == "done"
            assert len(Sql(connection).rows("SELECT id FROM trace")) == 2, "what a page has read does not change"
        assert at.count("trace") == 1


class TestRetention:
    def test_what_is_older_is_deleted_and_what_is_too_large_too(self, at: Bench) -> None:
        now = time.time_ns()
        young, old = (now - days * DAY for days in (3, 40))
        at.send([replace(one_span(1), start=old, end=now), replace(one_span(2), start=young, end=now)])
        retention = Retention(days=30)
        at.deleter = Deleter(at.store, at.writer, on_commit=at.told.append, retention=retention)
        assert at.deleter._work(), "it asks for a deletion"
        assert at.deleter._work(), "it carries it out"
        assert not at.deleter._work(), "nothing is left to do"
        assert [row.trace_id for row in at.rows("SELECT trace_id FROM trace")] == [trace_id(2)]
        assert retention.due(at.store) is None
        assert Retention(max_size=10**15).due(at.store) is None
        assert Retention(max_size=1).due(at.store) is not None

    def test_records_that_are_too_old_are_refused_with_the_reason(self) -> None:
        now = time.time_ns()
        records = [prepared(replace(one_span(1, span), start=start)).record for span, start in ((1, 0), (2, now))]
        rejected = Rejections()
        kept = Retention(days=30).refuse_old(records, lambda record: record.start_time, rejected)
        assert [record.start_time for record in kept] == [now]
        assert rejected.count == 1
        assert "30 days" in rejected.message
        assert "retention_days" in rejected.message
        assert Retention().refuse_old(records, lambda record: record.start_time, rejected) == records


def hold_slices(monkeypatch: pytest.MonkeyPatch, at: Bench, spans: int) -> None:
    """Give slices a size of their own, however fast the machine is."""
    monkeypatch.setattr("tracer.ingest.deleter.FEWEST_SPANS", spans)
    monkeypatch.setattr("tracer.ingest.deleter.MOST_SPANS", spans)
    at.deleter._spans = spans


def snapshot(at: Bench) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table, as they are."""
    return {
        table.name: sorted(tuple(row) for row in at.rows(f"SELECT * FROM {table.name}"))
        for table in metadata.sorted_tables
    }


def project(at: Bench) -> int:
    """The row number of the tests' project."""
    return int(at.rows("SELECT id FROM project WHERE name = 'p'")[0].id)


def totals(at: Bench) -> dict[str, tuple[int, int]]:
    """Traces and spans of each project, as the counters have them."""
    with at.store.reading() as connection:
        return {one.name: (one.trace_count, one.span_count) for one in projects(connection, scope=EVERYTHING)}
