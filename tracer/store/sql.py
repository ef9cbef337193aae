"""Statements for the writing path: one text for both databases, many rows at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from sqlalchemy import Connection, Row

CHUNK = 8_000
"""Parameters of one statement: under SQLite's 32,766 and Postgres's 65,535."""

STREAMED = 1_000
"""Rows fetched at a time where not all are wanted in memory."""


class Sql:
    """A connection with statements written once, with `?` for each parameter."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.sqlite = connection.dialect.name == "sqlite"

    def _text(self, statement: str) -> str:
        return statement if self.sqlite else statement.replace("%", "%%").replace("?", "%s")

    def rows(self, statement: str, parameters: Sequence[Any] = ()) -> Sequence[Row[Any]]:
        """Run a query and return all its rows."""
        return self.connection.exec_driver_sql(self._text(statement), tuple(parameters)).all()

    def stream(self, statement: str, parameters: Sequence[Any] = ()) -> Iterator[Row[Any]]:
        """Run a query and give its rows as they are asked for, so that they are never all in memory."""
        found = self.connection.exec_driver_sql(self._text(statement), tuple(parameters), {"stream_results": True})
        with found:
            for part in found.partitions(STREAMED):
                yield from part

    def run(self, statement: str, parameters: Sequence[Any] = ()) -> int:
        """Run a statement and return how many rows it changed."""
        return self.connection.exec_driver_sql(self._text(statement), tuple(parameters)).rowcount

    def many(self, statement: str, rows: list[tuple[Any, ...]]) -> None:
        """Run a statement once for each row."""
        if rows:
            self.connection.exec_driver_sql(self._text(statement), rows)

    def insert(self, table: str, columns: Sequence[str], rows: list[tuple[Any, ...]], *, then: str = "") -> None:
        """Insert rows; `then` is the end of the statement, such as an ON CONFLICT clause."""
        places = ", ".join("?" * len(columns))
        self.many(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({places}) {then}", rows)

    def rows_in(
        self, statement: str, keys: Iterable[Any], *, before: Sequence[Any] = (), after: Sequence[Any] = ()
    ) -> Iterator[Row[Any]]:
        """Run a query whose `{keys}` stands for a list of single values, as often as the list needs.

        `before` and `after` are the parameters of the places before and after the list. For keys of several columns
        there is `rows_at`: SQLite reads a whole table for `(a, b) IN (VALUES ...)`.
        """
        for part in chunked(keys, CHUNK):
            places = ", ".join("?" * len(part))
            yield from self.rows(statement.replace("{keys}", places), [*before, *part, *after])

    def rows_at(
        self, table: str, columns: Sequence[str], keys: Iterable[tuple[Any, ...]], *, what: str = "*"
    ) -> Iterator[Row[Any]]:
        """The rows of a table whose `columns` are one of `keys`, found by an index that begins with these columns.

        `keys` holds each key once; `what` are the columns to read, without the table's name.
        """
        wanted = ", ".join(f"{table}.{name.strip()}" for name in what.split(","))
        same = " AND ".join(f"{table}.{name} = k.column{number}" for number, name in enumerate(columns, 1))
        place = f"({', '.join('?' * len(columns))})"
        for part in chunked(keys, CHUNK // len(columns)):
            # The list is named first and joined by CROSS JOIN: SQLite then looks each key up, in this order.
            yield from self.rows(
                f"SELECT {wanted} FROM (VALUES {', '.join([place] * len(part))}) AS k CROSS JOIN {table} WHERE {same}",
                [value for key in part for value in key],
            )


def chunked(values: Iterable[Any], size: int) -> Iterator[list[Any]]:
    """Cut a list into parts of at most so many values."""
    iterator = iter(values)
    for first in iterator:
        yield [first, *islice(iterator, size - 1)]
