"""What happens to whole projects: another name, becoming part of another, being deleted.

What is decided at once is here: from the commit on nothing comes to a project that goes. Its traces follow in slices
(`moving.py`, `deleter.py`).
"""

from __future__ import annotations

from tracer.errors import BadRequest, Conflict, NotFound
from tracer.ingest.prepare import project_name
from tracer.ingest.receipts import open_receipt
from tracer.otlp.text import clean
from tracer.store.projects import hold_projects
from tracer.store.sql import Sql

OWNED = ("access_key", "membership", "invitation", "project_rules", "alert", "saved_view", "share")
"""Tables with few rows of a project: what a deleted one has of them goes at once."""

COUNTERS = ("project_id", "shard", "trace_count", "span_count", "body_bytes", "first_seen", "last_seen")


def rename_project(sql: Sql, project_id: int, name: str) -> str:
    """Give a project another name and return it; the one before goes on reaching it. Its slug stays.

    Raises BadRequest for a name that cannot be, Conflict for one that reaches another project, NotFound.
    """
    name = project_name(clean(name))
    if not name:
        raise BadRequest("A project's name has at least one character.", field="name")
    hold_projects(sql, alone=True)
    before = _there(sql, project_id)
    if name == before:
        return name
    taken = sql.rows(
        "SELECT id FROM project WHERE name = ? UNION ALL "
        "SELECT project_id FROM project_alias WHERE kind = 'name' AND word = ? AND project_id <> ?",
        [name, name, project_id],
    )
    if taken:
        raise Conflict(
            f"The name {name[:80]!r} reaches another project: choose another, or merge the two.", field="name"
        )
    sql.run("DELETE FROM project_alias WHERE kind = 'name' AND word = ?", [name])
    sql.run("UPDATE project SET name = ? WHERE id = ?", [name, project_id])
    _reach(sql, project_id, "name", before)
    return name


def begin_merge(sql: Sql, project_id: int, into_id: int, *, author: str, now: int) -> int:
    """Make a project part of another one, and return the number of its receipt: its traces are moved from now on.

    Whatever comes under its names, or with its keys, reaches the other one with this commit. People, views and alerts
    are the other's at once; of rules for what comes in the other's hold. Raises BadRequest, Conflict, NotFound.
    """
    if project_id == into_id:
        raise BadRequest("A project cannot become part of itself.", field="into")
    hold_projects(sql, alone=True)
    name = _there(sql, project_id)
    _there(sql, into_id)
    if sql.rows("SELECT 1 FROM deletion WHERE into_id = ? AND state IN ('waiting', 'running')", [project_id]):
        raise Conflict(f"Traces still move into {name[:80]!r}: wait until that is done.")
    receipt = open_receipt(
        sql, now=now, job="merge", project_id=project_id, project=name, into_id=into_id, author=author or None
    )
    sql.run("UPDATE project_alias SET project_id = ? WHERE project_id = ?", [into_id, project_id])
    sql.run("UPDATE project SET into_id = ? WHERE into_id = ?", [into_id, project_id])
    slug = _let_go(sql, project_id, receipt, into_id=into_id)
    _reach(sql, into_id, "name", name)
    _reach(sql, into_id, "slug", slug)
    for table in ("access_key", "invitation"):
        sql.run(f"UPDATE {table} SET project_id = ? WHERE project_id = ?", [into_id, project_id])
    sql.run(
        "INSERT INTO membership (person_id, project_id, role) SELECT person_id, ?, role FROM membership "
        "WHERE project_id = ? ON CONFLICT DO NOTHING",
        [into_id, project_id],
    )
    for table in ("membership", "project_rules"):
        sql.run(f"DELETE FROM {table} WHERE project_id = ?", [project_id])
    for table in ("saved_view", "alert"):
        _move_named(sql, table, project_id, into_id, name)
    seen = sql.rows(
        "SELECT min(first_seen) AS first, max(last_seen) AS last FROM project_counter WHERE project_id = ?",
        [project_id],
    )[0]
    if seen.first is not None:
        # A shard of its own for what the other had seen: the writers' rows begin with what they saw themselves.
        sql.insert("project_counter", COUNTERS, [(into_id, -receipt, 0, 0, 0, seen.first, seen.last)])
    return receipt


def begin_removal(sql: Sql, project_id: int, *, author: str, now: int) -> int:
    """Delete a project with all that it has, and return the number of its receipt: its traces go from now on.

    Its keys open nothing with this commit; what comes under its name makes a new project. Raises NotFound, Conflict.
    """
    hold_projects(sql, alone=True)
    name = _there(sql, project_id)
    if sql.rows("SELECT 1 FROM deletion WHERE into_id = ? AND state IN ('waiting', 'running')", [project_id]):
        raise Conflict(f"Traces still move into {name[:80]!r}: wait until that is done.")
    receipt = open_receipt(sql, now=now, job="project", project_id=project_id, project=name, author=author or None)
    _let_go(sql, project_id, receipt)
    sql.run("DELETE FROM project_alias WHERE project_id = ?", [project_id])
    for table in OWNED:
        sql.run(f"DELETE FROM {table} WHERE project_id = ?", [project_id])
    return receipt


def _there(sql: Sql, project_id: int) -> str:
    rows = sql.rows("SELECT name FROM project WHERE id = ? AND gone IS NULL", [project_id])
    if not rows:
        raise NotFound("This project is not there any more.", field="project")
    return str(rows[0].name)


def _let_go(sql: Sql, project_id: int, receipt: int, *, into_id: int | None = None) -> str:
    """Give a project's name and slug free, and return the slug. No name from outside begins with a space."""
    slug = str(sql.rows("SELECT slug FROM project WHERE id = ?", [project_id])[0].slug)
    sql.run(
        "UPDATE project SET gone = ?, into_id = ?, slug = ?, name = ? WHERE id = ?",
        [receipt, into_id, f"-{project_id}", f" {project_id}", project_id],
    )
    return slug


def _reach(sql: Sql, project_id: int, kind: str, word: str) -> None:
    sql.insert("project_alias", ("kind", "word", "project_id"), [(kind, word, project_id)])


def _move_named(sql: Sql, table: str, project_id: int, into_id: int, name: str) -> None:
    """Move rows whose names are unique in a project: one that is taken there says where it is from."""
    taken = {row.name for row in sql.rows(f"SELECT name FROM {table} WHERE project_id = ?", [into_id])}
    for row in sql.rows(f"SELECT id, name FROM {table} WHERE project_id = ? ORDER BY id", [project_id]):
        called = row.name if row.name not in taken else f"{row.name[:150]} ({name[:40]} {row.id})"
        taken.add(called)
        sql.run(f"UPDATE {table} SET project_id = ?, name = ? WHERE id = ?", [into_id, called, row.id])
