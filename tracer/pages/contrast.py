"""What two traces differ by, as Markdown: their sums, their steps, and what matching steps said differently."""

from __future__ import annotations

import difflib
from collections.abc import Iterator

from sqlalchemy import Connection

from tracer.pages.digest import BYTES_PER_TOKEN
from tracer.pages.outgoing import fenced
from tracer.pages.passages import Passage, passages
from tracer.pages.words import KINDS, name_of, token_total
from tracer.queries.align import align
from tracer.queries.outline import KIND_WORDS, STATUSES, Outline, outline
from tracer.queries.rows import Step, TraceRow
from tracer.queries.steps import steps_of
from tracer.units import format_cost, format_count, format_duration

BUDGET = 4_000
"""Tokens of a comparison that nobody gave a budget."""

MOST_READ = 60
"""Pairs of steps whose texts are compared."""

MOST_LINES = 400
"""Lines of a text that are compared; a prompt of more is compared by its beginning."""

_SPEAKING = frozenset({"llm", "tool", "retriever", "reranker", "guardrail", "evaluator", "prompt", "agent"})


def contrast(conn: Connection, one: TraceRow, other: TraceRow, *, budget: int | None = None) -> str:
    """Say what `other` does differently from `one`, within so many tokens."""
    most = max(200, budget or BUDGET) * BYTES_PER_TOKEN
    left, right = outline(conn, trace=one), outline(conn, trace=other)
    lines = align(left, right)
    out = [_head(one, other)]
    size = len(out[0].encode())
    omitted = 0
    for part in _steps(left, right, [(line.one, line.other, line.depth, line.moved) for line in lines]):
        size += len(part.encode())
        if size > most * 0.5 and omitted == 0 and len(out) > 1:
            omitted = 1
        elif omitted:
            omitted += 1
        else:
            out.append(part)
    if omitted:
        out.append(f"- … {format_count(omitted)} more differences between steps\n")
    pairs = [
        (line.one, line.other)
        for line in lines
        if line.one >= 0 and line.other >= 0 and (line.depth == 0 or KIND_WORDS[right.kind[line.other]] in _SPEAKING)
    ][:MOST_READ]
    size = sum(len(part.encode()) for part in out)
    for part in _texts(conn, one, other, left, right, pairs):
        if size + len(part.encode()) > most - 60:
            out.append("\nMore texts differ; they are cut.\n")
            break
        size += len(part.encode())
        out.append(part)
    return "".join(out).encode()[:most].decode("utf-8", "ignore")


def _head(one: TraceRow, other: TraceRow) -> str:
    def row(word: str, left: str, right: str) -> str:
        return f"| {word} | {left} | {right} |{' different' if left != right else ''}\n"

    def length(trace: TraceRow) -> str:
        return "unknown" if trace.duration is None else format_duration(trace.duration)

    def tokens(trace: TraceRow) -> str:
        total = token_total(trace.tokens)
        return "unknown" if total is None else format_count(total)

    def cost(trace: TraceRow) -> str:
        return "unknown" if trace.cost is None else format_cost(trace.cost)

    return (
        f"# {name_of(one.name, 80)} against {name_of(other.name, 80)}\n\n"
        f"| | `{one.trace_id}` | `{other.trace_id}` |\n| --- | --- | --- |\n"
        + row("status", one.status, other.status)
        + row("duration", length(one), length(other))
        + row("steps", str(one.span_count), str(other.span_count))
        + row("failed steps", str(one.error_count), str(other.error_count))
        + row("tokens", tokens(one), tokens(other))
        + row("cost", cost(one), cost(other))
        + row("models", ", ".join(one.models) or "none", ", ".join(other.models) or "none")
        + "\n## Steps that differ\n\n"
    )


def _steps(left: Outline, right: Outline, lines: list[tuple[int, int, int, bool]]) -> Iterator[str]:
    same = 0
    for one, other, depth, moved in lines:
        indent = "  " * min(12, depth)
        if one < 0:
            yield f"{indent}- only in the second: {_named(right, other)}\n"
        elif other < 0:
            yield f"{indent}- only in the first: {_named(left, one)}\n"
        else:
            changes = list(_changes(left, one, right, other))
            if moved:
                changes.append("moved")
            if changes:
                yield f"{indent}- {_named(right, other)}: {', '.join(changes)}\n"
            else:
                same += 1
    yield f"- {format_count(same)} steps are alike in state, model and, about, time and tokens\n"


def _named(rows: Outline, row: int) -> str:
    kind = KINDS[KIND_WORDS[rows.kind[row]]][1]
    return f"{name_of(rows.name[row], 60)} ({kind}) [{rows.ids[row].hex()}]"


def _changes(left: Outline, one: int, right: Outline, other: int) -> Iterator[str]:
    if left.name[one] != right.name[other]:
        yield f"called {name_of(left.name[one], 40)} in the first"
    if left.status[one] != right.status[other]:
        yield f"{STATUSES[left.status[one]]} → {STATUSES[right.status[other]]}"
    if left.model[one] != right.model[other]:
        yield f"{left.model[one] or 'no model'} → {right.model[other] or 'no model'}"
    before, after = left.duration[one], right.duration[other]
    if before >= 0 and after >= 0 and abs(after - before) > 0.25 * max(before, after) and max(before, after) > 10**7:
        yield f"{format_duration(before)} → {format_duration(after)}"
    if left.tokens[one] != right.tokens[other]:
        yield f"{max(0, left.tokens[one]):,} → {max(0, right.tokens[other]):,} tokens"


def _texts(
    conn: Connection, one: TraceRow, other: TraceRow, left: Outline, right: Outline, pairs: list[tuple[int, int]]
) -> Iterator[str]:
    """For each pair of steps whose texts differ, the lines that do."""
    theirs = steps_of(conn, trace=one, span_ids=[left.ids[row] for row, _ in pairs])
    ours = steps_of(conn, trace=other, span_ids=[right.ids[row] for _, row in pairs])
    begun = False
    for before, after in zip(theirs, ours, strict=False):
        for title, was, now in _both(before, after):
            if was == now:
                continue
            changed = list(difflib.unified_diff(was, now, lineterm="", n=1))[2:]
            cut = Passage("", "\n".join(line for line in changed if not line.startswith("@@"))).within(1_500)
            heading = "" if begun else "\n## Texts that differ\n"
            begun = True
            yield f"{heading}\n**{name_of(after.row.name, 80)}, {title}**\n{fenced(cut, 'diff')}"


def _both(before: Step, after: Step) -> Iterator[tuple[str, list[str], list[str]]]:
    was, now = _by_title(before), _by_title(after)
    for title in dict.fromkeys((*was, *now)):
        yield title, was.get(title, [])[:MOST_LINES], now.get(title, [])[:MOST_LINES]


def _by_title(step: Step) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for passage in passages(step, set()):
        found.setdefault(passage.title, []).extend(passage.text.splitlines())
    return found
