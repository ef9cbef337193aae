"""What may be typed next in a search: fields and their choices, and values that the newest traces have."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from sqlalchemy import Column, Connection, func, select

from tracer.otlp.dialects.reading import Kind
from tracer.queries.added import names_used
from tracer.queries.found import searched_projects
from tracer.queries.scope import Scope
from tracer.search.complete import Completion, Wanted, completions, wanted
from tracer.search.find import find_traces
from tracer.search.tree import Pattern, show_key, show_pattern
from tracer.search.walk import Range
from tracer.store.models import annotation, span, trace
from tracer.store.spans import body_reader, place_of
from tracer.store.sql import Sql

NEWEST = 1_000
"""Traces whose values are suggested."""

NEWEST_METADATA = 200
NEWEST_STEPS = 100
"""Traces of whose steps values are suggested."""

BODIES = 60
"""Steps whose attributes are looked at for their keys."""

MOST = 12
_COLUMNS = {
    "name": "name",
    "user": "user_id",
    "session": "session_id",
    "environment": "environment",
    "release": "release",
}
_LISTS = {"model": "models", "service": "services", "tag": "tags"}


def suggested(conn: Connection, text: str, at: int, *, scope: Scope, project_id: int | None = None) -> list[Completion]:
    """Ways to go on at character `at` of a search, the most frequent values first."""
    found = wanted(text, at)
    if found.field is None or found.field.choices:
        return completions(text, at)[:MOST]
    range_ = Range(searched_projects(conn, scope, project_id))
    newest = [place.pk for place in find_traces(Sql(conn), None, range_, limit=NEWEST).places]
    if found.field.keyed and found.key is None:
        keys = _keys(conn, found, newest, range_.projects)
        return [
            Completion(found.start, found.end, f"{show_key(key)}:", f"a key of {found.field.name}")
            for key in _best(keys, found.beginning)
        ]
    values = _values(conn, found, newest)
    return [
        Completion(found.start, found.end, show_pattern(Pattern((value,))), found.field.finds)
        for value in _best(values, found.beginning)
    ]


def _best(values: Counter[str], beginning: str) -> list[str]:
    """The most frequent values that begin so, or that have it somewhere."""
    lower = beginning.lower()
    having = [(not value.lower().startswith(lower), -count, value) for value, count in values.items() if value]
    return [value for _, _, value in sorted(one for one in having if lower in one[2].lower())][:MOST]


def _values(conn: Connection, found: Wanted, newest: list[int]) -> Counter[str]:
    name = found.field.name if found.field is not None else ""
    if name in _COLUMNS:
        column = trace.c[_COLUMNS[name]]
        values = conn.execute(select(column).where(trace.c.id.in_(newest))).scalars()
        given = _added(conn, annotation.c.name, newest) if name == "name" else []
        return Counter(value for value in (*values, *given) if value is not None)
    if name in _LISTS:
        lists = Counter(conn.execute(select(trace.c[_LISTS[name]]).where(trace.c.id.in_(newest))).scalars())
        return _unfolded(lists + Counter(_added(conn, annotation.c.tags, newest) if name == "tag" else []))
    if name in ("provider", "tool"):
        column = span.c.provider if name == "provider" else span.c.name
        met = span.c.provider.is_not(None) if name == "provider" else span.c.kind == int(Kind.tool)
        query = select(column, func.count()).where(span.c.trace_pk.in_(newest[:NEWEST_STEPS]), met).group_by(column)
        return Counter({row[0]: row[1] for row in conn.execute(query).all()})
    if name == "metadata":
        every = (said.get(found.key or "") for said in _metadata(conn, newest))
        return Counter(str(value).lower() if value in (True, False) else str(value) for value in every if _plain(value))
    return Counter()


def _added(conn: Connection, column: Column[str | None], newest: list[int]) -> list[str]:
    """What people added to the newest traces."""
    same = (annotation.c.trace_id == trace.c.trace_id) & (annotation.c.project_id == trace.c.project_id)
    query = select(column).select_from(trace.join(annotation, same))
    return [said for said in conn.execute(query.where(trace.c.id.in_(newest))).scalars() if said is not None]


def _plain(value: object) -> bool:
    return isinstance(value, (str, int, float))


def _unfolded(lists: Counter[str]) -> Counter[str]:
    values: Counter[str] = Counter()
    for said, times in lists.items():
        for value in json.loads(said):
            values[value] += times
    return values


def _keys(conn: Connection, found: Wanted, newest: list[int], projects: Iterable[int]) -> Counter[str]:
    match found.field.name if found.field is not None else "":
        case "score":
            return Counter(name for project_id in projects for name in names_used(conn, project_id=project_id))
        case "metadata":
            return Counter(key for said in _metadata(conn, newest) for key in said)
        case _:
            return Counter(key for keys in _attributes(Sql(conn), newest) for key in keys)


def _metadata(conn: Connection, newest: list[int]) -> Iterator[dict[str, Any]]:
    for said in conn.execute(select(trace.c.metadata).where(trace.c.id.in_(newest[:NEWEST_METADATA]))).scalars():
        yield json.loads(said)


def _attributes(sql: Sql, newest: list[int]) -> Iterator[Iterable[str]]:
    """The keys of the attributes of some steps of the newest traces."""
    left = BODIES
    for pk in newest:
        if left <= 0:
            return
        reader = body_reader(pk, lambda number: sql.rows("SELECT data FROM pack WHERE id = ?", [number])[0].data)
        rows = sql.rows(
            "SELECT pack, body_offset, body_length FROM span WHERE trace_pk = ? LIMIT ?", [pk, min(left, BODIES // 3)]
        )
        for row in rows:
            body = reader.read(place_of(row))
            yield {*body.attributes, *body.resource}
        left -= len(rows)
