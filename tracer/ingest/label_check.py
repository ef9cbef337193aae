"""Compares the labels with the traces that they are of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from tracer.ingest.labels import COLUMNS, Label, stored_labels
from tracer.store.engine import Store
from tracer.store.sql import Sql

AT_ONCE = 2_000

Found = tuple[int, int, str]
"""(project, trace's row number, what is wrong)."""


def missing_labels(sql: Sql, rows: Sequence[Any]) -> Iterator[Found]:
    """Labels that traces, given by their rows, have to have and have not."""
    expected = {label for _, labels in stored_labels(sql, rows) for label in labels or ()}
    there = {tuple(row) for row in sql.rows_at("trace_label", COLUMNS, sorted(expected), what=", ".join(COLUMNS))}
    for label in sorted(expected - there):
        yield label[0], label[4], f"{label[1]} {label[2]!r} is missing"


def surplus_labels(store: Store) -> Iterator[Found]:
    """Labels that no trace has to have, in the order in which they are stored."""
    last: Label | None = None
    names = ", ".join(COLUMNS)
    while True:
        after, place = (f"WHERE ({names}) > ({', '.join('?' * len(COLUMNS))})", list(last)) if last else ("", [])
        with store.reading() as connection:
            sql = Sql(connection)
            rows = sql.rows(f"SELECT {names} FROM trace_label {after} ORDER BY {names} LIMIT ?", [*place, AT_ONCE])
            labels: list[Label] = [(row.project_id, row.field, row.value, row.start_time, row.trace_pk) for row in rows]
            traces = list(
                sql.rows_in("SELECT * FROM trace WHERE id IN ({keys})", sorted({label[4] for label in labels}))
            )
            unreadable: set[int] = set()
            expected: set[Label] = set()
            for row, of_trace in stored_labels(sql, traces):
                expected |= of_trace or set()
                if of_trace is None:
                    unreadable.add(row.id)
        for label in labels:
            if label not in expected and label[4] not in unreadable:
                yield label[0], label[4], f"{label[1]} {label[2]!r} is there"
        if len(labels) < AT_ONCE:
            return
        last = labels[-1]
