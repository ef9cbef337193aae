"""Ways to the traces that a search may find: indexes for what is rare, so that not every trace is looked at.

A *source* gives traces among which every one is that a part of the search can meet; what else is asked is held against
them afterwards. Most sources give them in the order of time, as the list wants them; sets hold few.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any as AnyValue

from tracer.search.conditions import Moment
from tracer.search.lookup import Index
from tracer.search.tree import All, Any, Compares, Is, Node, Says, Step
from tracer.store.sql import Sql

RARE = 4_000
"""Documents or traces up to which they are all looked up at once."""

COUNTED = 2_000
"""Up to so many traces of a source are counted, to choose between sources."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Traces by an index: of `table`, under a condition beside the project's, in the order of time."""

    where: str
    parameters: tuple[AnyValue, ...] = ()
    index: str | None = None
    """The index that SQLite is told to use."""
    table: str = "trace"
    key: str = "id"

    def from_(self, sql: Sql) -> str:
        """The table as a statement names it."""
        return f"{self.table} INDEXED BY {self.index}" if sql.sqlite and self.index else self.table


@dataclass(frozen=True, slots=True)
class Few:
    """Some traces by their row numbers."""

    pks: frozenset[int]


Source = Rows | Few
NEWEST = Rows("1 = 1", index="trace_project_newest")
RUNNING = Rows("running_count > 0", index="trace_running")
FAILED = Rows("error_count > 0", index="trace_failed")

MANY = 20_000
"""Traces of a length up to which those of a length are put in order by the database."""

_LABELLED = ("tag", "environment", "release")
_INDEXED = {
    "user": ("user_id", "trace_user"),
    "session": ("session_id", "trace_session"),
}


class Access:
    """Finds the sources of a search in these projects."""

    def __init__(
        self,
        sql: Sql,
        moment: Moment,
        index: Index | None,
        projects: Sequence[int],
        *,
        enough: int,
        late: Callable[[float], bool],
    ) -> None:
        self._sql = sql
        self._moment = moment
        self._index = index
        self._projects = projects
        self._enough = enough
        self._late = late

    def best(self, node: Node | None) -> list[Source] | None:
        """Sources that together give everything that a tree of `for_traces` may find; None: look at every trace."""
        found = None if node is None else self._of(node)
        return None if found is None else found[1]

    def numbers(self, source: Rows, *, at_most: int) -> set[int]:
        """The row numbers of a source's traces, at most one more than asked for."""
        found: set[int] = set()
        for project_id in self._projects:
            rows = self._sql.rows(
                f"SELECT {source.key} AS id FROM {source.from_(self._sql)} WHERE project_id = ? "
                f"AND {source.where} LIMIT ?",
                [project_id, *source.parameters, at_most + 1 - len(found)],
            )
            found.update(row.id for row in rows)
            if len(found) > at_most:
                break
        return found

    def _of(self, node: Node) -> tuple[int, list[Source]] | None:
        """The sources of a part and about how many traces they give, as far as that was counted."""
        match node:
            case All():
                options = [one for part in node.of if (one := self._of(part)) is not None]
                return min(options, key=lambda one: one[0], default=None)
            case Any():
                every = [self._of(part) for part in node.of]
                known = [one for one in every if one is not None]
                if len(known) < len(every) or not known:
                    return None
                return sum(count for count, _ in known), [source for _, sources in known for source in sources]
            case Step():
                return self._of_step(node.of)
            case Says():
                return self._said(node)
            case Is() | Compares():
                sources = self._of_trace(node)
                return None if sources is None else (self._count(sources), sources)
            case _:
                return None

    def _of_step(self, node: Node) -> tuple[int, list[Source]] | None:
        """What is asked of a step tells of its trace only where the trace's columns hold it."""
        match node:
            case All():
                options = [one for part in node.of if (one := self._of_step(part)) is not None]
                return min(options, key=lambda one: one[0], default=None)
            case Says():
                return self._said(node)
            case Any():
                every = [self._of_step(part) for part in node.of]
                known = [one for one in every if one is not None]
                if len(known) < len(every) or not known:
                    return None
                return sum(count for count, _ in known), [source for _, sources in known for source in sources]
            case Is(field="model" | "service") if all(one.exact is not None for one in node.any):
                # What runs has no label yet.
                labels = [_label(node.field, str(one.exact)) for one in node.any]
                return self._count([*labels, RUNNING]), [*labels, RUNNING]
            case Is(field="status" | "has" | "is"):
                by = {"error": FAILED, "running": RUNNING, "abandoned": RUNNING}
                words = {one.exact for one in node.any}
                if not words <= by.keys():
                    return None
                sources: list[Source] = [by[word] for word in sorted(map(str, words))]
                return self._count(sources), sources
            case _:
                return None

    def _of_trace(self, leaf: Is | Compares) -> list[Source] | None:
        if isinstance(leaf, Compares):
            if leaf.field == "latency":
                return self._long(leaf)
            failed = leaf.field == "errors" and (leaf.amount, leaf.operator) not in ((0, "="), (0, ">="))
            return [FAILED] if failed and leaf.operator in (">", ">=", "=") else None
        words = {one.exact for one in leaf.any}
        if None in words:
            return None
        if leaf.field in _INDEXED:
            column, index = _INDEXED[leaf.field]
            return [Rows(f"{column} = ?", (word,), index) for word in sorted(map(str, words))]
        if leaf.field in _LABELLED:
            return [_label(leaf.field, word) for word in sorted(map(str, words))]
        if leaf.field == "name":
            return self._named(sorted(map(str, words)))
        if leaf.field in ("status", "is", "has"):
            by = {"error": FAILED, "running": RUNNING, "abandoned": RUNNING}
            if words <= by.keys():
                return [by[word] for word in sorted(map(str, words))]
        return None

    def _long(self, leaf: Compares) -> list[Source] | None:
        """Traces of such a length, when they are not too many: they are no list in the order of time."""
        source = Rows(f"duration {leaf.operator} ?", (leaf.amount,), "trace_duration")
        found = self._count([source, RUNNING], upto=MANY)
        return None if found >= MANY else [source, RUNNING]

    def _named(self, names: list[str]) -> list[Source] | None:
        sources: list[Source] = [Rows("name = ?", (name,), "trace_project_named") for name in names]
        for project_id in self._projects:
            rows = self._sql.rows(
                "SELECT t.id FROM annotation a JOIN trace t ON t.trace_id = a.trace_id AND t.project_id = a.project_id "
                f"WHERE a.project_id = ? AND a.name IS NOT NULL AND a.name IN ({', '.join('?' * len(names))}) LIMIT ?",
                [project_id, *names, RARE + 1],
            )
            if len(rows) > RARE:
                return None
            if rows:
                sources.append(Few(frozenset(row.id for row in rows)))
        return sources

    def _said(self, node: Says) -> tuple[int, list[Source]] | None:
        """A rare word's traces; None when there are too many."""
        if self._index is None:
            return None
        found = self._index.all_traces(node.term, enough=self._enough, at_most=RARE, late=self._late)
        return None if found is None else (len(found), [Few(frozenset(found))])

    def _count(self, sources: list[Source], upto: int = COUNTED) -> int:
        total = 0
        for source in sources:
            if isinstance(source, Few):
                total += len(source.pks)
                continue
            for project_id in self._projects:
                total += self._sql.rows(
                    f"SELECT count(*) FROM (SELECT 1 FROM {source.from_(self._sql)} WHERE project_id = ? "
                    f"AND {source.where} LIMIT ?) AS counted",
                    [project_id, *source.parameters, upto],
                )[0][0]
                if total >= upto:
                    return total
        return total


def _label(field: str, value: str) -> Rows:
    return Rows("field = ? AND value = ?", (field, value), table="trace_label", key="trace_pk")
