"""A trace's roll-up: what a new fact changes of it, whatever the order of arrival.

Finished spans are never replaced, so what they bring (counts, smallest start, largest end, unions, earliest values)
only adds up. A running version counts as a step and as a possible root, nothing else. `finish` says what a running
step's end changes; the rare case that it contradicts its running version (another start or parent) asks for a rebuild
from the stored spans, by the same `add`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

import msgspec

from tracer.store.models import Status

Order = tuple[int, bytes]
"""(start, span id): what `earliest` and `first` mean."""

FIRST_FIELDS = ("session_id", "user_id", "environment", "release")
_firsts = attrgetter(*FIRST_FIELDS)
_RUNNING, _ERROR = int(Status.running), int(Status.error)


class SpanFacts(msgspec.Struct, gc=False):
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
        return self.status == _RUNNING


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

    @property
    def duration(self) -> int | None:
        """Nanoseconds from the first start to the last end; None while nothing has ended."""
        if self.start_time is None or self.end_time is None:
            return None
        return max(0, self.end_time - self.start_time)

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
        present = stored_parents.union([span.span_id for span in spans])
        state, awaited = self.state, self.state.awaited
        for span in spans:
            order = span.order
            if state.first is None or order < state.first:
                state.first = order
            parent = span.parent_id
            if parent is None:
                if state.top is None or order < state.top:
                    state.top = order
            elif parent not in present and (parent not in awaited or order < awaited[parent]):
                awaited[parent] = order
            if awaited:
                awaited.pop(span.span_id, None)
            if span.status == _RUNNING:
                self.running_count += 1
            else:
                self._settle(span, order)
        self.span_count += len(spans)
        if state.first is not None:
            self.start_time = state.first[0]

    def finish(self, span: SpanFacts, *, was: SpanFacts) -> bool:
        """A running step has ended (or has a newer running version). False when the trace must be rebuilt."""
        if span.start_time != was.start_time or span.parent_id != was.parent_id:
            return False
        if not span.running:
            self.running_count -= 1
            self._settle(span, span.order)
        return True

    def _settle(self, span: SpanFacts, order: Order) -> None:
        state, end = self.state, span.end_time
        if end is not None and (self.end_time is None or end > self.end_time):
            self.end_time = end
        if span.status == _ERROR:
            self.error_count += 1
            failed = (*order, span.name)
            state.failed = failed if state.failed is None else max(state.failed, failed)
        if span.model:
            self.models.add(span.model)
        if span.service:
            self.services.add(span.service)
        for name, value in zip(FIRST_FIELDS, _firsts(span), strict=True):
            if value is not None:
                known = state.earliest.get(name)
                if known is None or order < known[:2]:
                    state.earliest[name] = (*order, value)
        for key, value in span.metadata.items():
            known_value = state.metadata.get(key)
            if known_value is None or order < known_value[:2]:
                state.metadata[key] = (*order, value)
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
        if root.status == _ERROR and state.failed is not None and state.failed[1] != root.span_id:
            columns["failed_in"] = state.failed[2]
        return columns
