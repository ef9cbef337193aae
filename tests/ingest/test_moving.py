"""A project becomes part of another, or goes, while spans come: as if all had been sent to the one that stays."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.counts import counted
from tests.ingest.deleting import Bench, bench, log, one_span
from tests.ingest.reference import Sent
from tests.ingest.test_exactly_once import Databases, compare, databases, prepared, span_facts, trace_id
from tracer.errors import Conflict, NotFound
from tracer.ingest import moving, receipts
from tracer.ingest.people import NewScore, Patch, annotate, put_score
from tracer.ingest.projects import rename_project
from tracer.ingest.receipts import Receipt
from tracer.ingest.tombstones import DELETED
from tracer.otlp.records import LogRecord
from tracer.queries.scope import EVERYTHING
from tracer.queries.traces import newest_traces, trace_by_id
from tracer.store.sql import Sql

__all__ = ["databases"]


@pytest.fixture
def at(databases: Databases) -> Iterator[Bench]:
    with databases.empty() as store, bench(store) as made:
        yield made


def send(at: Bench, project: str, facts: Sequence[Sent], logs: Sequence[LogRecord] = ()) -> dict[str, int]:
    """Deliver a batch to a project."""
    spans = [prepared(fact) for fact in facts]
    for span in spans:
        span.project = project
    return dict(at.writer.submit(spans, [(project, one) for one in logs]).result().reasons)


def number(at: Bench, project: str) -> int:
    return int(at.rows("SELECT id FROM project WHERE name = ?", [project])[0].id)


def merge(at: Bench, project: str, into: str) -> Receipt:
    """Merge two projects to the end."""
    receipt = at.deleter.merge(number(at, project), number(at, into), author="mara")
    assert at.deleter.carry_out(receipt.id)
    return at.deleter.receipt(receipt.id)


def totals(at: Bench) -> dict[str, tuple[int, int]]:
    rows = at.rows(
        "SELECT name, coalesce(sum(trace_count), 0) AS traces, coalesce(sum(span_count), 0) AS spans FROM project "
        "LEFT JOIN project_counter ON project_id = id WHERE gone IS NULL GROUP BY name"
    )
    return {row.name: (int(row.traces), int(row.spans)) for row in rows}


def score(at: Bench, project: str, trace: int, value: float) -> None:
    new = NewScore(trace_id(trace), None, "good", value, None, "user", "mara")
    with at.store.writing() as connection:
        put_score(Sql(connection), new, project_id=number(at, project), now=time.time_ns())


@settings(
    max_examples=counted(5, 400),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    deadline=None,
)
@given(data=st.data())
def test_what_two_projects_got_before_and_after_is_as_if_one_had_got_all_of_it(
    databases: Databases, data: st.DataObject
) -> None:
    facts = data.draw(span_facts())
    order = data.draw(st.permutations(facts))
    cut = data.draw(st.integers(0, len(order)))
    places = data.draw(st.lists(st.sampled_from("ab"), min_size=len(order), max_size=len(order)))
    with databases.empty() as store, bench(store) as at:
        send(at, "a", [one_span(90)])
        send(at, "b", [one_span(91)])
        for fact, place in zip(order[:cut], places, strict=False):
            send(at, place, [fact])
            if data.draw(st.integers(0, 3)) == 0:
                at.index()
        receipt = at.deleter.merge(number(at, "a"), number(at, "b"), author="")
        late = list(zip(order[cut:], places[cut:], strict=True))
        for fact, place in late[::2]:
            send(at, place, [fact])
        assert at.deleter.carry_out(receipt.id)
        for fact, place in (*late[1::2], *zip(order, places, strict=True)):
            send(at, place, [fact])
        at.index()
        assert at.differences() == []
        compare(store, [*facts, one_span(90), one_span(91)])
        assert at.count("trace") == len({fact.trace for fact in facts}) + 2
        assert totals(at) == {"b": (at.count("trace"), at.count("span"))}


def test_all_that_belongs_to_traces_goes_with_them(at: Bench) -> None:
    call = {"kind": "llm", "tokens": (10, 5), "model": "house-1", "session": "s1", "tags": frozenset({"prod"})}
    send(at, "a", [one_span(1, text="a question", **call), one_span(2)], [log(1, 1), log(7, 1)])
    send(at, "b", [one_span(2, 2), one_span(3)], [log(2, 1)])
    for trace, value in ((1, 1.0), (2, 0.25), (8, 0.5)):
        score(at, "a", trace, value)
    score(at, "b", 2, 0.75)
    a, b = number(at, "a"), number(at, "b")
    with at.store.writing() as connection:
        sql = Sql(connection)
        for trace, project in ((1, a), (2, a), (2, b)):
            tag = f"of {'ab'[project == b]}"
            annotate(sql, trace_id(trace), Patch(tags=(tag,), name=tag), project_id=project, now=1)
    at.index()

    receipt = merge(at, "a", "b")

    assert (receipt.state, receipt.traces, receipt.total_traces, receipt.project) == ("done", 2, 2, "a")
    assert totals(at) == {"b": (3, 4)}
    for table in ("trace", "score", "annotation", "log_record", "metric_cell", "trace_label"):
        assert {row.project_id for row in at.rows(f"SELECT DISTINCT project_id FROM {table}")} == {b}, table
    given = {row.trace_id: row.number for row in at.rows("SELECT trace_id, number FROM score")}
    assert given == {trace_id(1): 1.0, trace_id(2): 0.75, trace_id(8): 0.5}
    said = {row.trace_id: (row.name, row.tags) for row in at.rows("SELECT trace_id, name, tags FROM annotation")}
    assert said == {trace_id(1): ("of a", '["of a"]'), trace_id(2): ("of b", '["of b", "of a"]')}
    send(at, "a", [one_span(7, 1)])
    at.index()
    assert at.differences() == []
    assert len({id_ for changes in at.told for id_ in changes.traces.get(b, ())}) >= 3


def test_what_was_deleted_in_one_and_is_in_the_other_stays_and_the_rest_stays_deleted(at: Bench) -> None:
    send(at, "a", [one_span(1), one_span(2), one_span(3)])
    send(at, "b", [one_span(1), one_span(2), one_span(4)])
    for project, trace in (("a", 1), ("b", 2), ("a", 3), ("b", 4)):
        where = [number(at, project), trace_id(trace)]
        pk = at.rows("SELECT id FROM trace WHERE project_id = ? AND trace_id = ?", where)[0].id
        at.deleter.delete_trace(pk, project_id=number(at, project))
    score(at, "a", 4, 1)
    receipt = at.deleter.merge(number(at, "a"), number(at, "b"), author="")
    assert send(at, "a", [one_span(3, 2)]) == {DELETED: 1}, "also before it was moved"
    at.deleter.carry_out(receipt.id)
    assert {row.trace_id for row in at.rows("SELECT trace_id FROM trace")} == {trace_id(1), trace_id(2)}
    assert send(at, "a", [one_span(1, 2), one_span(2, 2)]) == {}
    assert send(at, "b", [one_span(3), one_span(4)]) == {DELETED: 2}
    assert at.count("score") == 0
    score(at, "b", 1, 1)
    assert at.differences() == []


def test_a_merge_goes_slice_by_slice_and_another_process_goes_on_with_it(
    databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moving, "TRACES_AT_ONCE", 1)
    monkeypatch.setattr(moving, "ROWS_AT_ONCE", 2)
    with databases.empty() as store:
        with bench(store) as first:
            send(first, "a", [one_span(trace, span, start=trace) for trace in range(1, 7) for span in range(1, 6)])
            send(first, "b", [one_span(3, 9)])
            receipt = first.deleter.merge(number(first, "a"), number(first, "b"), author="")
            with pytest.raises(Conflict):
                first.deleter.remove_project(number(first, "b"), author="")
            moved: list[bytes] = []

            def told(so_far: Receipt) -> None:
                rows = first.rows("SELECT trace_id FROM trace WHERE project_id = ?", [number(first, "b")])
                moved.append(max(row.trace_id for row in rows))
                if so_far.traces == 3:
                    first.deleter._stopping.set()

            assert not first.deleter.carry_out(receipt.id, told=told)
            assert first.differences() == []
            assert moved[0] == trace_id(6), "the newest go first"
        with bench(store) as second:
            monkeypatch.setattr(receipts, "STALE", 0)
            second.deleter.start()
            done = second.deleter.wait(receipt.id, seconds=20)
            assert (done.state, done.traces, done.total_traces) == ("done", 6, 6)
            assert totals(second) == {"b": (6, 31)}
            assert second.differences() == []


def test_another_process_that_knows_the_project_still_sends_to_what_it_became(databases: Databases) -> None:
    with databases.empty() as store, bench(store) as first, bench(store) as second:
        for at, trace in ((first, 1), (second, 2)):
            send(at, "a", [one_span(trace)])
            send(at, "b", [one_span(trace + 10)])
        merge(first, "a", "b")
        send(second, "a", [one_span(3), one_span(2, 2)])
        assert totals(second) == {"b": (5, 6)}
        first.deleter.remove_project(number(first, "b"), author="")
        send(second, "a", [one_span(4)])
        send(second, "b", [one_span(5)])
        assert totals(second) == {"a": (1, 1), "b": (1, 1)}
        assert first.deleter._work()
        assert second.differences() == []


def test_a_deleted_project_leaves_nothing_and_its_name_makes_another(at: Bench) -> None:
    send(at, "a", [one_span(1, text="words"), one_span(2)], [log(1, 1), log(5, 1)])
    send(at, "b", [one_span(1)])
    score(at, "a", 1, 1)
    score(at, "a", 9, 1)
    at.index()
    gone = number(at, "a")
    receipt = at.deleter.remove_project(gone, author="mara")
    with at.store.reading() as conn:
        assert [row.project for row in newest_traces(conn, scope=EVERYTHING).items] == ["b"], "gone at once"
        with pytest.raises(NotFound):
            trace_by_id(conn, scope=EVERYTHING, trace_id=trace_id(2).hex())
    send(at, "a", [one_span(1, 7)])
    again = number(at, "a")
    assert again != gone
    at.deleter.carry_out(receipt.id)
    done = at.deleter.receipt(receipt.id)
    assert (done.state, done.project, done.author, done.traces, done.spans) == ("done", "a", "mara", 2, 2)
    assert totals(at) == {"a": (1, 1), "b": (1, 1)}
    for table in ("trace", "score", "log_record", "metric_cell", "project_counter"):
        assert gone not in {row.project_id for row in at.rows(f"SELECT DISTINCT project_id FROM {table}")}, table
    at.index()
    assert at.differences() == []
    with pytest.raises(NotFound):
        at.deleter.remove_project(gone, author="")
    with pytest.raises(NotFound):
        at.deleter.merge(number(at, "b"), gone, author="")


def test_every_former_name_goes_on_reaching_a_project(at: Bench) -> None:
    send(at, "a", [one_span(1)])
    send(at, "b", [one_span(2)])
    for name in ("other", "third"):
        with at.store.writing() as connection:
            assert rename_project(Sql(connection), number(at, "a" if name == "other" else "other"), name) == name
    with at.store.writing() as connection, pytest.raises(Conflict):
        rename_project(Sql(connection), number(at, "b"), "other")
    merge(at, "third", "b")
    send(at, "c", [one_span(3)])
    merge(at, "b", "c")
    for trace, name in enumerate(("a", "other", "third", "b", "c"), 10):
        send(at, name, [one_span(trace)])
    assert totals(at) == {"c": (8, 8)}
    with at.store.writing() as connection:
        rename_project(Sql(connection), number(at, "c"), "a")
    send(at, "c", [one_span(20)])
    assert totals(at) == {"a": (9, 9)}
    assert at.differences() == []
