"""What a search for traces and one for spans share: how long each may take, and what each looks with."""

from __future__ import annotations

import time
from collections.abc import Sequence

from tracer.search.access import Access
from tracer.search.conditions import Moment
from tracer.search.evaluate import Evaluator
from tracer.search.lookup import Index
from tracer.search.texts import Words
from tracer.search.tree import Node, Says, leaves
from tracer.store.sql import Sql

WORK_LIMIT_S = 0.05
"""Seconds after which a search answers what it has, unless told otherwise."""

OF_WAY = 3
"""How many times as long the index may take to say where a rare word is: without it, that is not found for long."""

UNTOLD = 0.1
"""The part of the time after which it can be told how long that will take."""


SAFE, LITTLE = 0.7, 0.15
"""Of the time that is left, what a part is to take; of all of it, what is too little for another one."""


class Pace:
    """Tells a search that began now when to stop, so that it ends within `seconds`."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._began = self._way_began = self._looked_at = time.perf_counter()
        self._deadline = self._began + seconds
        self._rate = 0.0
        """How much a second the last part looked at; 0 when it is not known."""

    def too_long(self, done: float) -> bool:
        """Whether finding a way would take too long, when this part of it is done; the sooner told the better.

        It begins when asked with 0: what came before says nothing of how long it takes.
        """
        now = time.perf_counter()
        if not done:
            self._way_began = now
        took, most = now - self._way_began, OF_WAY * self._seconds
        return now - self._began > most or (took > UNTOLD * self._seconds and took > done * most)

    def begin(self) -> None:
        """The way is found: the first part begins."""
        self._looked_at = time.perf_counter()

    def fitting(self, most: int) -> int:
        """How much the next part may look at to end in time, going by the last one: at most `most`, at least one."""
        if not self._rate:
            return most
        left = self._deadline - time.perf_counter()
        return max(1, min(most, int(SAFE * left * self._rate)))

    def ends(self, size: int = 0) -> bool:
        """Whether to stop after a part, which looked at so much.

        Without a size when another one that takes as long would end late; with it, when little time is left.
        """
        now = time.perf_counter()
        took, self._looked_at = now - self._looked_at, now
        self._rate = size / took if took else 0.0
        return now + (LITTLE * self._seconds if size else took) > self._deadline


def evaluator(sql: Sql, search: Node | None, moment: Moment) -> tuple[Evaluator, Index | None]:
    """What holds rows against a search, and the index of words where the search asks for one."""
    index = Index(sql) if any(isinstance(one, Says) for one in leaves(search)) else None
    return Evaluator(sql, moment, None if index is None else Words(sql, index)), index


def tools(
    sql: Sql, search: Node | None, moment: Moment, projects: Sequence[int], *, limit: int, pace: Pace
) -> tuple[Evaluator, Access]:
    """What holds rows against a search, and what knows the ways to those that can meet it."""
    holds, index = evaluator(sql, search, moment)
    return holds, Access(sql, moment, index, projects, enough=4 * limit, late=pace.too_long)
