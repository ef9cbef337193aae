"""Keeps the searches that people saved."""

from __future__ import annotations

import json
from collections.abc import Sequence

from tracer.errors import Conflict
from tracer.store.sql import Sql

MOST_VIEWS = 500
"""Of one project."""


def put_view(
    sql: Sql, *, project_id: int, name: str, q: str, order: str, columns: Sequence[str], author: str, now: int
) -> int:
    """Keep a saved search and return its row number; one of the same name is replaced.

    Raises Conflict when the project has too many.
    """
    rows = sql.rows("SELECT name FROM saved_view WHERE project_id = ? LIMIT ?", [project_id, MOST_VIEWS])
    if len(rows) == MOST_VIEWS and name not in {row.name for row in rows}:
        raise Conflict(f"A project has at most {MOST_VIEWS} saved views: delete one first.", field="name")
    found = sql.rows(
        "INSERT INTO saved_view (project_id, name, q, sort_order, columns, author, updated_at) "
        "VALUES (?, ?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (project_id, name) DO UPDATE SET q = excluded.q, sort_order = excluded.sort_order, "
        "columns = excluded.columns, author = excluded.author, updated_at = excluded.updated_at RETURNING id",
        [project_id, name, q, order, json.dumps(list(columns), ensure_ascii=False), author, now],
    )
    return int(found[0].id)


def drop_view(sql: Sql, view_id: int) -> None:
    """Delete a saved search. Raises Conflict while an alert watches it."""
    watching = sql.rows("SELECT name FROM alert WHERE view_id = ? LIMIT 1", [view_id])
    if watching:
        raise Conflict(f"The alert {watching[0].name[:80]!r} watches this view: delete the alert first.")
    sql.run("DELETE FROM saved_view WHERE id = ?", [view_id])
