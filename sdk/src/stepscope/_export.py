"""The exporter: takes steps from the host's threads, and delivers them from a thread of its own.

The host's side (`begin`, `notice`, `finish`) takes no lock and does no work: it appends to a deque, and wakes the
delivery thread when that sleeps. Everything else happens in the delivery thread, so its state needs no lock either.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from random import Random

from . import _guard
from ._config import Config
from ._delivery import Delivery
from ._sampling import Sampler
from ._shorten import LARGE, shorten
from ._sinks import Sink
from ._status import Status
from ._steps import Step

LINGER = 0.02
"""Seconds between a step that wakes the delivery thread and the first delivery: short steps leave finished, once."""
WINDOW = 0.1
"""Seconds between deliveries while steps keep coming."""
NOTICE_LIMIT = 20_000
"""Running steps that wait to be shown; beyond that they are shown when they end."""
FEW = 64
"""Steps that aren't worth a file of their own, while memory is only a little over its bound."""
NAP = 60.0
"""Seconds after which a sleeping delivery thread looks up, come what may."""


class Exporter:
    """Delivers steps to one server."""

    clock: Callable[[], int]
    wall: Callable[[], int]

    def __init__(self, config: Config) -> None:
        self.config = config
        self.endpoint = config.endpoint
        self.clock = time.perf_counter_ns
        self.wall = time.time_ns
        self.bits = Random(os.urandom(32)).getrandbits
        self.notices: deque[Step] = deque()
        self.ended: deque[Step] = deque()
        self.delivery = Delivery(config, self.ended, self.notices, self._bytes_held)
        self._overflow = self.delivery.overflow
        # The rest is for the work: a batch that is written and packed, steps on their way to disk and back.
        self._limit = config.memory * 3 // 4 if config.spool is None else config.memory // 2
        self._tight = config.memory // 2
        self._crowd = config.memory // 4
        self._pressing = False
        # Bytes put in by the host's threads; the delivery thread counts those that it let go.
        self._put = 0
        self._refused = 0
        self._shortened = 0
        self._refusing = threading.RLock()
        self._asleep = True
        self._wake = threading.Lock()
        self._wake.acquire()
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._waiters: deque[tuple[int, threading.Lock]] = deque()
        self.front: Sink = Sampler(self, config) if config.sample < 1 else self
        self._parking = False
        self._closed = False
        self._retired = False
        self._hooked = False

    # --- the host's side -------------------------------------------------------------------------------------------

    def begin(self, step: Step) -> None:
        """A step started: it is shown while it runs, unless it ends before the next delivery."""
        if len(self.notices) < NOTICE_LIMIT:
            step._noticed = True
            self.notices.append(step)
            if self._asleep:
                self._rouse()

    notice = begin

    def finish(self, step: Step) -> None:
        """A step ended: it is queued.

        Where the memory that was granted is used up, a large step is cut short, and small ones are moved to disk by
        this thread: what either costs is little beside the making of the step.
        """
        size = step._size
        held = self._put - self.delivery.freed - self._overflow.freed + size
        if held > self._crowd:
            if size > LARGE and held > self._tight:
                held += self._cut_short(step) - size
                size = step._size
            if held > self._limit and not self._room_for(held):
                self._refuse(step)
                return
            if not self._pressing:
                self._pressing = True
                self._ring()
        self._put += size
        self.ended.append(step)
        if self._asleep:
            self._rouse()

    def _bytes_held(self) -> int:
        return self._put - self.delivery.freed - self._overflow.freed

    def _room_for(self, held: int) -> bool:
        if self._closed:
            return False
        # Where the delivery thread has nearly all of it in its hands, files of a few steps would be worse than waiting.
        if len(self.ended) < FEW and held < self._limit * 1.25:
            return self.config.spool is not None
        return self.delivery.make_room(self.ended)

    def _cut_short(self, step: Step) -> int:
        """Keep the heads of a large step's texts; returns its size then."""
        try:
            if not self._closed and shorten(step):
                with self._refusing:
                    self._shortened += 1
                _guard.warn(
                    "shortened",
                    f"stepscope: {self.config.memory:,} bytes of memory are nearly full; of large steps the beginnings"
                    " are kept meanwhile (stepscope.status() counts them).",
                )
        except Exception:
            _guard.failed("cutting a step short")
        return step._size

    def _refuse(self, step: Step) -> None:
        with self._refusing:
            self._refused += 1
        # The handle may live on in the host; what it held may not.
        step._input = step._output = step._extra = step._chunks = step._events = None
        if self._closed:
            why = "a step ended after the last delivery; it is dropped"
        else:
            why = f"{self.config.memory:,} bytes of steps wait for {self.endpoint}; further steps are dropped"
        _guard.warn("full", f"stepscope: {why} (stepscope.status() counts them).")

    def _rouse(self) -> None:
        self._asleep = False
        thread = self._thread
        if thread is None or not thread.is_alive():
            self._start()
        self._ring()

    def _ring(self) -> None:
        # A raw lock used as a bell: unlike an Event it can be rung from a signal handler that interrupts a ring.
        with suppress(RuntimeError):  # it rings already
            self._wake.release()

    def _start(self) -> None:
        from ._runtime import hook_workers

        if self._closed or not self._starting.acquire(blocking=False):
            return
        try:
            if self._thread is None or not self._thread.is_alive():
                if not self._hooked:
                    # Not earlier: a worker forgets, after the fork, what was registered before.
                    self._hooked = True
                    hook_workers()
                thread = threading.Thread(target=self._run, name="stepscope", daemon=True)
                thread.start()
                self._thread = thread
        except RuntimeError:
            pass  # no more threads, or the interpreter is ending: `flush` delivers on the caller's thread
        finally:
            self._starting.release()

    # --- the delivery thread ---------------------------------------------------------------------------------------

    def _run(self) -> None:
        from ._runtime import load_modules

        try:
            load_modules()
            self._deliver()
        finally:
            self._thread = None
            self._asleep = True
            if (self.ended or self.notices) and not self._stopped():
                self._rouse()

    def _deliver(self) -> None:
        delivery = self.delivery
        while not self._stopped():
            try:
                if self._sleep():
                    return
                if not self._waiters:
                    self._wake.acquire(timeout=LINGER)
                while not self._stopped():
                    self._pressing = False
                    delivery.work(self._stopped)
                    self._answer_waiters()
                    if not self.ended and not self.notices and not self._waiters:
                        break
                    self._wake.acquire(timeout=min(WINDOW, delivery.pause(WINDOW)))
            except Exception:
                _guard.failed("delivering steps")
                time.sleep(1.0)

    def _stopped(self) -> bool:
        return self._closed or self._parking

    def _sleep(self) -> bool:
        """Sleep until there is something to do; True when there never will be."""
        self._asleep = True
        pause = self.delivery.pause(NAP)
        if self.ended or self.notices or self._waiters:
            pause = 0.0
        if self._retired and pause >= NAP:
            self.delivery.hang_up()
            return True
        if pause > 0:
            self._wake.acquire(timeout=pause)
        self._asleep = False
        return False

    def _answer_waiters(self) -> None:
        delivery = self.delivery
        for _ in range(len(self._waiters)):
            target, bell = self._waiters.popleft()
            if (delivery.settled >= target and not delivery.spooled) or delivery.unreachable:
                bell.release()
            else:
                self._waiters.append((target, bell))

    # --- asked for by people ---------------------------------------------------------------------------------------

    def flush(self, timeout: float) -> bool:
        """Deliver what was recorded so far; True when all of it has left, within `timeout` seconds."""
        delivery = self.delivery
        target = delivery.taken + self._overflow.seen(self.ended)
        if delivery.settled >= target and not self.notices and not delivery.spooled:
            return True
        if self._closed or timeout <= 0:
            return False
        deadline = time.monotonic() + timeout
        delivery.hurry = True
        bell = threading.Lock()
        bell.acquire()
        self._waiters.append((target, bell))
        self._rouse()
        thread = self._thread
        if thread is None or not thread.is_alive():
            delivery.work(lambda: time.monotonic() > deadline)
        else:
            bell.acquire(timeout=timeout)
        return delivery.settled >= target and not delivery.spooled

    def status(self) -> Status:
        """Count what became of the steps."""
        delivery = self.delivery
        dropped = self._refused + delivery.dropped + self._overflow.lost
        delivered = delivery.delivered
        recorded = max(self._refused + delivery.taken + self._overflow.seen(self.ended), dropped + delivered)
        reason = delivery.problem
        if reason is None and self._refused:
            reason = f"more than {self.config.memory:,} bytes waited"
        waiting = recorded - dropped - delivered
        left_out = self.front.left_out if isinstance(self.front, Sampler) else 0
        return Status(
            recorded, delivered, waiting, dropped, delivery.on_disk, left_out, self._shortened, self.endpoint, reason
        )

    def close(self, timeout: float) -> bool:
        """Deliver what waits; put on disk, or count as dropped, what could not leave in time. May be called twice."""
        deadline = time.monotonic() + timeout
        if self._closed:
            return self.status().waiting == 0
        if isinstance(self.front, Sampler):
            self.front.close()
        done = self.flush(timeout * 0.75)
        self._closed = True
        self._limit = self._crowd = -1
        self._ring()
        self._rest(deadline - 0.3)
        if not done or self.ended:  # a thread of the host's may have ended a step in this very moment
            self.delivery.salvage(deadline)
        self.delivery.close()
        return done

    def _rest(self, deadline: float) -> None:
        """Wait until the delivery thread touches nothing any more: it has ended, or it waits for an answer."""
        thread = self._thread
        while thread is not None and thread.is_alive() and thread is not threading.current_thread():
            if self.delivery.posting or time.monotonic() > deadline:
                return
            thread.join(0.02)

    def park(self, timeout: float) -> None:
        """Before a fork: end the delivery thread if that is quick; it starts again by itself."""
        thread = self._thread
        if thread is None or thread is threading.current_thread():
            return
        self._parking = True
        self._ring()
        thread.join(timeout)

    def unpark(self) -> None:
        """After a fork, in the parent."""
        self._parking = False
        if self.ended or self.notices or self._waiters or self.delivery.pause(NAP) < NAP:
            self._rouse()
        else:
            self._asleep = True

    def retire(self) -> None:
        """Take no new steps: deliver those that are under way, then sleep for good."""
        self._retired = True
        self._ring()

    def orphan(self) -> None:
        """In a forked child: steps that the parent has begun are the parent's to deliver."""
        self.notices = deque(maxlen=0)
        self.ended = deque(maxlen=0)
        self._asleep = False
        self._closed = True
        self._limit = self._crowd = 1 << 62
        self.delivery.orphan()
