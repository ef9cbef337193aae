"""The one writer of a service process: many waiting requests, one commit; and other work in slices between commits."""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from sqlalchemy import Connection

from tracer.errors import BadPayload, TracerError, Unavailable
from tracer.ingest.apply import Applier, Changes
from tracer.ingest.locks import TRACES_LOCKED_ONE_BY_ONE
from tracer.ingest.prepare import PreparedSpan
from tracer.ingest.tombstones import DELETED, prune_tombstones
from tracer.otlp.decode import Rejections
from tracer.otlp.records import LogRecord
from tracer.prices import PriceBook
from tracer.store.engine import Store, too_large
from tracer.store.migrate import revisions
from tracer.store.sql import Sql
from tracer.units import MINUTE

logger = logging.getLogger(__name__)

SPANS_PER_COMMIT = 8_192
TRACES_PER_COMMIT = TRACES_LOCKED_ONE_BY_ONE
"""A single batch may have more."""

SHARDS = 64
CHANGES_KEPT = 10 * MINUTE
"""How long the change feed remembers: other processes poll it at least every second."""

PRUNE_EVERY_S = 60.0
T = TypeVar("T")

FRESH_S = 10.0
"""So long after a commit failed the writer is taken to be in trouble, unless a later one succeeds."""

FOLD_EVERY_S = 30.0
RATE_S, RATE_COMMITS = 60.0, 10_000
BUSY_S = 0.1
"""Seconds after a commit in which the next batch is expected."""


@dataclass(slots=True)
class _Job:
    spans: Sequence[PreparedSpan]
    logs: Sequence[tuple[str, LogRecord]]
    done: Future[Rejections] = field(default_factory=Future)

    @property
    def size(self) -> int:
        return len(self.spans) + len(self.logs)

    def rejections(self, refused: set[tuple[str, bytes]]) -> Rejections:
        """What of this batch was refused, when these traces (project's name, trace id) were."""
        rejected = Rejections()
        if refused:
            count = sum((span.project, span.record.trace_id) in refused for span in self.spans)
            count += sum((project, record.trace_id) in refused for project, record in self.logs)
            if count:
                rejected.reasons[DELETED] = count
        return rejected


@dataclass(slots=True)
class _Slice:
    work: Callable[[Connection], Any]
    inside: Callable[[], AbstractContextManager[Connection]]
    done: Future[Any] = field(default_factory=Future)

    def run(self) -> None:
        if not self.done.set_running_or_notify_cancel():
            return
        try:
            with self.inside() as connection:
                result = self.work(connection)
        except BaseException as problem:  # noqa: BLE001 - whoever waits for it gets it
            self.done.set_exception(problem)
        else:
            self.done.set_result(result)


class Writer:
    """Takes prepared batches from any thread and commits them together.

    `submit` answers with a Future that is done when the batch is committed, with what of it was refused, or holds the
    reason why nothing of it is; cancelled before its commit has begun, the batch is dropped. `run` takes other work in
    short slices, of which one at most lies between two commits. `on_commit` is called on the writer's thread with what
    changed.
    """

    def __init__(
        self, store: Store, *, prices: PriceBook, on_commit: Callable[[Changes], None], search: bool = True
    ) -> None:
        self._store = store
        self._on_commit = on_commit
        self._prices = prices
        # By chance, not by process id: in containers every process has the same one.
        self._applier = Applier(shard=secrets.randbelow(SHARDS), prices=prices, search=search)
        self._jobs: deque[_Job] = deque()
        self._slices: deque[_Slice] = deque()
        self._wake = threading.Condition()
        self._stopping = False
        self._backlog = 0
        self._failed: tuple[float, str] | None = None
        self._committed_at = float("-inf")
        self._rate: deque[tuple[float, int]] = deque(maxlen=RATE_COMMITS)
        self.spans_written = 0
        self._pruned_at = self._folded_at = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)

    @property
    def busy(self) -> bool:
        """True while spans come in, so that work in the background had better wait."""
        return bool(self._jobs) or time.monotonic() - self._committed_at < BUSY_S

    @property
    def spans_per_second(self) -> float:
        """Spans written by this process, as a mean over the last minute."""
        since = time.monotonic() - RATE_S
        return sum(spans for at, spans in self._rate.copy() if at >= since) / RATE_S

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def stop(self, *, within: float | None = None) -> None:
        """Write what was submitted, then end; after `within` seconds drop what the database has not taken."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        if self._thread.is_alive():
            self._thread.join(within)
            with self._wake:
                for waiting in (*self._jobs, *self._slices):
                    waiting.done.cancel()

    @property
    def backlog(self) -> int:
        """Spans and log records that were submitted and are neither committed nor given up."""
        return self._backlog

    @property
    def problem(self) -> str | None:
        """Why the last commit failed, a few seconds ago; None when it did not."""
        failed = self._failed
        return failed[1] if failed is not None and time.monotonic() - failed[0] < FRESH_S else None

    @property
    def prices(self) -> PriceBook:
        """What spans are priced by."""
        return self._prices

    @property
    def shard(self) -> int:
        """The shard of the projects' counters that this process writes to."""
        return self._applier.shard

    def submit(self, spans: Sequence[PreparedSpan], logs: Sequence[tuple[str, LogRecord]] = ()) -> Future[Rejections]:
        """Queue a batch for the next commit.

        Raises Unavailable when the writer is stopping.
        """
        job = _Job(spans, logs)
        size = job.size

        def settled(_: Future[Rejections]) -> None:
            job.spans = job.logs = ()  # a job that was given up may stay in the queue for long
            with self._wake:
                self._backlog -= size

        with self._wake:
            if self._stopping:
                raise Unavailable("The server is stopping; send this again in a moment.")
            self._jobs.append(job)
            self._backlog += size
            self._wake.notify()
        job.done.add_done_callback(settled)
        return job.done

    def run(self, work: Callable[[Connection], T], *, transaction: bool = True) -> Future[T]:
        """Do other work on the writing connection, in a transaction of its own or, without one, statement by statement.

        Keep a slice to some 50 ms: batches wait while it runs. Raises Unavailable when the writer is stopping.
        """
        one = _Slice(work, self._store.writing if transaction else self._store.maintaining)
        with self._wake:
            if self._stopping:
                raise Unavailable("The server is stopping; ask for this again in a moment.")
            self._slices.append(one)
            self._wake.notify()
        return one.done

    def change(self, work: Callable[[Applier, Connection], Changes]) -> Future[Changes]:
        """Let the writer's applier do other work than batches, in a slice, and tell open pages what it changed."""
        done = self.run(lambda connection: work(self._applier, connection))

        def settled(done: Future[Changes]) -> None:  # on the writer's thread, once it is committed or rolled back
            if done.cancelled():
                return
            if done.exception() is not None:
                self._applier.forget()
            elif done.result().traces:
                self._tell(done.result())

        done.add_done_callback(settled)
        return done

    def _run(self) -> None:
        while True:
            with self._wake:
                if not self._jobs and not self._slices and not self._stopping:
                    self._wake.wait(timeout=PRUNE_EVERY_S)
                if self._stopping and not self._jobs and not self._slices:
                    return
                group = self._take()
                one = self._slices.popleft() if self._slices else None
            if group:
                self._write(group)
            if one is not None:
                one.run()
            self._prune()
            self._fold()

    def _take(self) -> list[_Job]:
        """Take waiting jobs up to the bounds of one commit, at least one."""
        group: list[_Job] = []
        spans = 0
        traces: set[bytes] = set()
        while self._jobs:
            job = self._jobs[0]
            spans += job.size
            traces.update(span.record.trace_id for span in job.spans)
            if group and (spans > SPANS_PER_COMMIT or len(traces) > TRACES_PER_COMMIT):
                break
            self._jobs.popleft()
            # From here on nobody can withdraw it; a request that was given up before is not written.
            if job.done.set_running_or_notify_cancel():
                group.append(job)
        return group

    def _write(self, group: list[_Job]) -> None:
        try:
            refused = self._commit(group)
        except TracerError as problem:
            self._refuse(group, problem)
        except Exception as problem:
            self._applier.forget()
            if (newer := self._newer_schema()) is not None:
                self._refuse(group, newer)
                return
            if len(group) == 1:
                logger.exception("a batch could not be written; its sender was told so")
                told = BadPayload("A value in it cannot be stored; nothing of this request was.")
                group[0].done.set_exception(told if too_large(problem) else problem)
                return
            # One batch is at fault: written one by one, the others are kept.
            for job in group:
                self._write([job])
        else:
            for job in group:
                job.done.set_result(job.rejections(refused))

    def _refuse(self, group: list[_Job], problem: TracerError) -> None:
        """Nothing of these batches is stored; their senders are told why."""
        self._applier.forget()
        self._failed = (time.monotonic(), problem.message)
        for job in group:
            job.done.set_exception(problem)

    def _newer_schema(self) -> TracerError | None:
        """The problem, if another process has meanwhile brought the database to a schema that is not ours."""
        try:
            with self._store.reading() as connection:
                revisions(connection)
        except TracerError as problem:
            return problem
        return None

    def _commit(self, group: list[_Job]) -> set[tuple[str, bytes]]:
        spans = [span for job in group for span in job.spans]
        logs = [log for job in group for log in job.logs]
        with self._store.writing() as connection:
            changes = self._applier.apply(connection, spans, logs)
        self._failed = None
        self._committed_at = time.monotonic()
        self._rate.append((self._committed_at, len(spans)))
        self.spans_written += len(spans)
        if changes.traces:
            self._tell(changes)
        return changes.refused

    def _tell(self, changes: Changes) -> None:
        try:
            self._on_commit(changes)
        except Exception:
            logger.exception("open pages were not told of a commit")

    def _prune(self) -> None:
        """Forget old lines of the change feed and old tombstones, now and then, when there is nothing else to write."""
        now = time.monotonic()
        if self._jobs or now - self._pruned_at < PRUNE_EVERY_S:
            return
        self._pruned_at = now
        try:
            with self._store.writing() as connection:
                sql = Sql(connection)
                sql.run("DELETE FROM change WHERE at < ?", [time.time_ns() - CHANGES_KEPT])
                prune_tombstones(sql, time.time_ns())
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
