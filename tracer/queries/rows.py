"""The frozen rows that queries answer with, so that templates and the REST layer cannot trigger SQL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from tracer.otlp.dialects.reading import Content, Usage
from tracer.store.scores import ScoreSum
from tracer.units import Nanos, NanoUsd, UnixNanos


@dataclass(frozen=True, slots=True)
class ProjectRow:
    """A project with its totals; `slug` is its unchanging name in addresses."""

    id: int
    slug: str
    name: str
    trace_count: int
    span_count: int
    first_seen: UnixNanos | None
    last_seen: UnixNanos | None


class Partial(msgspec.Struct, frozen=True, gc=False):
    """Why a sum of tokens or cost lacks a part, and on how many steps: `no usage`, `no price`."""

    reasons: tuple[str, ...]
    span_count: int


class TraceRow(msgspec.Struct, frozen=True, gc=False):
    """One trace's roll-up. `duration` is None while nothing of it has finished."""

    received: int
    """The unchanging row number: rises in the order in which traces were first seen."""
    project_id: int
    project: str
    slug: str
    trace_id: str
    name: str
    start_time: UnixNanos
    end_time: UnixNanos | None
    duration: Nanos | None
    status: str
    """`ok`, `error`, `unset`, `running` or `abandoned`."""
    span_count: int
    error_count: int
    llm_call_count: int
    running_count: int
    tokens: Usage | None
    cost: NanoUsd | None
    cost_source: str | None
    """`computed` from prices, `sent` by the client, or `mixed`."""
    partial: Partial | None
    models: tuple[str, ...]
    session_id: str | None
    user_id: str | None
    environment: str | None
    release: str | None
    services: tuple[str, ...]
    tags: tuple[str, ...]
    metadata: dict[str, Any]
    input_preview: str | None
    output_preview: str | None
    failed_in: str | None
    """The name of the first step whose own error failed the trace, when its status is `error`."""
    version: int
    """Rises with every change to the trace."""
    own_name: str | None = None
    """The name that people gave it, which then is its `name`."""
    own_tags: tuple[str, ...] = ()
    """Those of `tags` that people added."""
    note: str | None = None
    scores: tuple[ScoreSum, ...] = ()


@dataclass(frozen=True, slots=True)
class ScoreRow:
    """One score. Without `span_id` it is the trace's own."""

    row_id: int
    id: str
    project_id: int
    project: str
    trace_id: str
    span_id: str | None
    name: str
    value: float | bool | str
    comment: str | None
    source: str
    """`user`, `reviewer`, `code` or `model`."""
    author: str
    created_at: UnixNanos
    updated_at: UnixNanos


class SpanRow(msgspec.Struct, frozen=True, gc=False):
    """One span's columns, without bodies; ids in lower-case hex."""

    trace_id: str
    span_id: str
    parent_id: str | None
    depth: int
    """Levels below the tree's top; 0 for roots and for spans whose parent never came."""
    orphan: bool
    """Its parent is not stored."""
    child_count: int
    name: str
    kind: str
    status: str
    status_message: str | None
    start_time: UnixNanos
    end_time: UnixNanos | None
    duration: Nanos | None
    model: str | None
    provider: str | None
    usage: Usage | None
    cost: NanoUsd | None
    input_cost: NanoUsd | None
    output_cost: NanoUsd | None
    cost_source: str | None
    time_to_first_token: Nanos | None
    service: str | None
    dialect: str


@dataclass(frozen=True, slots=True)
class Event:
    """Something at one instant inside a span; exceptions are called `exception`."""

    name: str
    time: UnixNanos
    attributes: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Step:
    """One span, whole, as someone opens it."""

    row: SpanRow
    content: Content
    session_id: str | None
    user_id: str | None
    environment: str | None
    release: str | None
    tags: tuple[str, ...]
    metadata: dict[str, Any]
    events: tuple[Event, ...]
    links: tuple[dict[str, str], ...]
    resource: dict[str, Any]
    scope: dict[str, Any]
    attributes: dict[str, Any]
    """As received, nothing dropped; bytes as {"bytesValue": base64}, integers beyond 2^53 as text."""
    partial_output: str | None
    """The text so far of a running step that streams."""
    otlp_kind: int
    flags: tuple[str, ...]
    """What had to be replaced or noted, in words: `text_replaced`, `no_end`, `negative_duration`, …"""


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Lengths of time: the mean, exact to the nanosecond, and percentiles within 3 %."""

    mean: Nanos
    p50: Nanos
    p95: Nanos
    p99: Nanos


@dataclass(frozen=True, slots=True)
class Figures:
    """What a number of steps comes to; None where no step told of it."""

    span_count: int
    error_count: int
    duration: Percentiles | None
    usage: Usage | None
    cost: NanoUsd | None
    time_to_first_token: Percentiles | None


@dataclass(frozen=True, slots=True)
class Point:
    """The steps that began in one interval; `time` is its beginning."""

    time: UnixNanos
    figures: Figures


@dataclass(frozen=True, slots=True)
class Series:
    """The steps that share a value (None: that have none); with `other` all those that have no series of their own."""

    value: str | None
    other: bool
    totals: Figures
    points: tuple[Point, ...]
    """Oldest first; intervals without steps are left out."""


@dataclass(frozen=True, slots=True)
class Metrics:
    """What is known of the steps that began from `since` on and before `until`."""

    since: UnixNanos
    until: UnixNanos
    interval: Nanos
    searched_to: UnixNanos | None
    """Set where the work limit was reached: the answer holds the steps from then on."""
    totals: Figures
    series: tuple[Series, ...]


@dataclass(frozen=True, slots=True)
class SharedRow:
    """The traces of a project that share a session, or a user. Totals are of the newest of them, `trace_count` many."""

    by: str
    """`session` or `user`."""
    key: str
    project_id: int
    name: str
    """The first trace's name."""
    title: str | None
    """What the first trace was asked."""
    first: UnixNanos
    """The start of the first trace that is counted."""
    last: UnixNanos
    """The start of the newest trace."""
    until: UnixNanos
    """The end of what has finished."""
    working: Nanos | None
    """How long the finished traces took, added up."""
    trace_count: int
    whole: bool
    """False where there are more traces than were counted."""
    failed_count: int
    """Traces that failed."""
    span_count: int
    error_count: int
    """Steps that failed."""
    llm_call_count: int
    tokens: Usage | None
    cost: NanoUsd | None
    partial_count: int
    """Steps whose tokens or cost are not known."""
    other: str | None
    """The session's user, or one of the user's sessions."""
    other_count: int


@dataclass(frozen=True, slots=True)
class StepLine:
    """The steps of one name, model and kind in a time; with `other` those that are not kept apart."""

    name: str | None
    model: str | None
    kind: str
    other: bool
    now: Figures
    total_time: Nanos
    """Their durations added up."""
    before: Figures | None
    """What they came to in the time before; None where there were none."""
    counts: tuple[int, ...]
    """How many began in each part of the time, the oldest first."""
    errors: tuple[int, ...]
    """How many of these failed."""


@dataclass(frozen=True, slots=True)
class StepTable:
    """A project's steps in a time, one line a name, model and kind."""

    since: UnixNanos
    until: UnixNanos
    bar: Nanos
    """The length of the parts of the time."""
    searched_to: UnixNanos | None
    compared: bool
    """Whether the time before is known whole, and has steps at all."""
    lines: tuple[StepLine, ...]


@dataclass(frozen=True, slots=True)
class FacetValue:
    """A value and how many of the traces have it."""

    value: str
    count: int


@dataclass(frozen=True, slots=True)
class Facet:
    """The most frequent values of a field, the most frequent first; `more` is how many others there are."""

    field: str
    values: tuple[FacetValue, ...]
    more: int
    traces: int
    """Over how many of the traces it was counted: the newest of them."""


@dataclass(frozen=True, slots=True)
class TimeBar:
    """Traces that began in an interval from `time` on, and how many of them failed."""

    time: UnixNanos
    count: int
    errors: int


@dataclass(frozen=True, slots=True)
class Facets:
    """What the traces that a search finds have in common."""

    traces: int
    """How many traces were counted, the newest."""
    searched_to: UnixNanos | None
    """Set when older ones were not counted: how far back it looked. None: all were; a facet of fewer says so."""
    facets: tuple[Facet, ...]
    interval: Nanos
    bars: tuple[TimeBar, ...]
    """Oldest first, those without a trace left out."""


@dataclass(frozen=True, slots=True)
class SavedView:
    """A search that somebody saved under a name, with the order and the columns of the list."""

    id: int
    project_id: int
    project: str
    name: str
    q: str
    order: str
    columns: tuple[str, ...]
    author: str
    updated_at: UnixNanos


@dataclass(frozen=True, slots=True)
class ScoreLine:
    """The scores of one name and source in a time."""

    name: str
    source: str
    count: int
    trace_count: int
    mean: float | None
    """Of numbers, and of yes and no as 1 and 0; None where all are words."""
    low: float
    high: float
    bins: tuple[int, ...]
    """How many numbers lie in each equal part from `low` to `high`; empty without numbers."""
    yes: int
    no: int
    words: tuple[tuple[str, int], ...]
    """The most frequent words."""
    more_words: int
    means: tuple[tuple[int, float], ...]
    """The mean in each part of the time that has any, as (part, mean)."""


@dataclass(frozen=True, slots=True)
class ScoreTable:
    """A project's scores in a time; `bar` is the length of its parts."""

    bar: Nanos
    searched_to: UnixNanos | None
    lines: tuple[ScoreLine, ...]
