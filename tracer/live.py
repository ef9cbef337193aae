"""Tells open pages and API streams which traces changed: at once in this process, polled from other processes."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

from anyio import to_thread
from sqlalchemy import func, select

from tracer.errors import TracerError
from tracer.ingest.apply import Changes
from tracer.queries.scope import Scope
from tracer.store.engine import Store
from tracer.store.models import change

logger = logging.getLogger(__name__)

COALESCE_S = 0.15
"""Changes that come within this time of each other travel as one."""

POLL_S = 0.5
"""How often the change feed is read for what other processes wrote, while someone watches."""

PING_S = 15.0
QUERY_S = 5.0
"""How long the end waits for a query of the poller."""

OVERLAP = 1_000
"""On Postgres a lower number may become visible after a higher one: so many are looked at again."""

STREAM_HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
"""Of an answer that is such a stream: nothing on the way may keep it back."""

POLL_LIMIT = 5_000
REMEMBERED = 20_000


@dataclass(frozen=True, slots=True)
class Change:
    """Traces of one project that changed; ids in lower-case hex."""

    project_id: int
    trace_ids: frozenset[str]


@dataclass(slots=True, eq=False)
class _Watcher:
    scope: Scope
    project_id: int | None
    trace_id: str | None
    woken: asyncio.Event = field(default_factory=asyncio.Event)
    pending: dict[int, set[str]] = field(default_factory=dict)

    def tell(self, project_id: int, trace_ids: set[str]) -> None:
        if self.project_id not in (None, project_id) or not self.scope.allows(project_id):
            return
        found = trace_ids if self.trace_id is None else trace_ids & {self.trace_id}
        if found:
            self.pending.setdefault(project_id, set()).update(found)
            self.woken.set()


class Hub:
    """The hub of one process. `watch` is for its event loop; `committed` may be called from any thread."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._watchers: set[_Watcher] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._poller: asyncio.Task[None] | None = None
        self._closed = asyncio.Event()
        self._own: set[int] = set()
        self._own_order: deque[int] = deque()
        self._seen: set[int] = set()
        self._last = 0

    def start(self) -> None:
        """Begin, on the running event loop."""
        self._loop = asyncio.get_running_loop()
        self._poller = self._loop.create_task(self._poll())

    def close(self) -> None:
        """End every stream, so that open pages do not hold up the server's end. Callable from any thread."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._close)

    async def ended(self) -> None:
        """Wait, after `close`, until nothing of the hub asks the database any more."""
        if self._poller is not None:
            await asyncio.wait({self._poller}, timeout=QUERY_S)

    def _close(self) -> None:
        self._closed.set()
        for watcher in self._watchers:
            watcher.woken.set()

    def committed(self, changes: Changes) -> None:
        """A commit of this process's writer."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._tell_own, changes)

    def _tell_own(self, changes: Changes) -> None:
        self._own.add(changes.at)
        self._own_order.append(changes.at)
        while len(self._own_order) > REMEMBERED:
            self._own.discard(self._own_order.popleft())
        if self._watchers:
            for project_id, trace_ids in changes.traces.items():
                self._tell(project_id, {trace_id.hex() for trace_id in trace_ids})

    def _tell(self, project_id: int, trace_ids: set[str]) -> None:
        for watcher in self._watchers:
            watcher.tell(project_id, trace_ids)

    async def watch(
        self, *, scope: Scope, project_id: int | None = None, trace_id: str | None = None
    ) -> AsyncIterator[Change | None]:
        """Yield what changes, coalesced; None every 15 s, so that the stream is seen to live. Ends at shutdown."""
        watcher = _Watcher(scope, project_id, trace_id)
        self._watchers.add(watcher)
        try:
            while not self._closed.is_set():
                try:
                    await asyncio.wait_for(watcher.woken.wait(), PING_S)
                except TimeoutError:
                    yield None
                    continue
                watcher.woken.clear()
                pending = watcher.pending
                watcher.pending = dict[int, set[str]]()
                for project, trace_ids in pending.items():
                    yield Change(project, frozenset(trace_ids))
                # The first change is told at once; those that follow within the pause travel together.
                await asyncio.sleep(COALESCE_S)
        finally:
            self._watchers.discard(watcher)

    async def _closed_within(self, seconds: float) -> bool:
        try:
            await asyncio.wait_for(self._closed.wait(), seconds)
        except TimeoutError:
            return False
        return True

    async def _poll(self) -> None:
        """Read the change feed for what other processes wrote."""
        try:
            self._last = await to_thread.run_sync(self._newest)
        except TracerError:
            self._last = 0
        while not await self._closed_within(POLL_S):
            try:
                rows = await to_thread.run_sync(self._since, self._last)
            except TracerError as problem:
                logger.debug("the change feed was not read: %s", problem)
                continue
            except Exception:
                logger.exception("the change feed could not be read")
                continue
            found: dict[int, set[str]] = {}
            for number, project_id, trace_id, at in rows:
                if number not in self._seen and at not in self._own and number > self._last - OVERLAP:
                    found.setdefault(project_id, set()).add(trace_id.hex())
                self._seen.add(number)
            if rows:
                self._last = max(self._last, rows[-1][0])
                self._seen = {number for number in self._seen if number > self._last - 2 * OVERLAP}
            for project_id, trace_ids in found.items():
                self._tell(project_id, trace_ids)

    def _newest(self) -> int:
        with self._store.reading() as connection:
            newest = int(connection.execute(select(func.coalesce(func.max(change.c.id), 0))).scalar_one())
            recent = connection.execute(select(change.c.id).where(change.c.id > newest - OVERLAP)).scalars()
            self._seen = set(recent)
            return newest

    def _since(self, last: int) -> list[tuple[int, int, bytes, int]]:
        if not self._watchers:
            return self._behind(last)
        with self._store.reading() as connection:
            rows = connection.execute(
                select(change.c.id, change.c.project_id, change.c.trace_id, change.c.at)
                .where(change.c.id > last - OVERLAP)
                .order_by(change.c.id)
                .limit(POLL_LIMIT + OVERLAP)
            )
            return [tuple(row) for row in rows]

    def _behind(self, last: int) -> list[tuple[int, int, bytes, int]]:
        """Nobody watches: only move on, so that a page that opens is not told of the past."""
        self._last = max(last, self._newest())
        return []


async def events(
    hub: Hub,
    write: Callable[[Change], Awaitable[bytes]],
    *,
    scope: Scope,
    holds: Callable[[], Awaitable[bool]],
    project_id: int | None = None,
    trace_id: str | None = None,
) -> AsyncIterator[bytes]:
    """What `Hub.watch` tells as server-sent events: `ready` once, then `traces` with what `write` makes of a change.

    It ends, with nothing more told, when the right of who listens does not hold any more.
    """
    changes = aiter(hub.watch(scope=scope, project_id=project_id, trace_id=trace_id))
    coming = asyncio.ensure_future(anext(changes, None))
    try:
        # The watch stands before `ready` goes out: who asks again on `ready` misses nothing.
        await asyncio.sleep(0)
        yield b"event: ready\ndata: {}\n\n"
        while True:
            change = await coming
            if not await holds():
                return
            if change is None:
                yield b": still here\n\n"
            else:
                yield b"event: traces\ndata: " + await write(change) + b"\n\n"
            coming = asyncio.ensure_future(anext(changes))
    except StopAsyncIteration:
        return
    finally:
        coming.cancel()
