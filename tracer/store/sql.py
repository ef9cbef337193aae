"""Statements for the writing path: one text for both databases, many rows at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from sqlalchemy import Connection, Row

CHUNK = 8_000
"""Parameters of one statement: under SQLite's 32,766 and Postgres's 65,535."""


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
        """Run a query whose `{keys}` stands for a list of single values or of tuples, as often as the list needs.

        `before` and `after` are the parameters of the places before and after the list.
        """
        for part in chunked(keys, CHUNK):
            if isinstance(part[0], tuple):
                width = len(part[0])
                places = "VALUES " + ", ".join(["(" + ", ".join("?" * width) + ")"] * len(part))
                values = [value for key in part for value in key]
            else:
                places, values = ", ".join("?" * len(part)), part
            yield from self.rows(statement.replace("{keys}", places), [*before, *values, *after])


def chunked(values: Iterable[Any], parameters: int) -> Iterator[list[Any]]:
    """Cut a list of values or tuples into parts of at most so many parameters."""
    iterator = iter(values)
    for first in iterator:
        width = len(first) if isinstance(first, tuple) else 1
        yield [first, *islice(iterator, max(0, parameters // width - 1))]
