"""What the delivery thread does: make batches, send them, wait when the server is away, keep count."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable
from random import uniform
from typing import TYPE_CHECKING

from . import _guard
from ._batches import Batch, halves, packed, stored_batch
from ._config import Config
from ._encode import OWN_SCOPE, Redact, request_bytes, resource_text, span_bytes
from ._foreign import Foreign
from ._masks import Masks
from ._overflow import CHUNK, HOST_CHUNK, SCORE, Out, Overflow
from ._running import Running
from ._scores import Score
from ._spool import OLDEST, Spool, Stored
from ._steps import LEAST, Step

if TYPE_CHECKING:
    from ._http import Answer, Client

BATCH_SPANS = 512
BATCH_BYTES = 4 * 1024 * 1024
FIRST_RETRY = 0.2
LAST_RETRY = 15.0
PATIENCE = 1.0
"""Seconds that steps wait in memory alone when the server is away, before they wait on disk."""
LAST_SPANS = 4096
LAST_BYTES = 12 * 1024 * 1024
"""Of what goes to disk at the end: each release of the interpreter's lock may cost five milliseconds."""
LAST_WORK = 0.5
LAST_WAIT = 2.0
"""Seconds of this process's own work that may go into it, and of waiting for the machine to let it."""
LOOK = 64
"""Steps written between two such looks."""
BREATH = 16
"""Steps written between two chances for the host's threads to run."""

TRACES = "/v1/traces"
SCORES = "/api/v1/scores"
_LOCAL = ("http://127.0.0.1", "http://localhost", "http://[::1]")


class Delivery:
    """Batches on their way. Called by one thread at a time."""

    def __init__(self, config: Config, ended: deque[Step], notices: deque[Step], held: Callable[[], int]) -> None:
        self._config = config
        self._ended = ended
        self._running = Running(notices)
        self._held = held
        self._resource = resource_text(config, os.getpid())
        self._redact: Redact | None = config.redact
        self._masks = Masks(config.masks) if config.masks else None
        self._local = config.endpoint.startswith(_LOCAL)
        self._client: Client | None = None
        self._spool = Spool(config)
        self._spool_seen = False
        self.overflow = Overflow(self._spool.nameless, self._written)
        self._spool.besides = lambda: self.overflow.size
        self._stopped: Callable[[], bool] = _never
        self._aside = False
        self._next_up: Step | Out | None = None
        self._pending: deque[Batch] = deque()
        self._away_since: float | None = None
        self._retry_at = 0.0
        self._told_to_wait = False
        self._attempts = 0
        self._posting: Batch | None = None
        self._abandoned = False
        self.hurry = False
        """A flush waits: don't sit out a pause of our own making."""
        self.taken = 0
        self.delivered = 0
        self.dropped = 0
        self.settled = 0
        """Finished steps, in their order, that wait in memory no more."""
        self.freed = 0
        self.problem: str | None = None

    @property
    def spooled(self) -> int:
        """Steps of this process that wait on disk."""
        return self._spool.waiting

    @property
    def on_disk(self) -> int:
        """Steps of this process that are on disk, written out or put aside."""
        return self._spool.waiting + self.overflow.waiting

    @property
    def unreachable(self) -> bool:
        """Whether nobody answers at the server's address."""
        return self._away_since is not None and not self._told_to_wait

    @property
    def posting(self) -> bool:
        """Whether a request is on its way, and nothing else is being done meanwhile."""
        return self._posting is not None and not self._aside

    def pause(self, longest: float) -> float:
        """Return how many seconds may pass before there is work again, although nothing new comes."""
        now = time.monotonic()
        if self._away_since is not None:
            longest = min(longest, max(self._retry_at - now, 0.0))
            if self._pending and self._config.spool is not None and now < self._away_since + PATIENCE:
                longest = min(longest, self._away_since + PATIENCE - now)
        again = self._running.pause(now)
        if again is not None:
            longest = min(longest, again)
        if (len(self._spool) or len(self.overflow)) and self._away_since is None:
            return 0.0
        return longest

    def work(self, stopped: Callable[[], bool]) -> None:
        """Deliver what there is, until nothing is left, the server is away, or `stopped` says so."""
        if not self._spool_seen:
            self._spool_seen = True
            self._spool.adopt()
        hurry, self.hurry = self.hurry, False
        self._stopped = stopped
        while not stopped():
            if self._crowded() and self._put_aside():
                continue
            if self._away_since is not None and not (
                time.monotonic() >= self._retry_at or (hurry and not self._told_to_wait)
            ):
                self._running.forget_ended()
                self._store_what_waits()
                return
            batch = self._next()
            if batch is None:
                return
            try:
                self._send(batch)
            except Exception:
                self._settle(batch, batch.finals)
                self._lose(batch.finals, "a batch could not be handled")
                _guard.failed("sending steps")
            hurry = False

    def _next(self) -> Batch | None:
        if self._pending:
            return self._pending.popleft()
        return self._collect() or self._from_disk()

    # --- making batches --------------------------------------------------------------------------------------------

    def _collect(self, *, disk: bool = False) -> Batch | None:
        """Write the next steps into a batch: running ones that are due, then finished ones; to disk: these only."""
        spans: list[bytes] = []
        others: dict[tuple[str, str], list[bytes]] = {}
        size = written = finals = running = 0
        if disk:
            self._running.forget_ended(BATCH_SPANS * 2)
        for step in () if disk else self._running.due():
            span = self._written(step)
            if span is not None:
                place = others.setdefault(step.scope, []) if isinstance(step, Foreign) else spans
                place.append(span)
                running += 1
                written += len(span)
        pressed = len(self._ended) + len(self.overflow) > 4 * BATCH_SPANS
        most, largest = (LAST_SPANS, LAST_BYTES) if self._abandoned else (BATCH_SPANS, BATCH_BYTES)
        while running + finals < most and written < largest and size < self._config.memory // 4:
            step = self._following()
            if step is None:
                break
            if isinstance(step, Score) or (isinstance(step, Out) and step.scope == SCORE):
                if running + finals:
                    self._next_up = step  # it goes alone, after these
                    break
                batch = self._score(step)
                if batch is None:
                    continue
                return batch
            span = step.span if isinstance(step, Out) else self._written(step)
            room = 0 if isinstance(step, Out) else step._size
            if not span:
                self._settle(Batch(b"", False, 1, room), 1)
                continue
            finals += 1
            size += room
            if isinstance(step, Step) and not isinstance(step, Foreign):
                spans.append(span)
            else:
                others.setdefault(step.scope, []).append(span)
            written += len(span)
            if not pressed and not finals % BREATH:
                time.sleep(0)
            if not finals % LOOK and self._crowded():
                self._meanwhile()
        if not running + finals:
            return None
        spans += others.pop(OWN_SCOPE, [])
        if disk:  # at the end packing costs steps, unless what is not packed would not fit
            gzipped = not self._abandoned or self._spool.room() < self._config.disk // 2
        else:  # to this very machine it costs more than it saves, when much waits
            gzipped = not (pressed and self._local)
        try:
            body = request_bytes(self._resource, spans, others)
            return Batch(packed(body, self._meanwhile) if gzipped else body, gzipped, finals, size)
        except Exception:  # no memory left, for one
            self._settle(Batch(b"", False, finals, size), finals)
            self._lose(finals, "a batch could not be written")
            _guard.failed("writing a batch")
            return None

    def _score(self, score: Step | Out) -> Batch | None:
        body = score.span if isinstance(score, Out) else self._written(score)
        room = 0 if isinstance(score, Out) else score._size
        if not body:
            self._settle(Batch(b"", False, 1, room), 1)
            return None
        return Batch(body, False, 1, room, score=True)

    def _following(self) -> Step | Out | None:
        """Take the finished step that waits longest."""
        if self._next_up is not None:
            found, self._next_up = self._next_up, None
            return found
        if len(self.overflow):
            found = self.overflow.take()
            if found is not None:
                return found
        try:
            step = self._ended.popleft()
        except IndexError:  # also when a thread of the host has just put it aside
            return None
        self.taken += 1
        return step

    def _written(self, step: Step) -> bytes | None:
        try:
            return span_bytes(step, self._redact, self._masks)
        except Exception:
            _guard.failed("writing a step")
            self.problem = "a step could not be written"
            return None

    def _from_disk(self) -> Batch | None:
        self._give_up_old()
        while (found := self._spool.oldest()) is not None:
            stored, body = found
            if body is not None:
                return stored_batch(stored, body, self._spool.recorded_here(stored))
            self._give_up(stored)
            self._lose(stored.count, "steps that waited on disk can't be read there any more")
        return None

    def _give_up(self, stored: Stored) -> None:
        self._settle(stored_batch(stored, b"", self._spool.recorded_here(stored)), stored.count)

    def _give_up_old(self) -> None:
        """Let go of what has waited on disk for as long as it may."""
        lost = 0
        while (stored := self._spool.too_old()) is not None:
            self._give_up(stored)
            lost += stored.count
        if lost:
            self._lose(lost, f"steps have waited for {self._config.endpoint} for {OLDEST // 86_400} days")

    # --- sending ---------------------------------------------------------------------------------------------------

    def _send(self, batch: Batch) -> None:
        answer = self._post(batch)
        if self._abandoned:
            self.hang_up()
            return
        if answer.retry:
            self._away(batch, answer)
            return
        self._away_since = None
        self._attempts = 0
        self._told_to_wait = False
        if answer.status == 413:
            self._split(batch, answer)
            return
        lost = min(answer.rejected, batch.finals) if answer.accepted else batch.finals
        self._settle(batch, lost)
        if batch.score and answer.status == 404:
            self.problem = f"the server at {self._config.endpoint} takes no scores"
            _guard.warn("scores", f"stepscope: {self.problem}; they are dropped (stepscope.status() counts them).")
        elif not answer.accepted:
            self._lose(lost, f"the server at {self._config.endpoint} did not take steps: {answer.problem}")
        elif answer.rejected:
            self._lose(
                lost, f"the server at {self._config.endpoint} took a batch without {answer.rejected} of its steps"
            )
        else:
            self.problem = None

    def _post(self, batch: Batch) -> Answer:
        if self._client is None:
            # Not at import: these modules cost more time than the rest of the package together.
            from ._http import Client

            self._client = Client(self._config)
        self._posting = batch
        try:
            return self._client.post(
                batch.body, gzipped=batch.gzipped, meanwhile=self._meanwhile, path=SCORES if batch.score else TRACES
            )
        finally:
            self._posting = None

    def _settle(self, batch: Batch, lost: int) -> None:
        """Count a batch that is done with; `lost` of its finished steps are gone."""
        self.freed += batch.size
        if batch.counted:
            self.delivered += batch.finals - lost
            self.dropped += lost
        # After the counts: whoever flushes goes on as soon as these say so, and reads the counts.
        if batch.stored is not None:
            self._spool.done(batch.stored)
        elif batch.counted:
            self.settled += batch.finals

    def _lose(self, count: int, why: str) -> None:
        self.problem = why
        if count:
            _guard.warn("lost", f"stepscope: {why}; {count:,} dropped; see stepscope.status().")

    def _split(self, batch: Batch, answer: Answer) -> None:
        """Send the halves of a batch that is too large for the server; drop a step that is too large alone."""
        parts = halves(batch)
        if parts is None:
            self._settle(batch, batch.finals)
            if batch.finals:
                self._lose(batch.finals, f"a step is larger than the server at {self._config.endpoint} takes")
            return
        if batch.stored is not None:
            # From here on its steps wait in memory.
            self._spool.done(batch.stored)
            self.settled -= batch.finals if batch.counted else 0
        self._pending.extendleft(reversed(parts))

    def _away(self, batch: Batch, answer: Answer) -> None:
        """Take a batch back that could not be delivered now, and set the time of the next attempt."""
        now = time.monotonic()
        if batch.stored is None:
            self._pending.appendleft(batch)
        if self._away_since is None:
            self._away_since = now
        self._attempts += 1
        own = min(FIRST_RETRY * 2 ** min(self._attempts - 1, 10), LAST_RETRY) * uniform(0.5, 1.5)
        self._told_to_wait = answer.status != 0
        self._retry_at = now + (own if answer.retry_after is None else answer.retry_after + uniform(0, 0.1))
        self.problem = f"no delivery to {self._config.endpoint}: {answer.problem}"
        _guard.warn("away", f"stepscope: {self.problem}. Steps wait; see stepscope.status().")
        self._give_up_old()
        self._store_what_waits()

    # --- waiting on disk -------------------------------------------------------------------------------------------

    def _crowded(self) -> bool:
        """Whether steps come so fast that memory fills up."""
        return self._held() > self._config.memory // 4

    def _put_aside(self) -> bool:
        """Move finished steps out of memory as they are; True where that was done."""
        if self._config.spool is None or not self._ended or not self.overflow.usable:
            return False
        return self._absorb(self._ended, CHUNK)

    def make_room(self, ended: deque[Step]) -> bool:
        """Do the same in a thread of the host's, because memory is full; False where the disk can't take more."""
        if self._config.spool is None or self._abandoned:
            return False
        if self.overflow.busy_here:
            return True  # it is being made, further up in this very thread
        return self.overflow.usable and self._absorb(ended, HOST_CHUNK)

    def _absorb(self, ended: deque[Step], most: int) -> bool:
        done = self.overflow.absorb(ended, self._spool.room, most)
        self._running.forget_ended(most // LEAST * 2)  # else those that were moved would be held here
        return done

    def _meanwhile(self) -> None:
        """Keep memory free while the server takes its time."""
        self._aside = True
        try:
            while not self._stopped() and self._crowded() and self._put_aside():
                pass
        finally:
            self._aside = False

    def _store_what_waits(self) -> None:
        """Move to disk what waits in memory, once the server has been away for a while or much waits."""
        since = self._away_since
        if since is None or self._config.spool is None:
            return
        if time.monotonic() - since < PATIENCE and not len(self.overflow) and len(self._pending) < 8:
            return
        while (self._pending or self._ended or self._next_up is not None or len(self.overflow)) and not self._stopped():
            if self._crowded() and self._put_aside():
                continue
            batch = self._pending.popleft() if self._pending else self._collect(disk=True)
            if batch is None:
                return
            if not self._store(batch):
                self._pending.appendleft(batch)
                return

    def _store(self, batch: Batch) -> bool:
        if batch.finals and not self._spool.put(
            batch.body, batch.finals, gzipped=batch.gzipped, recorded_here=batch.counted, score=batch.score
        ):
            return False
        self.freed += batch.size
        self.settled += batch.finals if batch.counted else 0
        return True

    def salvage(self, deadline: float) -> None:
        """At the end: put on disk what is still in memory, and count what can't be kept. Not the delivery thread's."""
        self._abandoned = True
        # On a machine that is busy with other things, the time that passed says little about the work that was done.
        latest, enough = deadline + LAST_WAIT, time.process_time() + LAST_WORK
        posting = self._posting
        if posting is not None and posting.stored is None:
            self._pending.appendleft(posting)
        self._running.clear()
        lost = 0
        while self._pending or self._ended or self._next_up is not None or len(self.overflow):
            batch = self._pending.popleft() if self._pending else None
            now = time.monotonic()
            if batch is None and (now < deadline or (now < latest and time.process_time() < enough)):
                batch = self._collect(disk=True)
            if batch is None:
                lost += len(self._ended) + self.overflow.close() + (self._next_up is not None)
                self._next_up = None
                self.taken += len(self._ended)
                self._ended.clear()
            elif not self._store(batch) and batch.counted:
                lost += batch.finals
        if lost:
            self.dropped += lost
            self.settled += lost
            why = self.problem or f"the server at {self._config.endpoint} is slow"
            _guard.warn("lost", f"stepscope: {lost:,} steps were dropped at the end of the program: {why}.")

    def close(self) -> None:
        """Let the connection and the disk go; what waits there is the next process's."""
        self._abandoned = True
        if not self.posting:
            self.hang_up()
        self.overflow.close()
        self._spool.close()

    def hang_up(self) -> None:
        """Let the connection go."""
        if self._client is not None:
            self._client.close()

    def orphan(self) -> None:
        """In a forked child: forget everything, without closing what the parent uses."""
        self._pending.clear()
        self._running.clear()
        self._posting = None
        if self._client is not None:
            self._client.forsake()
        self.overflow.close()
        self._spool.forsake()


def _never() -> bool:
    return False
