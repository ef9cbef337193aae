"""Labels: what few traces may have in common, by value and in the order of time, so that searches find it at once.

They stand beside the trace's row, and follow from it: its models, services and tags, what people tagged it with, its
environment and release.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from tracer.ingest.alike import Notes
from tracer.ingest.words import words_of_json
from tracer.store.sql import Sql

COLUMNS = ("project_id", "field", "value", "start_time", "trace_pk")
LISTS = {"model": "models", "service": "services", "tag": "tags"}
SINGLE = ("environment", "release")

Label = tuple[int, str, str, int, int]
"""(project, field, value, start, trace's row number)."""

Key = tuple[int, bytes]
"""(project, trace id)."""


class Relabelled:
    """Collects what a commit changes of the labels of traces, and writes it; `notes` are those of its traces."""

    def __init__(self, sql: Sql, notes: Notes) -> None:
        self._sql = sql
        self._notes = notes
        self._gone: list[Label] = []
        self._new: list[Label] = []
        self._moved: dict[Key, tuple[int, int, int]] = {}
        """Traces that are new, of which the start changed, or a tag went: (row number, start before, start now)."""

    def add(self, key: Key, pk: int, *, was: Any, now: dict[str, Any]) -> None:
        """A trace's row before (None for a new trace) and its columns now."""
        new = _labels(key[0], pk, now)
        if was is None:
            self._new += new
            self._moved[key] = (pk, now["start_time"], now["start_time"])
            return
        old = set(_labels(key[0], pk, was._mapping))
        new_ones = set(new)
        gone = old - new_ones
        if was.start_time != now["start_time"] or any(field == "tag" for _, field, _, _, _ in gone):
            self._moved[key] = (pk, was.start_time, now["start_time"])
        self._gone += gone
        self._new += new_ones - old

    def write(self) -> None:
        """Write what was collected."""
        if self._moved:
            self._move_added()
        change_labels(self._sql, self._gone, self._new)

    def _move_added(self) -> None:
        """The tags that people added go where their traces are now."""
        for key, (_, tags) in self._notes.items():
            moved = self._moved.get(key)
            if moved is not None:
                pk, before, after = moved
                if before != after:
                    self._gone += _tagged(key[0], pk, before, tags)
                self._new += _tagged(key[0], pk, after, tags)


def _labels(project_id: int, pk: int, columns: Any) -> list[Label]:
    """The labels that follow from a trace's row."""
    start = columns["start_time"]
    found = [
        (project_id, field, value, start, pk)
        for field, column in LISTS.items()
        if columns[column] != "[]"
        for value in words_of_json(columns[column])
    ]
    return found + [(project_id, field, columns[field], start, pk) for field in SINGLE if columns[field] is not None]


def _tagged(project_id: int, pk: int, start: int, tags: str | None) -> list[Label]:
    return [] if tags is None else [(project_id, "tag", value, start, pk) for value in words_of_json(tags)]


def labels_of(row: Any, added: str | None) -> set[Label]:
    """Every label that a trace has to have: by its row, and by the tags that people added, a JSON list."""
    return {*_labels(row.project_id, row.id, row._mapping), *_tagged(row.project_id, row.id, row.start_time, added)}


def change_labels(sql: Sql, gone: Iterable[Label], new: Iterable[Label]) -> None:
    """Take labels away and add others; one that stays for another reason is added again."""
    sql.many(
        "DELETE FROM trace_label WHERE project_id = ? AND field = ? AND value = ? AND start_time = ? AND trace_pk = ?",
        sorted(gone),
    )
    sql.insert("trace_label", COLUMNS, sorted(new), then="ON CONFLICT DO NOTHING")


def drop_labels(sql: Sql, rows: Iterable[Any]) -> None:
    """Take away every label of traces that are being deleted, given by their rows."""
    gone: set[Label] = set()
    for row, labels in stored_labels(sql, rows):
        if labels is None:
            sql.run("DELETE FROM trace_label WHERE trace_pk = ?", [row.id])
        else:
            gone |= labels
    change_labels(sql, gone, ())


def stored_labels(sql: Sql, rows: Iterable[Any]) -> Iterator[tuple[Any, set[Label] | None]]:
    """For rows of the trace table, each with the labels that it has to have; None for one that cannot be read."""
    by_key = {(row.project_id, row.trace_id): row for row in rows}
    added = {
        (row.project_id, row.trace_id): row.tags
        for row in sql.rows_in(
            "SELECT project_id, trace_id, tags FROM annotation WHERE tags IS NOT NULL AND trace_id IN ({keys})",
            sorted({trace_id for _, trace_id in by_key}),
        )
    }
    for key, row in by_key.items():
        try:
            labels = labels_of(row, added.get(key))
        except ValueError:
            labels = None
        yield row, labels
