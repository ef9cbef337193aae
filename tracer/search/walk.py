"""Walks traces in the order of a list, lot after lot; each lot reads a bounded number of rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from heapq import merge
from itertools import islice

from tracer.search.access import NEWEST, Few, Rows, Source
from tracer.store.sql import Sql
from tracer.units import UnixNanos

LOTS = (64, 256, 1024)
"""Traces of the first lots of a walk, the last size for all that follow."""

NEWEST_ONLY = 100_000
"""Orders other than time are over so many newest traces of the time asked for."""

VALUES = {
    "-start_time": "t.start_time",
    "start_time": "t.start_time",
    "-duration": "coalesce(t.end_time - t.start_time, 0)",
    "-cost": "coalesce(t.cost, -1)",
    "-tokens": "coalesce(t.total_tokens, coalesce(t.input_tokens, 0) + coalesce(t.output_tokens, 0))",
    "received": "t.id",
}
BY_TIME = ("-start_time", "start_time")


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A trace's place in a list: its value in the list's order (its start, say) and its row number."""

    value: int
    pk: int


@dataclass(frozen=True, slots=True)
class Range:
    """Which traces are walked: of these projects, started in [since, until), in this order, after a place."""

    projects: tuple[int, ...]
    order: str = "-start_time"
    after: Place | None = None
    since: UnixNanos | None = None
    until: UnixNanos | None = None

    @property
    def falling(self) -> bool:
        """True when the largest value comes first."""
        return self.order.startswith("-")

    @property
    def time(self) -> tuple[str, list[int]]:
        """The condition on `start_time`, with its parameters."""
        terms, parameters = ["1 = 1"], list[int]()
        for sign, instant in ((">=", self.since), ("<", self.until)):
            if instant is not None:
                terms.append(f"start_time {sign} ?")
                parameters.append(instant)
        return " AND ".join(terms), parameters


def lots(sql: Sql, range_: Range, sources: Sequence[Source] | None) -> Iterator[tuple[list[Place], bool]]:
    """Lots of the traces that the sources give, without one the traces of the range, in its order, each once.

    With each: whether it is known to be the last.
    """
    if range_.order in BY_TIME:
        streams = [
            _few(sql, range_, source.pks) if isinstance(source, Few) else _by_time(sql, range_, source, project_id)
            for source in (sources if sources is not None else [NEWEST])
            for project_id in (range_.projects if isinstance(source, Rows) else (0,))
        ]
        places = streams[0] if len(streams) == 1 else merge(*streams, reverse=range_.falling)
    elif sources is not None and all(isinstance(source, Few) for source in sources):
        places = _few(sql, range_, frozenset(pk for one in sources if isinstance(one, Few) for pk in one.pks))
    else:
        places = _received(sql, range_) if range_.order == "received" else _by_value(sql, range_)
    unique, number = _once(places), 0
    while lot := list(islice(unique, size := LOTS[min(number, len(LOTS) - 1)])):
        yield lot, len(lot) < size
        number += 1


def walks_in_range(range_: Range, sources: Sequence[Source] | None) -> bool:
    """Whether what `lots` gives is of the range's projects and time already."""
    if range_.order in BY_TIME:
        return sources is None or not any(isinstance(source, Few) for source in sources)
    return range_.order != "received" and (sources is None or any(isinstance(source, Rows) for source in sources))


def _once(places: Iterator[Place]) -> Iterator[Place]:
    last: Place | None = None
    for place in places:
        if place != last:
            yield place
        last = place


def _by_time(sql: Sql, range_: Range, source: Rows, project_id: int) -> Iterator[Place]:
    """A project's traces of a source, by their start."""
    time, instants = range_.time
    direction, past = ("DESC", "<") if range_.falling else ("ASC", ">")
    at, number = range_.after, 0
    while True:
        size = LOTS[min(number, len(LOTS) - 1)]
        after, place = (f"AND (start_time, {source.key}) {past} (?, ?)", [at.value, at.pk]) if at else ("", [])
        rows = sql.rows(
            f"SELECT start_time AS value, {source.key} AS id FROM {source.from_(sql)} "
            f"WHERE project_id = ? AND {source.where} AND {time} {after} "
            f"ORDER BY start_time {direction}, {source.key} {direction} LIMIT ?",
            [project_id, *source.parameters, *instants, *place, size],
        )
        found = [Place(row.value, row.id) for row in rows]
        yield from found
        if len(found) < size:
            return
        at, number = found[-1], number + 1


def _few(sql: Sql, range_: Range, pks: frozenset[int]) -> Iterator[Place]:
    """Traces by their row numbers, put in order."""
    rows = sql.rows_in(
        f"SELECT {VALUES[range_.order]} AS value, t.id FROM trace t WHERE t.id IN ({{keys}})", sorted(pks)
    )
    found = sorted((Place(row.value, row.id) for row in rows), reverse=range_.falling)
    at = range_.after
    yield from (one for one in found if at is None or (one < at if range_.falling else one > at))


def _received(sql: Sql, range_: Range) -> Iterator[Place]:
    """All traces in the order in which they came; those of other projects are left out later."""
    at, number = range_.after.pk if range_.after else 0, 0
    while True:
        size = LOTS[min(number, len(LOTS) - 1)]
        rows = sql.rows("SELECT id FROM trace WHERE id > ? ORDER BY id LIMIT ?", [at, size])
        yield from (Place(row.id, row.id) for row in rows)
        if len(rows) < size:
            return
        at, number = rows[-1].id, number + 1


def _by_value(sql: Sql, range_: Range) -> Iterator[Place]:
    """The newest traces of each project, by a value. Each lot sorts them anew, which NEWEST_ONLY bounds."""
    time, instants = range_.time
    value = VALUES[range_.order]
    newest = " UNION ALL ".join(
        [
            f"SELECT * FROM (SELECT id FROM {NEWEST.from_(sql)} WHERE project_id = ? AND {time} "
            f"ORDER BY start_time DESC, id DESC LIMIT {NEWEST_ONLY}) AS newest_{number}"
            for number, _ in enumerate(range_.projects)
        ]
    )
    asked = [value for project_id in range_.projects for value in (project_id, *instants)]
    at = range_.after
    while True:
        after, place = (f"WHERE ({value}, t.id) < (?, ?)", [at.value, at.pk]) if at else ("", [])
        rows = sql.rows(
            f"SELECT {value} AS value, t.id FROM trace t JOIN ({newest}) AS newest ON newest.id = t.id {after} "
            f"ORDER BY {value} DESC, t.id DESC LIMIT ?",
            [*asked, *place, LOTS[-1]],
        )
        found = [Place(row.value, row.id) for row in rows]
        yield from found
        if len(found) < LOTS[-1]:
            return
        at = found[-1]
