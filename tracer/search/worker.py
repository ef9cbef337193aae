"""Indexes in the background: a thread of the service takes lines of work in short slices and yields to ingest.

When it falls behind, or would take much of the core that ingest needs, it has the slices made by a process beside the
service, on another core.
"""

from __future__ import annotations

import logging
import os
import secrets
import threading
import time
from collections.abc import Callable

from tracer.errors import TracerError
from tracer.search.beside import WORKS_HERE, Beside, Gone, Here, Maker
from tracer.search.catch_up import note_missed, note_off
from tracer.search.merge import merge_once
from tracer.search.slices import TooLarge
from tracer.search.work import Outrun, take_work
from tracer.search.write import LEASE, index_anew, take_lease, write_slice
from tracer.store.engine import Store
from tracer.store.sql import Sql
from tracer.units import SECOND

logger = logging.getLogger(__name__)

SLICE_SPANS = 4096
GATHER_S = 0.2
"""A pause before what just came is indexed, so that steps that come one by one are written together."""

POLL_S = 1.0
"""How often work is looked for that another process left."""

AFTER_TROUBLE_S = 2.0
WORKED_S = 0.005
"""Seconds of work between two pauses while spans come in."""

YIELD = ((5, 4.0), (15, 2.0), (30, 1.0), (60, 0.4), (120, 0.1))
"""While spans come in: up to so many seconds behind, rest so many times as long as the work took."""


BESIDE_AFTER_S = 3.0
"""Seconds behind from which the work is done beside the service, where there are two cores."""

BESIDE_LOAD, LOAD_OVER_S = 0.25, 2.0
"""The part of a core that indexing may take from the service, over so many seconds, before it is done beside.

Until then one interpreter does both in turns: of 4,000 spans a second words were found in time, but batches waited up
to 0.6 s.
"""

BESIDE_IDLE_S = 20.0
"""So long without work, and the process beside the service ends: an idle service is one process."""

ALONE_S = 60.0
"""After the process beside the service ended by itself: so long without one."""


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Load:
    """Tells whether a thread works much, from the processor's time that it has used at each moment."""

    def __init__(self, now: float, used: float) -> None:
        self._now, self._used = now, used

    def is_high(self, now: float, used: float) -> bool:
        """Whether it used more than BESIDE_LOAD of a core since it was looked at LOAD_OVER_S ago, or longer."""
        took = now - self._now
        if took < LOAD_OVER_S:
            return False
        share, self._now, self._used = (used - self._used) / took, now, used
        return share > BESIDE_LOAD


class Indexer:
    """The background thread. `busy` tells whether spans are coming in.

    Behind by `beside_after` seconds, or while it works much, it works in a process beside this one; None: never.
    """

    def __init__(self, store: Store, *, on: bool, busy: Callable[[], bool], beside_after: float | None = None) -> None:
        self._store = store
        self._on = on
        self._busy = busy
        self._beside_after = beside_after if WORKS_HERE else None
        self._beside: Beside | None = None
        self._beside_used = 0.0
        self._alone_until = 0.0
        self._load: Load | None = None
        self._owner = f"{os.getpid()}-{secrets.token_hex(6)}"
        self._here = Here(store, pause=lambda: self._pause())
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._worked_from = time.perf_counter()
        self._behind_since: float | None = None
        self._leased_at: float | None = None
        """When a slice is made: when this process last said that it indexes."""
        self._thread = threading.Thread(target=self._run, name="indexer", daemon=True)

    def start(self) -> None:
        """Begin to index, where the database can be written."""
        if not self._store.read_only:
            self._thread.start()

    def stop(self, *, within: float | None = None) -> None:
        """End, or be left behind after `within` seconds; what is not indexed yet stays noted as work."""
        self._stopping.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(within)
        if not self._thread.is_alive():
            self._end_beside()

    def wake(self) -> None:
        """There is work. Callable from any thread."""
        self._wake.set()

    def _run(self) -> None:
        prepared = False
        while not self._stopping.is_set():
            try:
                if not prepared:
                    self._prepare()
                    prepared = True
                more = self.step()
            except _Stopped:
                return
            except TracerError as problem:
                logger.info("indexing waits: %s", problem)
                self._forget()
                self._stopping.wait(AFTER_TROUBLE_S)
            except Gone as reason:
                logger.warning("the process that indexed beside the service is gone (%s); it goes on here", reason)
                self._end_beside()
                self._alone_until = time.monotonic() + ALONE_S
                self._forget()
            except Exception:
                if self._stopping.is_set():
                    return
                logger.exception("indexing failed; it is tried again")
                self._end_beside()
                self._forget()
                self._stopping.wait(AFTER_TROUBLE_S)
            else:
                if not more:
                    self._behind_since = None
                    if self._beside is not None and time.monotonic() - self._beside_used > BESIDE_IDLE_S:
                        self._end_beside()
                    self._wake.wait(POLL_S)
                    self._wake.clear()
                    self._stopping.wait(GATHER_S)

    def _prepare(self) -> None:
        with self._store.writing(patient=False) as connection:
            if not self._on:
                note_off(Sql(connection), time.time_ns())
                return
        note_missed(self._store)

    def step(self) -> bool:
        """Index one slice, else write segments anew; False when there is nothing to do.

        Raises Unavailable when the database does not take it now.
        """
        self._worked_from = time.perf_counter()
        with self._store.reading() as connection:
            sql = Sql(connection)
            first = sql.rows("SELECT at FROM search_work ORDER BY id LIMIT 1") if self._on else ()
            owner = sql.rows("SELECT owner FROM search_state WHERE id = 1")[0].owner
            # A deletion takes more and more out of the same segments, and writes them anew at its end.
            purging = not sql.rows("SELECT 1 FROM deletion WHERE state IN ('waiting', 'running') LIMIT 1")
        if not first:
            self._behind_since = None
            return merge_once(
                self._store, pause=self._pause, purging=purging, joining=self._on, join=self._maker().join
            )
        self._behind_since = first[0].at / SECOND
        if owner != self._owner:
            self._forget()
            with self._store.writing(patient=False) as connection:
                if not take_lease(Sql(connection), self._owner, time.time_ns()):
                    return False
        self._begin_beside(self._behind_since)
        self._slice()
        merge_once(self._store, pause=self._pause, purging=purging, join=self._maker().join)
        return True

    def _maker(self) -> Maker:
        """What makes slices now: the process beside, once there is one."""
        if self._beside is None:
            return self._here
        self._beside_used = time.monotonic()
        return self._beside

    def _begin_beside(self, behind_since: float) -> None:
        """Start the process beside when it is time; it takes over without what is known here."""
        after, now, used = self._beside_after, time.monotonic(), time.thread_time()
        if after is None or self._beside is not None or now < self._alone_until:
            self._load = None
            return
        self._load = self._load or Load(now, used)
        if self._load.is_high(now, used) or time.time() - behind_since >= after:
            self._here.forget()
            self._beside = Beside(self._store.url, waiting=self._pause)

    def _end_beside(self) -> None:
        if self._beside is not None:
            self._beside.close()
            self._beside = None

    def _forget(self) -> None:
        self._here.forget()
        if self._beside is not None:
            self._beside.forget()

    def _slice(self) -> None:
        maker = self._maker()
        with self._store.reading() as connection:
            lines = take_work(Sql(connection), spans=SLICE_SPANS)
        if not lines:
            return
        try:
            self._leased_at = time.monotonic()
            made = maker.make(lines)
            with self._store.writing(patient=False) as connection:
                sql, now = Sql(connection), time.time_ns()
                if not take_lease(sql, self._owner, now):
                    raise Outrun("another process indexes")
                write_slice(sql, made, owner=self._owner, now=now)
        except TooLarge as found:
            self._forget()
            with self._store.writing(patient=False) as connection:
                index_anew(Sql(connection), found.pk, owner=self._owner, now=time.time_ns())
        except Outrun as reason:
            logger.debug("a slice of the index is made again: %s", reason)
            self._forget()
        except Gone:
            raise
        except BaseException:
            self._forget()
            raise
        else:
            maker.keep(made)
        finally:
            self._leased_at = None

    def _keep_lease(self) -> None:
        """Say now and then that this process still indexes, while it makes a slice that takes long."""
        if self._leased_at is None or time.monotonic() - self._leased_at < LEASE / SECOND / 3:
            return
        with self._store.writing(patient=False) as connection:
            if not take_lease(Sql(connection), self._owner, time.time_ns()):
                raise Outrun("another process indexes")
        self._leased_at = time.monotonic()

    def _pause(self) -> None:
        """Give way to ingest: the longer the index is behind, the less."""
        if self._stopping.is_set():
            raise _Stopped
        worked = time.perf_counter() - self._worked_from
        if worked < WORKED_S:
            return
        self._keep_lease()
        if self._busy() and self._beside is None:
            behind = 0.0 if self._behind_since is None else time.time() - self._behind_since
            rest = next((times for seconds, times in YIELD if behind < seconds), 0.0)
            self._stopping.wait(min(worked * rest, 0.5))
        self._worked_from = time.perf_counter()


class _Stopped(Exception):
    """The service ends."""
