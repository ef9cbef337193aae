r"""For tests: see which steps a piece of code makes, with ids and times that are the same every time.

    from stepscope import testing

    def test_the_answer_looks_the_order_up():
        with testing.capture() as steps:
            answer("Where is A-17?")
        assert steps.one("lookup").input == {"order_id": "A-17"}
        assert steps.tree() == "answer\n  lookup (tool)"

Nothing is sent while steps are captured.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from . import _runtime
from ._encode import span_bytes
from ._scores import Score
from ._sinks import Sink
from ._steps import Step

__all__ = ["CapturedStep", "CapturedSteps", "FixedClock", "FixedIds", "capture"]

FIRST_INSTANT = 1_767_225_600_000_000_000
"""Where a fixed clock starts: 2026-01-01 00:00 UTC, in nanoseconds since 1970."""


class FixedClock:
    """A clock that moves a fixed stretch each time it is read: `FixedClock(tick=1_000_000)` is a millisecond a look."""

    def __init__(self, start: int = FIRST_INSTANT, tick: int = 1_000_000) -> None:
        self._now = start
        self._tick = tick

    def __call__(self) -> int:
        """Return the time in nanoseconds since 1970, and move on."""
        now = self._now
        self._now += self._tick
        return now

    def advance(self, nanoseconds: int) -> None:
        """Move on by a stretch of one's own."""
        self._now += nanoseconds


class FixedIds:
    """Ids that count up from 1."""

    def __init__(self) -> None:
        self._last = 0

    def __call__(self, bits: int) -> int:
        """Return the next id, of `bits` bits."""
        self._last += 1
        return self._last


class CapturedStep(NamedTuple):
    """One step as it would have been sent."""

    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str | None
    start_time: int
    """Nanoseconds since 1970."""
    end_time: int | None
    """None: the step still runs."""
    input: Any
    """What went in: a text, or what its JSON says; None where nothing was kept."""
    output: Any
    status: str
    """`ok`, `error` or `running`."""
    error: str | None
    """The error's message."""
    attributes: dict[str, Any]
    """Every attribute, by its name on the wire."""
    events: list[dict[str, Any]]

    @property
    def duration_ms(self) -> float | None:
        """How long the step took, in milliseconds."""
        return None if self.end_time is None else (self.end_time - self.start_time) / 1e6


class CapturedSteps:
    """The steps that were captured, in the order they started."""

    def __init__(self) -> None:
        self._steps: list[Step] = []
        self._scores: list[dict[str, object]] = []

    def __iter__(self) -> Iterator[CapturedStep]:
        return iter(self.all())

    def __len__(self) -> int:
        return len(self._steps)

    @property
    def scores(self) -> list[dict[str, object]]:
        """The scores that were given, as they would have been sent."""
        return [dict(score) for score in self._scores]

    def all(self, name: str | None = None, *, kind: str | None = None) -> list[CapturedStep]:
        """Return the steps of a name or a kind; without either, all."""
        found = [_read(step) for step in self._steps]
        return [step for step in found if name in (None, step.name) and kind in (None, step.kind)]

    def one(self, name: str | None = None, *, kind: str | None = None) -> CapturedStep:
        """Return the only step of a name or a kind; AssertionError where there is none, or several."""
        found = self.all(name, kind=kind)
        wanted = " ".join(part for part in (name, f"of kind {kind}" if kind else None) if part) or "at all"
        if len(found) != 1:
            raise AssertionError(f"expected one step {wanted}, found {len(found)} among:\n{self.tree() or '(none)'}")
        return found[0]

    def children(self, parent: CapturedStep) -> list[CapturedStep]:
        """Return the steps that stand directly below a step."""
        return [step for step in self.all() if (step.trace_id, step.parent_id) == (parent.trace_id, parent.span_id)]

    def tree(self) -> str:
        """Draw the steps as a tree, two spaces a level; kinds but `chain`, failures and running steps are marked."""
        steps = self.all()
        known = {(step.trace_id, step.span_id) for step in steps}
        below: dict[tuple[str, str], list[CapturedStep]] = {}
        roots: list[CapturedStep] = []
        for step in steps:
            parent = (step.trace_id, step.parent_id or "")
            (below.setdefault(parent, []) if parent in known else roots).append(step)
        lines: list[str] = []
        waiting = [(step, 0) for step in reversed(roots)]
        while waiting:
            step, level = waiting.pop()
            marks = [mark for mark in (step.kind, step.status) if mark not in ("chain", "ok")]
            lines.append("  " * level + step.name + (f" ({', '.join(marks)})" if marks else ""))
            waiting += [(child, level + 1) for child in reversed(below.get((step.trace_id, step.span_id), []))]
        return "\n".join(lines)

    def assert_tree(self, expected: str) -> None:
        """Compare the tree with a drawing, common indentation aside; AssertionError where they differ."""
        import textwrap

        drawn, wanted = self.tree(), textwrap.dedent(expected).strip("\n").rstrip()
        if drawn != wanted:
            raise AssertionError(f"the steps are\n{drawn}\nnot\n{wanted}")


class _Recorder:
    """The sink that keeps steps."""

    def __init__(self, clock: Callable[[], int], ids: Callable[[int], int], kept: CapturedSteps) -> None:
        self.clock: Callable[[], int] = clock
        self.wall: Callable[[], int] = clock
        self.bits: Callable[[int], int] = ids
        self.endpoint: str = "http://127.0.0.1:4747"
        self._kept = kept

    def begin(self, step: Step) -> None:
        """Keep a step."""
        self._kept._steps.append(step)

    def notice(self, step: Step) -> None:
        """Nothing to do: the step is kept."""

    def finish(self, step: Step) -> None:
        """Keep a score; a step is kept already."""
        if isinstance(step, Score):
            self._kept._scores.append(step.facts)


class _Still:
    """A clock whose reading for the distance to the wall is the same as its own: all times are its own."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._last = 0

    def __call__(self) -> int:
        self._last = self._clock()
        return self._last

    def last(self) -> int:
        """Return the last reading again."""
        return self._last


@contextmanager
def capture(clock: Callable[[], int] | None = None, ids: Callable[[int], int] | None = None) -> Iterator[CapturedSteps]:
    """Keep the steps that start inside the block instead of sending them, with a fixed clock and fixed ids."""
    steps = CapturedSteps()
    reading = _Still(clock or FixedClock())
    recorder = _Recorder(reading, ids or FixedIds(), steps)
    recorder.wall = reading.last
    kept: Sink = recorder
    before = _runtime.sink
    _runtime.sink = kept
    try:
        yield steps
    finally:
        _runtime.sink = before


def _read(step: Step) -> CapturedStep:
    said = step._seq
    span = json.loads(span_bytes(step))
    step._seq = said
    attributes = {one["key"]: _plain(one["value"]) for one in span["attributes"]}
    code = span.get("status", {}).get("code", 0)
    return CapturedStep(
        name=span["name"],
        kind=str(attributes.get("stepscope.kind") or attributes.get("openinference.span.kind") or "other").lower(),
        trace_id=span["traceId"],
        span_id=span["spanId"],
        parent_id=span.get("parentSpanId"),
        start_time=int(span["startTimeUnixNano"]),
        end_time=int(span["endTimeUnixNano"]) or None,
        input=_side(attributes, "input"),
        output=_side(attributes, "output"),
        status="running" if span["endTimeUnixNano"] == "0" else "error" if code == 2 else "ok",
        error=span["status"].get("message") if code == 2 else None,
        attributes=attributes,
        events=[
            {"name": event["name"], **{one["key"]: _plain(one["value"]) for one in event["attributes"]}}
            for event in span.get("events", [])
        ],
    )


def _plain(value: dict[str, Any]) -> object:
    ((kind, inner),) = value.items()
    if kind == "intValue":
        return int(inner)
    if kind == "arrayValue":
        return [_plain(part) for part in inner["values"]]
    return inner


def _side(attributes: dict[str, object], side: str) -> object:
    text = attributes.get(f"{side}.value")
    if attributes.get(f"{side}.mime_type") == "application/json":
        return json.loads(str(text))
    return text
