"""Projects with their totals."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, Row, func, select

from tracer.errors import NotFound
from tracer.otlp.text import clean
from tracer.queries.rows import ProjectRow
from tracer.queries.scope import Scope
from tracer.store.models import project, project_alias, project_counter, project_rules


@dataclass(frozen=True, slots=True)
class Described:
    """A project, the names that reach it beside its own, and its own rule of how many days traces are kept."""

    row: ProjectRow
    other_names: tuple[str, ...]
    kept_days: int | None


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
        .where(scope.condition(project.c.id), project.c.gone.is_(None))
        .group_by(project.c.id, project.c.slug, project.c.name, project.c.created_at)
    ).all()
    found = [_row(row) for row in rows]
    return sorted(found, key=lambda one: (-(one.last_seen or 0), one.name))


def project_by_slug(conn: Connection, *, scope: Scope, slug: str) -> ProjectRow:
    """The project at an address; raises NotFound when there is none that the caller may see.

    What was merged into another project leads to that one.
    """
    found = projects(conn, scope=scope)
    for one in found:
        if one.slug == slug:
            return one
    for one in _reached(conn, found, "slug", slug):
        return one
    raise NotFound(f"There is no project {slug[:60]!r}.", field="project")


def project_by_name(conn: Connection, *, scope: Scope, name: str) -> ProjectRow:
    """The project of a name, a former one or a slug; raises NotFound when there is none that the caller may see."""
    found = projects(conn, scope=scope)
    for one in (*(p for p in found if p.name == name), *(p for p in found if p.slug == name)):
        return one
    for one in (*_reached(conn, found, "name", name), *_reached(conn, found, "slug", name)):
        return one
    raise NotFound(f"There is no project {name[:60]!r}.", field="project")


def other_names(conn: Connection, *, scope: Scope) -> dict[int, list[str]]:
    """The names by which projects (row numbers) are reached beside their own, in order."""
    rows = conn.execute(
        select(project_alias)
        .where(project_alias.c.kind == "name", scope.condition(project_alias.c.project_id))
        .order_by(project_alias.c.word)
    )
    found: dict[int, list[str]] = {}
    for row in rows:
        found.setdefault(row.project_id, []).append(row.word)
    return found


def kept_days(conn: Connection, *, scope: Scope) -> dict[int, int]:
    """For how many days projects (row numbers) keep traces, where they have a rule of their own."""
    rows = conn.execute(
        select(project_rules.c.project_id, project_rules.c.retention_days).where(
            project_rules.c.retention_days.is_not(None), scope.condition(project_rules.c.project_id)
        )
    )
    return {row.project_id: row.retention_days for row in rows}


def described(conn: Connection, *, scope: Scope) -> list[Described]:
    """The same as `projects`, with the names that reach each and how long it keeps traces."""
    others, days = other_names(conn, scope=scope), kept_days(conn, scope=scope)
    return [Described(one, tuple(others.get(one.id, ())), days.get(one.id)) for one in projects(conn, scope=scope)]


def _reached(conn: Connection, among: list[ProjectRow], kind: str, word: str) -> list[ProjectRow]:
    query = select(project_alias.c.project_id).where(project_alias.c.kind == kind, project_alias.c.word == clean(word))
    reached = conn.execute(query).scalar()
    return [one for one in among if one.id == reached]


def _row(row: Row[tuple[object, ...]]) -> ProjectRow:
    return ProjectRow(
        row.id, row.slug, row.name, int(row.trace_count), int(row.span_count), row.first_seen, row.last_seen
    )
