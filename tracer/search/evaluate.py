"""Which traces, or which steps, of some given ones meet a search: sets, made smaller from the cheapest part on.

What columns tell is asked in SQL; words are asked of the index; tags, metadata and scores are read; attributes and
phrases, which lie in bodies, come last.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any as AnyValue

from tracer.search.conditions import TRUE, Condition, Moment, joined, step_condition, trace_condition
from tracer.search.texts import Pair, Words, is_sure
from tracer.search.tree import All, Any, Child, Compares, Is, Node, Not, Says, Step
from tracer.search.values import any_tag, has_value, meets_score
from tracer.store.bodies import BodyReader
from tracer.store.models import PACKS_PER_TRACE, Status
from tracer.store.scores import score_sums
from tracer.store.spans import body_reader, place_of
from tracer.store.sql import Sql, chunked

AT_ONCE = 1_000
"""Traces or steps that one statement asks for."""

EVERY: Node = All(())
NONE: Node = Any(())


@dataclass(frozen=True, slots=True)
class Likely(Says):
    """Words as far as the index alone tells: all that may meet them."""


def cost(node: Node) -> int:
    """What a part is like: 0 columns, 1 the index, 2 rows beside it, 3 steps one by one, 4 bodies."""
    match node:
        case Says():
            return 1 if isinstance(node, Likely) or is_sure(node.term) else 4
        case Is() | Compares():
            return 4 if node.field == "attr" else 2 if node.field in ("tag", "metadata", "score") else 0
        case Child():
            return max(3, cost(node.of))
        case Step() | Not():
            return cost(node.of)
        case _:
            return max(map(cost, node.of), default=0)


def asks_steps(node: Node) -> bool:
    """Whether a tree of `for_traces` looks at the steps of a trace: then its work grows with their number."""
    match node:
        case Step() | Child() | Says():
            return True
        case Is() | Compares():
            return node.field == "ttft"
        case Not():
            return asks_steps(node.of)
        case _:
            return any(map(asks_steps, node.of))


def rough(node: Node, *, upper: bool = True) -> Node:
    """A search without what needs bodies, that everything meets which meets the whole (`upper`), or nothing else."""
    match node:
        case Says() | Is() | Compares():
            if cost(node) < 4:
                return node
            if isinstance(node, Says) and upper:
                return Likely(node.text, node.beginning, node.sides)
            return EVERY if upper else NONE
        case Not():
            return Not(rough(node.of, upper=not upper))
        case All():
            return All(tuple(rough(one, upper=upper) for one in node.of))
        case Any():
            return Any(tuple(rough(one, upper=upper) for one in node.of))
        case Step():
            return Step(rough(node.of, upper=upper))
        case Child():
            return Child(rough(node.of, upper=upper))


class Evaluator:
    """Answers as one read transaction sees it. `words` is None where there is no index to ask."""

    def __init__(self, sql: Sql, moment: Moment, words: Words | None) -> None:
        self._sql = sql
        self._moment = moment
        self._words = words

    def traces(self, node: Node, pks: set[int]) -> set[int]:
        """Those of the traces that meet a tree of `for_traces`."""
        if not pks:
            return set()
        condition = trace_condition(node, self._moment)
        if condition is not None:
            return self._traces_where(condition, pks)
        match node:
            case All():
                return self._all_traces(node.of, pks)
            case Any():
                met: set[int] = set()
                for one in sorted(node.of, key=cost):
                    met |= self.traces(one, pks - met)
                return met
            case Not():
                return pks - self.traces(node.of, pks)
            case Step(of=Is(field="attr") | Compares(field="attr") as leaf):
                return {pk for pk, _ in self._steps_with_attribute(leaf, pks, None, one_each=True)}
            case Step():
                return {pk for pk, _ in self.steps(node.of, pks)}
            case Likely():
                return self._index.likely([node.term], pks)
            case Says():
                return self._index.traces([node.term], pks)
            case Is() | Compares():
                return self._read_traces(node, pks)
            case Child():
                raise ValueError("a child is asked for within a step")

    @property
    def _span_of_key(self) -> str:
        """The step of a key `k`, looked up by the whole of it.

        Postgres would look through all of its trace for what else is asked, or through all steps there are.
        """
        if self._sql.sqlite:
            return "span"
        return "LATERAL (SELECT * FROM span WHERE trace_pk = k.column1 AND span_id = k.column2 OFFSET 0)"

    @property
    def _index(self) -> Words:
        if self._words is None:
            raise ValueError("there is no index")
        return self._words

    def _all_traces(self, nodes: Sequence[Node], pks: set[int]) -> set[int]:
        left = pks
        columns = [one for one in nodes if trace_condition(one, self._moment) is not None]
        if columns:
            left = self.traces(All(tuple(columns)), left)
        said = [one.term for one in nodes if isinstance(one, Says)]
        rest = [one for one in nodes if one not in columns and not isinstance(one, Says)]
        early = [one for one in rest if cost(one) < 4]
        if said and left:
            left = self._index.likely(said, left)
        for one in sorted(early, key=cost):
            left = self.traces(one, left)
        in_a_row = [one.term for one in nodes if isinstance(one, Says) and cost(one) == 4]
        if in_a_row and left:
            left = self._index.traces(in_a_row, left)
        for one in rest:
            if one not in early:
                left = self.traces(one, left)
        return left

    def _traces_where(self, condition: Condition, pks: set[int]) -> set[int]:
        return {
            row[0]
            for part in chunked(sorted(pks), AT_ONCE)
            for row in self._sql.rows_in(
                f"SELECT t.id FROM trace t WHERE t.id IN ({{keys}}) AND ({condition.sql})",
                part,
                after=condition.parameters,
            )
        }

    def _read_traces(self, leaf: Is | Compares, pks: set[int]) -> set[int]:
        """Traces by what is read of them: tags, metadata, scores."""
        if leaf.field == "score":
            ids = self._trace_ids(pks)
            sums = score_sums(self._sql, sorted({trace_id for _, trace_id in ids}))
            return {
                pk
                for key, found in sums.items()
                if (pk := ids.get(key)) is not None
                and any(one.name == leaf.key and meets_score(leaf, one.value) for one in found)
            }
        if leaf.field == "metadata":
            rows = self._sql.rows_in("SELECT id, metadata AS said FROM trace WHERE id IN ({keys})", sorted(pks))
            return {row.id for row in rows if _may_have(leaf.key, row.said) and has_value(leaf, json.loads(row.said))}
        met = {
            row.id
            for row in self._sql.rows_in("SELECT id, tags FROM trace WHERE id IN ({keys})", sorted(pks))
            if row.tags != "[]" and any_tag(leaf, json.loads(row.tags))
        }
        added = self._sql.rows_in(
            "SELECT t.id, a.tags FROM trace t JOIN annotation a ON a.trace_id = t.trace_id "
            "AND a.project_id = t.project_id WHERE t.id IN ({keys}) AND a.tags IS NOT NULL",
            sorted(pks - met),
        )
        return met | {row.id for row in added if any_tag(leaf, json.loads(row.tags))}

    def _trace_ids(self, pks: Iterable[int]) -> dict[tuple[int, bytes], int]:
        rows = self._sql.rows_in("SELECT id, project_id, trace_id FROM trace WHERE id IN ({keys})", sorted(pks))
        return {(row.project_id, row.trace_id): row.id for row in rows}

    def steps(self, node: Node, pks: set[int], among: set[Pair] | None = None) -> set[Pair]:
        """The steps of the traces that meet a tree of `for_steps`; with `among`, of these steps alone."""
        if not pks or (among is not None and not among):
            return set()
        condition = step_condition(node, self._moment)
        if condition is not None:
            return {(row.trace_pk, row.span_id) for row in self._steps_where("", condition, pks, among)}
        match node:
            case All():
                return self._all_steps(node.of, pks, among)
            case Any():
                met: set[Pair] = set()
                for one in sorted(node.of, key=cost):
                    met |= self.steps(one, pks, None if among is None else among - met)
                return met
            case Not():
                every = self.steps(EVERY, pks) if among is None else among
                return every - self.steps(node.of, pks, every)
            case Child():
                return self._parents(node.of, pks, among)
            case Says():
                found = self._index.steps(node.term, pks, exact=not isinstance(node, Likely))
                return found if among is None else found & among
            case Is() | Compares():
                return self._read_steps(node, pks, among)
            case Step():
                raise ValueError("a step is asked for within a step")

    def places(self, pks: set[int]) -> Iterator[tuple[int, int, bytes]]:
        """Every step of the traces, as (start, trace's row number, span id)."""
        for row in self._steps_where(", s.start_time", TRUE, pks, None):
            yield row.start_time, row.trace_pk, row.span_id

    def _all_steps(self, nodes: Sequence[Node], pks: set[int], among: set[Pair] | None) -> set[Pair]:
        columns = tuple(one for one in nodes if step_condition(one, self._moment) is not None)
        others = sorted((one for one in nodes if one not in columns), key=cost)
        left = among
        child = others[0] if columns and others and among is None else None
        if isinstance(child, Child) and step_condition(child.of, self._moment) is not None:
            # What the child is asks one look through the traces; of few parents the columns are asked by their keys.
            del others[0]
            parents = self._parent_keys(child.of, pks)
            few = len(parents) <= AT_ONCE
            left = self.steps(All(columns), pks, parents if few else None)
            left = left if few else left & parents
        elif columns:
            left = self.steps(All(columns), pks, among)
        for one in others:
            left = self.steps(one, pks if left is None else {pk for pk, _ in left}, left)
        return self.steps(EVERY, pks) if left is None else left

    def _steps_where(
        self, columns: str, condition: Condition, pks: set[int], among: set[Pair] | None
    ) -> Iterator[AnyValue]:
        """Rows of steps that meet a condition: their keys and the named columns."""
        wanted = f"s.trace_pk, s.span_id{columns}"
        if among is None:
            for part in chunked(sorted(pks), AT_ONCE):
                yield from self._sql.rows_in(
                    f"SELECT {wanted} FROM trace t CROSS JOIN span s WHERE t.id IN ({{keys}}) AND s.trace_pk = t.id "
                    f"AND ({condition.sql})",
                    part,
                    after=condition.parameters,
                )
            return
        for some in chunked(sorted(among), AT_ONCE):
            places = ", ".join(["(?, ?)"] * len(some))
            yield from self._sql.rows(
                f"SELECT {wanted} FROM (VALUES {places}) AS k CROSS JOIN {self._span_of_key} AS s CROSS JOIN trace t "
                "WHERE s.trace_pk = k.column1 AND s.span_id = k.column2 AND t.id = s.trace_pk "
                f"AND ({condition.sql})",
                [*(value for pair in some for value in pair), *condition.parameters],
            )

    def _parents(self, node: Node, pks: set[int], among: set[Pair] | None) -> set[Pair]:
        """The steps that have a child which meets `node`."""
        parents = self._parent_keys(node, pks)
        return self.steps(EVERY, pks, parents) if among is None else parents & among

    def _parent_keys(self, node: Node, pks: set[int]) -> set[Pair]:
        """Whom the steps which meet `node` name as their parents, stored or not."""
        condition, children = step_condition(node, self._moment), None
        if condition is None:
            condition, children = TRUE, self.steps(node, pks)
        with_parent = joined("AND", (condition, Condition("s.parent_id IS NOT NULL")))
        rows = self._steps_where(", s.parent_id", with_parent, pks, children)
        return {(row.trace_pk, row.parent_id) for row in rows}

    def _read_steps(self, leaf: Is | Compares, pks: set[int], among: set[Pair] | None) -> set[Pair]:
        """Steps by what is read of them: tags, metadata, scores, attributes."""
        if leaf.field == "score":
            return self._scored_steps(leaf, pks, among)
        if leaf.field == "attr":
            return self._steps_with_attribute(leaf, pks, among)
        column = "tags" if leaf.field == "tag" else "metadata"
        rows = self._steps_where(f", s.{column} AS said", Condition(f"s.{column} IS NOT NULL"), pks, among)
        if leaf.field == "tag":
            return {(row.trace_pk, row.span_id) for row in rows if any_tag(leaf, json.loads(row.said))}
        return {
            (row.trace_pk, row.span_id)
            for row in rows
            if _may_have(leaf.key, row.said) and has_value(leaf, json.loads(row.said))
        }

    def _scored_steps(self, leaf: Is | Compares, pks: set[int], among: set[Pair] | None) -> set[Pair]:
        ids = self._trace_ids(pks)
        rows = self._sql.rows_in(
            "SELECT project_id, trace_id, span_id, number, words, boolean FROM score WHERE span_id IS NOT NULL "
            "AND name = ? AND trace_id IN ({keys})",
            sorted({trace_id for _, trace_id in ids}),
            before=[leaf.key],
        )
        found = {
            (pk, row.span_id)
            for row in rows
            if (pk := ids.get((row.project_id, row.trace_id))) is not None
            and meets_score(
                leaf, row.words if row.words is not None else bool(row.number) if row.boolean else float(row.number)
            )
        }
        return self.steps(EVERY, pks, found) if among is None else found & among

    def _steps_with_attribute(
        self, leaf: Is | Compares, pks: set[int], among: set[Pair] | None, *, one_each: bool = False
    ) -> set[Pair]:
        """Steps by what lies in their bodies; with `one_each` one of a trace is enough."""
        met: set[Pair] = set()
        done: set[int] = set()
        readers: dict[int, BodyReader] = {}
        key = leaf.key.partition(".")[0].encode()
        columns = ", s.pack, s.body_offset, s.body_length, s.status, s.seq"
        for row in self._steps_where(columns, TRUE, pks, among):
            if row.trace_pk in done:
                continue
            if row.trace_pk not in readers:
                readers.clear()
                readers[row.trace_pk] = body_reader(row.trace_pk, self._pack)
            reader, place, running = readers[row.trace_pk], place_of(row), row.status == Status.running
            if not running and not reader.may_say(place, key):
                continue
            body = reader.read(place)
            own = {**body.attributes, "stepscope.seq": row.seq or 0} if running else body.attributes
            if has_value(leaf, own) or has_value(leaf, body.resource):
                met.add((row.trace_pk, row.span_id))
                if one_each:
                    done.add(row.trace_pk)
        return met

    def _pack(self, number: int) -> bytes:
        rows = self._sql.rows("SELECT data FROM pack WHERE id = ?", [number])
        if not rows:
            raise ValueError(f"pack {number % PACKS_PER_TRACE} of trace {number // PACKS_PER_TRACE} is not there")
        return rows[0].data


def _may_have(key: str, said: str) -> bool:
    """False when JSON in text surely has no such key: its first letters and digits are not even in it."""
    first = key.partition(".")[0]
    return not (first.isascii() and first.isalnum()) or first in said
