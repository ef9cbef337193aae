"""Counts a trace's model calls once each: tokens, cost, number of calls, and what is missing.

Frameworks and clients both report the same call, as a wrapper and its child or as siblings. The rule
(`README`, "How it is built"): a step that bears usage is not counted when a usage-bearing call above it describes
the same call, that is, when no agent or tool run lies between them and their response ids do not differ, or when
another step of the trace with the same response id comes first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from operator import attrgetter

import msgspec

from tracer.otlp.dialects.reading import Kind, Usage

BOUNDARY_KINDS = frozenset({Kind.agent, Kind.tool})
"""A run of these inside a call makes calls of its own."""

TOKEN_FIELDS = ("input", "output", "total", "cached_input", "cache_write", "reasoning", "audio")
NO_USAGE, NO_PRICE = "no usage", "no price"
COMPUTED = "computed"


class Call(msgspec.Struct, frozen=True, gc=False):
    """A finished model call step of a trace."""

    span_id: bytes
    parent_id: bytes | None
    kind: int
    start_time: int
    failed: bool
    response_id: str | None
    usage: Usage | None
    cost: int | None
    cost_source: str | None = None


@dataclass(slots=True)
class CallTotals:
    """The sums over a trace's calls, each counted once."""

    llm_call_count: int = 0
    tokens: dict[str, int] = field(default_factory=dict)
    cost: int | None = None
    cost_sources: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    partial_count: int = 0


def bears_usage(usage: Usage | None) -> bool:
    """True when a client said how many tokens went in or out."""
    return usage is not None and not (usage.input is None and usage.output is None and usage.total is None)


def count_calls(calls: Iterable[Call], edges: Mapping[bytes, tuple[bytes | None, int]]) -> CallTotals:
    """Sum over `calls`; `edges` gives (parent id, kind) for the steps above them, as far as they are stored."""
    ordered = sorted(calls, key=lambda call: (call.start_time, call.span_id))
    by_id = {call.span_id: call for call in ordered}
    above = {call.span_id: call_above(call, by_id, edges)[0] for call in ordered}

    first_of_response: dict[str, bytes] = {}
    for call in ordered:
        if call.response_id and bears_usage(call.usage):
            first_of_response.setdefault(call.response_id, call.span_id)

    has_call_below = set(above.values())
    told_below = _told_below(ordered, above)
    bearing_above = _bearing_above(ordered, above, by_id)
    counted = [
        call
        for call in ordered
        if bears_usage(call.usage)
        and not _same_call(call, bearing_above[call.span_id])
        and (call.response_id is None or first_of_response[call.response_id] == call.span_id)
    ]

    totals = CallTotals()
    missing: set[str] = set()
    sources: set[str] = set()
    seen_responses: set[str] = set()
    for call in ordered:
        if call.kind == Kind.llm and call.span_id not in has_call_below:
            if call.response_id is None or call.response_id not in seen_responses:
                totals.llm_call_count += 1
            if call.response_id:
                seen_responses.add(call.response_id)
        told_elsewhere = (
            call.span_id in told_below
            or bearing_above[call.span_id] is not None
            or call.response_id in first_of_response
        )
        if not (call.failed or bears_usage(call.usage) or told_elsewhere):
            missing.add(NO_USAGE)
            totals.partial_count += 1
    for call in counted:
        for name, value in _tokens(call.usage).items():
            totals.tokens[name] = totals.tokens.get(name, 0) + value
        if call.cost is not None:
            totals.cost = (totals.cost or 0) + call.cost
            sources.add(call.cost_source or COMPUTED)
        else:
            missing.add(NO_PRICE)
            totals.partial_count += 1
    totals.reasons, totals.cost_sources = tuple(sorted(missing)), tuple(sorted(sources))
    return totals


def count_one(call: Call) -> CallTotals:
    """What `count_calls` gives for a call that is connected to no other: most are."""
    totals = CallTotals(llm_call_count=int(call.kind == Kind.llm))
    if not bears_usage(call.usage):
        if not call.failed:
            totals.reasons, totals.partial_count = (NO_USAGE,), 1
        return totals
    totals.tokens = _tokens(call.usage)
    totals.cost = call.cost
    if call.cost is None:
        totals.reasons, totals.partial_count = (NO_PRICE,), 1
    else:
        totals.cost_sources = (call.cost_source or COMPUTED,)
    return totals


_counts = attrgetter(*TOKEN_FIELDS)


def _tokens(usage: Usage | None) -> dict[str, int]:
    counts = () if usage is None else _counts(usage)
    return {name: count for name, count in zip(TOKEN_FIELDS, counts, strict=False) if count is not None}


def call_above(
    call: Call, calls: Mapping[bytes, Call], edges: Mapping[bytes, tuple[bytes | None, int]]
) -> tuple[bytes | None, bytes | None]:
    """Return (the nearest call above, the span where the way up ends because it is not stored); None for neither.

    An agent or tool run ends the way up, and so does a circle.
    """
    seen = {call.span_id}
    at = call.parent_id
    while at is not None and at not in seen:
        seen.add(at)
        if at in calls:
            return at, None
        edge = edges.get(at)
        if edge is None:
            return None, at
        if edge[1] in BOUNDARY_KINDS:
            return None, None
        at = edge[0]
    return None, None


def _told_below(calls: Iterable[Call], above: Mapping[bytes, bytes | None]) -> set[bytes]:
    """The calls that have a usage-bearing call below them; each is visited once."""
    told: set[bytes] = set()
    for call in calls:
        at = above[call.span_id] if bears_usage(call.usage) else None
        while at is not None and at not in told:
            told.add(at)
            at = above[at]
    return told


def _bearing_above(
    calls: Iterable[Call], above: Mapping[bytes, bytes | None], by_id: Mapping[bytes, Call]
) -> dict[bytes, Call | None]:
    """For each call the nearest usage-bearing call above; each is visited once."""
    found: dict[bytes, Call | None] = {}
    for call in calls:
        path: list[bytes] = []
        walked: set[bytes] = set()
        at: bytes | None = call.span_id
        answer: Call | None = None
        while at is not None and at not in walked:
            if at in found:
                answer = found[at]
                break
            path.append(at)
            walked.add(at)
            at = above[at]
            if at is not None and bears_usage(by_id[at].usage):
                answer = by_id[at]
                break
        for below in path:
            found[below] = answer
    return found


def _same_call(call: Call, other: Call | None) -> bool:
    """True when a call above describes the same call: no two response ids say otherwise."""
    if other is None or other.span_id == call.span_id:
        return False
    return not (call.response_id and other.response_id and call.response_id != other.response_id)
