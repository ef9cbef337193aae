"""Statements for many keys: each key is looked up, whatever the size of the table."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import event

from tracer.settings import parse_database_url
from tracer.store.engine import Store
from tracer.store.migrate import migrate
from tracer.store.sql import Sql


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    url = parse_database_url(database_url)
    migrate(url)
    made = Store(url, read_connections=1)
    yield made
    made.close()


def test_rows_are_found_by_keys_of_several_columns(store: Store) -> None:
    with store.writing() as connection:
        sql = Sql(connection)
        cells = [
            (1, 0, start, bytes([line]) * 16, 0, 0, 0, 5, b"", b"", b"") for start in range(3) for line in range(3)
        ]
        sql.run("INSERT INTO project (id, slug, name, created_at) VALUES (1, 'p', 'p', 0)")
        columns = ("project_id", "period", "start", "line", "kind", "status", "shard")
        sql.insert("metric_cell", (*columns, "span_count", "sums", "durations", "first_tokens"), cells)
        wanted = [(1, 0, 1, bytes([2]) * 16), (1, 0, 2, bytes([0]) * 16), (1, 0, 7, bytes(16))]
        found = sql.rows_at("metric_cell", columns[:4], wanted, what="start, line")

        assert {(row.start, row.line) for row in found} == {key[2:] for key in wanted[:2]}


@pytest.mark.parametrize(
    ("table", "columns"),
    [("span", ("trace_pk", "span_id")), ("metric_cell", ("project_id", "period", "start", "line"))],
)
def test_no_table_is_read_as_a_whole_for_keys_of_several_columns(
    store: Store, table: str, columns: tuple[str, ...]
) -> None:
    if not store.sqlite:
        return  # Postgres plans by statistics, which an empty table has none of
    asked: list[str] = []
    with store.writing() as connection:
        event.listen(connection, "before_cursor_execute", lambda *call: asked.append(call[2]))
        keys = [(number,) * len(columns) for number in range(3)]
        assert list(Sql(connection).rows_at(table, columns, keys)) == []
        plan = Sql(connection).rows(f"EXPLAIN QUERY PLAN {asked[0]}", [value for key in keys for value in key])

    searched = [row.detail for row in plan if table in row.detail]
    assert len(searched) == 1
    assert searched[0].startswith(f"SEARCH {table} USING ")
    assert all(f"{name}=?" in searched[0] for name in columns)


def test_streamed_rows_come_in_order(store: Store) -> None:
    with store.reading() as connection:
        numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2500) SELECT i FROM n"
        assert [row.i for row in Sql(connection).stream(numbers)] == list(range(1, 2501))
