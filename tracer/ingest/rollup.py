"""A trace's roll-up: what a new fact changes of it, whatever the order of arrival.

Finished spans are never replaced, so what they bring (counts, smallest start, largest end, unions, earliest values)
only adds up. A running version counts as a step and as a possible root, nothing else. `finish` says what a running
step's end changes; the rare case that it contradicts its running version (another start or parent) asks for a rebuild
from the stored spans, by the same `add`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from tracer.store.models import Status

Order = tuple[int, bytes]
"""(start, span id): what `earliest` and `first` mean."""

FIRST_FIELDS = ("session_id", "user_id", "environment", "release")


@dataclass(slots=True)
class SpanFacts:
    """What a roll-up takes from one span."""

    span_id: bytes
    parent_id: bytes | None
    name: str
    status: int
    start_time: int
    end_time: int | None
    model: str | None
    service: str | None
    session_id: str | None
    user_id: str | None
    environment: str | None
    release: str | None
    tags: tuple[str, ...]
    metadata: dict[str, Any]

    @property
    def order(self) -> Order:
        """What decides which span comes first."""
        return (self.start_time, self.span_id)

    @property
    def running(self) -> bool:
        """True for a version that announces a step that has not ended."""
        return self.status == Status.running


class _State(msgspec.Struct, array_like=True):
    """The part of a roll-up that no column shows: who gave each value, and which parents are awaited."""

    top: Order | None = None
    """The first span without parent."""
    first: Order | None = None
    """The first span of all."""
    awaited: dict[bytes, Order] = {}
    """For each parent that is not stored, the first of the spans that name it."""
    earliest: dict[str, tuple[int, bytes, str]] = {}
    metadata: dict[str, tuple[int, bytes, Any]] = {}
    tags: list[str] = []
    failed: tuple[int, bytes, str] | None = None
    """The last failed step to start: what the failure of the trace began with."""


_encode = msgspec.msgpack.Encoder().encode
decode_state = msgspec.msgpack.Decoder(_State).decode
"""Reads the state that a row holds; two states are equal when the same spans gave them."""


@dataclass(slots=True)
class Rollup:
    """One trace's roll-up, loaded from its row or empty; `root` tells which span the head of the trace is from."""

    start_time: int | None = None
    end_time: int | None = None
    span_count: int = 0
    running_count: int = 0
    error_count: int = 0
    models: set[str] = field(default_factory=set)
    services: set[str] = field(default_factory=set)
    state: _State = field(default_factory=_State)

    @classmethod
    def load(cls, row: Any) -> Rollup:
        """Read a row of the trace table."""
        return cls(
            row.start_time,
            row.end_time,
            row.span_count,
            row.running_count,
            row.error_count,
            set(msgspec.json.decode(row.models)),
            set(msgspec.json.decode(row.services)),
            decode_state(row.state),
        )

    def dump_state(self) -> bytes:
        """The state as the row holds it."""
        return _encode(self.state)

    @property
    def root(self) -> Order:
        """The main root: the first span without parent, else the first whose parent is not stored, else the first."""
        state = self.state
        if state.top is not None:
            return state.top
        if state.awaited:
            return min(state.awaited.values())
        if state.first is None:
            raise ValueError("a trace without spans has no root")
        return state.first

    def add(self, spans: Iterable[SpanFacts], *, stored_parents: set[bytes]) -> None:
        """Add spans that the trace did not have; `stored_parents` are those of their parents that it had."""
        spans = list(spans)
        present = {span.span_id for span in spans} | stored_parents
        state = self.state
        for span in spans:
            self.span_count += 1
            self.start_time = span.start_time if self.start_time is None else min(self.start_time, span.start_time)
            state.first = span.order if state.first is None else min(state.first, span.order)
            if span.parent_id is None:
                state.top = span.order if state.top is None else min(state.top, span.order)
            elif span.parent_id not in present:
                known = state.awaited.get(span.parent_id)
                state.awaited[span.parent_id] = span.order if known is None else min(known, span.order)
            state.awaited.pop(span.span_id, None)
            if span.running:
                self.running_count += 1
            else:
                self._settle(span)

    def finish(self, span: SpanFacts, *, was: SpanFacts) -> bool:
        """A running step has ended (or has a newer running version). False when the trace must be rebuilt."""
        if span.start_time != was.start_time or span.parent_id != was.parent_id:
            return False
        if not span.running:
            self.running_count -= 1
            self._settle(span)
        return True

    def _settle(self, span: SpanFacts) -> None:
        state = self.state
        if span.end_time is not None:
            self.end_time = span.end_time if self.end_time is None else max(self.end_time, span.end_time)
        if span.status == Status.error:
            self.error_count += 1
            failed = (*span.order, span.name)
            state.failed = failed if state.failed is None else max(state.failed, failed)
        if span.model:
            self.models.add(span.model)
        if span.service:
            self.services.add(span.service)
        for name in FIRST_FIELDS:
            value = getattr(span, name)
            if value is not None:
                found = (*span.order, value)
                known = state.earliest.get(name)
                state.earliest[name] = found if known is None or found[:2] < known[:2] else known
        for key, value in span.metadata.items():
            known_value = state.metadata.get(key)
            if known_value is None or span.order < known_value[:2]:
                state.metadata[key] = (*span.order, value)
        if span.tags:
            state.tags = sorted({*state.tags, *span.tags})

    def head(self, root: SpanFacts) -> dict[str, Any]:
        """The columns that come from the main root first: name, status, session, tags, metadata, what failed."""
        state = self.state
        columns: dict[str, Any] = {"name": root.name, "status": root.status, "failed_in": None}
        for name in FIRST_FIELDS:
            earliest = state.earliest.get(name)
            own = getattr(root, name)
            columns[name] = own if own is not None else earliest[2] if earliest else None
        merged = {key: value for key, (_, _, value) in state.metadata.items()}
        columns["metadata"] = {**merged, **root.metadata}
        columns["tags"] = sorted({*state.tags, *root.tags})
        if root.status == Status.error and state.failed is not None and state.failed[1] != root.span_id:
            columns["failed_in"] = state.failed[2]
        return columns
