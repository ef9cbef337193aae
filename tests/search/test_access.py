"""Searches for what is rare go by an index, and no list is sorted on the way."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import event

from tests import make
from tests.client import Client, Service, on_one_database
from tracer.search.find import find_traces
from tracer.search.parse import read_search
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
