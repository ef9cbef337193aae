"""Projects by name: made when first named, addressed by a slug that never changes.

A project is reached by names beside its own, too: those before a renaming, and of projects that became part of it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from hashlib import blake2b

from sqlalchemy import Subquery, select, union_all

from tracer.store.models import project, project_alias
from tracer.store.sql import Sql

SLUG_LENGTH = 40
ATTEMPTS = 3
"""Another process may take a name's slug between our look and our row: the next attempt sees that."""

PROJECTS_LOCK = 4748_0002


def slug_of(name: str) -> str:
    """A name's form for addresses: lower-case ASCII letters and digits with hyphens; `project` when none are left."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:SLUG_LENGTH].strip("-") or "project"


def every_name() -> Subquery:
    """A query of every name that reaches a project: `id` and `name`."""
    own = select(project.c.id, project.c.name).where(project.c.gone.is_(None))
    others = select(project_alias.c.project_id, project_alias.c.word).where(project_alias.c.kind == "name")
    return union_all(own, others).subquery()


def hold_projects(sql: Sql, *, alone: bool = False) -> None:
    """Until the transaction ends, let no project go (delete or merge it); with `alone` let nobody write to any.

    On SQLite the transaction itself does.
    """
    if not sql.sqlite:
        sql.run(f"SELECT pg_advisory_xact_lock{'' if alone else '_shared'}(?)", [PROJECTS_LOCK])


class ProjectIds:
    """Remembers the projects' row numbers for one writer, until one of them goes, in whichever process."""

    def __init__(self) -> None:
        self._ids: dict[str, int] = {}
        self._gone = 0

    def forget(self) -> None:
        """Ask the database again next time."""
        self._ids.clear()

    def resolve(self, sql: Sql, names: Iterable[str], now: int) -> dict[str, int]:
        """Return each name's row number, making the projects that are not there yet.

        None of them goes before the transaction ends.
        """
        hold_projects(sql)
        gone = sql.rows("SELECT max(gone) FROM project WHERE gone IS NOT NULL")[0][0] or 0
        if gone != self._gone:
            self._ids.clear()
            self._gone = gone
        missing = sorted(set(names) - self._ids.keys())
        if missing:
            self._load(sql, missing)
            for _ in range(ATTEMPTS):
                missing = [name for name in missing if name not in self._ids]
                for name in missing:
                    self._create(sql, name, now)
                self._load(sql, missing)
        return self._ids

    def _load(self, sql: Sql, names: list[str]) -> None:
        for row in sql.rows_in("SELECT id, name FROM project WHERE name IN ({keys})", names):
            self._ids[row.name] = row.id
        for row in sql.rows_in(
            "SELECT project_id, word FROM project_alias WHERE kind = 'name' AND word IN ({keys})", names
        ):
            self._ids[row.word] = row.project_id

    def _create(self, sql: Sql, name: str, now: int) -> None:
        # A slug that is taken gets a mark of the name's own, so that two processes choose the same.
        slug = slug_of(name)
        if sql.rows(
            "SELECT 1 FROM project WHERE slug = ? UNION ALL "
            "SELECT 1 FROM project_alias WHERE kind = 'slug' AND word = ?",
            [slug, slug],
        ):
            slug = f"{slug}-{blake2b(name.encode(), digest_size=4).hexdigest()}"
        sql.run(
            "INSERT INTO project (slug, name, created_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING", [slug, name, now]
        )
