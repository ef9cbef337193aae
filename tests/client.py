"""A running service for tests: in this process on both databases (`client`), or the command itself (`server`)."""

from __future__ import annotations

import json as json_module
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, Queue
from typing import IO, TYPE_CHECKING, Any, TypeAlias
from uuid import uuid4

import httpx
import pytest
from sqlalchemy.engine import make_url

from tests import make
from tests.databases import run
from tests.make import Message
from tests.needs import missing

if TYPE_CHECKING:
    from fastapi import FastAPI

    from tracer.serve import Server
    from tracer.settings import Settings
    from tracer.store.engine import Store

ROOT = Path(__file__).resolve().parent.parent
MANY = 100_000
"""New projects that a service for tests takes: each test has its own."""

JSON, PROTOBUF = "application/json", "application/x-protobuf"
Body: TypeAlias = "bytes | Message"


class Client(httpx.Client):
    """An HTTP client of one service; `project` is where its spans go, a project that no other test has."""

    def __init__(self, url: str, *, project: str | None = None, **headers: str) -> None:
        # No certificates: loading them takes longer than most tests.
        super().__init__(base_url=url, timeout=30, headers=headers, trust_env=False, verify=False)
        self.project = project or f"test-{uuid4().hex[:8]}"

    def ingest(self, body: Body, *, json: bool = True, path: str = "/v1/traces", **headers: str) -> httpx.Response:
        """Post an OTLP request: bytes as they are, a message as JSON or as protobuf."""
        if not isinstance(body, bytes):
            body = make.as_json(body) if json else make.as_protobuf(body)
        named = {"content-type": JSON if json else PROTOBUF, "x-stepscope-project": self.project}
        named |= {name.replace("_", "-"): value for name, value in headers.items()}
        return self.post(path, content=body, headers=named)

    def store(self, *spans: Message, json: bool = True) -> None:
        """Post spans of which every one has to be taken."""
        answer = self.ingest(make.request(*spans), json=json)
        assert (answer.status_code, answer.content) == (200, b"{}" if json else b""), answer.text

    def traces(self, **parameters: str | int) -> list[dict[str, Any]]:
        """The traces of the client's project, or of what `parameters` say."""
        return self.read("/api/v1/traces", **{"project": self.project, **parameters})["items"]

    def trace(self, trace_id: str, **parameters: str) -> dict[str, Any]:
        """One trace with all its spans."""
        return self.read(f"/api/v1/traces/{trace_id}", **{"project": self.project, **parameters})

    def read(self, path: str, **parameters: str | int) -> dict[str, Any]:
        """A JSON answer that has to be 200, and strict: no NaN, and text that is valid UTF-8."""
        answer = self.get(path, params=parameters)
        assert answer.status_code == 200, f"{path}: {answer.status_code} {answer.text[:500]}"
        return strict_json(answer.content)


def raw(headers: Mapping[str, str | bytes]) -> list[tuple[bytes, bytes]]:
    """Headers whose values may be any bytes."""
    return [(name.encode(), value if isinstance(value, bytes) else value.encode()) for name, value in headers.items()]


def strict_json(content: bytes) -> dict[str, Any]:
    """Read JSON as a strict reader does."""

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    return json_module.loads(content.decode("utf-8"), parse_constant=refuse)


@dataclass(frozen=True)
class Service:
    """A service in this process."""

    url: str
    app: FastAPI
    store: Store
    settings: Settings


@contextmanager
def in_process(db: str, **settings: object) -> Iterator[Service]:
    """Serve a database on a free port, from a thread of this process."""
    from tracer.app import create_app
    from tracer.serve import make_server
    from tracer.settings import Settings
    from tracer.store.engine import Store
    from tracer.store.migrate import migrate

    checked = Settings.model_validate({"port": 0, "db": db, "new_projects": MANY, **settings})
    migrate(checked.database_url)
    store = Store(checked.database_url, read_connections=checked.read_threads)
    app = create_app(checked, store)
    server = make_server(app, checked)
    with socket.create_server(("127.0.0.1", 0), backlog=2048) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        wait_until(lambda: server.started, "the server has started")
        try:
            yield Service(url, app, store, checked)
        finally:
            stop(server)
            thread.join(30)
            assert not thread.is_alive(), "the server did not stop"


def stop(server: Server) -> None:
    """Tell a server of this process to end, as a signal would."""
    server.handle_exit(signal.SIGTERM, None)


def wait_until(true: Callable[[], object], what: str, *, seconds: float = 20) -> None:
    """Ask again and again until `true()` is; an AssertionError says `what` did not come."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        time.sleep(0.01)


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def service(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One service of each kind of database for the whole run: tests share it, and keep to projects of their own."""
    with lasting_database(request, tmp_path_factory) as url, in_process(url) as running:
        yield running


@contextmanager
def lasting_database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An empty database of the kind that the fixture's parameter names, for as long as the fixture lasts."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path_factory.mktemp('service')}/stepscope.db"
        return
    server = make_url(request.getfixturevalue("postgres_url"))
    name = f"service_{uuid4().hex[:12]}"
    run(server, f"CREATE DATABASE \"{name}\" TEMPLATE template0 ENCODING 'UTF8'")
    try:
        yield server.set(database=name).render_as_string(hide_password=False)
    finally:
        run(server, f'DROP DATABASE "{name}" WITH (FORCE)')


on_one_database = pytest.mark.parametrize("service", ["sqlite"], indirect=True, scope="session")
"""For tests of `client` that a second kind of database could not change."""


@pytest.fixture
def client(service: Service) -> Iterator[Client]:
    """A client of a service in this process, with a project of its own; the test runs on both databases."""
    with Client(service.url) as made:
        yield made


@dataclass(frozen=True)
class Guarded:
    """A service that believes to be reachable from other machines, its key, and a client that has none."""

    service: Service
    client: Client
    token: str


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """One service that asks for keys, for a module's tests."""
    from tracer.access.tokens import ensure_admin_token

    with in_process(f"sqlite:///{tmp_path_factory.mktemp('guarded')}/s.db", host="0.0.0.0") as running:
        token = ensure_admin_token(running.store)
        assert token is not None
        with Client(running.url) as made:
            yield Guarded(running, made, token)


CANNOT_OBEY = 77
OBEY = f"""
import ctypes, os, sys
PR_CAPBSET_DROP, CAP_DAC_OVERRIDE = 24, 1
if os.geteuid() == 0 and ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, 0, 0, 0):
    sys.exit({CANNOT_OBEY})
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""
"""Makes root as unable to write a read-only file as everybody else, then becomes the command."""


class Process:
    """The command `stepscope serve` in a process of its own; an `obedient` one obeys file modes even as root."""

    def __init__(self, *arguments: str, data: Path, obedient: bool = False, **variables: str) -> None:
        serve = ["-m", "tracer", "serve", "--port", "0", "--data", str(data), *arguments]
        self.out: list[str] = []
        self.err: list[str] = []
        self._announced: Queue[str] = Queue()
        self.popen = subprocess.Popen(
            [sys.executable, *(["-c", OBEY] if obedient else []), *serve],
            cwd=ROOT,
            env=clean_environment(**{"STEPSCOPE_NEW_PROJECTS": str(MANY), **variables}),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._readers = [
            threading.Thread(target=self._read, args=(stream, lines), daemon=True)
            for stream, lines in ((self.popen.stdout, self.out), (self.popen.stderr, self.err))
        ]
        for reader in self._readers:
            reader.start()

    def _read(self, stream: IO[str] | None, lines: list[str]) -> None:
        for line in stream or ():
            lines.append(line.rstrip("\n"))
            if line.startswith("Stepscope is at "):
                self._announced.put(line.split()[-1])
        self._announced.put("")

    @property
    def url(self) -> str:
        """The address that the command printed; waits for it."""
        try:
            found = self._announced.get(timeout=30)
        except Empty:
            found = ""
        if self.popen.poll() == CANNOT_OBEY:
            missing("a process that obeys file modes although it is root's")
        assert found, "\n".join(["the server did not start", *self.out, *self.err])
        self._announced.put(found)
        return found

    @property
    def port(self) -> int:
        """The port that the command took."""
        return int(httpx.URL(self.url).port or 0)

    def stop(self, *, seconds: float = 10) -> int:
        """End it with SIGTERM, wait, and return its exit code."""
        self.popen.send_signal(signal.SIGTERM)
        return self.wait(seconds=seconds)

    def wait(self, *, seconds: float = 30) -> int:
        """Wait for its end and return its exit code; its output is complete then."""
        code = self.popen.wait(seconds)
        for reader in self._readers:
            reader.join(5)
        return code

    def kill(self) -> None:
        """End it at once, whatever it does, and close its pipes."""
        self.popen.kill()
        self.wait()
        for stream in (self.popen.stdout, self.popen.stderr):
            if stream is not None:
                stream.close()


def clean_environment(**variables: str) -> dict[str, str]:
    """This process's environment without settings of ours, and with `variables`."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("STEPSCOPE_", "COV_"))}
    return {**kept, **variables}


Start: TypeAlias = Callable[..., Process]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """A function that starts the command with more arguments; all are ended after the test."""
    started: list[Process] = []

    def begin(*arguments: str, data: Path | None = None, obedient: bool = False, **variables: str) -> Process:
        started.append(Process(*arguments, data=data or tmp_path / "data", obedient=obedient, **variables))
        return started[-1]

    yield begin
    for process in started:
        process.kill()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """One process of the command for a module's tests, on SQLite."""
    process = Process(data=tmp_path_factory.mktemp("server"))
    yield process
    process.kill()


def free_port() -> int:
    """A port that nobody listens on at this moment."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])
