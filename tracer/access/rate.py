"""Holds each key to the requests a minute that it was given, with short bursts; counts on the monotonic clock."""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict

from tracer.access.keys import Key
from tracer.errors import TooFast

MOST = 10_000
BURST_S = 10.0
"""A key may use at once what it may use in so long, and one request at least."""


class Rates:
    """What the keys of one process have left. Callable from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._left: OrderedDict[int, tuple[float, float]] = OrderedDict()

    def take(self, key: Key) -> None:
        """Count a request; raises TooFast when the key has none left for the moment."""
        if key.rate_limit is None:
            return
        a_second = key.rate_limit / 60.0
        most = max(1.0, a_second * BURST_S)
        now = time.monotonic()
        with self._lock:
            left, at = self._left.pop(key.id, (most, now))
            left = min(most, left + (now - at) * a_second)
            enough = left >= 1.0
            self._left[key.id] = (left - 1.0 if enough else left, now)
            while len(self._left) > MOST:
                self._left.popitem(last=False)
        if not enough:
            raise TooFast(math.ceil((1.0 - left) / a_second), limit=key.rate_limit)
