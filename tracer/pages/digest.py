"""A trace for a model to read, within a budget of tokens: what failed, the tree, and what its steps said.

What matters least is cut first, and what was cut is said: texts are shortened to one common length (errors and model
calls have more of it), then steps are a line only, then lines of the tree are counted instead of shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from tracer.errors import BadRequest, NotFound
from tracer.pages.outgoing import MOST_STEPS, as_markdown, fenced
from tracer.pages.passages import Passage, passages
from tracer.pages.words import KINDS, name_of, plural, token_total, trace_cost, verdict
from tracer.queries.outline import CHILD_ERROR, ERROR, KIND_WORDS, STATUSES, Outline, outline
from tracer.queries.rows import TraceRow
from tracer.queries.steps import steps_of
from tracer.units import format_cost, format_count, format_duration, rfc3339

BYTES_PER_TOKEN = 3
"""Fewer than tokenizers make of prose, about what they make of JSON and code: a budget is kept, not used up."""

LEAST_BUDGET = 200
TREE_SHARE = 0.35
MOST_READ = 300
"""Steps whose texts are read for one digest."""

LEAST_TEXT = 160
"""Bytes that a text gets at least, or its step is a line only."""

SHOWN_CAUSES, NEAR = 5, 3
"""So many failed steps have their place in the tree for sure, each with so many steps above it."""

NAME_LENGTH = 80
_RESERVE = 400
_WEIGHT = (4, 3, 2, 1, 1)
_SPEAKING = ("llm", "tool", "retriever", "reranker", "guardrail", "evaluator", "embedding")


def digest(conn: Connection, trace: TraceRow, *, budget: int | None = None, span_id: str | None = None) -> str:
    """A trace, or a step of it with all below, as Markdown of at most `budget` tokens; whole without a budget.

    Raises NotFound for a step that the trace does not have, BadRequest for a budget that holds nothing.
    """
    rows = outline(conn, trace=trace)
    top = 0
    if span_id is not None:
        found = [row for row, id in enumerate(rows.ids) if id.hex() == span_id.lower()]
        if not found:
            raise NotFound(f"There is no step {span_id[:40]!r} in this trace.", field="step")
        top = found[0]
    end = len(rows) if span_id is None else rows.end[top]
    if budget is None:
        wanted = range(top, min(end, top + MOST_STEPS))
        steps = steps_of(conn, trace=trace, span_ids=[rows.ids[row] for row in wanted])
        levels = {rows.ids[row].hex(): rows.depth[row] - rows.depth[top] for row in wanted}
        return "".join(as_markdown(trace, ((levels[step.row.span_id], step) for step in steps), end - wanted.stop))
    if budget < LEAST_BUDGET:
        raise BadRequest(f"A budget has at least {LEAST_BUDGET} tokens.", field="budget")
    return _Digest(conn, trace, rows, range(top, end), budget).text()


@dataclass(slots=True)
class _Told:
    """One step's texts, with how much each weighs."""

    row: int
    weight: int
    texts: list[Passage]

    def least(self) -> int:
        return sum(min(text.size, LEAST_TEXT * self.weight) + _FRAME for text in self.texts) + _HEADING


_HEADING, _FRAME = 90, 40
"""Bytes of a step's heading and of a text's title and fence."""


class _Digest:
    def __init__(self, conn: Connection, trace: TraceRow, rows: Outline, wanted: range, budget: int) -> None:
        self._conn = conn
        self._trace = trace
        self._rows = rows
        self._wanted = wanted
        self._budget = budget
        self._bytes = budget * BYTES_PER_TOKEN
        self._causes = [row for row in wanted if rows.status[row] == ERROR and not rows.flags[row] & CHILD_ERROR]
        if trace.failed_in is not None:
            # The one that the trace's state names comes first.
            self._causes.sort(key=lambda row: rows.name[row] != trace.failed_in)

    def text(self) -> str:
        """The digest."""
        head = self._head()
        tree, hidden = self._tree(int((self._bytes - len(head.encode())) * TREE_SHARE))
        left = self._bytes - len(head.encode()) - len(tree.encode()) - _RESERVE
        told, only_lines = self._chosen(left)
        shown, shortened = self._shown(told, left)
        note = self._note(hidden, only_lines, shortened)
        parts = [head, tree, *shown, note]
        while sum(len(part.encode()) for part in parts) > self._bytes and len(parts) > 3:
            del parts[-2]
        return "".join(parts).encode()[: self._bytes].decode("utf-8", "ignore")

    def _head(self) -> str:
        trace, rows = self._trace, self._rows
        state = verdict(trace)
        facts = [f"{state.words} {state.place}" if state.place else state.words, rfc3339(trace.start_time)]
        if trace.duration is not None:
            facts.append(format_duration(trace.duration))
        facts.append(plural(trace.span_count, "step") + (f" ({trace.error_count} failed)" if trace.error_count else ""))
        total = token_total(trace.tokens)
        if total:
            facts.append(f"{format_count(total)} tokens")
        if cost := trace_cost(trace.cost, total, trace.partial):
            facts.append(cost)
        about = [f"Trace `{trace.trace_id}` of {name_of(trace.project, NAME_LENGTH)}: {', '.join(facts)}."]
        named = (("session", trace.session_id), ("user", trace.user_id), ("release", trace.release))
        about += [f"{word.capitalize()}: {name_of(value, NAME_LENGTH)}." for word, value in named if value]
        if trace.tags:
            about.append(f"Tags: {', '.join(name_of(tag, 40) for tag in trace.tags[:12])}.")
        if trace.note:
            about.append(f"Note: {trace.note[:300]}")
        lines = [f"# {name_of(trace.name, NAME_LENGTH)}\n\n" + "\n".join(about) + "\n"]
        if self._causes:
            where = self._causes[0]
            path = [name_of(rows.name[row], 40) for row in (*self._above(where), where)]
            words = "It failed in" if trace.status == "error" else "It went on after a failure in"
            lines.append(f"\n{words} {' › '.join(path[-6:])} [{rows.ids[where].hex()}].\n")
        return "".join(lines)

    def _above(self, row: int) -> list[int]:
        """The steps above one, from the top."""
        found: list[int] = []
        depth = self._rows.depth[row]
        for at in range(row - 1, self._wanted.start - 1, -1):
            if self._rows.depth[at] < depth:
                found.append(at)
                depth = self._rows.depth[at]
                if depth == 0:
                    break
        return found[::-1]

    def _line(self, row: int) -> str:
        rows = self._rows
        facts = [KINDS[KIND_WORDS[rows.kind[row]]][1]]
        model = rows.model[row]
        if model:
            facts.append(name_of(model, 40))
        if rows.duration[row] >= 0:
            facts.append(format_duration(rows.duration[row]))
        if rows.tokens[row] > 0:
            facts.append(f"{format_count(rows.tokens[row])} tokens")
        if rows.cost[row] > 0:
            facts.append(format_cost(rows.cost[row]))
        state = STATUSES[rows.status[row]]
        mark = " **FAILED**" if state == "error" else "" if state in ("ok", "unset") else f" **{state}**"
        indent = "  " * min(12, rows.depth[row] - rows.depth[self._wanted.start])
        return f"{indent}- {name_of(rows.name[row], NAME_LENGTH)} ({', '.join(facts)}){mark} [{rows.ids[row].hex()}]\n"

    def _tree(self, most: int) -> tuple[str, int]:
        """The tree within so many bytes, and how many steps are not in it."""
        first = self._causes[:SHOWN_CAUSES]
        rank = {row: 1 for cause in first for row in self._above(cause)[-NEAR:]} | dict.fromkeys(
            (self._wanted.start, *first), 0
        )
        by_weight = sorted(self._wanted, key=lambda row: (rank.get(row, 2), self._rows.depth[row], row))
        kept: set[int] = set()
        size = 0
        lines: dict[int, str] = {}
        for row in by_weight:
            lines[row] = self._line(row)
            size += len(lines[row].encode()) + (26 if len(self._wanted) > 40 else 0)
            if size > most and kept:
                break
            kept.add(row)
        out: list[str] = ["\n## Steps\n\n"]
        skipped = 0
        for row in self._wanted:
            if row in kept:
                if skipped:
                    out.append(f"  … {plural(skipped, 'step')}\n")
                skipped = 0
                out.append(lines[row])
            else:
                skipped += 1
        if skipped:
            out.append(f"  … {plural(skipped, 'step')}\n")
        return "".join(out), len(self._wanted) - len(kept)

    def _chosen(self, most: int) -> tuple[list[_Told], int]:
        """The steps whose texts are shown, the most important first, as many as have room for the least of each.

        And how many others have texts, or may have.
        """
        rows = self._rows
        causes = set(self._causes)
        order = {row: place for place, row in enumerate(self._causes)}
        ranks: list[tuple[int, int, int]] = []
        for row in self._wanted:
            kind = KIND_WORDS[rows.kind[row]]
            if row in causes:
                ranks.append((0, order.get(row, row), row))
            elif row == self._wanted.start:
                ranks.append((1, row, row))
            elif kind == "llm":
                ranks.append((2, -row, row))  # the last calls lead to the answer
            else:
                ranks.append((3 if kind in _SPEAKING else 4, row, row))
        best = sorted(ranks)[: min(MOST_READ, max(8, most // _HEADING))]
        weight = {row: _WEIGHT[rank] for rank, _, row in best}
        read = sorted(weight)
        seen: set[int] = set()
        steps = steps_of(self._conn, trace=self._trace, span_ids=[rows.ids[row] for row in read])
        place = {rows.ids[row].hex(): row for row in read}
        told = {
            place[step.row.span_id]: _Told(
                place[step.row.span_id], weight[place[step.row.span_id]], passages(step, seen)
            )
            for step in steps
        }
        found: list[_Told] = []
        for _, _, row in best:
            one = told.get(row)
            if one is None or not one.texts:
                continue
            if one.least() > most and found:
                break
            most -= one.least()
            found.append(one)
        speechless = sum(not one.texts for one in told.values())
        return found, len(self._wanted) - speechless - len(found)

    def _shown(self, told: Sequence[_Told], most: int) -> tuple[list[str], int]:
        """The texts in tree order, each shortened to its share of so many bytes; and how many were shortened."""
        frames = sum(_HEADING + _FRAME * len(one.texts) for one in told)
        share = _share([(text.size, one.weight) for one in told for text in one.texts], most - frames)
        shortened = 0
        out: list[str] = []
        causes = set(self._causes)
        for one in sorted(told, key=lambda one: (one.row not in causes, one.row)):
            row = one.row
            parts = [f"\n## {name_of(self._rows.name[row], NAME_LENGTH)} [{self._rows.ids[row].hex()}]\n"]
            for text in one.texts:
                limit = share * one.weight
                shortened += text.size > limit
                parts.append(f"\n**{text.title}**\n" + fenced(text.within(limit), text.language))
            out.append("".join(parts))
        return out, shortened

    def _note(self, hidden: int, only_lines: int, shortened: int) -> str:
        cut: list[str] = []
        if only_lines:
            cut.append(f"{plural(only_lines, 'step')} without texts")
        if shortened:
            cut.append(f"{plural(shortened, 'text')} shortened")
        if hidden:
            cut.append(f"{plural(hidden, 'step')} not in the tree")
        if not cut:
            return ""
        return (
            f"\nCut to stay within {format_count(self._budget)} tokens: {', '.join(cut)}. "
            "Ask for a step by its id to read it whole.\n"
        )


def _share(sizes: Sequence[tuple[int, int]], most: int) -> int:
    """The length for a text of weight 1 with which all of them come to so many bytes."""
    low, high = LEAST_TEXT, max(LEAST_TEXT, *(size for size, _ in sizes)) if sizes else LEAST_TEXT
    while low < high:
        middle = (low + high + 1) // 2
        if sum(min(size, middle * weight) for size, weight in sizes) <= most:
            low = middle
        else:
            high = middle - 1
    return low
