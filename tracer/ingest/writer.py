"""The one writer of a service process: many waiting requests, one commit."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from tracer.errors import TracerError, Unavailable
from tracer.ingest.apply import Applier, Changes
from tracer.ingest.prepare import PreparedSpan
from tracer.otlp.records import LogRecord
from tracer.prices import PriceBook
from tracer.store.engine import Store
from tracer.store.sql import Sql
from tracer.units import MINUTE

logger = logging.getLogger(__name__)

SPANS_PER_COMMIT = 8_192
TRACES_PER_COMMIT = 2_000
"""Bounds the advisory locks that one commit takes on Postgres."""

SHARDS = 64
CHANGES_KEPT = 10 * MINUTE
"""How long the change feed remembers: other processes poll it at least every second."""

PRUNE_EVERY_S = 60.0
FOLD_EVERY_S = 30.0


@dataclass(slots=True)
class _Job:
    spans: Sequence[PreparedSpan]
    logs: Sequence[tuple[str, LogRecord]]
    done: Future[None] = field(default_factory=Future)


class Writer:
    """Takes prepared batches from any thread and commits them together.

    `submit` answers with a Future that is done when the batch is committed, or holds the reason why nothing of it is.
    `on_commit` is called on the writer's thread with what changed.
    """

    def __init__(self, store: Store, *, prices: PriceBook, on_commit: Callable[[Changes], None]) -> None:
        self._store = store
        self._on_commit = on_commit
        self._applier = Applier(shard=os.getpid() % SHARDS, prices=prices)
        self._jobs: deque[_Job] = deque()
        self._wake = threading.Condition()
        self._stopping = False
        self._pruned_at = self._folded_at = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def stop(self) -> None:
        """Write what was submitted, then end."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        if self._thread.is_alive():
            self._thread.join()

    def submit(self, spans: Sequence[PreparedSpan], logs: Sequence[tuple[str, LogRecord]] = ()) -> Future[None]:
        """Queue a batch for the next commit.

        Raises Unavailable when the writer is stopping.
        """
        job = _Job(spans, logs)
        with self._wake:
            if self._stopping:
                raise Unavailable("The server is stopping; send this again in a moment.")
            self._jobs.append(job)
            self._wake.notify()
        return job.done

    def _run(self) -> None:
        while True:
            with self._wake:
                while not self._jobs and not self._stopping:
                    self._wake.wait(timeout=PRUNE_EVERY_S)
                    if not self._jobs:
                        break
                if not self._jobs and self._stopping:
                    return
                group = self._take()
            if group:
                self._write(group)
            self._prune()
            self._fold()

    def _take(self) -> list[_Job]:
        """Take waiting jobs up to the bounds of one commit, at least one."""
        group: list[_Job] = []
        spans = 0
        traces: set[bytes] = set()
        while self._jobs:
            job = self._jobs[0]
            spans += len(job.spans) + len(job.logs)
            traces.update(span.record.trace_id for span in job.spans)
            if group and (spans > SPANS_PER_COMMIT or len(traces) > TRACES_PER_COMMIT):
                break
            group.append(self._jobs.popleft())
        return group

    def _write(self, group: list[_Job]) -> None:
        try:
            self._commit(group)
        except TracerError as problem:
            self._applier.forget()
            for job in group:
                job.done.set_exception(problem)
        except Exception as problem:
            self._applier.forget()
            if len(group) == 1:
                logger.exception("a batch could not be written; its sender was told so")
                group[0].done.set_exception(problem)
                return
            # One batch is at fault: written one by one, the others are kept.
            for job in group:
                self._write([job])
        else:
            for job in group:
                job.done.set_result(None)

    def _commit(self, group: list[_Job]) -> None:
        spans = [span for job in group for span in job.spans]
        logs = [log for job in group for log in job.logs]
        with self._store.writing() as connection:
            changes = self._applier.apply(connection, spans, logs)
        if changes.traces:
            self._on_commit(changes)

    def _prune(self) -> None:
        """Forget old lines of the change feed, now and then, when there is nothing else to write."""
        now = time.monotonic()
        if self._jobs or now - self._pruned_at < PRUNE_EVERY_S:
            return
        self._pruned_at = now
        try:
            with self._store.writing() as connection:
                connection.exec_driver_sql(f"DELETE FROM change WHERE at < {time.time_ns() - CHANGES_KEPT}")
        except Exception as problem:  # noqa: BLE001 - what is not pruned now is pruned next time; the writer goes on
            logger.warning("the change feed was not pruned: %s", problem)

    def _fold(self) -> None:
        """Keep the metrics cube bounded, now and then and in slices, also when there is always something to write."""
        if self._store.read_only or time.monotonic() - self._folded_at < FOLD_EVERY_S:
            return
        try:
            with self._store.writing() as connection:
                more = self._applier.folding.step(Sql(connection), now=time.time_ns())
        except Exception as problem:  # noqa: BLE001 - what is not folded now is folded next time; the writer goes on
            logger.warning("the metrics were not folded: %s", problem)
            more = False
        if not more:
            self._folded_at = time.monotonic()
