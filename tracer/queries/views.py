"""The searches that people saved."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Connection, Row, select

from tracer.errors import NotFound
from tracer.queries.rows import SavedView
from tracer.queries.scope import Scope
from tracer.store.models import project, saved_view
from tracer.units import UnixNanos


def views(conn: Connection, *, scope: Scope, project_id: int | None = None) -> list[SavedView]:
    """The saved searches in sight, or those of one project, by name."""
    query = _selected().where(scope.condition(saved_view.c.project_id)).order_by(saved_view.c.name, saved_view.c.id)
    if project_id is not None:
        query = query.where(saved_view.c.project_id == project_id)
    return [_view(row) for row in conn.execute(query)]


def view_by_id(conn: Connection, view_id: int, *, scope: Scope) -> SavedView:
    """One saved search; raises NotFound when there is none that the caller may see."""
    where = (saved_view.c.id == view_id, scope.condition(saved_view.c.project_id))
    row = conn.execute(_selected().where(*where)).first()
    if row is None:
        raise NotFound(f"There is no saved view {view_id}.", field="view_id")
    return _view(row)


def _selected() -> Any:
    return select(saved_view, project.c.name.label("project")).join(project, project.c.id == saved_view.c.project_id)


def _view(row: Row[Any]) -> SavedView:
    return SavedView(
        id=row.id,
        project_id=row.project_id,
        project=row.project,
        name=row.name,
        q=row.q,
        order=row.sort_order,
        columns=tuple(json.loads(row.columns)),
        author=row.author,
        updated_at=UnixNanos(row.updated_at),
    )
