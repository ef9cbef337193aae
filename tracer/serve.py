"""Runs the server: opens the database, binds the port, says where it is, stops in order."""

from __future__ import annotations

import errno
import ipaddress
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from types import FrameType

import click
import uvicorn
from fastapi import FastAPI

from tracer.access.invitations import make_setup
from tracer.app import create_app
from tracer.connection import Connection
from tracer.errors import BadSetting
from tracer.garbage import collect_seldom
from tracer.live import Hub
from tracer.settings import Settings
from tracer.store.engine import Store
from tracer.store.migrate import migrate

logger = logging.getLogger(__name__)

STOP_WITHIN_S = 8
"""Requests that are under way at the end get so long; open pages' streams end at once."""

GONE_WITHIN_S = 9.5
"""Whatever hangs at the end (the database, a body that takes long to read), the process is gone by then."""

BACKLOG = 2048

OPEN_FILES = 65_536
"""As many files and connections as we ask the system for."""


class Server(uvicorn.Server):
    """Ends the event streams before uvicorn waits for connections, else an open page would hold it up."""

    def __init__(self, config: uvicorn.Config, hub: Hub) -> None:
        super().__init__(config)
        self._hub = hub
        self.last_resort: Callable[[], None] | None = None
        """Called when the end takes too long; nothing that was acknowledged depends on an end in order."""
        self.once_ready: Callable[[], None] | None = None
        """Called when requests are taken, and signals end it in order."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to take requests."""
        await super().startup(sockets)
        if self.started and self.once_ready is not None:
            self.once_ready()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop in order on the first signal, at once on a second Ctrl-C; the command then ends as if it were done."""
        self._hub.close()
        if self.last_resort is not None and not self.should_exit:
            timer = threading.Timer(GONE_WITHIN_S, self.last_resort)
            timer.daemon = True
            timer.start()
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = True


def make_server(app: FastAPI, settings: Settings) -> Server:
    """The server for an app of `create_app`, with every limit of ours; `run(sockets=[...])` serves."""
    config = uvicorn.Config(
        app,
        http=Connection,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=True,
        timeout_graceful_shutdown=STOP_WITHIN_S,
        timeout_keep_alive=65,
        backlog=BACKLOG,
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=list(settings.trusted_proxies),
    )
    return Server(config, app.state.live)


def run_server(settings: Settings) -> None:
    """Serve until a signal comes.

    Raises BadSetting when the port or the address cannot be used, DatabaseAway and DatabaseTooNew as they say.
    """
    _log_to_stderr(settings.log_level)
    _allow_many_connections()
    listening = _bind(settings.host, settings.port)
    if settings.grpc_port:
        _bind(settings.host, settings.grpc_port, flag="--grpc-port").close()  # taken by gRPC's own code a moment later
    with listening:
        url = settings.database_url
        done = migrate(url)
        if done.current and done.pending:
            logger.info("the schema went from %s to %s", done.current, done.head)
            if done.backup is not None:
                logger.info("a copy of the file as it was is %s", done.backup)
        store = Store(url, read_connections=settings.read_threads, durability=settings.durability)
        if settings.durability != "full":
            logger.warning("durability is %s: a power cut may lose acknowledged spans", settings.durability)
        if store.read_only:
            logger.warning("%s cannot be written: traces can be read, new spans are refused", store.description)
        setup = None
        if settings.needs_sign_in and not store.read_only:
            with store.writing() as connection:
                setup = make_setup(connection)
        app = create_app(settings, store)
        collect_seldom()
        server = make_server(app, settings)
        server.once_ready = lambda: _announce(settings, listening, store, setup)
        server.last_resort = lambda: os._exit(0)
        server.run(sockets=[listening])


def _bind(host: str, port: int, *, flag: str = "--port") -> socket.socket:
    """Take the port before anything else, so that a port in use changes nothing."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, protocol)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
            listening.listen(BACKLOG)
        except OSError:
            listening.close()
            raise
    except UnicodeError:
        raise BadSetting(f"--host {host[:80]!r}: this is no host's name or address.", field="host") from None
    except OSError as problem:
        if problem.errno == errno.EADDRINUSE:
            raise BadSetting(
                f"port {port} is in use on {host}; choose another with {flag}, or stop what listens there.",
                field="port",
            ) from None
        if problem.errno == errno.EACCES:
            raise BadSetting(
                f"port {port} may not be used by this user; choose one above 1023.", field="port"
            ) from None
        raise BadSetting(f"--host {host!r}: this address cannot be used ({problem.strerror}).", field="host") from None
    return listening


def _allow_many_connections() -> None:
    """Raise this process's limit of open files, often 1,024, as far as the system lets us."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _announce(settings: Settings, listening: socket.socket, store: Store, setup: str | None) -> None:
    port = listening.getsockname()[1]
    address = ipaddress.ip_address(listening.getsockname()[0].partition("%")[0])
    host = "127.0.0.1" if address.is_unspecified else settings.host
    shown = f"[{host}]" if ":" in host else host
    url = f"http://{shown}:{port}{settings.base_path}"
    if setup is not None:
        click.echo(
            "Nobody administers this server yet. Open this link to make the administrator's account; it works once, "
            f"for a day:\n\n    {url}/join/{setup}\n"
        )
    click.echo(f"Stepscope is at {url}")
    click.echo(f"It keeps its data in {store.description}")
    sys.stdout.flush()


def _log_to_stderr(level: str) -> None:
    logging.basicConfig(
        level=level.upper(), stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    for name in ("alembic", "mcp", "uvicorn"):
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLogger().level))
