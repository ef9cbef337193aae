"""Projects with their totals."""

from __future__ import annotations

from sqlalchemy import Connection, Row, func, select

from tracer.errors import NotFound
from tracer.queries.rows import ProjectRow
from tracer.queries.scope import Scope
from tracer.store.models import project, project_counter


def projects(conn: Connection, *, scope: Scope) -> list[ProjectRow]:
    """Every project that the caller may see, the one with the newest data first."""
    counters = project_counter.c
    rows = conn.execute(
        select(
            project,
            func.coalesce(func.sum(counters.trace_count), 0).label("trace_count"),
            func.coalesce(func.sum(counters.span_count), 0).label("span_count"),
            func.min(counters.first_seen).label("first_seen"),
            func.max(counters.last_seen).label("last_seen"),
        )
        .outerjoin(project_counter, counters.project_id == project.c.id)
        .where(scope.condition(project.c.id))
        .group_by(project.c.id, project.c.slug, project.c.name, project.c.created_at)
    ).all()
    found = [_row(row) for row in rows]
    return sorted(found, key=lambda one: (-(one.last_seen or 0), one.name))


def project_by_slug(conn: Connection, *, scope: Scope, slug: str) -> ProjectRow:
    """The project at an address; raises NotFound when there is none that the caller may see."""
    for one in projects(conn, scope=scope):
        if one.slug == slug:
            return one
    raise NotFound(f"There is no project {slug[:60]!r}.", field="project")


def project_by_name(conn: Connection, *, scope: Scope, name: str) -> ProjectRow:
    """The project of a name or a slug; raises NotFound when there is none that the caller may see."""
    found = projects(conn, scope=scope)
    for one in (*(p for p in found if p.name == name), *(p for p in found if p.slug == name)):
        return one
    raise NotFound(f"There is no project {name[:60]!r}.", field="project")


def _row(row: Row[tuple[object, ...]]) -> ProjectRow:
    return ProjectRow(
        row.id, row.slug, row.name, int(row.trace_count), int(row.span_count), row.first_seen, row.last_seen
    )
