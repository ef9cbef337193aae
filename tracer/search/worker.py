"""Indexes in the background: a thread of the service takes lines of work in short slices and yields to ingest."""

from __future__ import annotations

import logging
import os
import secrets
import threading
import time
from collections.abc import Callable

from tracer.errors import TracerError
from tracer.search.catch_up import note_missed, note_off
from tracer.search.merge import merge_once
from tracer.search.slices import SliceMaker, TooLarge
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


class Indexer:
    """The background thread. `busy` tells whether spans are coming in."""

    def __init__(self, store: Store, *, on: bool, busy: Callable[[], bool]) -> None:
        self._store = store
        self._on = on
        self._busy = busy
        self._owner = f"{os.getpid()}-{secrets.token_hex(6)}"
        self._maker = SliceMaker(pause=self._pause)
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
                self._maker.known.forget()
                self._stopping.wait(AFTER_TROUBLE_S)
            except Exception:
                if self._stopping.is_set():
                    return
                logger.exception("indexing failed; it is tried again")
                self._maker.known.forget()
                self._stopping.wait(AFTER_TROUBLE_S)
            else:
                if not more:
                    self._behind_since = None
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
            return merge_once(self._store, pause=self._pause, purging=purging, joining=self._on)
        self._behind_since = first[0].at / SECOND
        if owner != self._owner:
            self._maker.known.forget()
            with self._store.writing(patient=False) as connection:
                if not take_lease(Sql(connection), self._owner, time.time_ns()):
                    return False
        self._slice()
        merge_once(self._store, pause=self._pause, purging=purging)
        return True

    def _slice(self) -> None:
        with self._store.reading() as connection:
            lines = take_work(Sql(connection), spans=SLICE_SPANS)
        if not lines:
            return
        try:
            self._leased_at = time.monotonic()
            made = self._maker.make(self._store, lines)
            with self._store.writing(patient=False) as connection:
                sql, now = Sql(connection), time.time_ns()
                if not take_lease(sql, self._owner, now):
                    raise Outrun("another process indexes")
                write_slice(sql, made, owner=self._owner, now=now)
        except TooLarge as found:
            self._maker.known.forget()
            with self._store.writing(patient=False) as connection:
                index_anew(Sql(connection), found.pk, owner=self._owner, now=time.time_ns())
        except Outrun as reason:
            logger.debug("a slice of the index is made again: %s", reason)
            self._maker.known.forget()
        except BaseException:
            self._maker.known.forget()
            raise
        else:
            self._maker.known.keep(made.known)
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
        if self._busy():
            behind = 0.0 if self._behind_since is None else time.time() - self._behind_since
            rest = next((times for seconds, times in YIELD if behind < seconds), 0.0)
            self._stopping.wait(min(worked * rest, 0.5))
        self._worked_from = time.perf_counter()


class _Stopped(Exception):
    """The service ends."""
