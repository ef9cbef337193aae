"""Indexing in the background: after the acknowledgement, across crashes, between processes, switched off and on."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace

import pytest

from tests.databases import NewDatabase
from tests.otlp.dialects.spans import scenario, scenarios
from tests.search.stored import PRICES, Said, Shelf, opened, record
from tracer.errors import Unavailable
from tracer.ingest.apply import Applier
from tracer.ingest.delete import delete_traces
from tracer.ingest.prepare import prepare
from tracer.ingest.receipts import close_receipt, open_receipt
from tracer.otlp.records import LogRecord, Scope
from tracer.search import worker
from tracer.search.catch_up import note_missed, note_off
from tracer.search.merge import purge
from tracer.search.slices import StepReader
from tracer.search.status import database_bytes, index_bytes, index_status
from tracer.search.tree import Says
from tracer.search.work import Outrun, take_work
from tracer.search.worker import Indexer
from tracer.search.write import LEASE, remove_traces, take_lease, write_slice
from tracer.store.engine import BUSY_TIMEOUT_MS
from tracer.store.sql import Sql


@pytest.fixture
def shelf(database_url: str) -> Iterator[Shelf]:
    with opened(database_url) as store:
        yield Shelf(store)


def found(shelf: Shelf, text: str) -> list[int]:
    return shelf.traces([Says(text)])


def test_a_crash_after_the_commit_loses_nothing(shelf: Shelf) -> None:
    shelf.put(Said(1, 1, input="precious"))
    assert found(shelf, "precious") == []

    later = Shelf(shelf.store)  # another process, that knows nothing of the first
    later.index()

    assert found(later, "precious") == [1]


def test_a_crash_while_a_slice_is_written_leaves_its_work(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf.put(Said(1, 1, input="precious"))
    whole = worker.write_slice

    def cut_short(*arguments: object, **more: object) -> None:
        whole(*arguments, **more)  # pyrefly: ignore
        raise KeyboardInterrupt

    monkeypatch.setattr(worker, "write_slice", cut_short)
    with pytest.raises(KeyboardInterrupt):
        shelf.indexer.step()
    monkeypatch.undo()

    assert shelf.rows("SELECT count(*) FROM search_segment") == [(0,)]
    shelf.index()
    assert found(shelf, "precious") == [1]
    assert shelf.differences() == []


def test_one_process_indexes_at_a_time(shelf: Shelf) -> None:
    other = Indexer(shelf.store, on=True, busy=lambda: False)
    shelf.put(Said(1, 1, input="one"))
    assert shelf.indexer.step()
    shelf.put(Said(1, 2, input="one"), Said(2, 1, input="two"))

    assert not other.step()
    shelf.index()

    assert found(shelf, "two") == [2]
    assert shelf.differences() == []


def test_a_process_that_died_is_followed_by_another(shelf: Shelf) -> None:
    with shelf.store.writing() as connection:
        assert take_lease(Sql(connection), "first", 1_000)
        assert not take_lease(Sql(connection), "second", 1_000 + LEASE)
        assert take_lease(Sql(connection), "second", 1_001 + LEASE)
        assert not take_lease(Sql(connection), "first", 1_001 + LEASE)


def test_work_that_another_process_did_is_not_done_twice(shelf: Shelf) -> None:
    shelf.put(Said(1, 1, input="once"))
    with shelf.store.reading() as connection:
        lines = take_work(Sql(connection), spans=10)
    made = shelf.indexer._maker().make(lines)

    def write_after_another() -> None:
        with shelf.store.writing() as connection:
            sql = Sql(connection)
            assert take_lease(sql, "me", 1)
            sql.run("DELETE FROM search_work")
            write_slice(sql, made, owner="me", now=1)

    with pytest.raises(Outrun):
        write_after_another()

    shelf.index()
    assert found(shelf, "once") == [1]
    assert shelf.differences() == []


def test_a_running_step_is_found_and_so_is_what_it_becomes(shelf: Shelf) -> None:
    running = Said(1, 1, input="the question", seq=1)
    shelf.put(running, Said(1, 2, input="the question"))
    shelf.index()
    assert found(shelf, "question") == [1]

    shelf.put(replace(running, seq=None, output="an answer"))
    shelf.index()

    assert found(shelf, "question") == found(shelf, "answer") == [1]
    assert shelf.differences() == []


def test_a_text_that_a_step_loses_is_found_where_another_still_says_it(shelf: Shelf) -> None:
    running = Said(1, 1, input="the draft", start=1, seq=1)
    shelf.put(running, Said(1, 2, input="the draft", start=2), Said(2, 1, input="only here", seq=1))
    shelf.index()

    shelf.put(replace(running, seq=None, input="the final"), Said(2, 1, input="nothing"))
    shelf.index()

    assert found(shelf, "draft") == found(shelf, "final") == [1]
    assert found(shelf, "only here") == []
    assert shelf.differences() == []


def test_a_log_record_that_comes_late_is_found(shelf: Shelf) -> None:
    said = record(Said(1, 1, "chat"))
    said.attributes["gen_ai.operation.name"] = "chat"
    shelf.put_records(said)
    shelf.index()
    log = LogRecord(
        said.trace_id, said.span_id, 1, "gen_ai.user.message", "", {"content": "whispered"}, {}, {}, Scope()
    )
    with shelf.store.writing() as connection:
        shelf.applier.apply(connection, [], [("p", log)])
    shelf.index()

    assert found(shelf, "whispered") == [1]
    assert shelf.differences() == []


def test_what_came_while_the_index_was_off_is_indexed_when_it_is_on_again(shelf: Shelf) -> None:
    shelf.put(Said(1, 1, input="before"))
    shelf.index()
    with shelf.store.writing() as connection:
        note_off(Sql(connection), 1)
    off = Applier(shard=1, prices=PRICES, search=False)
    with shelf.store.writing() as connection:
        off.apply(connection, prepare([record(Said(2, 1, input="meanwhile"))], asked_project="p", prices=PRICES))
    assert not Indexer(shelf.store, on=False, busy=lambda: False).step()
    assert found(shelf, "meanwhile") == []

    note_missed(shelf.store)
    shelf.index()
    note_missed(shelf.store)

    assert found(shelf, "meanwhile") == [2]
    assert shelf.rows("SELECT count(*) FROM search_work") == [(0,)]
    assert shelf.differences() == []


def test_the_lag_is_told(shelf: Shelf) -> None:
    shelf.put(Said(1, 1, input="one"), Said(1, 2, output="two"))
    with shelf.store.reading() as connection:
        before = index_status(Sql(connection), on=True)
    shelf.index()
    with shelf.store.reading() as connection:
        sql = Sql(connection)
        after = index_status(sql, on=True)
        assert database_bytes(sql) > 0
        assert index_bytes(sql) > 0

    assert (before.state, before.lag_spans, before.documents) == ("behind", 2, 0)
    assert before.lag_seconds > 0
    assert (after.state, after.lag_spans, after.lag_seconds, after.documents) == ("caught_up", 0, 0.0, 3)


def test_verifying_finds_what_was_tampered_with(shelf: Shelf) -> None:
    shelf.put(Said(1, 1, input="one two"), Said(2, 1, input="three"))
    shelf.index()
    assert shelf.differences() == []
    with shelf.store.writing() as connection:
        Sql(connection).run("UPDATE span SET name = 'renamed' WHERE span_id = ?", [(1).to_bytes(8)])
    assert any("does not have" in one for one in shelf.differences())

    with shelf.store.writing() as connection:
        Sql(connection).run("DELETE FROM search_block")
    assert any("other words" in one for one in shelf.differences())


def test_steps_of_an_older_reader_are_no_difference_until_they_are_read_again(shelf: Shelf) -> None:
    shelf.put(Said(1, 1, input="one two"), Said(2, 1, input="three"))
    shelf.index()
    with shelf.store.writing() as connection:
        Sql(connection).run("UPDATE span SET reader_version = 0, name = 'renamed' WHERE trace_pk = 1")

    assert shelf.differences() == []


def test_a_huge_step_is_indexed_in_bounded_segments(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tracer.search.segments.MAX_TERMS", 50)
    shelf.put(*(Said(1, number, input=" ".join(f"w{number}x{k}" for k in range(30))) for number in range(1, 12)))
    shelf.index()

    assert found(shelf, "w7x3") == [1]
    assert shelf.differences() == []


def test_what_the_recordings_say_is_indexed_as_it_is_read(shelf: Shelf) -> None:
    for name in scenarios():
        run = scenario(name)
        with shelf.store.writing() as connection:
            spans = prepare(list(run.spans.values()), asked_project=name, prices=PRICES)
            shelf.applier.apply(connection, spans, [(name, log) for logs in run.logs.values() for log in logs])
    shelf.index()

    assert shelf.differences() == []
    with shelf.store.reading() as connection:
        sql = Sql(connection)
        rows = StepReader(sql)
        for trace in sql.rows("SELECT id FROM trace"):
            rows.open([trace.id])
            bodies = rows.reader(trace.id)
            for row in rows.rows({trace.id: None})[trace.id]:
                stored = rows.fragments(row, bodies)
                row_of_old = SimpleNamespace(**{**row._mapping, "reader_version": -1})
                assert rows.fragments(row_of_old, bodies) == stored, row.name


def test_no_transaction_is_open_while_texts_are_split_and_segments_joined(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[int] = []

    def look() -> None:
        taken.append(shelf.store._reader.pool.checkedout() + shelf.store._writer.pool.checkedout())  # pyrefly: ignore

    monkeypatch.setattr(shelf.indexer, "_pause", look)
    for number in range(1, 20):
        shelf.put(Said(number, 1, input=f"word{number} common"))
        shelf.indexer.step()
    shelf.index()

    assert len(taken) > 19, "segments were joined too"
    assert set(taken) == {0}
    assert shelf.differences() == []


def test_a_trace_that_goes_while_its_slice_is_made_is_left_out(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf.put(Said(1, 1, input="goes"), Said(2, 1, input="stays"))
    monkeypatch.setattr("tracer.search.slices.FETCHED", 0)
    went: list[int] = []

    def delete() -> None:
        if not went:
            went.append(shelf.pk(1))
            with shelf.store.writing() as connection:
                delete_traces(Sql(connection), went, deletion_id=1, shard=1, now=1)

    monkeypatch.setattr(shelf.indexer, "_pause", delete)
    shelf.index()

    assert (found(shelf, "goes"), found(shelf, "stays")) == ([], [2])
    assert shelf.rows("SELECT count(*) FROM search_work") == [(0,)]
    assert shelf.differences() == []


def test_texts_removed_while_segments_are_joined_stay_removed(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(1, 18):
        shelf.put(Said(number, 1, input=f"word{number} common"))
        shelf.indexer._slice()
    went: list[int] = []

    def remove() -> None:
        if not went:
            went.append(shelf.pk(3))
            with shelf.store.writing() as connection:
                delete_traces(Sql(connection), went, deletion_id=1, shard=1, now=1)

    monkeypatch.setattr(shelf.indexer, "_pause", remove)
    shelf.index()

    assert went, "segments were joined"
    assert found(shelf, "word3") == []
    assert len(found(shelf, "common")) == 16
    assert shelf.differences() == []


def test_a_process_says_that_it_still_indexes_while_a_slice_takes_long(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "LEASE", 0)
    monkeypatch.setattr(worker, "WORKED_S", 0.0)
    shelf.put(Said(1, 1, input="one"), Said(1, 2, input="two"))
    lease = worker.take_lease
    taken: list[bool] = []
    monkeypatch.setattr(worker, "take_lease", lambda *given: taken.append(lease(*given)) or taken[-1])
    shelf.indexer._slice()
    assert taken == [True] * 3, "for each step, and to write"

    monkeypatch.setattr(worker, "take_lease", lambda *_: False)
    shelf.put(Said(1, 3, input="three"))
    shelf.indexer._slice()
    assert found(shelf, "three") == [], "another process has taken it meanwhile"
    monkeypatch.undo()
    shelf.index()
    assert found(shelf, "three") == [1]
    assert shelf.differences() == []


def test_a_large_trace_that_loses_a_text_is_indexed_anew_in_slices(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tracer.search.slices.REBUILT", 4)
    monkeypatch.setattr("tracer.search.work.LINE_SPANS", 2)
    shelf.put(*(Said(1, number, input=f"the draft w{number}") for number in range(2, 8)), Said(2, 1, input="the draft"))
    shelf.put(Said(1, 1, input="the draft", start=1, seq=1))
    shelf.index()

    shelf.put(Said(1, 1, input="the final"))
    shelf.indexer._slice()
    lines = shelf.rows("SELECT spans FROM search_work ORDER BY id")
    assert lines == [(1,), (2,), (2,), (2,), (1,)]
    shelf.index()

    assert (found(shelf, "final"), found(shelf, "w5")) == ([1], [1])
    assert set(found(shelf, "draft")) == {1, 2}
    assert shelf.differences() == []


def test_a_large_trace_of_the_time_without_an_index_is_noted_in_parts(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tracer.search.work.LARGE", 4)
    monkeypatch.setattr("tracer.search.work.LINE_SPANS", 2)
    with shelf.store.writing() as connection:
        note_off(Sql(connection), 1)
        spans = prepare(
            [record(Said(1, number, input=f"w{number}")) for number in range(1, 6)], asked_project="p", prices=PRICES
        )
        Applier(shard=1, prices=PRICES, search=False).apply(connection, spans)
    note_missed(shelf.store)

    assert shelf.rows("SELECT spans FROM search_work ORDER BY id") == [(2,), (2,), (1,)]
    shelf.index()
    assert found(shelf, "w5") == [1]
    assert shelf.differences() == []


def test_while_a_deletion_is_under_way_its_segments_are_not_written_anew(shelf: Shelf) -> None:
    shelf.put(Said(1, 1, input="goes"), Said(2, 1, input="stays"))
    shelf.index()
    with shelf.store.writing() as connection:
        sql = Sql(connection)
        deletion = open_receipt(sql, now=1, project_id=None, state="running")
        delete_traces(sql, [sql.rows("SELECT min(id) FROM trace")[0][0]], deletion_id=deletion, shard=1, now=1)
    shelf.index()
    assert shelf.rows("SELECT dead FROM search_segment") == [(1,)]

    with shelf.store.writing() as connection:
        close_receipt(Sql(connection), deletion, now=1)
    shelf.index()
    assert shelf.rows("SELECT dead FROM search_segment") == [(0,)]
    assert shelf.differences() == []


def test_whoever_purges_may_stop_in_the_midst_of_a_segment(shelf: Shelf) -> None:
    shelf.put(Said(1, 1, input="goes"), Said(2, 1, input="stays"))
    shelf.index()
    with shelf.store.writing() as connection:
        remove_traces(Sql(connection), [shelf.pk(1)])
        Sql(connection).run("DELETE FROM trace WHERE id = ?", [shelf.pk(1)])

    assert not purge(shelf.store, stop=lambda: True)
    assert shelf.rows("SELECT dead FROM search_segment") == [(1,)]
    assert purge(shelf.store)
    assert shelf.rows("SELECT dead FROM search_segment") == [(0,)]


def test_a_lock_of_another_process_is_not_waited_for_with_the_writers_connection(new_database: NewDatabase) -> None:
    with opened(new_database("sqlite")) as store:
        shelf = Shelf(store)
        shelf.put(Said(1, 1, input="later"))
        assert store.file is not None
        other = sqlite3.connect(store.file, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        start = time.monotonic()
        with pytest.raises(Unavailable):
            shelf.indexer.step()
        assert time.monotonic() - start < 3
        other.execute("ROLLBACK")
        other.close()
        shelf.index()
        assert found(shelf, "later") == [1]
        with store.writing() as connection:
            assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar_one() == BUSY_TIMEOUT_MS
