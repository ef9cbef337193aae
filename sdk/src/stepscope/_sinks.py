"""Where steps go: what an exporter, a test's recorder and nothing at all have in common."""

from __future__ import annotations

from collections.abc import Callable
from os import urandom
from time import perf_counter_ns, time_ns
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from ._steps import Step


class Sink(Protocol):
    """Takes steps. Called on the host's thread, so each method costs next to nothing and never raises."""

    clock: Callable[[], int]
    """Nanoseconds that only rise, from any zero."""
    wall: Callable[[], int]
    """Nanoseconds since 1970."""
    bits: Callable[[int], int]
    """A random number of that many bits."""
    endpoint: str
    """Base address of the dashboard."""

    def begin(self, step: Step) -> None:
        """A step started."""

    def notice(self, step: Step) -> None:
        """A running step changed: its newest version may be shown."""

    def finish(self, step: Step) -> None:
        """A step ended; it won't change any more."""


def _any_bits(count: int) -> int:
    """Return a valid id all the same: a handle always has one."""
    return int.from_bytes(urandom(count // 8), "big") or 1


class Nowhere:
    """The sink of steps that nobody records."""

    clock: Callable[[], int] = staticmethod(perf_counter_ns)
    wall: Callable[[], int] = staticmethod(time_ns)
    bits: Callable[[int], int] = staticmethod(_any_bits)
    endpoint: str = ""

    def begin(self, step: Step) -> None:
        """Do nothing."""

    def notice(self, step: Step) -> None:
        """Do nothing."""

    def finish(self, step: Step) -> None:
        """Do nothing."""


NOWHERE = Nowhere()
