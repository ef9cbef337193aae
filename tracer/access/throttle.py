"""Slows down who guesses: after some wrong tries none is taken for a while. Counts on the monotonic clock."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from tracer.errors import TooManyTries

FORGOTTEN_S = 15 * 60.0
"""So long after the last wrong try nothing of it is remembered."""

FIRST_PAUSE_S, LONGEST_PAUSE_S = 30.0, 15 * 60.0
MOST = 50_000
"""Names that are remembered at once."""

FROM_HERE, ANYWHERE, BY_ADDRESS = 5, 50, 10
"""Wrong tries that are free: for one account from one address, for one account from anywhere, from one address."""


@dataclass(slots=True)
class _Tries:
    count: int
    at: float
    until: float


class Throttle:
    """Counts the wrong tries of one process. Callable from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tries: dict[tuple[str, str], _Tries] = {}

    def begin(self, account: str, address: str) -> None:
        """Take a try, which counts as a wrong one until it `passed`: however many are made at once, no more are taken.

        Raises TooManyTries while none is taken for this account, or from this address.
        """
        with self._lock:
            self._check(account, address)
            self._count(account, address)

    def check(self, account: str, address: str) -> None:
        """Raise TooManyTries while no try is taken for this account, or from this address."""
        with self._lock:
            self._check(account, address)

    def failed(self, account: str, address: str) -> None:
        """Count a wrong try; from the last free one on, each makes the pause twice as long."""
        with self._lock:
            self._count(account, address)

    def _check(self, account: str, address: str) -> None:
        now = time.monotonic()
        until = max(
            (found.until for name, _ in _counted(account, address) if (found := self._tries.get(name))), default=0.0
        )
        if until > now:
            raise TooManyTries(until - now)

    def _count(self, account: str, address: str) -> None:
        now = time.monotonic()
        if len(self._tries) >= MOST:
            self._tries = {name: one for name, one in self._tries.items() if now - one.at < FORGOTTEN_S}
            while len(self._tries) >= MOST:
                del self._tries[next(iter(self._tries))]
        for name, free in _counted(account, address):
            found = self._tries.pop(name, None)
            if found is None or now - max(found.at, found.until) > FORGOTTEN_S:
                found = _Tries(0, now, 0.0)
            found.count, found.at = found.count + 1, now
            if found.count >= free:
                found.until = now + min(FIRST_PAUSE_S * 2.0 ** min(found.count - free, 10), LONGEST_PAUSE_S)
            self._tries[name] = found

    def passed(self, account: str, address: str) -> None:
        """The account's owner is here: what was counted for it from this address is forgotten, and this try."""
        with self._lock:
            self._tries.pop((account, address), None)
            self._tries.pop((account, ""), None)
            found = self._tries.get(("", address))
            if found is not None:
                found.count -= 1
                if found.count < BY_ADDRESS:
                    found.until = 0.0


def _counted(account: str, address: str) -> tuple[tuple[tuple[str, str], int], ...]:
    """Under which names a try is counted, and how many are free."""
    by_address = (("", address), BY_ADDRESS)
    if not account:
        return (by_address,)
    # Who guesses from elsewhere does not lock out the owner at once.
    return ((account, address), FROM_HERE), ((account, ""), ANYWHERE), by_address
