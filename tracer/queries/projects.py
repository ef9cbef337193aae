"""Projects with their totals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, bindparam, func, select
from sqlalchemy.sql import Select

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
    rows = conn.execute(_with_totals().where(scope.condition(project.c.id)))
    return sorted(map(_row, rows), key=lambda one: (-(one.last_seen or 0), one.name))


def project_by_slug(conn: Connection, *, scope: Scope, slug: str) -> ProjectRow:
    """The project at an address; raises NotFound when there is none that the caller may see.

    What was merged into another project leads to that one.
    """
    return _project(conn, _id_of(conn, scope, slug, ("slug",)), slug)


def project_by_name(conn: Connection, *, scope: Scope, name: str) -> ProjectRow:
    """The project of a name, a former one or a slug; raises NotFound when there is none that the caller may see."""
    return _project(conn, project_id_by_name(conn, scope=scope, name=name), name)


def project_id_by_name(conn: Connection, *, scope: Scope, name: str) -> int:
    """The row number of `project_by_name` alone: its totals are not added up."""
    return _id_of(conn, scope, name, ("name", "slug"))


def _id_of(conn: Connection, scope: Scope, word: str, kinds: Sequence[str]) -> int:
    """The project that goes by a word now, else the one that went by it; a name comes before a slug."""
    cleaned = clean(word)
    if cleaned == word:  # no name in the database is another, and Postgres does not take one
        for kind in kinds:
            found = conn.execute(_CALLED[kind], {"word": word}).scalar()
            if found is not None and scope.allows(found):
                return found
    for kind in kinds:
        found = conn.execute(_WAS_CALLED, {"kind": kind, "word": cleaned}).scalar()
        if found is not None and scope.allows(found):
            return found
    raise _no_project(word)


def _no_project(word: str) -> NotFound:
    return NotFound(f"There is no project {word[:60]!r}.", field="project")


def _project(conn: Connection, project_id: int, word: str) -> ProjectRow:
    row = conn.execute(_WITH_ITS_TOTALS, {"id": project_id}).first()
    if row is None:  # deleted meanwhile
        raise _no_project(word)
    return _row(row)


def _with_totals() -> Select[*tuple[Any, ...]]:
    counters = project_counter.c
    return (
        select(
            project,
            func.coalesce(func.sum(counters.trace_count), 0).label("trace_count"),
            func.coalesce(func.sum(counters.span_count), 0).label("span_count"),
            func.min(counters.first_seen).label("first_seen"),
            func.max(counters.last_seen).label("last_seen"),
        )
        .outerjoin(project_counter, counters.project_id == project.c.id)
        .where(project.c.gone.is_(None))
        .group_by(project.c.id, project.c.slug, project.c.name, project.c.created_at)
    )


# Made once: nearly every request asks for its project.
_CALLED = {
    column.name: select(project.c.id).where(column == bindparam("word"), project.c.gone.is_(None))
    for column in (project.c.name, project.c.slug)
}
_WAS_CALLED = (
    select(project_alias.c.project_id)
    .join(project, project.c.id == project_alias.c.project_id)
    .where(
        project_alias.c.kind == bindparam("kind"), project_alias.c.word == bindparam("word"), project.c.gone.is_(None)
    )
)
_WITH_ITS_TOTALS = _with_totals().where(project.c.id == bindparam("id"))


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


def _row(row: Row[tuple[object, ...]]) -> ProjectRow:
    return ProjectRow(
        row.id, row.slug, row.name, int(row.trace_count), int(row.span_count), row.first_seen, row.last_seen
    )
