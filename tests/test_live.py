"""Open pages and streams are told what changed: at once in one process, soon from another."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import httpx
import pytest

from tests import make
from tests.client import Client, Guarded, Service, in_process, on_one_database, wait_until
from tracer.access.keys import KeyRight, Wanted, make_key
from tracer.errors import Unavailable
from tracer.ingest.apply import Changes
from tracer.live import Change, Hub
from tracer.queries.scope import EVERYTHING, Scope
from tracer.settings import parse_database_url
from tracer.store.engine import Store
from tracer.store.migrate import migrate


class Watcher:
    """An open event stream, read by a thread of its own."""

    def __init__(self, url: str, path: str) -> None:
        self.traces: list[str] = []
        self.ready = threading.Event()
        self.ended = threading.Event()
        self._url, self._path = url, path
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        try:
            with (
                httpx.Client(base_url=self._url, timeout=30, trust_env=False, verify=False) as client,
                client.stream("GET", self._path) as answer,
            ):
                assert answer.headers["content-type"].startswith("text/event-stream")
                for line in answer.iter_lines():
                    if line == "event: ready":
                        self.ready.set()
                    elif line.startswith("data: ["):
                        self.traces += json.loads(line.removeprefix("data: "))
        except httpx.HTTPError:
            pass
        finally:
            self.ended.set()


@contextmanager
def watching(url: str, path: str) -> Iterator[Watcher]:
    watcher = Watcher(url, path)
    assert watcher.ready.wait(20)
    yield watcher


def slug_of(client: Client) -> str:
    return str(next(one["slug"] for one in client.read("/api/v1/projects")["items"] if one["name"] == client.project))


def test_a_commit_tells_who_watches_the_project_the_trace_or_everything(database_url: str) -> None:
    with in_process(database_url) as running, Client(running.url) as client:
        first = make.span()
        client.store(first)
        slug = slug_of(client)
        with (
            watching(running.url, f"/p/{slug}/live") as project,
            watching(running.url, f"/p/{slug}/live?trace={first['traceId']}") as trace,
            watching(running.url, "/live") as everything,
        ):
            other = make.span()
            client.store(other)
            client.store(make.span(trace=first["traceId"]))
            wait_until(lambda: first["traceId"] in trace.traces, "the trace's watcher is told")
            for watcher in (project, everything):
                wait_until(lambda w=watcher: {first["traceId"], other["traceId"]} <= set(w.traces), "both are told")
            assert set(trace.traces) == {first["traceId"]}


def test_a_second_process_tells_through_the_change_feed(database_url: str) -> None:
    with (
        in_process(database_url) as here,
        in_process(database_url) as there,
        Client(there.url) as client,
    ):
        client.store(make.span("before"))
        with watching(here.url, f"/p/{slug_of(client)}/live") as watcher:
            spans = [make.span() for _ in range(5)]
            for one in spans:
                client.store(one)
            wait_until(lambda: {one["traceId"] for one in spans} <= set(watcher.traces), "the other process is heard")
            again = len(watcher.traces)
            client.store(make.span("last"))
            wait_until(lambda: len(watcher.traces) > again, "and goes on being heard")
            assert len(watcher.traces) == again + 1


def test_R05_open_streams_end_when_the_server_stops(database_url: str) -> None:
    with in_process(database_url) as running, watching(running.url, "/live") as watcher:
        pass
    assert watcher.ended.wait(10)


@on_one_database
def test_a_stream_of_a_project_that_does_not_exist_is_not_found(client: Client) -> None:
    assert client.get("/p/no-such-project/live").status_code == 404


@pytest.fixture
def store(tmp_path: object) -> Iterator[Store]:
    url = parse_database_url(f"sqlite:///{tmp_path}/s.db")
    migrate(url)
    made = Store(url)
    yield made
    made.close()


def with_hub(store: Store, play: Callable[[Hub], Awaitable[None]]) -> None:
    """Run a scene on an event loop with a started hub."""

    async def scene() -> None:
        hub = Hub(store)
        hub.start()
        try:
            async with asyncio.timeout(20):
                await play(hub)
        finally:
            hub.close()
            await asyncio.sleep(0.05)

    asyncio.run(scene())


def committed(*traces: bytes, project: int = 1, at: int = 1) -> Changes:
    return Changes(at, {project: set(traces)})


def test_changes_within_a_pause_travel_together(store: Store) -> None:
    async def play(hub: Hub) -> None:
        changes = hub.watch(scope=EVERYTHING)
        coming = asyncio.ensure_future(anext(changes))
        await asyncio.sleep(0)
        hub.committed(committed(b"a" * 16))
        assert await coming == Change(1, frozenset({(b"a" * 16).hex()}))
        for letter in (b"b", b"c", b"b"):
            hub.committed(committed(letter * 16))
        assert await anext(changes) == Change(1, frozenset({(b"b" * 16).hex(), (b"c" * 16).hex()}))

    with_hub(store, play)


def test_nobody_is_told_of_projects_out_of_sight(store: Store) -> None:
    async def play(hub: Hub) -> None:
        mine = asyncio.ensure_future(anext(hub.watch(scope=Scope(frozenset({2})))))
        other = asyncio.ensure_future(anext(hub.watch(scope=EVERYTHING, project_id=2)))
        await asyncio.sleep(0)
        hub.committed(committed(b"a" * 16, project=1))
        hub.committed(committed(b"b" * 16, project=2))
        for watcher in (mine, other):
            assert await watcher == Change(2, frozenset({(b"b" * 16).hex()}))

    with_hub(store, play)


def test_a_quiet_stream_shows_that_it_lives(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tracer.live.PING_S", 0.01)

    async def play(hub: Hub) -> None:
        changes = hub.watch(scope=EVERYTHING)
        assert await anext(changes) is None
        assert await anext(changes) is None

    with_hub(store, play)


def test_closing_ends_every_watch_and_a_watcher_that_leaves_is_forgotten(store: Store) -> None:
    async def play(hub: Hub) -> None:
        watches = [hub.watch(scope=EVERYTHING) for _ in range(3)]
        coming = [asyncio.ensure_future(anext(watch, "ended")) for watch in watches]
        await asyncio.sleep(0)
        assert len(hub._watchers) == 3
        coming[0].cancel()
        await asyncio.sleep(0.01)
        assert len(hub._watchers) == 2
        hub.close()
        assert await asyncio.gather(*coming[1:]) == ["ended", "ended"]
        assert not hub._watchers

    with_hub(store, play)


def test_a_database_that_is_away_for_a_while_costs_no_watcher(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The poll fails, says so to nobody, and goes on: what is written afterwards is told."""

    def away() -> None:
        failed.set()
        raise Unavailable("away")

    failed = threading.Event()
    with Client(service.url) as client, watching(service.url, "/live") as watcher:
        with monkeypatch.context() as patch:
            patch.setattr(service.store, "reading", away)
            assert failed.wait(20)
        one = make.span()
        client.store(one)
        wait_until(lambda: one["traceId"] in watcher.traces, "the watcher is told")


def test_a_program_is_told_with_its_key_of_its_own_project_alone(guarded: Guarded) -> None:
    keys = {
        name: make_key(guarded.service.store, Wanted("app", KeyRight.full), project=name, scope=EVERYTHING, author="")[
            0
        ]
        for name in ("mine", "theirs")
    }
    with Client(guarded.service.url, project="mine", **{"x-api-key": keys["mine"]}) as mine:
        with mine.stream("GET", "/api/v1/live", params={"project": "mine"}) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            lines = answer.iter_lines()
            assert next(lines) == "event: ready"
            with Client(guarded.service.url, project="theirs", **{"x-api-key": keys["theirs"]}) as theirs:
                theirs.store(make.span())
            span = make.span()
            mine.store(span)
            told = next(line for line in lines if line.startswith('data: {"'))
        assert json.loads(told.removeprefix("data: ")) == {"project": "mine", "trace_ids": [span["traceId"]]}
        assert mine.get("/api/v1/live", params={"project": "theirs"}).status_code == 404
    assert guarded.client.get("/api/v1/live").status_code == 401


def test_R64_a_stream_ends_with_the_key_or_the_sign_in_that_opened_it(
    guarded: Guarded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tracer.auth.ASKED_AGAIN_S", 0.0)
    store = guarded.service.store
    secret, key = make_key(store, Wanted("app", KeyRight.full), project="ending", scope=EVERYTHING, author="")
    with (
        Client(guarded.service.url, project="ending", **{"x-api-key": guarded.token}) as root,
        Client(guarded.service.url, **{"x-api-key": secret}) as app,
        Client(guarded.service.url) as browser,
    ):
        assert browser.post("/sign-in", data={"token": guarded.token}).status_code == 303
        with (
            app.stream("GET", "/api/v1/live") as of_key,
            browser.stream("GET", "/p/ending/live") as of_session,
        ):
            streams = [answer.iter_lines() for answer in (of_key, of_session)]
            first, last = make.span(), make.span()
            root.store(first)
            for lines in streams:
                assert first["traceId"] in next(
                    line for line in lines if line.startswith("data: ") and "{}" not in line
                )
            assert root.delete(f"/api/v1/keys/{key.id}").status_code == 204
            with Client(guarded.service.url) as leaving:
                leaving.cookies.update(browser.cookies)
                assert leaving.post("/sign-out").status_code == 303
            root.store(last)
            for lines in streams:
                assert not any(last["traceId"] in line for line in lines), "the stream ends and tells no more"
