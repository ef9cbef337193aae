"""The keys in use, remembered for a moment, so that a busy sender costs no query a request."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial

from sqlalchemy import Connection

from tracer.access.keys import PREFIX_OF, Key, key_of_digest, note_use
from tracer.access.secrets import SECRET_LIMIT, digest_of
from tracer.errors import Unavailable
from tracer.store.engine import Store
from tracer.store.patience import Patience
from tracer.units import MINUTE

logger = logging.getLogger(__name__)

REMEMBERED_S = 1.0
"""How long a key may go on in another process after it was revoked; in this one it ends at once."""

MOST = 10_000
USE_NOTED_EVERY = 10 * MINUTE
OURS = tuple(PREFIX_OF.values())

Later = Callable[[Callable[[Connection], None]], Future[None]]
"""Does a small change on the writer's thread, some time soon."""


class KeyRing:
    """Finds keys by their secrets; `later` carries out what need not be waited for. Callable from any thread."""

    def __init__(self, store: Store, *, later: Later) -> None:
        self._store = store
        self._patience = Patience(store)
        self._later = later
        self._lock = threading.Lock()
        self._held: dict[bytes, tuple[float, Key]] = {}
        self._noted: dict[int, int] = {}
        self._turn = 0

    def remembered(self, secret: str) -> Key | None:
        """The key, when it was looked up a moment ago; asks no database."""
        held = self._held.get(digest_of(secret)) if secret.startswith(OURS) and len(secret) <= SECRET_LIMIT else None
        if held is None or held[0] < time.monotonic() or not held[1].holds(time.time_ns()):
            return None
        return held[1]

    def find(self, secret: str) -> Key | None:
        """The key with this secret; None when there is none, or not any more. Raises Unavailable."""
        if len(secret) > SECRET_LIMIT or not secret.startswith(OURS):
            return None
        digest = digest_of(secret)
        held = self._held.get(digest)
        if held is not None and held[0] >= time.monotonic():
            key: Key | None = held[1]
        else:
            key = self._look_up(digest)
        now = time.time_ns()
        if key is None or not key.holds(now):
            return None
        self._note(key, now)
        return key

    def forget(self) -> None:
        """Ask the database again: a key was changed or revoked."""
        with self._lock:
            self._turn += 1
            self._held.clear()

    def _look_up(self, digest: bytes) -> Key | None:
        turn = self._turn
        key = self._patience.ask(lambda connection: key_of_digest(connection, digest))
        if key is None:
            return None
        with self._lock:
            if turn == self._turn:  # what was read before a change must not be remembered after it
                if len(self._held) >= MOST:
                    self._held.clear()
                until = time.monotonic() + REMEMBERED_S
                self._held[digest] = (until, key)
        return key

    def _note(self, key: Key, now: int) -> None:
        last = max(key.last_used_at or 0, self._noted.get(key.id, 0))
        if abs(now - last) < USE_NOTED_EVERY or self._store.read_only:
            return
        self._noted[key.id] = now
        with suppress(Unavailable):  # the server is stopping
            self._later(partial(note_use, key_id=key.id, at=now)).add_done_callback(_told)


def _told(done: Future[None]) -> None:
    if not done.cancelled() and done.exception() is not None:
        logger.debug("a key's use was not noted: %s", done.exception())
