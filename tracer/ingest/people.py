"""What people and programs add to traces: scores, tags, a name, a note. It lives apart from what ingest derives.

A score may come before its trace: it is found by the trace's id. Nothing is taken for a trace that was deleted.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from tracer.errors import NotFound
from tracer.ingest.alike import renote
from tracer.ingest.apply import Changes
from tracer.ingest.labels import change_labels, labels_of
from tracer.ingest.locks import lock_traces
from tracer.ingest.tombstones import DELETED, deleted_among
from tracer.store.sql import Sql

SCORE_COLUMNS = (
    "project_id", "trace_id", "span_id", "score_id", "name", "number", "words", "boolean", "comment", "source",
    "author", "created_at", "updated_at",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class NewScore:
    """One score as it is given. Without an id it replaces the one of the same trace, step, name, source and author."""

    trace_id: bytes
    span_id: bytes | None
    name: str
    value: float | bool | str
    comment: str | None
    source: str
    author: str
    id: str | None = None

    @property
    def identity(self) -> str:
        """The given id, else one made of what tells this score from others."""
        if self.id is not None:
            return self.id
        parts = [self.trace_id.hex(), self.span_id.hex() if self.span_id else "", self.name, self.source, self.author]
        return sha256("\0".join(parts).encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Patch:
    """What is to be changed of a trace; None leaves it, an empty text or list takes it away."""

    name: str | None = None
    tags: tuple[str, ...] | None = None
    note: str | None = None


def put_score(
    sql: Sql,
    score: NewScore,
    *,
    project_id: int,
    now: int,
    created_at: int | None = None,
    updated_at: int | None = None,
) -> Changes:
    """Keep a score, or replace the one with its id. Raises NotFound when its trace was deleted.

    A score from elsewhere brings its own `created_at` and `updated_at` (Unix nanoseconds): one that was changed here
    since stays.
    """
    key = (project_id, score.trace_id)
    lock_traces(sql, [score.trace_id])
    if deleted_among(sql, [key]):
        raise NotFound(f"This score was not taken: {DELETED}.", field="trace_id")
    value = score.value
    given = (
        project_id, score.trace_id, score.span_id, score.identity, score.name,
        None if isinstance(value, str) else float(value), value if isinstance(value, str) else None,
        int(isinstance(value, bool)), score.comment, score.source, score.author,
        now if created_at is None else created_at, now if updated_at is None else updated_at,
    )  # fmt: skip
    kept = ("project_id", "score_id", "created_at")
    replaced = ", ".join(f"{name} = excluded.{name}" for name in SCORE_COLUMNS if name not in kept)
    before = sql.rows(
        "SELECT trace_id, updated_at FROM score WHERE project_id = ? AND score_id = ?", [project_id, score.identity]
    )
    if updated_at is not None and any(row.updated_at >= updated_at for row in before):
        return Changes(at=now)
    sql.insert("score", SCORE_COLUMNS, [given], then=f"ON CONFLICT (project_id, score_id) DO UPDATE SET {replaced}")
    return _changed(sql, [key, *((project_id, row.trace_id) for row in before)], now)


def restore_note(sql: Sql, trace_id: bytes, given: Patch, *, project_id: int, now: int) -> Changes:
    """Add what people said of a trace elsewhere to what they say here; where both name it, what is here stays.

    Raises NotFound when the trace was deleted.
    """
    rows = sql.rows(
        "SELECT name, tags, note FROM annotation WHERE trace_id = ? AND project_id = ?", [trace_id, project_id]
    )
    here = rows[0] if rows else None
    tags = tuple(json.loads(here.tags)) if here is not None and here.tags else ()
    patch = Patch(
        name=given.name if here is None or here.name is None else None,
        tags=tuple(dict.fromkeys((*tags, *(given.tags or ())))),
        note=given.note if here is None or here.note is None else None,
    )
    if patch == Patch(tags=tags):
        return Changes(at=now)
    return annotate(sql, trace_id, patch, project_id=project_id, now=now)


def drop_score(sql: Sql, row_id: int, *, now: int) -> Changes:
    """Take a score away, by its row number."""
    rows = sql.rows("SELECT project_id, trace_id FROM score WHERE id = ?", [row_id])
    sql.run("DELETE FROM score WHERE id = ?", [row_id])
    return _changed(sql, [(row.project_id, row.trace_id) for row in rows], now)


def annotate(sql: Sql, trace_id: bytes, patch: Patch, *, project_id: int, now: int) -> Changes:
    """Change what people say of a trace. Raises NotFound when it was deleted meanwhile."""
    key = (project_id, trace_id)
    lock_traces(sql, [trace_id])
    if deleted_among(sql, [key]):
        raise NotFound("This trace was deleted meanwhile.", field="trace_id")
    found = sql.rows(
        "SELECT name, tags, note FROM annotation WHERE trace_id = ? AND project_id = ?", [trace_id, project_id]
    )
    name, tags, note = (found[0].name, found[0].tags, found[0].note) if found else (None, None, None)
    named_before, tagged_before = name, tags
    if patch.name is not None:
        name = patch.name or None
    if patch.note is not None:
        note = patch.note or None
    if patch.tags is not None:
        tags = json.dumps(list(dict.fromkeys(patch.tags)), ensure_ascii=False) if patch.tags else None
    if name is None and tags is None and note is None:
        sql.run("DELETE FROM annotation WHERE trace_id = ? AND project_id = ?", [trace_id, project_id])
    else:
        sql.insert(
            "annotation",
            ("trace_id", "project_id", "name", "tags", "note", "updated_at"),
            [(trace_id, project_id, name, tags, note, now)],
            then="ON CONFLICT (trace_id, project_id) DO UPDATE SET name = excluded.name, tags = excluded.tags, "
            "note = excluded.note, updated_at = excluded.updated_at",
        )
    _relabel(sql, key, tagged_before, tags)
    renote(sql, key, (named_before, tagged_before), (name, tags))
    return _changed(sql, [key], now)


def _relabel(sql: Sql, key: tuple[int, bytes], before: str | None, after: str | None) -> None:
    """Labels follow the tags that people add, where the trace is there."""
    if before == after:
        return
    for row in sql.rows("SELECT * FROM trace WHERE trace_id = ? AND project_id = ?", [key[1], key[0]]):
        old, new = labels_of(row, before), labels_of(row, after)
        change_labels(sql, old - new, new - old)


def delete_added(sql: Sql, keys: Sequence[tuple[int, bytes]]) -> None:
    """Take away what was added to traces that are being deleted, given as (project id, trace id)."""
    places = [(trace_id, project_id) for project_id, trace_id in keys]
    sql.many("DELETE FROM score WHERE trace_id = ? AND project_id = ?", places)
    sql.many("DELETE FROM annotation WHERE trace_id = ? AND project_id = ?", places)
    sql.many("DELETE FROM share WHERE trace_id = ? AND project_id = ?", places)


def _changed(sql: Sql, keys: Sequence[tuple[int, bytes]], now: int) -> Changes:
    """Raise the traces' versions and write the change feed, so that open pages hear of it."""
    changes = Changes(at=now)
    for key in sorted(set(keys)):
        if sql.run("UPDATE trace SET version = version + 1 WHERE trace_id = ? AND project_id = ?", [key[1], key[0]]):
            sql.insert("change", ("project_id", "trace_id", "at"), [(*key, now)])
            changes.add(key)
    return changes
