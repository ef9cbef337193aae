"""Deletes traces, merges and deletes projects: in slices between commits, resumed after a restart, with a receipt."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TypeVar

from sqlalchemy import Connection

from tracer.errors import NotFound, TracerError
from tracer.ingest import receipts
from tracer.ingest.apply import Applier, Changes
from tracer.ingest.choose import (
    NOTHING_SPARED,
    Candidate,
    Spared,
    as_ruled,
    count_meant,
    in_order,
    oldest_first,
    projects_of,
    still_meant,
)
from tracer.ingest.delete import Deleted, delete_traces, sweep
from tracer.ingest.keeping import keeping_everywhere
from tracer.ingest.moving import Work, leave_nothing, merging
from tracer.ingest.projects import begin_merge, begin_removal
from tracer.ingest.receipts import Receipt
from tracer.ingest.reclaim import reclaim
from tracer.ingest.retention import Retention
from tracer.ingest.room import Gauge, first_of
from tracer.ingest.waiting_logs import LogKey, drop_logs, waiting_logs
from tracer.ingest.writer import Writer
from tracer.search.merge import purge
from tracer.store.engine import Store
from tracer.store.sql import Sql

logger = logging.getLogger(__name__)

PATIENCE_S = 5.0
"""How long a request waits for a deletion before it is answered with a receipt that is not done."""

SLICE_S = 0.03
"""What a slice should take: batches wait for it. Slices grow and shrink towards it."""

FEWEST_SPANS, FIRST_SPANS, MOST_SPANS = 200, 1_000, 10_000
LOOK_EVERY_S = 10.0
"""How often an idle process looks for deletions that another one left."""

TRY_AGAIN_S = 1.0
POLITE_PAUSE_S = 0.02
GIVE_WAY_S = 0.01
T = TypeVar("T")


class Deleter:
    """Deletes what it is asked for and what is older or larger than `retention` allows.

    `delete_trace`, `ask` and `wait` may be called from any thread. `on_commit` is told of the traces that went,
    `on_done` of each deletion that is done and that a rule wanted, not somebody. `polite` leaves the database free
    between slices for as long as one took: for a process beside the server's.
    """

    def __init__(
        self,
        store: Store,
        writer: Writer,
        *,
        on_commit: Callable[[Changes], None],
        on_done: Callable[[Receipt], None] = lambda _: None,
        retention: Retention | None = None,
        polite: bool = False,
        abandoned_after: int = 10,
    ) -> None:
        self._store = store
        self._abandoned_after = abandoned_after
        self._writer = writer
        self._on_commit = on_commit
        self._on_done = on_done
        self._retention = retention
        self._polite = polite
        self._spans = FIRST_SPANS
        self._worked_from = 0.0
        self._took = 0.0
        """Seconds that the last slice held the writer."""
        self._wake = threading.Condition()
        self._asked = False
        self._held: int | None = None
        """The deletion that the database did not take to its end: it is gone on with before others."""
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="deleter", daemon=True)

    def start(self) -> None:
        """Begin: go on with what is unfinished, and keep to the retention from now on."""
        if not self._store.read_only:
            self._thread.start()

    def stop(self, *, within: float | None = None) -> None:
        """End after the slice that is under way, or after `within` seconds; what is left goes on at the next start."""
        self._stopping.set()
        with self._wake:
            self._wake.notify_all()
        if self._thread.is_alive():
            self._thread.join(within)

    def delete_trace(self, pk: int, *, project_id: int) -> Receipt:
        """Delete one trace, by its row number: it is gone when this returns, and mostly its space too.

        Raises NotFound when it is not there, Unavailable when the database is away.
        """
        end = time.monotonic() + PATIENCE_S
        deletion_id, deleted = self._slice(partial(self._delete_one, pk, project_id))
        if not deleted.traces:
            raise NotFound("This trace is not there any more.", field="trace_id")
        self._on_commit(deleted.changes)
        out_of_time = partial(self._is_past, end)
        if not self._finish(deletion_id, out_of_time):
            self._slice(lambda sql: receipts.put_back(sql, deletion_id))
            self._notify()
        return self.receipt(deletion_id)

    def ask(
        self,
        *,
        project_id: int | None,
        since: int | None = None,
        until: int | None = None,
        max_size: int | None = None,
        q: str | None = None,
        user_id: str | None = None,
        session_id: str | None = None,
        tag: str | None = None,
        by_rule: bool = False,
    ) -> Receipt:
        """Ask for a deletion: a project's (or every) trace that is there now and started in the time.

        With `max_size`, the oldest of them until the project, or the database, holds no more bytes; with `q`, those
        that the search finds when their turn comes; with `user_id` or `session_id`, those of which any step names
        them; with `tag`, those that have it. One `by_rule` goes as far as the project's rules want it. Returns at once.
        """
        deletion_id = self._slice(
            lambda sql: receipts.open_receipt(
                sql,
                now=time.time_ns(),
                project_id=project_id,
                since=since,
                until=until,
                max_size=max_size,
                q=q,
                user_id=user_id,
                session_id=session_id,
                tag=tag,
                by_rule=by_rule,
            )
        )
        self._notify()
        return self.receipt(deletion_id)

    def look_again(self) -> None:
        """Do what the rules of projects want now: they were changed."""
        if self._retention is not None:
            self._retention.look_again()
        self._notify()

    def merge(self, project_id: int, into_id: int, *, author: str) -> Receipt:
        """Make a project part of another: what is sent to it reaches the other at once, its traces follow.

        Raises BadRequest, Conflict and NotFound as `begin_merge` does.
        """
        receipt = self._slice(lambda sql: begin_merge(sql, project_id, into_id, author=author, now=time.time_ns()))
        self._notify()
        return self.receipt(receipt)

    def remove_project(self, project_id: int, *, author: str) -> Receipt:
        """Delete a project with all that it has: it is gone for senders at once, its traces follow.

        Raises Conflict and NotFound as `begin_removal` does.
        """
        receipt = self._slice(lambda sql: begin_removal(sql, project_id, author=author, now=time.time_ns()))
        self._notify()
        return self.receipt(receipt)

    def wait(self, deletion_id: int, *, seconds: float) -> Receipt:
        """The receipt, once it is done or after so many seconds."""
        end = time.monotonic() + seconds
        while True:
            receipt = self.receipt(deletion_id)
            if receipt.state in ("done", "failed") or self._is_past(end):
                return receipt
            with self._wake:
                self._wake.wait(0.02)

    def receipt(self, deletion_id: int) -> Receipt:
        """How far a deletion is; raises NotFound."""
        with self._store.reading() as connection:
            found = receipts.read_receipt(Sql(connection), deletion_id)
        if found is None:
            raise NotFound(f"There is no deletion {deletion_id}.", field="deletion_id")
        return found

    def carry_out(self, deletion_id: int, *, told: Callable[[Receipt], None] = lambda _: None) -> bool:
        """Do a deletion in this thread; False when another process does it, or when this one stops before the end.

        `told` hears of each slice.
        """
        claimed = self._held == deletion_id
        if not claimed and not self._slice(lambda sql: receipts.claim(sql, deletion_id, time.time_ns())):
            return False
        self._held = deletion_id
        receipt = self.receipt(deletion_id)
        try:
            whole = self._do(receipt, told)
            return whole and self._finish(deletion_id, self._stopping.is_set, by_rule=bool(receipt.by_rule))
        except TracerError:
            raise  # the database is away: whoever called comes back to it
        except Exception:
            self._held = None
            self._slice(lambda sql: receipts.close_receipt(sql, deletion_id, now=time.time_ns(), state="failed"))
            raise

    def _do(self, receipt: Receipt, told: Callable[[Receipt], None]) -> bool:
        if receipt.job == "merge":
            if receipt.total_traces is None:
                total = count_meant(self._store, receipt)
                self._slice(lambda sql: receipts.set_total(sql, receipt.id, total))
            works = merging(self._store, receipt, self._writer.prices, spans=lambda: self._spans)
            return self._sweep(receipt.id, self._stopping.is_set) and self._carry_on(receipt.id, works, told)
        whole = not receipt.newest_pk or self._delete_meant(receipt, told)
        if whole and receipt.job == "project":
            return self._carry_on(receipt.id, leave_nothing(self._store, receipt), told)
        return whole

    def _carry_on(self, receipt_id: int, works: Iterable[Work], told: Callable[[Receipt], None]) -> bool:
        self._worked_from = time.perf_counter()
        for work in works:
            if self._stopping.is_set():
                return False
            self._change(work)
            self._learn(self._spans)
            told(self.receipt(receipt_id))
            self._give_way()
        return True

    def _change(self, work: Work) -> None:
        """Do one slice with the writer's applier, and tell open pages what it changed."""

        def timed(applier: Applier, connection: Connection) -> Changes:
            start = time.perf_counter()
            try:
                return work(applier, connection)
            finally:
                self._took = time.perf_counter() - start

        self._writer.change(timed).result()
        if self._polite:
            self._stopping.wait(max(self._took, POLITE_PAUSE_S))

    def _delete_meant(self, receipt: Receipt, told: Callable[[Receipt], None]) -> bool:
        spared: Spared = ()
        if receipt.by_project_rule:
            with self._store.reading() as connection:
                ruled = as_ruled(Sql(connection), receipt, time.time_ns())
            if ruled is None:
                return True
            receipt, spared = ruled
        try:
            if receipt.max_size is not None:
                return self._shrink(receipt, receipt.max_size, told)
            return self._delete_in_order(receipt, spared, told)
        except _RuleGone:
            return True

    def _delete_in_order(self, receipt: Receipt, spared: Spared, told: Callable[[Receipt], None]) -> bool:
        if receipt.total_traces is None and receipt.q is None:
            total = count_meant(self._store, receipt, spared)
            self._slice(lambda sql: receipts.set_total(sql, receipt.id, total))
        minutes = self._abandoned_after
        for project_id in projects_of(self._store, receipt):
            for rows in in_order(self._store, receipt, project_id, abandoned_after=minutes, spared=spared):
                left = rows
                while left:
                    part = first_of(left, self._spans)
                    if not self._delete(receipt, part, told):
                        return False
                    left = left[len(part) :]
        # Nobody knows yet whose those are that wait for their span.
        for keys in waiting_logs(self._store, receipt) if receipt.whole else ():
            if self._stopping.is_set():
                return False
            self._slice(partial(self._drop_logs, receipt.id, keys))
        return True

    def _drop_logs(self, deletion_id: int, keys: list[LogKey], sql: Sql) -> None:
        now = time.time_ns()
        drop_logs(sql, keys, now)
        receipts.advance(sql, deletion_id, now=now)

    def _shrink(self, receipt: Receipt, max_size: int, told: Callable[[Receipt], None]) -> bool:
        """Delete the oldest until there is room; those that a tag keeps for ever only when nothing else is left."""
        with self._store.reading() as connection:
            every = keeping_everywhere(Sql(connection), receipt.project_id)
        kept = {project_id: keeping.kept_tags for project_id, keeping in every.items() if keeping.kept_tags}
        gauge = Gauge(self._store, receipt.project_id, max_size)
        for spared in (kept, NOTHING_SPARED) if kept else (NOTHING_SPARED,):
            for rows in oldest_first(self._store, receipt, spared):
                left = rows
                while left:
                    part = gauge.first_of(first_of(left, self._spans))
                    if not part:
                        return True
                    if not self._delete(receipt, part, told, sparing=bool(spared)):
                        return False
                    left = left[len(part) :]
        return True

    def _delete(
        self,
        receipt: Receipt,
        part: Sequence[Candidate],
        told: Callable[[Receipt], None],
        *,
        sparing: bool = True,
    ) -> bool:
        """Delete some traces in one slice; raises _RuleGone. `sparing`: not those that a rule spares by now."""
        if self._stopping.is_set():
            return False

        def work(sql: Sql) -> Deleted | None:
            now, pks = time.time_ns(), [row.pk for row in part]
            if receipt.by_project_rule:
                ruled = as_ruled(sql, receipt, now)
                if ruled is None:
                    return None
                pks = still_meant(sql, ruled[0], pks, ruled[1] if sparing else ())
            deleted = delete_traces(sql, pks, deletion_id=receipt.id, shard=self._writer.shard, now=now)
            receipts.advance(sql, receipt.id, now=now, traces=deleted.traces, spans=deleted.spans)
            return deleted

        deleted = self._slice(work)
        if deleted is None:
            raise _RuleGone
        if deleted.traces:
            self._on_commit(deleted.changes)
        self._learn(deleted.spans)
        told(self.receipt(receipt.id))
        return self._sweep(receipt.id, self._stopping.is_set)

    def _delete_one(self, pk: int, project_id: int, sql: Sql) -> tuple[int, Deleted]:
        now = time.time_ns()
        deletion_id = receipts.open_receipt(sql, now=now, project_id=project_id, newest_pk=0, state="running")
        deleted = delete_traces(sql, [pk], deletion_id=deletion_id, shard=self._writer.shard, now=now)
        if deleted.traces:
            receipts.set_total(sql, deletion_id, deleted.traces)
            receipts.advance(sql, deletion_id, now=now, traces=deleted.traces, spans=deleted.spans)
        else:
            receipts.withdraw(sql, deletion_id)
        return deletion_id, deleted

    def _finish(self, deletion_id: int, stop: Callable[[], bool], *, by_rule: bool = False) -> bool:
        """Delete the rest of large traces and their words, give the space back, close the receipt.

        False when `stop` said so before.
        """
        if not self._sweep(deletion_id, stop):
            return False
        if not purge(self._store, pause=self._give_way, stop=stop):
            return False
        receipt = self.receipt(deletion_id)
        if not reclaim(self._store, self._writer, spans=receipt.spans, stop=stop):
            return False
        self._slice(lambda sql: receipts.close_receipt(sql, deletion_id, now=time.time_ns()))
        if by_rule and receipt.traces:
            self._on_done(receipt)
        self._held = None if self._held == deletion_id else self._held
        with self._wake:
            self._wake.notify_all()
        return True

    def _sweep(self, deletion_id: int, stop: Callable[[], bool]) -> bool:
        def work(sql: Sql) -> bool:
            more = sweep(sql, spans=self._spans, shard=self._writer.shard)
            if more:
                receipts.advance(sql, deletion_id, now=time.time_ns())
            return more

        while self._slice(work):
            if stop():
                return False
        return True

    def _give_way(self) -> None:
        """Called in the midst of work in this thread: leaves half of the time to batches that come in."""
        worked = time.perf_counter() - self._worked_from
        if worked < GIVE_WAY_S:
            return
        if self._polite or self._writer.busy:
            self._stopping.wait(min(worked, POLITE_PAUSE_S))
        self._worked_from = time.perf_counter()

    def _slice(self, work: Callable[[Sql], T]) -> T:
        """Do one slice on the writer's thread."""

        def timed(connection: Connection) -> T:
            start = time.perf_counter()
            try:
                return work(Sql(connection))
            finally:
                self._took = time.perf_counter() - start

        result = self._writer.run(timed).result()
        if self._polite:
            self._stopping.wait(max(self._took, POLITE_PAUSE_S))
        return result

    def _learn(self, spans: int) -> None:
        """Make slices larger or smaller, after one of so many spans."""
        if self._took > 2 * SLICE_S:
            self._spans = max(FEWEST_SPANS, self._spans // 2)
        elif self._took < SLICE_S / 2 and spans > self._spans // 2:
            self._spans = min(MOST_SPANS, self._spans * 3 // 2)

    def _is_past(self, end: float) -> bool:
        return self._stopping.is_set() or time.monotonic() > end

    def _notify(self) -> None:
        with self._wake:
            self._asked = True
            self._wake.notify_all()

    def _run(self) -> None:
        while not self._stopping.is_set():
            with self._wake:
                self._asked = False
            try:
                worked = self._work()
            except TracerError as problem:
                logger.info("a deletion waits: %s", problem)
                self._stopping.wait(TRY_AGAIN_S)
                continue
            except Exception:
                logger.exception("a deletion failed")
                worked = False
            with self._wake:
                if not worked and not self._asked and not self._stopping.is_set():
                    self._wake.wait(LOOK_EVERY_S)

    def _work(self) -> bool:
        """Do one deletion; when there is none, ask for what the retention wants. True when something was done."""
        deletion_id = self._held
        if deletion_id is None:
            with self._store.reading() as connection:
                deletion_id = receipts.next_unfinished(Sql(connection), time.time_ns())
        if deletion_id is not None:
            self.carry_out(deletion_id)
            return True
        due = self._retention.due(self._store) if self._retention is not None else None
        if due is None:
            return False
        self.ask(project_id=due.project_id, until=due.until, max_size=due.max_size, tag=due.tag, by_rule=True)
        return True


class _RuleGone(Exception):
    """The rule by which traces go was taken back meanwhile."""
