"""Short questions to the database that somebody waits for: answered soon, or refused."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from sqlalchemy import Connection

from tracer.errors import Unavailable
from tracer.store.engine import Store

T = TypeVar("T")

WITHIN_S = 2.0
"""So long an answer is waited for; a database that hangs keeps its connections open and says nothing."""


class Patience:
    """Asks one question at a time, each in a thread of its own. Callable from any thread.

    Who asks while an earlier question is still not answered after WITHIN_S is refused at once.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._asking = threading.Lock()
        self._open: Future[Any] | None = None
        self._since = 0.0

    def ask(self, work: Callable[[Connection], T]) -> T:
        """The answer to a question; raises Unavailable when there is none in time, and what `work` raises."""
        with self._asking:
            open_ = self._open
            if open_ is not None and not open_.done():
                self._wait(open_)
            answer: Future[T] = Future()
            self._open, self._since = answer, time.monotonic()
            threading.Thread(target=self._answer, args=(work, answer), name="question", daemon=True).start()
            self._wait(answer)
        return answer.result()

    def _wait(self, answer: Future[Any]) -> None:
        left = self._since + WITHIN_S - time.monotonic()
        try:
            answer.exception(timeout=max(0.0, left))
        except TimeoutError:
            raise Unavailable("The database does not answer; send this again in a moment.") from None

    def _answer(self, work: Callable[[Connection], T], answer: Future[T]) -> None:
        try:
            with self._store.reading() as connection:
                answer.set_result(work(connection))
        except BaseException as problem:  # noqa: BLE001 - whoever waits for it gets it
            answer.set_exception(problem)
