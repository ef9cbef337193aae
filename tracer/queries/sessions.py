"""Conversations and users: the traces of a project that share a session, or a user, with their totals.

Nothing is kept for them: a page of the list is found by walking the newest traces, each one's totals by an index over
its own traces. Both are bounded, and say where they stopped.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Literal

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    Integer,
    Row,
    and_,
    bindparam,
    case,
    func,
    or_,
    select,
)
from sqlalchemy.sql import Select

from tracer.errors import NotFound
from tracer.otlp.text import clean
from tracer.queries.added import with_added
from tracer.queries.cursor import Cursor, Page, read_cursor, write_cursor
from tracer.queries.rows import SharedRow, TraceRow
from tracer.queries.scope import Scope
from tracer.queries.traces import trace_row, traces_selected
from tracer.search.find import find_traces, those_that_meet
from tracer.search.tree import Node
from tracer.search.walk import Place, Range
from tracer.store.models import Status, project, trace
from tracer.store.spans import usage_of_row
from tracer.store.sql import Sql, chunked
from tracer.units import Nanos, NanoUsd, UnixNanos

By = Literal["session", "user"]

WORK_LIMIT_S = 0.05
LOT = 1_000
"""Traces that are walked at a time."""
SUMMED = 1_000
"""Traces of one session or user, its newest, that its totals are of."""

_TOKENS = (
    "input_tokens", "output_tokens", "cached_input_tokens", "cache_write_tokens", "reasoning_tokens",
    "audio_tokens",
)  # fmt: skip
_all_tokens = func.coalesce(
    trace.c.total_tokens, trace.c.input_tokens + trace.c.output_tokens, trace.c.input_tokens, trace.c.output_tokens
).label("total_tokens")
_columns: dict[By, Column[str | None]] = {"session": trace.c.session_id, "user": trace.c.user_id}


@dataclass(frozen=True, slots=True)
class _Place:
    """A trace's place in the list: newest first, by (start_time, id)."""

    start_time: int
    pk: int


def shared(
    conn: Connection,
    *,
    scope: Scope,
    project_id: int,
    by: By = "session",
    user: str | None = None,
    since: UnixNanos | None = None,
    until: UnixNanos | None = None,
    search: Node | None = None,
    after: str | None = None,
    limit: int = 50,
    abandoned_after: int = 10,
    seconds: float = WORK_LIMIT_S,
) -> Page[SharedRow]:
    """One page of a project's sessions or users, that with the newest trace first.

    `since` is inclusive, `until` exclusive, `user` keeps the sessions with traces of that user, `search` those with a
    trace that meets it; all four choose which are listed, totals are of all their traces. After `seconds` of work the
    page holds what was found and says with `searched_to` how far back that is. Raises NotFound for a project out of
    sight, BadRequest for a cursor that is none.
    """
    if not scope.allows(project_id):
        raise NotFound("There is no such project.", field="project")
    where: list[ColumnElement[bool]] = [trace.c.project_id == project_id]
    if user is not None:
        where.append(trace.c.user_id == clean(user))
    if since is not None:
        where.append(trace.c.start_time >= since)
    if until is not None:
        where.append(trace.c.start_time < until)
    order = f"{by}s"
    begin = None
    if after is not None:
        cursor = read_cursor(after, order=order)
        begin = _Place(cursor.value, cursor.id)
    end = time.monotonic() + seconds
    found: dict[str, _Place] = {}
    reached: _Place | None = None
    # An index of these alone tells at once whether there are any.
    if conn.execute(select(trace.c.id).where(*where, _columns[by].is_not(None)).limit(1)).first() is not None:
        if search is None:
            reached = _walk(conn, by, where, begin, limit, end, found)
        else:
            reached = _Searched(conn, by, search, where, abandoned_after).walk(
                Range((project_id,), since=since, until=until), begin, limit, end, found
            )
    sums = sums_of(conn, by, project_id, list(found))
    items = [sums[key] for key in found if key in sums]
    if reached is None:
        return Page(items, None)
    cursor_text = write_cursor(Cursor(order, reached.start_time, reached.pk))
    return Page(items, cursor_text, None if len(found) >= limit else UnixNanos(reached.start_time))


def _walk(
    conn: Connection,
    by: By,
    where: Sequence[ColumnElement[bool]],
    begin: _Place | None,
    limit: int,
    end: float,
    found: dict[str, _Place],
) -> _Place | None:
    """Find `limit` keys that have no trace before `begin` in the list; where to go on, None at the list's end."""
    column = _columns[by]
    at = begin
    passed: set[str] = set()
    while True:
        query = select(trace.c.start_time, trace.c.id, column.label("key")).where(*where)
        if at is not None:
            query = query.where(_past(at))
        lot = conn.execute(query.order_by(trace.c.start_time.desc(), trace.c.id.desc()).limit(LOT)).all()
        fresh = list(
            dict.fromkeys(row.key for row in lot if row.key and row.key not in found and row.key not in passed)
        )
        if begin is not None and fresh:
            passed.update(_with_newer(conn, by, where, begin, fresh))
        for row in lot:
            if row.key and row.key not in found and row.key not in passed:
                if len(found) >= limit:
                    return at
                found[row.key] = _Place(row.start_time, row.id)
            at = _Place(row.start_time, row.id)
        if len(lot) < LOT:
            return None
        if time.monotonic() > end:
            return at


class _Searched:
    """The walk among the traces that a search finds."""

    def __init__(
        self, conn: Connection, by: By, search: Node, where: Sequence[ColumnElement[bool]], abandoned_after: int
    ) -> None:
        self._conn, self._sql = conn, Sql(conn)
        self._by: By = by
        self._search = search
        self._where = where
        self._abandoned_after = abandoned_after

    def walk(
        self, range_: Range, begin: _Place | None, limit: int, end: float, found: dict[str, _Place]
    ) -> _Place | None:
        """As `_walk`. The time is asked for after each trace, so that every page leads further."""
        at = begin
        passed: set[str] = set()
        while True:
            place = None if at is None else Place(at.start_time, at.pk)
            lot = find_traces(
                self._sql,
                self._search,
                replace(range_, after=place),
                limit=LOT,
                seconds=max(0.0, end - time.monotonic()),
                abandoned_after=self._abandoned_after,
            )
            keys = self._keys([one.pk for one in lot.places])
            for one in lot.places:
                key = keys.get(one.pk)
                here = _Place(one.value, one.pk)
                if key and key not in found and key not in passed:
                    if begin is not None and self._has_newer(begin, key):
                        passed.add(key)
                    elif len(found) >= limit:
                        return at
                    else:
                        found[key] = here
                at = here
                if time.monotonic() > end and one is not lot.places[-1]:
                    return at
            if lot.searched_to is None:
                return None
            at = _Place(lot.searched_to.value, lot.searched_to.pk)
            if time.monotonic() > end:
                return at

    def _keys(self, pks: Sequence[int]) -> dict[int, str | None]:
        """Each trace's session or user, of those that are meant."""
        column = _columns[self._by].label("key")
        rows = self._conn.execute(select(trace.c.id, column).where(*self._where, trace.c.id.in_(pks)))
        return {row.id: row.key for row in rows}

    def _has_newer(self, begin: _Place, key: str) -> bool:
        """Whether a page before had the key: it has a trace that meets the search at `begin` or before it."""
        query = _at_or_before(self._by, self._where).order_by(trace.c.start_time, trace.c.id)
        at = {"key": key, "start": begin.start_time, "pk": begin.pk}
        pks = self._conn.execute(query, at).scalars().all()
        return any(
            those_that_meet(self._sql, self._search, set(some), abandoned_after=self._abandoned_after)
            for some in chunked(pks, LOT)
        )


def _past(at: _Place) -> ColumnElement[bool]:
    # Said twice, so that the index is entered at the position.
    tie = and_(trace.c.start_time == at.start_time, trace.c.id < at.pk)
    return and_(trace.c.start_time <= at.start_time, or_(trace.c.start_time < at.start_time, tie))


def _with_newer(
    conn: Connection, by: By, where: Sequence[ColumnElement[bool]], begin: _Place, keys: Sequence[str]
) -> Iterator[str]:
    """Those of the keys that a page before had: they have a trace at `begin` or before it in the list."""
    query = _at_or_before(by, where).limit(1)
    for key in keys:
        at = {"key": key, "start": begin.start_time, "pk": begin.pk}
        if conn.execute(query, at).first() is not None:
            yield key


def _at_or_before(by: By, where: Sequence[ColumnElement[bool]]) -> Select[int]:
    """The traces of a `key` at the place `start`, `pk` or before it in the list."""
    start, pk = bindparam("start", type_=BigInteger), bindparam("pk", type_=BigInteger)
    tie = and_(trace.c.start_time == start, trace.c.id >= pk)
    newer = and_(trace.c.start_time >= start, or_(trace.c.start_time > start, tie))
    return select(trace.c.id).where(*where, _columns[by] == bindparam("key"), newer)


def sums_of(conn: Connection, by: By, project_id: int, keys: Sequence[str]) -> dict[str, SharedRow]:
    """The totals of sessions or users of one project."""
    # One statement, made once, for each of them: putting many together takes longer than asking.
    done: dict[str, SharedRow] = {}
    for key in keys:
        row = conn.execute(_sum(by), {"project_id": project_id, "key": key, "summed": SUMMED}).first()
        if row is not None and row.traces:
            done[key] = _row(by, key, project_id, row)
    return done


def shared_by_key(
    conn: Connection, *, scope: Scope, key: str, by: By = "session", project_id: int | None = None
) -> SharedRow:
    """One session or user, in the named project or in the one of those in sight that heard of it last.

    Raises NotFound when there is none.
    """
    key = clean(key)
    where = [scope.condition(project.c.id)]
    if project_id is not None:
        where.append(project.c.id == project_id)
    of_it = (trace.c.project_id == project.c.id, _columns[by] == key)
    newest = select(func.max(trace.c.start_time)).where(*of_it).scalar_subquery()
    there = select(project.c.id, newest.label("newest")).where(*where).subquery()
    row = conn.execute(
        select(there.c.id).where(there.c.newest.is_not(None)).order_by(there.c.newest.desc(), there.c.id).limit(1)
    ).first()
    sums = sums_of(conn, by, row.id, [key]) if row is not None else {}
    if key not in sums:
        raise NotFound(f"There is no {by} {key[:60]!r}.", field=f"{by}_id")
    return sums[key]


def traces_of(
    conn: Connection,
    *,
    scope: Scope,
    project_id: int,
    key: str,
    by: By = "session",
    newest_first: bool = False,
    after: str | None = None,
    limit: int = 50,
    abandoned_after: int = 10,
) -> Page[TraceRow]:
    """One page of the traces of a session or user, as a conversation goes: the oldest first, unless told otherwise.

    Raises BadRequest for a cursor that is none.
    """
    order = f"{by}-" if newest_first else by
    where = [scope.condition(trace.c.project_id), trace.c.project_id == project_id, _columns[by] == clean(key)]
    if after is not None:
        at = read_cursor(after, order=order)
        if newest_first:
            where.append(_past(_Place(at.value, at.id)))
        else:
            tie = and_(trace.c.start_time == at.value, trace.c.id > at.id)
            where += [trace.c.start_time >= at.value, or_(trace.c.start_time > at.value, tie)]
    line = (trace.c.start_time.desc(), trace.c.id.desc()) if newest_first else (trace.c.start_time, trace.c.id)
    rows = conn.execute(traces_selected().where(*where).order_by(*line).limit(limit + 1)).all()
    items = with_added(conn, [trace_row(row, abandoned_after=abandoned_after) for row in rows[:limit]])
    last = rows[limit - 1] if len(rows) > limit else None
    return Page(items, write_cursor(Cursor(order, last.start_time, last.id)) if last is not None else None)


def traces_before(
    conn: Connection, *, project_id: int, key: str, first: TraceRow, by: By = "session", most: int = 10_000
) -> int:
    """How many traces of the session or user come before one of them, counted up to `most`."""
    earlier = or_(
        trace.c.start_time < first.start_time,
        and_(trace.c.start_time == first.start_time, trace.c.id < first.received),
    )
    found = (
        select(trace.c.id)
        .where(trace.c.project_id == project_id, _columns[by] == key, trace.c.start_time <= first.start_time, earlier)
        .limit(most)
    )
    return int(conn.execute(select(func.count()).select_from(found.subquery())).scalar_one())


@cache
def _sum(by: By) -> Select[*tuple[Any, ...]]:
    column, other = _columns[by], _columns["user" if by == "session" else "session"]
    of_it = (trace.c.project_id == bindparam("project_id"), column == bindparam("key"))
    newest = (
        select(
            trace.c.start_time, trace.c.end_time, trace.c.status, trace.c.span_count, trace.c.error_count,
            trace.c.llm_call_count, *(trace.c[name] for name in _TOKENS), _all_tokens,
            trace.c.cost, trace.c.partial_count, other.label("other"),
        )
        .where(*of_it)
        .order_by(trace.c.start_time.desc(), trace.c.id.desc())
        .limit(bindparam("summed", type_=Integer))
        .subquery()
        .c
    )  # fmt: skip
    oldest = select(trace.c.name, trace.c.input_preview).where(*of_it).order_by(trace.c.start_time, trace.c.id).limit(1)
    first = oldest.subquery()
    failed = case((newest.status == int(Status.error), 1), else_=0)
    return select(
        func.count().label("traces"),
        func.sum(failed).label("failed"),
        *(
            func.sum(newest[name]).label(name)
            for name in (
                "span_count",
                "error_count",
                "llm_call_count",
                *_TOKENS,
                "total_tokens",
                "cost",
                "partial_count",
            )
        ),
        func.min(newest.start_time).label("first"),
        func.max(newest.start_time).label("last"),
        func.max(func.coalesce(newest.end_time, newest.start_time)).label("until"),
        func.sum(newest.end_time - newest.start_time).label("working"),
        func.count(newest.other.distinct()).label("others"),
        func.min(newest.other).label("other"),
        select(first.c.name).scalar_subquery().label("name"),
        select(first.c.input_preview).scalar_subquery().label("title"),
    )


def _row(by: By, key: str, project_id: int, row: Row[Any]) -> SharedRow:
    return SharedRow(
        by=by,
        key=key,
        project_id=project_id,
        name=row.name,
        title=row.title,
        first=UnixNanos(row.first),
        last=UnixNanos(row.last),
        until=UnixNanos(int(row.until)),
        working=None if row.working is None else Nanos(int(row.working)),
        trace_count=row.traces,
        whole=row.traces < SUMMED,
        failed_count=int(row.failed),
        span_count=int(row.span_count),
        error_count=int(row.error_count),
        llm_call_count=int(row.llm_call_count),
        tokens=usage_of_row(_Numbers(row)),
        cost=None if row.cost is None else NanoUsd(int(row.cost)),
        partial_count=int(row.partial_count),
        other=row.other,
        other_count=row.others,
    )


class _Numbers:
    """A row's sums as integers: Postgres answers with decimals."""

    def __init__(self, row: Row[Any]) -> None:
        self._row = row

    def __getattr__(self, name: str) -> int | None:
        found = getattr(self._row, name)
        return None if found is None else int(found)
