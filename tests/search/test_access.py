"""Searches for what is rare go by an index, and no list is sorted on the way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from sqlalchemy import event

from tests import make
from tests.client import Client, Service, on_one_database
from tracer.search.conditions import Moment
from tracer.search.evaluate import Evaluator
from tracer.search.find import find_traces
from tracer.search.find_spans import SpanRange, find_spans
from tracer.search.parse import read_search
from tracer.search.tree import Is, Pattern
from tracer.search.walk import Range
from tracer.store.sql import Sql


@pytest.fixture(scope="module")
def stored(service: Service) -> Iterator[tuple[Service, int]]:
    """A project in which one of 400 traces is each of a user, of a session, failed and running."""
    with Client(service.url) as client:
        client.store(*(make.span(start=make.START + number) for number in range(400)))
        rare: dict[str, make.Value] = {"user.id": "ada", "session.id": "s1", "stepscope.seq": 1}
        client.store(make.span("rare", having=rare, end=0), make.span("broken", status=2))
        with service.store.reading() as connection:
            rows = Sql(connection).rows("SELECT id FROM project WHERE name = ?", [client.project])
        yield service, rows[0].id


@pytest.mark.parametrize(
    ("q", "index"),
    [
        ("user:ada", "trace_user"),
        ("session:s1 latency>1s", "trace_session"),
        ("name:rare", "trace_project_named"),
        ("status:error", "trace_failed"),
        ("errors>0 user:*", "trace_failed"),
        ("step:(status:error)", "trace_failed"),
        ("is:running OR user:ada", "trace_running"),
        ("-user:ada", "trace_project_newest"),
        ("kind:llm", "trace_project_newest"),
        ("tag:golden", "trace_label"),
        ("step:(model:gpt-9 status:ok)", "trace_label"),
        ("release:r1,r2 kind:llm", "trace_label"),
        ("latency>1m", "trace_duration"),
    ],
)
@on_one_database
def test_a_search_goes_by_the_index(stored: tuple[Service, int], q: str, index: str) -> None:
    service, project_id = stored
    plans: list[str] = []

    def explain(_: object, cursor: Any, statement: str, parameters: object, *__: object) -> None:
        if statement.startswith("SELECT start_time AS value"):
            explained = cursor.connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
            plans.extend(row[3] for row in explained)

    engine = service.store._reader
    event.listen(engine, "before_cursor_execute", explain)
    try:
        with service.store.reading() as connection:
            find_traces(Sql(connection), read_search(q), Range((project_id,)), seconds=10)
    finally:
        event.remove(engine, "before_cursor_execute", explain)
    assert any(index in plan for plan in plans), plans
    assert not any("SCAN" in plan for plan in plans), plans
    assert ("USE TEMP B-TREE FOR ORDER BY" in plans) == (index == "trace_duration"), plans


@pytest.mark.parametrize("spans", [False, True])
@on_one_database
def test_traces_that_are_known_by_their_numbers_are_looked_up(stored: tuple[Service, int], spans: bool) -> None:
    service, project_id = stored
    plans: list[str] = []

    def explain(_: object, cursor: Any, statement: str, parameters: object, *__: object) -> None:
        if statement.startswith("SELECT id FROM trace WHERE id IN"):
            explained = cursor.connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
            plans.extend(row[3] for row in explained)

    engine = service.store._reader
    event.listen(engine, "before_cursor_execute", explain)
    try:
        with service.store.reading() as connection:
            if spans:
                find_spans(Sql(connection), None, SpanRange((project_id,)), seconds=10)
            else:
                find_traces(Sql(connection), None, Range((project_id,), order="received"), seconds=10)
    finally:
        event.remove(engine, "before_cursor_execute", explain)
    assert plans
    assert all("INTEGER PRIMARY KEY" in plan for plan in plans), plans


def test_steps_are_looked_up_by_the_whole_of_their_key_on_postgres(service: Service, client: Client) -> None:
    if service.store.sqlite:
        return
    trace = make.new_trace_id()
    client.store(*(make.span(f"step {number}", trace=trace, start=make.START + number) for number in range(300)))
    plans: list[str] = []
    with service.store.reading() as connection:
        connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        sql = Sql(connection)
        pk = sql.rows("SELECT id FROM trace WHERE trace_id = ?", [bytes.fromhex(trace)])[0].id
        pairs = {(pk, row.span_id) for row in sql.rows("SELECT span_id FROM span WHERE trace_pk = ?", [pk])}
        asked = sql.rows

        def explained(statement: str, parameters: Sequence[Any] = ()) -> Sequence[Any]:
            plans.extend(row[0] for row in asked(f"EXPLAIN {statement}", parameters))
            return asked(statement, parameters)

        sql.rows = explained  # type: ignore[method-assign]
        name = Is("name", (Pattern(("nobody",)),))
        assert Evaluator(sql, Moment(0, 10, False), None).steps(name, {pk}, pairs) == set()
    assert any("Index Cond: ((trace_pk =" in line and "(span_id =" in line for line in plans), plans
