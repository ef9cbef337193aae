"""Projects by name: made when first named, addressed by a slug that never changes."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from hashlib import blake2b

from tracer.store.sql import Sql

SLUG_LENGTH = 40
ATTEMPTS = 3
"""Another process may take a name's slug between our look and our row: the next attempt sees that."""


def slug_of(name: str) -> str:
    """A name's form for addresses: lower-case ASCII letters and digits with hyphens; `project` when none are left."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:SLUG_LENGTH].strip("-") or "project"


class ProjectIds:
    """Remembers the projects' row numbers for one writer."""

    def __init__(self) -> None:
        self._ids: dict[str, int] = {}

    def forget(self) -> None:
        """Ask the database again next time."""
        self._ids.clear()

    def resolve(self, sql: Sql, names: Iterable[str], now: int) -> dict[str, int]:
        """Return each name's row number, making the projects that are not there yet."""
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

    def _create(self, sql: Sql, name: str, now: int) -> None:
        # A slug that is taken gets a mark of the name's own, so that two processes choose the same.
        slug = slug_of(name)
        if sql.rows("SELECT 1 FROM project WHERE slug = ?", [slug]):
            slug = f"{slug}-{blake2b(name.encode(), digest_size=4).hexdigest()}"
        sql.run(
            "INSERT INTO project (slug, name, created_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING", [slug, name, now]
        )
