"""What every source of traces can do. Answers have the shapes of the REST interface."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

Answer = dict[str, Any]
"""A JSON answer of the REST interface."""

Format = Literal["jsonl", "csv", "parquet", "otlp"]
Of = Literal["traces", "spans"]
BatchKind = Literal["own", "traces", "logs"]


@dataclass(frozen=True, slots=True)
class Ask:
    """Which traces are meant; times in RFC 3339, `since` inclusive, `until` exclusive."""

    q: str = ""
    project: str | None = None
    since: str | None = None
    until: str | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """Some of a file: lines of our own export, or one OTLP request, as JSON or protobuf, not compressed."""

    kind: BatchKind
    body: bytes
    json: bool = True


@dataclass(slots=True)
class Taken:
    """What an import has done so far; `rejected` counts by reason."""

    spans: int = 0
    logs: int = 0
    scores: int = 0
    rejected: Counter[str] = field(default_factory=Counter)


class Reading(Protocol):
    """Where traces are read. Every method raises a TracerError with a sentence."""

    name: str
    """The place in words: the database or the address."""

    def projects(self) -> Answer:
        """Every project in sight: `items`."""

    def traces(self, ask: Ask, *, order: str = "-start_time", limit: int = 50, cursor: str | None = None) -> Answer:
        """One page of trace summaries: `items`, `next_cursor`, perhaps `searched_to`."""

    def trace(self, trace_id: str, *, project: str | None = None, bodies: bool = False) -> Answer:
        """One trace with its spans."""

    def step(self, trace_id: str, span_id: str, *, project: str | None = None) -> Answer:
        """One span, whole."""

    def markdown(
        self,
        trace_id: str,
        *,
        project: str | None = None,
        budget: int | None = None,
        step: str | None = None,
        against: str | None = None,
    ) -> str:
        """A trace, or one step of it and what is below, as Markdown within so many tokens.

        With `against` (another trace's id) what the two differ by.
        """

    def metrics(
        self, *, project: str | None, since: str | None, until: str | None, by: str | None, interval: str | None
    ) -> Answer:
        """Counts, errors, percentiles, tokens and cost of a project's steps."""

    def export(self, ask: Ask, *, format: Format, of: Of) -> Iterator[bytes]:
        """Everything that is meant, in parts."""


class Source(Reading, Protocol):
    """Where traces are written as well."""

    def take(self, batch: Batch, taken: Taken, *, project: str | None = None) -> None:
        """Store a batch of an import, and count it in `taken`."""

    def settle(self, told: Callable[[int], None]) -> None:
        """Index what was taken in, where no server does that; `told` hears how many spans are left."""

    def score(self, facts: Answer) -> Answer:
        """Score a trace or a step, in the fields of `POST /api/v1/scores`."""

    def delete_trace(self, trace_id: str, *, project: str | None = None) -> Answer:
        """Delete one trace for good, and return the receipt when it is done."""

    def delete_traces(self, ask: Ask) -> Answer:
        """Delete what is meant for good, and return the receipt when it is done."""

    def close(self) -> None:
        """Let go of files and connections."""
