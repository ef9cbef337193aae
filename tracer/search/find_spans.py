"""Finds spans across traces in the order of time, within a limit of time.

Where few traces can hold what is looked for, their spans are looked at; else all spans are walked in order, lot by lot.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from tracer.search.access import COUNTED, NEWEST, Few, Source
from tracer.search.conditions import Moment
from tracer.search.evaluate import EVERY, cost, rough
from tracer.search.levels import for_steps
from tracer.search.pace import WORK_LIMIT_S, Pace, tools
from tracer.search.texts import Pair
from tracer.search.tree import Node, Step
from tracer.store.sql import Sql
from tracer.units import UnixNanos

LOTS = (128, 512, 1024)
"""Spans of the first lots of a walk, the last size for all that follow."""

FEW_STEPS = 20_000
"""Steps of few traces that are looked at without walking."""

BODIES_AT_ONCE = 200


@dataclass(frozen=True, slots=True, order=True)
class SpanPlace:
    """A span's place in the list: its start, its trace's row number, its id."""

    start_time: int
    trace_pk: int
    span_id: bytes

    @property
    def pair(self) -> Pair:
        """What names the span."""
        return self.trace_pk, self.span_id


@dataclass(frozen=True, slots=True)
class SpanRange:
    """Which spans are walked: of these projects, begun in [since, until), newest or oldest first, after a place."""

    projects: tuple[int, ...]
    newest_first: bool = True
    after: SpanPlace | None = None
    since: UnixNanos | None = None
    until: UnixNanos | None = None

    def holds(self, place: SpanPlace) -> bool:
        """Whether a place is in the time and after the place."""
        start, after = place.start_time, self.after
        in_time = (self.since is None or start >= self.since) and (self.until is None or start < self.until)
        return in_time and (after is None or (place < after if self.newest_first else place > after))


@dataclass(slots=True)
class FoundSpans:
    """The spans found, in order. `searched_to` is set when there may be more: where to go on."""

    places: list[SpanPlace] = field(default_factory=list)
    searched_to: SpanPlace | None = None


def find_spans(
    sql: Sql,
    search: Node | None,
    range_: SpanRange,
    *,
    limit: int = 50,
    seconds: float = WORK_LIMIT_S,
    now: int | None = None,
    abandoned_after: int = 10,
) -> FoundSpans:
    """The spans of a range that meet a search read with `spans=True`; as `find_traces` does it for traces."""
    if not range_.projects:
        return FoundSpans()
    asked = Moment(time.time_ns() if now is None else now, abandoned_after, sql.sqlite)
    return _Search(sql, search, range_, asked, limit, seconds).find()


class _Search:
    def __init__(
        self, sql: Sql, search: Node | None, range_: SpanRange, moment: Moment, limit: int, seconds: float
    ) -> None:
        self._sql = sql
        self._node = EVERY if search is None else for_steps(search)
        self._range = range_
        self._limit = limit
        self._pace = Pace(seconds)
        self._evaluator, self._access = tools(sql, search, moment, range_.projects, limit=limit, pace=self._pace)

    def find(self) -> FoundSpans:
        out = FoundSpans()
        for part, last, size in self._parts():
            met = self._evaluator.steps(self._node, {place.trace_pk for place in part}, {one.pair for one in part})
            for place in part:
                if place.pair not in met:
                    continue
                if len(out.places) == self._limit:
                    out.searched_to = out.places[-1]
                    return out
                out.places.append(place)
            if self._pace.ends(size):
                out.searched_to = last
                return out
        return out

    def _parts(self) -> Iterator[tuple[list[SpanPlace], SpanPlace, int]]:
        """Spans that may be met, in order, in parts that are looked at together.

        With each where it ends, and how many were walked, when a part is a lot.
        """
        weight = cost(self._node)
        for lot in self._lots():
            there = self._in_projects({place.trace_pk for place in lot})
            likely = {place.pair for place in lot if place.trace_pk in there}
            if weight == 4:
                likely = self._evaluator.steps(rough(self._node), there, likely)
            part: list[SpanPlace] = []
            for place in lot:
                if place.pair in likely:
                    part.append(place)
                if weight == 4 and len(part) == BODIES_AT_ONCE:
                    yield part, place, 0
                    part = []
            yield part, lot[-1], 0 if weight == 4 else len(lot)

    def _in_projects(self, pks: set[int]) -> set[int]:
        places = ", ".join("?" * len(self._range.projects))
        # With the plus SQLite looks the numbers up, as in `find`.
        rows = self._sql.rows_in(
            f"SELECT id FROM trace WHERE id IN ({{keys}}) AND +project_id IN ({places})",
            sorted(pks),
            after=self._range.projects,
        )
        return {row.id for row in rows}

    def _lots(self) -> Iterator[list[SpanPlace]]:
        few = self._few()
        if few is None:
            yield from self._walked()
            return
        rows = self._evaluator.places(few)
        places = sorted((SpanPlace(*row) for row in rows), reverse=self._range.newest_first)
        places = [one for one in places if self._range.holds(one)]
        for start in range(0, len(places), LOTS[-1]):
            yield places[start : start + LOTS[-1]]

    def _few(self) -> set[int] | None:
        """The traces that can hold what is looked for, when they are few and small; else None."""
        options: list[list[Source]] = [[NEWEST]]
        found = self._access.best(Step(self._node))
        if found is not None:
            options.insert(0, found)
        for sources in options:
            pks: set[int] = set()
            for source in sources:
                pks |= source.pks if isinstance(source, Few) else self._access.numbers(source, at_most=COUNTED)
                if len(pks) > COUNTED:
                    break
            else:
                rows = self._sql.rows_in("SELECT span_count FROM trace WHERE id IN ({keys})", sorted(pks))
                if sum(row.span_count for row in rows) <= FEW_STEPS:
                    return pks
        return None

    def _walked(self) -> Iterator[list[SpanPlace]]:
        range_ = self._range
        direction, past = ("DESC", "<") if range_.newest_first else ("ASC", ">")
        hint = "INDEXED BY span_newest" if self._sql.sqlite else ""
        terms, parameters = ["1 = 1"], list[object]()
        for sign, instant in ((">=", range_.since), ("<", range_.until)):
            if instant is not None:
                terms.append(f"start_time {sign} ?")
                parameters.append(instant)
        at, number = range_.after, 0
        while True:
            size = self._pace.fitting(LOTS[min(number, len(LOTS) - 1)])
            after = f"AND (start_time, trace_pk, span_id) {past} (?, ?, ?)" if at else ""
            rows = self._sql.rows(
                f"SELECT start_time, trace_pk, span_id FROM span {hint} WHERE {' AND '.join(terms)} {after} "
                f"ORDER BY start_time {direction}, trace_pk {direction}, span_id {direction} LIMIT ?",
                [*parameters, *((at.start_time, at.trace_pk, at.span_id) if at else ()), size],
            )
            lot = [SpanPlace(row.start_time, row.trace_pk, row.span_id) for row in rows]
            if lot:
                yield lot
            if len(lot) < size:
                return
            at, number = lot[-1], number + 1
