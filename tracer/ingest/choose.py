"""Which traces a deletion takes next: in the order of their starts, a bounded number at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from tracer.ingest.receipts import Receipt
from tracer.search.find import find_traces
from tracer.search.parse import read_search
from tracer.search.walk import Range
from tracer.store.engine import Store
from tracer.store.sql import Sql
from tracer.units import UnixNanos

TRACES_AT_ONCE = 500
SEARCH_S = 0.2
"""Of looking for traces in one read transaction."""


class Candidate(NamedTuple):
    """A trace that may be next."""

    pk: int
    spans: int
    start: int


FIRST = (-(2**63), 0)


def projects_of(store: Store, receipt: Receipt) -> list[int]:
    """The projects that a deletion goes through."""
    if receipt.project_id is not None:
        return [receipt.project_id]
    with store.reading() as connection:
        return [row.id for row in Sql(connection).rows("SELECT id FROM project ORDER BY id")]


def count_meant(store: Store, receipt: Receipt) -> int:
    """How many traces a deletion by time is about."""
    where, parameters = _meant(receipt)
    if receipt.project_id is not None:
        where, parameters = f"project_id = ? AND {where}", [receipt.project_id, *parameters]
    with store.reading() as connection:
        return int(Sql(connection).rows(f"SELECT count(*) FROM trace WHERE {where}", parameters)[0][0])


def in_order(
    store: Store, receipt: Receipt, project_id: int, *, abandoned_after: int = 10
) -> Iterator[list[Candidate]]:
    """Lists of one project's traces, oldest first, until none is left; with a search, of those that it finds.

    A trace whose start moves while others go is found in one more round. `abandoned_after` is in minutes.
    """
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
        while rows := _after(store, receipt, project_id, at):
            found = True
            yield rows
            at = (rows[-1].start, rows[-1].pk)
        if not found:
            return


def oldest_first(store: Store, receipt: Receipt) -> Iterator[list[Candidate]]:
    """The same over all the projects of a deletion: what comes next is the oldest of them all."""
    waiting = {project_id: in_order(store, receipt, project_id) for project_id in projects_of(store, receipt)}
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


def _meant(receipt: Receipt) -> tuple[str, list[int | str]]:
    where: list[str] = ["id <= ?"]
    parameters: list[int | str] = [receipt.newest_pk]
    if receipt.since is not None:
        where.append("start_time >= ?")
        parameters.append(receipt.since)
    if receipt.until is not None:
        where.append("start_time < ?")
        parameters.append(receipt.until)
    for column, text in (("user_id", receipt.user_id), ("session_id", receipt.session_id)):
        if text is not None:
            said = f"EXISTS (SELECT 1 FROM span WHERE trace_pk = trace.id AND span.{column} = ?)"
            where.append(f"(trace.{column} = ? OR {said})")
            parameters += [text, text]
    return " AND ".join(where), parameters


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
            where, parameters = _meant(receipt)
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


def _after(store: Store, receipt: Receipt, project_id: int, at: tuple[int, int]) -> list[Candidate]:
    where, parameters = _meant(receipt)
    with store.reading() as connection:
        rows = Sql(connection).rows(
            f"SELECT id, span_count, start_time FROM trace WHERE project_id = ? AND {where} "
            "AND (start_time, id) > (?, ?) ORDER BY start_time, id LIMIT ?",
            [project_id, *parameters, *at, TRACES_AT_ONCE],
        )
    return [Candidate(row.id, row.span_count, row.start_time) for row in rows]
