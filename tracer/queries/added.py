"""What people and programs added to traces: scores, tags, a name, a note."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace
from sqlalchemy import ColumnElement, Connection, Row, and_, func, select
from sqlalchemy.sql import Select

from tracer.errors import NotFound
from tracer.queries.cursor import Cursor, Page, read_cursor, write_cursor
from tracer.queries.rows import ScoreRow, TraceRow
from tracer.queries.scope import Scope
from tracer.store.models import project, score
from tracer.store.scores import score_sums
from tracer.store.sql import Sql

SHOWN = 1_000
"""Scores of one trace that are read; a chain that scores each of ten thousand steps has its own list."""

LOOKED_THROUGH = 200_000
"""The newest scores, in all projects, among which those of a name or a source are looked for."""


def with_added(conn: Connection, rows: Sequence[TraceRow]) -> list[TraceRow]:
    """The traces with the names, tags, notes and scores that were added to them."""
    sql = Sql(conn)
    ids = sorted({bytes.fromhex(row.trace_id) for row in rows})
    notes = {
        (row.project_id, row.trace_id): row
        for row in sql.rows_in(
            "SELECT trace_id, project_id, name, tags, note FROM annotation WHERE trace_id IN ({keys})", ids
        )
    }
    sums = score_sums(sql, ids)
    if not notes and not sums:
        return list(rows)
    done: list[TraceRow] = []
    for row in rows:
        key = (row.project_id, bytes.fromhex(row.trace_id))
        note = notes.get(key)
        scores = tuple(sums.get(key, ()))
        if note is None and not scores:
            done.append(row)
            continue
        given = tuple(json.loads(note.tags)) if note is not None and note.tags else ()
        done.append(
            replace(
                row,
                name=note.name if note is not None and note.name else row.name,
                tags=tuple(dict.fromkeys((*row.tags, *given))),
                own_name=note.name if note is not None else None,
                own_tags=given,
                note=note.note if note is not None else None,
                scores=scores,
            )
        )
    return done


def _value(row: Row[Any]) -> float | bool | str:
    if row.words is not None:
        return str(row.words)
    return bool(row.number) if row.boolean else float(row.number)


def scores_of(
    conn: Connection, *, trace: TraceRow, span_id: str | None = None, limit: int | None = SHOWN
) -> list[ScoreRow]:
    """The scores of a trace and its steps, or of one step, in the order in which they came; "" for the trace's own."""
    where: list[ColumnElement[bool]] = [
        score.c.trace_id == bytes.fromhex(trace.trace_id),
        score.c.project_id == trace.project_id,
    ]
    if span_id is not None:
        where.append(score.c.span_id == bytes.fromhex(span_id) if span_id else score.c.span_id.is_(None))
    query = _scores().where(*where).order_by(score.c.id).limit(limit)
    return [_score_row(row) for row in conn.execute(query)]


def scores(
    conn: Connection,
    *,
    scope: Scope,
    trace_id: bytes | None = None,
    project_id: int | None = None,
    name: str | None = None,
    source: str | None = None,
    after: str | None = None,
    limit: int = 50,
) -> Page[ScoreRow]:
    """One page of scores, the newest first; those of one name or source among the newest LOOKED_THROUGH.

    Raises BadRequest for a cursor that is none.
    """
    where: list[ColumnElement[bool]] = [scope.condition(score.c.project_id)]
    if trace_id is not None:
        where.append(score.c.trace_id == trace_id)
    if project_id is not None:
        where.append(score.c.project_id == project_id)
    if name is not None or source is not None:
        where.append(score.c.id > select(func.max(score.c.id)).scalar_subquery() - LOOKED_THROUGH)
    if name is not None:
        where.append(score.c.name == name)
    if source is not None:
        where.append(score.c.source == source)
    if after is not None:
        where.append(score.c.id < read_cursor(after, order="scores").id)
    rows = conn.execute(_scores().where(*where).order_by(score.c.id.desc()).limit(limit + 1)).all()
    last = rows[limit - 1] if len(rows) > limit else None
    items = [_score_row(row) for row in rows[:limit]]
    return Page(items, write_cursor(Cursor("scores", last.id, last.id)) if last is not None else None)


def score_by_id(conn: Connection, *, scope: Scope, score_id: str, project_id: int | None = None) -> ScoreRow:
    """One score by its id, the newest where several projects have it. Raises NotFound."""
    where: list[ColumnElement[bool]] = [score.c.score_id == score_id, scope.condition(score.c.project_id)]
    if project_id is not None:
        where.append(score.c.project_id == project_id)
    row = conn.execute(_scores().where(*where).order_by(score.c.id.desc()).limit(1)).first()
    if row is None:
        raise NotFound(f"There is no score {score_id[:40]!r}.", field="score_id")
    return _score_row(row)


def names_used(conn: Connection, *, project_id: int, newest: int = 500) -> list[str]:
    """Names of scores that a project gave lately, the most frequent first."""
    query = select(score.c.name).where(score.c.project_id == project_id).order_by(score.c.id.desc()).limit(newest)
    return [name for name, _ in Counter(conn.execute(query).scalars()).most_common(20)]


def _scores() -> Select[*tuple[Any, ...]]:
    there = and_(project.c.id == score.c.project_id, project.c.gone.is_(None))
    return select(score, project.c.name.label("project")).join(project, there)


def _score_row(row: Row[Any]) -> ScoreRow:
    return ScoreRow(
        row_id=row.id,
        id=row.score_id,
        project_id=row.project_id,
        project=row.project,
        trace_id=row.trace_id.hex(),
        span_id=None if row.span_id is None else row.span_id.hex(),
        name=row.name,
        value=_value(row),
        comment=row.comment,
        source=row.source,
        author=row.author,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
