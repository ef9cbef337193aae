"""Running steps that wait to be shown: which of them are due, and which have ended meanwhile."""

from __future__ import annotations

import time
from collections import deque
from contextlib import suppress

from ._steps import Step

GROWTH = 0.5
"""Seconds between two running versions of one step."""
MOST = 256
"""Steps that are shown at once."""


class Running:
    """What the host's threads say of steps that started or changed. Read by the delivery thread."""

    def __init__(self, notices: deque[Step]) -> None:
        self._notices = notices
        self._later: list[Step] = []
        self._later_at = 0.0

    def pause(self, now: float) -> float | None:
        """Return the seconds until a step may be shown again that was shown just now; None where there is none."""
        return max(self._later_at - now, 0.0) if self._later else None

    def due(self) -> list[Step]:
        """Take the steps that are due to be shown."""
        now = time.monotonic()
        notices = self._notices
        if self._later and now >= self._later_at:
            notices.extend(self._later)
            self._later.clear()
        due: list[Step] = []
        with suppress(IndexError):  # a thread of the host's has just forgotten some
            for _ in range(len(notices)):
                step = notices.popleft()
                if step._end:
                    continue
                if step._sent_at and now - step._sent_at < GROWTH:
                    if not self._later or step._sent_at + GROWTH < self._later_at:
                        self._later_at = step._sent_at + GROWTH
                    self._later.append(step)
                    continue
                # First, so that what is set while we write is noticed again.
                step._noticed = False
                step._sent_at = now
                due.append(step)
                if len(due) >= MOST:
                    break
        return due

    def forget_ended(self, most: int | None = None) -> None:
        """Let go of steps that ended before they could be shown: they wait among the ended ones, or on disk already.

        Of `most` steps, or of all. Any thread's.
        """
        notices = self._notices
        count = len(notices)
        with suppress(IndexError):  # another thread does the same
            for _ in range(count if most is None else min(count, most)):
                step = notices.popleft()
                if not step._end:
                    notices.append(step)

    def clear(self) -> None:
        """Show nothing any more."""
        self._notices.clear()
        self._later.clear()
