"""What pages call things: kinds, states, moments, sums. One place, so that every page says the same."""

from __future__ import annotations

from dataclasses import dataclass

from tracer.otlp.dialects.reading import Usage
from tracer.queries.rows import Partial, TraceRow
from tracer.units import DAY, HOUR, MINUTE, SECOND, NanoUsd, UnixNanos, format_cost, format_count
from tracer.zone import local_text, zone_label

KINDS: dict[str, tuple[str, str]] = {
    "chain": ("C", "chain"),
    "agent": ("A", "agent"),
    "llm": ("L", "model call"),
    "tool": ("T", "tool"),
    "retriever": ("R", "retriever"),
    "embedding": ("E", "embedding"),
    "reranker": ("K", "reranker"),
    "guardrail": ("G", "guardrail"),
    "evaluator": ("V", "evaluator"),
    "prompt": ("P", "prompt"),
    "other": ("O", "other step"),
}
"""Each kind of step: its letter and what it is called."""

NOT_THERE = ("?", "a step that others name as their parent, and that has not arrived")
"""The same for the place of a parent that is missing."""

NAME_LIMIT = 200
"""Characters of a name that a page shows; the rest is cut with a mark."""

FLAGS = {
    "text_replaced": "Some characters could not be stored as they were sent; each shows as a mark.",
    "no_end": "It was sent without an end time.",
    "negative_duration": "It was sent with an end before its start; its duration counts as 0.",
    "key_repeated": "Some attributes were sent more than once; the later ones are kept as key#2, key#3.",
    "cut": "The name or the status message was longer than is kept, and was cut.",
    "time_clamped": "A time lay beyond what can be stored and was held to that.",
    "ruled": "A rule of its project was applied: part of what was sent may be hidden or left out.",
    "self_parent": "It named itself as its parent, so it stands at the top.",
}
"""What had to be noted when a step was stored, for its reader."""

_COUNTED = {"llm", "embedding"}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What happened, in words; `tone` is the CSS class: `bad`, `live`, `quiet`."""

    words: str
    tone: str
    place: str | None = None
    """The name of the step that the words point at."""


def name_of(text: str, limit: int = NAME_LIMIT) -> str:
    """Return a name fit to show: never empty, never longer than `limit` characters."""
    text = text.strip()
    if not text:
        return "(unnamed)"
    return text if len(text) <= limit else text[: limit - 1] + "…"


SOURCES = {"user": "a user", "reviewer": "a reviewer", "code": "code", "model": "a model"}
"""Who gave a score, in words."""


def score_words(value: float) -> str:
    """A score's number, short: at most four digits that matter."""
    return f"{value:.4g}" if abs(value) < 1e6 else f"{value:,.0f}"


def verdict(trace: TraceRow, causes: int | None = None) -> Verdict:
    """Say what became of a trace, before any number; `causes`, where known, is how many steps failed by themselves."""
    if trace.status == "error":
        if trace.failed_in is not None:
            return Verdict("failed in", "bad", name_of(trace.failed_in))
        return Verdict("failed", "bad")
    if trace.status == "running":
        return Verdict("running", "live")
    if trace.status == "abandoned":
        return Verdict("stopped reporting", "bad")
    if trace.error_count:
        return Verdict(f"finished, {plural(causes or trace.error_count, 'step')} failed", "quiet")
    return Verdict("finished", "quiet")


def plural(number: int, word: str) -> str:
    """`1 step`, `2 steps`."""
    return f"{format_count(number)} {word}" if number == 1 else f"{format_count(number)} {word}s"


def ago(instant: UnixNanos | int, now: UnixNanos | int) -> str:
    """Say how long ago something was; a date when it is over a week, or lies ahead by over a minute."""
    age = int(now) - int(instant)
    if age < -MINUTE or age >= 7 * DAY:
        return local_text(instant)[:10]
    if age < 2 * SECOND:
        return "just now"
    if age < MINUTE:
        return f"{age // SECOND} s ago"
    if age < HOUR:
        return f"{age // MINUTE} min ago"
    if age < DAY:
        return f"{age // HOUR} h ago"
    return f"{age // DAY} d ago"


def moment(instant: UnixNanos | int) -> str:
    """An instant to the millisecond in the reader's zone: `2026-11-22 14:03:11.482 UTC`."""
    return f"{local_text(instant).replace('T', ' ')} {zone_label(instant)}"


def token_total(usage: Usage | None) -> int | None:
    """All tokens of a call or a trace: the total as reported, else input and output added; None when unknown."""
    if usage is None:
        return None
    if usage.total is not None:
        return usage.total
    if usage.input is None and usage.output is None:
        return None
    return (usage.input or 0) + (usage.output or 0)


def token_words(usage: Usage | None) -> str:
    """The classes behind a sum of tokens, for the small print: `3,204 in, 212 out, 2,048 cached`."""
    if usage is None:
        return ""
    classes = (
        (usage.input, "in"),
        (usage.output, "out"),
        (usage.cached_input, "cached"),
        (usage.cache_write, "written to the cache"),
        (usage.reasoning, "reasoning"),
        (usage.audio, "audio"),
    )
    return ", ".join(f"{format_count(number)} {word}" for number, word in classes if number)


def step_cost(kind: str, usage: Usage | None, cost: NanoUsd | None) -> str:
    """A step's cost as its row shows it; `no price` for a call whose tokens we know and whose price we don't."""
    if cost is not None:
        return format_cost(cost)
    return "no price" if kind in _COUNTED and token_total(usage) else ""


def trace_cost(cost: NanoUsd | None, tokens: int | None, partial: Partial | None) -> str:
    """A trace's cost as lists show it: a `+` marks a sum that lacks a part, `no price` one that lacks all."""
    if cost is None:
        return "no price" if tokens else ""
    lacking = partial is not None and "no price" in partial.reasons
    return format_cost(cost) + ("+" if lacking else "")


def partial_words(partial: Partial | None) -> str:
    """Why a sum lacks a part: `partial: 2 steps with no price`."""
    if partial is None:
        return ""
    return f"partial: {plural(partial.span_count, 'step')} with {' or '.join(partial.reasons)}"


def combine(asked: dict[str, str | None], more: dict[str, str | None]) -> dict[str, str | None]:
    """An address's query with more in it."""
    return {**asked, **more}
