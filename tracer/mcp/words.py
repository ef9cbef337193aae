"""Answers of the REST interface in lines for a model: few tokens, nothing that has to be parsed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tracer.sources.source import Answer
from tracer.units import MILLISECOND, SECOND, format_cost, format_count, format_duration

PREVIEW = 120
"""Characters of an input or output in a list."""


def project_lines(answer: Answer) -> str:
    """A line for each project."""
    lines = [
        f"{one['name']}: {format_count(one['trace_count'])} traces, {format_count(one['span_count'])} steps, "
        f"last at {one['last_seen'] or 'never'}"
        for one in answer["items"]
    ]
    return "\n".join(lines) or "There are no projects yet."


def trace_lines(answer: Answer) -> str:
    """A line for each trace, and how to go on."""
    lines = [_trace(one) for one in answer["items"]]
    if answer.get("searched_to"):
        lines.append(f"Searched back to {answer['searched_to']} so far.")
    if answer["next_cursor"]:
        lines.append(f"There may be more: cursor={answer['next_cursor']}")
    return "\n".join(lines) or "No trace matches."


def _trace(one: Answer) -> str:
    facts = [f"{one['span_count']} steps" + (f" ({one['error_count']} failed)" if one["error_count"] else "")]
    facts += [_length(one["duration_ms"])] if one["duration_ms"] is not None else []
    facts += [f"{format_count(one['tokens']['total'])} tokens"] if (one["tokens"] or {}).get("total") else []
    facts += [_money(one["cost_usd"])] if one["cost_usd"] is not None else []
    facts += [f"user {_short(one['user_id'])}"] if one["user_id"] else []
    facts += [f"{_short(score['name'])}={score['value']}" for score in one["scores"]]
    line = f"{one['trace_id']} {one['start_time'][:19]}Z {one['status']} {_short(one['name'])!r}: {', '.join(facts)}"
    for word, key in (("in", "input_preview"), ("out", "output_preview")):
        if one[key]:
            line += f"\n  {word}: {_short(one[key])}"
    return line


def metric_lines(answer: Answer) -> str:
    """The totals, and a line for each series."""
    lines = [
        f"Steps of {answer['project']} from {answer['from']} to {answer['to']}:",
        *_figures("all", answer["totals"]),
    ]
    if answer["by"]:
        for one in answer["series"]:
            value = "all others" if one["other"] else one["value"] if one["value"] is not None else "(none)"
            lines += _figures(_short(value), one["totals"])
    if answer["searched_to"]:
        lines.append(f"Only from {answer['searched_to']} on: before that is more than one answer looks at.")
    return "\n".join(lines)


def _figures(name: str, found: dict[str, Any]) -> Iterator[str]:
    facts = [f"{format_count(found['count'])} steps", f"{format_count(found['errors'])} failed"]
    for word, key in (("took", "duration_ms"), ("first token after", "time_to_first_token_ms")):
        times = found[key]
        if times is not None:
            facts.append(
                f"{word} p50 {_length(times['p50'])}, p95 {_length(times['p95'])}, p99 {_length(times['p99'])}"
            )
    if found["tokens"] is not None and found["tokens"].get("total"):
        facts.append(f"{format_count(found['tokens']['total'])} tokens")
    if found["cost_usd"] is not None:
        facts.append(_money(found["cost_usd"]))
    yield f"{name}: {'; '.join(facts)}"


def _length(millis: float) -> str:
    return format_duration(round(millis * MILLISECOND))


def _money(dollars: float) -> str:
    return format_cost(round(dollars * SECOND))


def _short(text: str) -> str:
    line = " ".join(str(text).split())
    return line if len(line) <= PREVIEW else line[: PREVIEW - 1] + "…"
