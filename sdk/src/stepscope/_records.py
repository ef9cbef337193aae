"""What the server tells, as typed records: traces, spans, sessions, scores, projects."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from datetime import datetime, timedelta, timezone
from typing import Any, TypeVar

_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?Z")

R = TypeVar("R", bound="Record")


@dataclass(frozen=True)
class Record:
    """What all records share: `raw` is the server's answer as it came, with fields that this version has no name for.

    Times are aware datetimes in UTC, to the microsecond; `raw` has the nanoseconds.
    """

    raw: Mapping[str, Any] = field(repr=False, compare=False)

    def row(self) -> dict[str, Any]:
        """The record as the row of a table: what is plain as it is, tokens in a column for each class."""
        found: dict[str, Any] = {}
        for one in fields(self):
            value = getattr(self, one.name)
            if one.name in ("raw", "spans", "turns"):
                continue
            if isinstance(value, Tokens):
                found |= {f"{name}_tokens": count for name, count in value.counts().items()}
            elif one.name == "tokens":
                found |= {f"{name}_tokens": None for name in Tokens.CLASSES}
            else:
                found[one.name] = [entry.raw for entry in value] if _of_records(value) else value
        return found


def _of_records(value: object) -> bool:
    return isinstance(value, tuple) and bool(value) and isinstance(value[0], Record)


@dataclass(frozen=True)
class Tokens:
    """Token counts: `input` counts every input token, cached ones included; `reasoning` is part of `output`."""

    input: int | None = None
    output: int | None = None
    total: int | None = None
    cached_input: int | None = None
    cache_write: int | None = None
    reasoning: int | None = None
    audio: int | None = None

    CLASSES = ("input", "output", "total", "cached_input", "cache_write", "reasoning", "audio")

    def counts(self) -> dict[str, int | None]:
        """Each class with its count."""
        return {name: getattr(self, name) for name in self.CLASSES}


@dataclass(frozen=True)
class Project(Record):
    """A project with its totals."""

    name: str
    trace_count: int
    span_count: int
    first_seen: datetime | None
    last_seen: datetime | None


@dataclass(frozen=True)
class Score(Record):
    """What a person or a program thinks of a trace, or with `span_id` of one step of it."""

    id: str
    project: str
    trace_id: str
    span_id: str | None
    name: str
    value: bool | float | str
    comment: str | None
    source: str
    author: str | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True)
class ScoreSum(Record):
    """A trace's scores of one name and source: the mean of numbers, the most frequent of words."""

    name: str
    value: bool | float | str
    source: str
    count: int


@dataclass(frozen=True)
class Span(Record):
    """One step. What only a whole one has (`input`, `attributes`, …) is None in a list without bodies."""

    trace_id: str
    span_id: str
    parent_id: str | None
    name: str
    kind: str
    start_time: datetime
    end_time: datetime | None
    duration_ms: float | None
    status: str
    status_message: str | None
    model: str | None
    provider: str | None
    tokens: Tokens | None
    cost_usd: float | None
    time_to_first_token_ms: float | None
    service: str | None
    input: Any = None
    """The value that the step was given: text, or JSON as Python has it."""
    output: Any = None
    input_messages: list[dict[str, Any]] | None = None
    output_messages: list[dict[str, Any]] | None = None
    tool: dict[str, Any] | None = None
    documents: list[dict[str, Any]] | None = None
    parameters: dict[str, Any] | None = None
    finish_reasons: list[str] | None = None
    session_id: str | None = None
    user_id: str | None = None
    tags: list[str] | None = None
    metadata: dict[str, Any] | None = None
    attributes: dict[str, Any] | None = None


@dataclass(frozen=True)
class Trace(Record):
    """One run of a chain: its roll-up, and its `spans` in tree order where it was asked for alone."""

    trace_id: str
    project: str
    name: str
    start_time: datetime
    end_time: datetime | None
    duration_ms: float | None
    status: str
    span_count: int
    error_count: int
    llm_call_count: int
    tokens: Tokens | None
    cost_usd: float | None
    models: list[str]
    session_id: str | None
    user_id: str | None
    environment: str | None
    release: str | None
    services: list[str]
    tags: list[str]
    metadata: dict[str, Any]
    input_preview: str | None
    output_preview: str | None
    note: str | None
    scores: tuple[ScoreSum, ...]
    spans: tuple[Span, ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class Session(Record):
    """A conversation: its totals, and its `turns` in order where it was asked for alone."""

    session_id: str
    project: str
    user_id: str | None
    name: str
    first_start: datetime
    last_start: datetime
    end_time: datetime
    working_ms: float | None
    """How long its finished traces took, added up."""
    trace_count: int
    failed_count: int
    """Traces that failed."""
    span_count: int
    error_count: int
    llm_call_count: int
    tokens: Tokens | None
    cost_usd: float | None
    turns: tuple[Trace, ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class Percentiles:
    """Milliseconds: the mean is exact, percentiles of steps are within 3 %."""

    mean: float
    p50: float
    p95: float
    p99: float


@dataclass(frozen=True)
class Figures(Record):
    """What a number of steps, or of traces, comes to; None where none told of it."""

    count: int
    errors: int
    duration_ms: Percentiles | None
    time_to_first_token_ms: Percentiles | None
    tokens: Tokens | None
    cost_usd: float | None


@dataclass(frozen=True)
class Point(Figures):
    """Those that began in one interval; `time` is its beginning."""

    time: datetime


@dataclass(frozen=True)
class Series(Record):
    """Those that share a value (None: that have none); with `other` all that have no series of their own."""

    value: str | None
    other: bool
    totals: Figures
    points: tuple[Point, ...] = field(repr=False)
    """The oldest first; intervals without any are left out."""


@dataclass(frozen=True)
class Metrics(Record):
    """Figures over a time, by interval and by value. Where not all was counted, `searched_to` says how far it went."""

    project: str
    of: str
    """`steps` or `traces`."""
    by: str | None
    interval: str
    searched_to: datetime | None
    totals: Figures
    series: tuple[Series, ...] = field(repr=False)


_TIMES = frozenset(
    (
        *("start_time", "end_time", "created_at", "updated_at", "first_seen", "last_seen", "first_start", "last_start"),
        *("time", "searched_to"),
    )
)
_LISTS: dict[str, type[Record]] = {
    "scores": ScoreSum,
    "spans": Span,
    "turns": Trace,
    "series": Series,
    "points": Point,
}


def read(kind: type[R], told: Mapping[str, Any]) -> R:
    """Make a record of an answer; a field that an older server doesn't tell is None."""
    values: dict[str, Any] = {"raw": told}
    for one in fields(kind):
        if one.name != "raw" and (one.name in told or one.default is MISSING):
            values[one.name] = _value(kind, one.name, told.get(one.name))
    return kind(**values)


def _value(kind: type[Record], name: str, value: Any) -> Any:
    if value is None:
        return () if name in _LISTS else None
    if name in _TIMES:
        return read_time(value)
    if name == "tokens":
        return Tokens(**{key: value.get(key) for key in Tokens.CLASSES})
    if name == "totals":
        return read(Figures, value)
    if issubclass(kind, Figures) and name in ("duration_ms", "time_to_first_token_ms"):
        return Percentiles(**{key: value[key] for key in ("mean", "p50", "p95", "p99")})
    if name in _LISTS:
        return tuple(read(_LISTS[name], entry) for entry in value)
    if kind is Span and name in ("input", "output"):
        return value["value"]
    return value


def read_time(text: str) -> datetime:
    """Read RFC 3339 in UTC with up to nine decimals. Raises ValueError for anything else."""
    found = _TIME.fullmatch(text)
    if found is None:
        raise ValueError(f"no time: {text!r}")
    moment = datetime.strptime(found[1], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=timezone.utc)
    return moment + timedelta(microseconds=int((found[2] or "").ljust(6, "0")[:6]))
