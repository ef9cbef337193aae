"""What `python -m stepscope doctor` finds out."""

from __future__ import annotations

import os
import sys
import time

from ._config import Config, load
from ._encode import request_bytes, resource_text
from ._http import Client
from ._instrument import LIBRARIES
from ._spool import Spool, waiting_batches
from ._version import __version__


def examine() -> tuple[list[str], bool]:
    """Look at the settings, the server and the disk; returns the report's lines, and whether all is well."""
    config = load()
    lines = [
        f"stepscope {__version__}, Python {sys.version.split()[0]}",
        f"endpoint     {config.endpoint}{_from('STEPSCOPE_ENDPOINT')}",
        f"project      {config.project or 'the server chooses'}{_from('STEPSCOPE_PROJECT')}",
        f"API key      {'set' if config.api_key else 'none'}",
        f"service      {config.service}",
        f"masks        {', '.join(config.masks) or 'none'}",
    ]
    if config.sample < 1:
        lines.append(f"sampling     {config.sample:g} of all traces")
    if config.problem is not None:
        return [*lines, f"NOT WELL     {config.problem}: nothing is recorded"], False
    found, well = _server(config)
    lines += found
    found, disk = _disk(config)
    lines += found
    installed = [name for name, module in LIBRARIES.items() if _installed(module.partition(".")[0])]
    asked = os.environ.get("STEPSCOPE_INSTRUMENT", "")
    lines.append(
        f"libraries    {', '.join(installed) or 'none'} can be recorded; STEPSCOPE_INSTRUMENT is {asked or 'not set'}"
    )
    lines.append("all is well: steps arrive" if well and disk else "NOT WELL     see above")
    return lines, well and disk


def _from(name: str) -> str:
    return f" (from {name})" if os.environ.get(name) else ""


def _server(config: Config) -> tuple[list[str], bool]:
    """Send a batch of no steps: the server answers as it would to any."""
    client = Client(config)
    begun = time.perf_counter()
    answer = client.post(request_bytes(resource_text(config, os.getpid()), []), gzipped=False)
    took = (time.perf_counter() - begun) * 1000
    client.close()
    if answer.accepted:
        return [f"server       takes steps, answered in {took:.0f} ms"], True
    if answer.status == 0:
        return [f"NOT WELL     nobody answers at {config.endpoint}: {answer.problem}"], False
    return [f"NOT WELL     the server at {config.endpoint} does not take steps: {answer.problem}"], False


def _disk(config: Config) -> tuple[list[str], bool]:
    if config.spool is None:
        return ["disk         off: while the server is away, steps wait in memory only"], True
    batches, steps, size = waiting_batches(config)
    waiting = f"{steps:,} steps ({size:,} bytes) wait for this server" if batches else "nothing waits"
    spool = Spool(config)
    try:
        os.close(spool.nameless())
    except OSError as error:
        return [f"NOT WELL     {config.spool} can't be written: {error.strerror or error}"], False
    finally:
        spool.close()
    return [f"disk         {config.spool}: {waiting}, {config.disk:,} bytes may"], True


def _installed(package: str) -> bool:
    from importlib.util import find_spec

    try:
        return find_spec(package) is not None
    except (ImportError, ValueError):
        return False
