"""Sampling: one trace in so many, and besides every one that failed or took long."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from ._config import Config
from ._foreign import Foreign
from ._scores import Score
from ._sinks import Sink
from ._steps import Step

if TYPE_CHECKING:
    from ._export import Exporter

_KEPT = 10_000
"""Traces that are remembered as kept, for steps that come late."""


class _Group:
    """One trace's steps in this process, held until none of them runs."""

    __slots__ = ("failed", "first", "last", "open", "size", "steps")

    def __init__(self) -> None:
        self.open = 0
        self.size = 0
        self.failed = False
        self.first = 0
        self.last = 0
        self.steps: list[Step] = []


class Sampler:
    """A sink before the exporter. The choice hangs on the trace's id alone, so that all processes choose alike."""

    clock: Callable[[], int]
    wall: Callable[[], int]

    def __init__(self, exporter: Exporter, config: Config) -> None:
        self._exporter: Sink = exporter
        self.clock = exporter.clock
        self.wall = exporter.wall
        self.bits = exporter.bits
        self.endpoint = exporter.endpoint
        self._below = int(config.sample * 2**64)
        self._errors = config.keep_errors
        self._slow = None if config.keep_slow is None else int(config.keep_slow * 1e9)
        self._room = config.memory // 4
        self._held = 0
        self._groups: dict[int, _Group] = {}
        self._kept: dict[int, None] = {}
        # A signal handler may record in the midst of this.
        self._lock = threading.RLock()
        self.left_out = 0
        """Steps that were not chosen."""

    def chosen(self, trace: int) -> bool:
        """Whether a trace is one of those that are kept in any case."""
        return trace & (2**64 - 1) < self._below

    def begin(self, step: Step) -> None:
        """A step started."""
        if self.chosen(step._trace) or step._trace in self._kept:
            self._exporter.begin(step)
            return
        # It is not shown while it runs: nothing need be heard of its changes.
        step._noticed = True
        if self._errors or self._slow is not None:
            with self._lock:
                group = self._groups.setdefault(step._trace, _Group())
                group.open += 1
                group.first = min(group.first or step._start, step._start)

    def notice(self, step: Step) -> None:
        """A running step changed."""
        if self.chosen(step._trace) or step._trace in self._kept:
            self._exporter.notice(step)

    def finish(self, step: Step) -> None:
        """A step ended."""
        if isinstance(step, Score) or self.chosen(step._trace) or step._trace in self._kept:
            self._exporter.finish(step)
            return
        with self._lock:
            group = self._groups.get(step._trace)
            if group is None:
                self.left_out += 1
                return
            group.steps.append(step)
            group.open -= 1
            group.size += step._size
            self._held += step._size
            group.last = max(group.last, step._end)
            group.failed = group.failed or _failed(step)
            if group.open <= 0 or self._held > self._room:
                self._decide(step._trace, group)

    def close(self) -> None:
        """Judge, by what is known, the traces of which something still runs: the program ends."""
        with self._lock:
            for trace, group in list(self._groups.items()):
                self._decide(trace, group)

    def _decide(self, trace: int, group: _Group) -> None:
        """Keep a trace or let it go; one that must be judged early, for want of memory, is judged by what is known."""
        self._groups.pop(trace, None)
        self._held -= group.size
        slow = self._slow is not None and group.last - group.first >= self._slow
        if not (slow or (self._errors and group.failed)):
            self.left_out += len(group.steps)
            return
        if len(self._kept) >= _KEPT:
            del self._kept[next(iter(self._kept))]
        self._kept[trace] = None
        for step in group.steps:
            self._exporter.finish(step)


def _failed(step: Step) -> bool:
    if isinstance(step, Foreign):
        code: object = getattr(getattr(getattr(step.read, "status", None), "status_code", None), "value", 0)
        return code == 2
    return step._failure is not None
