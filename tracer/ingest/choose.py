"""Which traces a deletion takes next: in the order of their starts, a bounded number at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import NamedTuple

from tracer.ingest.keeping import keeping_in, with_room
from tracer.ingest.receipts import Receipt
from tracer.search.find import find_traces
from tracer.search.parse import read_search
from tracer.search.walk import Range
from tracer.store.engine import Store
from tracer.store.sql import Sql
from tracer.units import LAST_INSTANT, UnixNanos

TRACES_AT_ONCE = 500
SEARCH_S = 0.2
"""Of looking for traces in one read transaction."""


class Candidate(NamedTuple):
    """A trace that may be next."""

    pk: int
    spans: int
    start: int


FIRST = (-(2**63), 0)
Spared = Sequence[str]
"""Tags whose traces a deletion passes over."""

NOTHING_SPARED: Mapping[int, Spared] = MappingProxyType({})
TAGGED = (
    "EXISTS (SELECT 1 FROM trace_label WHERE trace_label.project_id = trace.project_id AND trace_label.field = 'tag' "
    "AND trace_label.value IN ({values}) AND trace_label.start_time = trace.start_time "
    "AND trace_label.trace_pk = trace.id)"
)
"""Whether a trace has one of so many tags, as sent or as people added it."""


@dataclass(frozen=True, slots=True)
class Meant:
    """Which traces are meant, in any project. Times are Unix nanoseconds; None and () leave a thing open."""

    newest_pk: int = LAST_INSTANT
    since: int | None = None
    until: int | None = None
    user_id: str | None = None
    session_id: str | None = None
    tag: str | None = None
    spared: Spared = ()

    def condition(self) -> tuple[str, list[int | str]]:
        """The condition on a row of the trace table, and its parameters."""
        where: list[str] = ["trace.id <= ?"]
        parameters: list[int | str] = [self.newest_pk]
        for column, comparison, value in (("start_time", ">=", self.since), ("start_time", "<", self.until)):
            if value is not None:
                where.append(f"trace.{column} {comparison} ?")
                parameters.append(value)
        for column, text in (("user_id", self.user_id), ("session_id", self.session_id)):
            if text is not None:
                said = f"EXISTS (SELECT 1 FROM span WHERE trace_pk = trace.id AND span.{column} = ?)"
                where.append(f"(trace.{column} = ? OR {said})")
                parameters += [text, text]
        if self.tag is not None:
            where.append(TAGGED.format(values="?"))
            parameters.append(self.tag)
        if self.spared:
            where.append(f"NOT {TAGGED.format(values=', '.join('?' * len(self.spared)))}")
            parameters += self.spared
        return " AND ".join(where), parameters


def meant_by(receipt: Receipt, spared: Spared = ()) -> Meant:
    """The traces that a deletion is about, but for its search, and those that have one of the tags `spared`."""
    one = receipt
    return Meant(one.newest_pk, one.since, one.until, one.user_id, one.session_id, one.tag, spared)


def as_ruled(sql: Sql, receipt: Receipt, now: int) -> tuple[Receipt, Spared] | None:
    """A deletion by a project's rule as the rule has it now, and the tags that spare a trace; None where it is gone.

    By size those that are kept for ever are spared, until nothing else is left.
    """
    assert receipt.project_id is not None
    keeping = keeping_in(sql, receipt.project_id)
    if receipt.max_size is not None:
        if keeping.max_size is None:
            return None
        return replace(receipt, max_size=max(receipt.max_size, with_room(keeping.max_size))), keeping.kept_tags
    rule = keeping.rule(receipt.tag, now)
    if rule is None:
        return None
    until, spared = rule
    return replace(receipt, until=until if receipt.until is None else min(until, receipt.until)), spared


def projects_of(store: Store, receipt: Receipt) -> list[int]:
    """The projects that a deletion goes through."""
    if receipt.project_id is not None:
        return [receipt.project_id]
    with store.reading() as connection:
        return [row.id for row in Sql(connection).rows("SELECT id FROM project ORDER BY id")]


def count_meant(store: Store, receipt: Receipt, spared: Spared = ()) -> int:
    """How many traces a deletion by time is about."""
    where, parameters = meant_by(receipt, spared).condition()
    if receipt.project_id is not None:
        where, parameters = f"project_id = ? AND {where}", [receipt.project_id, *parameters]
    with store.reading() as connection:
        return int(Sql(connection).rows(f"SELECT count(*) FROM trace WHERE {where}", parameters)[0][0])


def in_order(
    store: Store, receipt: Receipt, project_id: int, *, abandoned_after: int = 10, spared: Spared = ()
) -> Iterator[list[Candidate]]:
    """Lists of one project's traces, oldest first, until none is left; with a search, of those that it finds.

    A trace whose start moves while others go is found in one more round, or by a rule the next time. `abandoned_after`
    is in minutes; a trace that has one of the tags `spared` is passed over.
    """
    meant = meant_by(receipt, spared)
    while True:
        if receipt.q is not None:
            more = False
            for rows in _searched(store, receipt, receipt.q, project_id, abandoned_after):
                more = True
                yield rows
            if more:
                continue
            return
        at, found = FIRST, False
        while rows := _after(store, meant, project_id, at):
            found = True
            yield rows
            at = (rows[-1].start, rows[-1].pk)
        if not found or receipt.by_rule:
            return


def any_meant(store: Store, project_id: int, until: int, *, tag: str | None, spared: Spared) -> bool:
    """Whether a project has any trace that started before `until`, has the tag, and none of those that spare it."""
    return bool(_after(store, Meant(until=until, tag=tag, spared=spared), project_id, FIRST, limit=1))


def count_some(store: Store, project_id: int, until: int, *, tag: str | None, spared: Spared, most: int) -> int:
    """How many such traces a project has, counted up to `most`."""
    where, parameters = Meant(until=until, tag=tag, spared=spared).condition()
    statement = f"SELECT count(*) FROM (SELECT 1 FROM trace WHERE project_id = ? AND {where} LIMIT ?) AS meant"
    with store.reading() as connection:
        return int(Sql(connection).rows(statement, [project_id, *parameters, most])[0][0])


def oldest_first(
    store: Store, receipt: Receipt, spared: Mapping[int, Spared] = NOTHING_SPARED
) -> Iterator[list[Candidate]]:
    """The same over all the projects of a deletion: what comes next is the oldest of them all.

    `spared` has the tags whose traces are passed over, by project.
    """
    waiting = {
        project_id: in_order(store, receipt, project_id, spared=spared.get(project_id, ()))
        for project_id in projects_of(store, receipt)
    }
    heads: dict[int, list[Candidate]] = {}
    while waiting:
        for project_id in [one for one in waiting if not heads.get(one)]:
            found = next(waiting[project_id], None)
            if found is None:
                del waiting[project_id]
            else:
                heads[project_id] = found
        ready = sorted((rows[0].start, project_id) for project_id, rows in heads.items() if rows)
        if not ready:
            return
        rows = heads[ready[0][1]]
        until = ready[1][0] if len(ready) > 1 else rows[-1].start
        part = [row for row in rows if row.start <= until]
        heads[ready[0][1]] = rows[len(part) :]
        yield part


def still_meant(sql: Sql, receipt: Receipt, pks: Sequence[int], spared: Spared) -> list[int]:
    """Those of the traces, given by row number, that a deletion is about now: tags may have changed since."""
    where, parameters = meant_by(receipt, spared).condition()
    rows = sql.rows_in(f"SELECT id FROM trace WHERE {where} AND id IN ({{keys}})", pks, before=parameters)
    return [row.id for row in rows]


def _searched(
    store: Store, receipt: Receipt, q: str, project_id: int, abandoned_after: int
) -> Iterator[list[Candidate]]:
    """Lists of the traces that a search finds, oldest first; each search is bounded by SEARCH_S."""
    search, at = read_search(q), None
    since = None if receipt.since is None else UnixNanos(receipt.since)
    until = None if receipt.until is None else UnixNanos(receipt.until)
    while True:
        range_ = Range((project_id,), "start_time", at, since, until)
        with store.reading() as connection:
            sql = Sql(connection)
            found = find_traces(
                sql, search, range_, limit=TRACES_AT_ONCE, seconds=SEARCH_S, abandoned_after=abandoned_after
            )
            starts = {place.pk: place.value for place in found.places}
            where, parameters = meant_by(receipt).condition()
            rows = sql.rows_in(
                f"SELECT id, span_count FROM trace WHERE {where} AND id IN ({{keys}})",
                sorted(starts),
                before=parameters,
            )
            spans = {row.id: row.span_count for row in rows}
        if spans:
            yield [Candidate(pk, spans[pk], start) for pk, start in starts.items() if pk in spans]
        if found.searched_to is None:
            return
        at = found.searched_to


def _after(
    store: Store, meant: Meant, project_id: int, at: tuple[int, int], *, limit: int = TRACES_AT_ONCE
) -> list[Candidate]:
    where, parameters = meant.condition()
    columns = "trace.id, trace.span_count, trace.start_time"
    if meant.tag is None:
        given: list[int | str] = [project_id]
        statement = (
            f"SELECT {columns} FROM trace WHERE project_id = ? AND {where} "
            "AND (start_time, id) > (?, ?) ORDER BY start_time, id LIMIT ?"
        )
    else:
        # Those that have the tag are walked, not all.
        given = [project_id, meant.tag, LAST_INSTANT if meant.until is None else meant.until]
        statement = (
            f"SELECT {columns} FROM trace_label AS label JOIN trace ON trace.id = label.trace_pk WHERE "
            f"label.project_id = ? AND label.field = 'tag' AND label.value = ? AND label.start_time < ? AND {where} "
            "AND (label.start_time, label.trace_pk) > (?, ?) ORDER BY label.start_time, label.trace_pk LIMIT ?"
        )
    with store.reading() as connection:
        rows = Sql(connection).rows(statement, [*given, *parameters, *at, limit])
    return [Candidate(row.id, row.span_count, row.start_time) for row in rows]
