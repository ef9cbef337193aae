"""A real service and a real browser; every test also fails for anything that the browser complains about."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from zlib import crc32

import pytest
from playwright.sync_api import BrowserContext, ConsoleMessage, Page, Request, expect

from tests.browser.service import Service

expect.set_options(timeout=10_000)


class Watched:
    """What a browser complained about, and what it asked of others than the service."""

    def __init__(self) -> None:
        self.allowed: tuple[str, ...] = ()
        self._complaints: list[str] = []

    def watch(self, context: BrowserContext) -> None:
        context.on("console", self._said)
        context.on("weberror", lambda error: self._complaints.append(str(error.error)))
        context.on("request", self._asked)

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self._complaints.append(message.text)

    def _asked(self, request: Request) -> None:
        if not request.url.startswith(("http://127.0.0.", "data:", "blob:")):
            self._complaints.append(f"asked {request.url}")

    @property
    def complaints(self) -> list[str]:
        """What nobody allowed."""
        return [text for text in self._complaints if not any(part in text for part in self.allowed)]


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One service for many tests, each in a project of its own."""
    running = Service(tmp_path_factory.mktemp("service"))
    yield running
    running.stop()


@pytest.fixture
def new_service(tmp_path: Path) -> Iterator[Callable[..., Service]]:
    """Start services that no other test has touched."""
    started: list[Service] = []

    def start(*flags: str, host: str = "127.0.0.1") -> Service:
        folder = tmp_path / f"service{len(started)}"
        folder.mkdir()
        started.append(Service(folder, *flags, host=host))
        return started[-1]

    yield start
    for running in started:
        running.stop()


@pytest.fixture
def project(request: pytest.FixtureRequest) -> str:
    """A project name that only this test uses, short enough to be its slug too."""
    name = str(request.node.name).removeprefix("test_").replace("_", "-")
    return f"{name[:20].rstrip('-')}-{crc32(name.encode()):08x}"


@pytest.fixture(autouse=True)
def watched(context: BrowserContext) -> Iterator[Watched]:
    """Fail a test in whose pages the browser reports an error, a policy violation or a foreign request."""
    watcher = Watched()
    watcher.watch(context)
    yield watcher
    assert watcher.complaints == []


@pytest.fixture
def page(page: Page) -> Page:
    """A page of ordinary size that never waits long."""
    page.set_default_timeout(10_000)
    page.set_viewport_size({"width": 1280, "height": 800})
    return page
