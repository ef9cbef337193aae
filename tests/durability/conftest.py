"""Services that are killed and started again on the same port."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.client import Process, wait_until


class Service:
    """`stepscope serve` on a port that it keeps from start to start."""

    def __init__(self, data: Path, *arguments: str) -> None:
        self._data, self._arguments = data, arguments
        self.port = free_port()
        self.process = self._begin()

    def _begin(self) -> Process:
        return Process("--port", str(self.port), *self._arguments, data=self._data)

    @property
    def url(self) -> str:
        """The address, whether or not somebody answers there."""
        return f"http://127.0.0.1:{self.port}"

    def ready(self) -> None:
        """Wait until it takes requests, on a busy machine too."""
        process = self.process
        wait_until(lambda: process.out or process.popen.poll() is not None, "the server has started", seconds=120)
        assert self.process.url == self.url

    def kill(self) -> None:
        """SIGKILL, and wait for the end."""
        self.process.kill()

    def stop(self) -> int:
        """SIGTERM; it has to be gone within 10 s. Returns the exit code."""
        return self.process.stop(seconds=10)

    def start(self) -> None:
        """Start it again, after whatever end; `ready` waits for it."""
        self.process.kill()
        self.process = self._begin()


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


NewService = Callable[..., Service]


@pytest.fixture
def new_service(tmp_path: Path) -> Iterator[NewService]:
    """A function that starts a service over a database's URL; all are ended after the test."""
    started: list[Service] = []

    def begin(database: str, *arguments: str) -> Service:
        started.append(Service(tmp_path / "data", "--db", database, "--log-level", "warning", *arguments))
        return started[-1]

    yield begin
    for service in started:
        service.kill()
