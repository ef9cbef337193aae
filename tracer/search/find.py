"""Finds traces in the order of a list, within a limit of time.

Rare values lead to their traces by an index; else the traces are walked in order. Either way they come in lots, and
each lot is held against the search: first what columns and the index tell, then what lies in bodies.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from tracer.search.conditions import Moment
from tracer.search.evaluate import asks_steps, cost, rough
from tracer.search.levels import for_traces
from tracer.search.pace import WORK_LIMIT_S, Pace, evaluator, tools
from tracer.search.tree import Node
from tracer.search.walk import Place, Range, lots, walks_in_range
from tracer.store.sql import Sql

STEPS_AT_ONCE = {0: 50_000, 1: 50_000, 2: 20_000, 3: 20_000, 4: 200}
"""Steps of the traces that are looked at together, by what the search costs; at least one trace."""


@dataclass(slots=True)
class Found:
    """The traces found, in order. `searched_to` is set when there may be more: where to go on."""

    places: list[Place] = field(default_factory=list)
    searched_to: Place | None = None


def find_traces(
    sql: Sql,
    search: Node | None,
    range_: Range,
    *,
    limit: int = 50,
    seconds: float = WORK_LIMIT_S,
    now: int | None = None,
    abandoned_after: int = 10,
) -> Found:
    """The traces of a range that meet a search; None finds all of them.

    Stops at `limit` traces, or when the time is over; then some traces have been looked at, so that going on always
    leads further. `now` is Unix nanoseconds, `abandoned_after` minutes.
    """
    asked = Moment(time.time_ns() if now is None else now, abandoned_after, sql.sqlite)
    return _Search(sql, search, range_, asked, limit, seconds).find()


def those_that_meet(sql: Sql, search: Node, pks: set[int], *, abandoned_after: int = 10) -> set[int]:
    """Which of some traces, by their row numbers, meet a search; the work grows with their number."""
    asked = Moment(time.time_ns(), abandoned_after, sql.sqlite)
    holds, _ = evaluator(sql, search, asked)
    return holds.traces(for_traces(search), pks)


class _Search:
    def __init__(
        self, sql: Sql, search: Node | None, range_: Range, moment: Moment, limit: int, seconds: float
    ) -> None:
        self._sql = sql
        self._node = None if search is None else for_traces(search)
        self._range = range_
        self._limit = limit
        self._of_steps = self._node is not None and asks_steps(self._node)
        self._in_range = False
        self._pace = Pace(seconds)
        self._evaluator, self._access = tools(sql, search, moment, range_.projects, limit=limit, pace=self._pace)

    def find(self) -> Found:
        out = Found()
        if not self._range.projects:
            return out
        sources = self._access.best(self._node)
        self._in_range = walks_in_range(self._range, sources)
        self._pace.begin()
        for lot, is_last in lots(self._sql, self._range, sources):
            for part, likely, steps in self._parts(lot):
                met = self._met(likely)
                for place in part:
                    if place.pk not in met:
                        continue
                    if len(out.places) == self._limit:
                        out.searched_to = out.places[-1]
                        return out
                    out.places.append(place)
                if self._pace.ends(steps) and not (is_last and part[-1] == lot[-1]):
                    out.searched_to = part[-1]
                    return out
        return out

    def _met(self, pks: set[int]) -> set[int]:
        """Which of some traces meet the search; those out of the range are left out."""
        met = pks if self._node is None else self._evaluator.traces(self._node, pks)
        return met if self._in_range else self._within(met)

    def _within(self, pks: set[int]) -> set[int]:
        time_, instants = self._range.time
        projects = self._range.projects
        # With the plus SQLite looks the numbers up, and does not go through the project's whole index instead.
        rows = self._sql.rows_in(
            f"SELECT id FROM trace WHERE id IN ({{keys}}) AND {time_} "
            f"AND +project_id IN ({', '.join('?' * len(projects))})",
            sorted(pks),
            after=[*instants, *projects],
        )
        return {row.id for row in rows}

    def _parts(self, lot: list[Place]) -> Iterator[tuple[Sequence[Place], set[int], int]]:
        """A lot in parts that are looked at together, in their order, and the traces among them that may be met.

        With each the number of its steps, when they are looked at.
        """
        weight = 0 if self._node is None else cost(self._node)
        if not self._of_steps:
            yield lot, {place.pk for place in lot}, 0
            return
        likely = {place.pk for place in lot}
        if self._node is not None and weight == 4:
            likely = self._evaluator.traces(rough(self._node), likely)
        counts = {
            row.id: row.span_count
            for row in self._sql.rows_in("SELECT id, span_count FROM trace WHERE id IN ({keys})", sorted(likely))
        }
        part: list[Place] = []
        steps, most = 0, self._pace.fitting(STEPS_AT_ONCE[weight])
        for place in lot:
            own = counts.get(place.pk, 0)
            if part and steps + own > most:
                yield part, likely.intersection(one.pk for one in part), steps
                part, steps, most = list[Place](), 0, self._pace.fitting(STEPS_AT_ONCE[weight])
            steps += own
            part.append(place)
        yield part, likely.intersection(one.pk for one in part), steps
