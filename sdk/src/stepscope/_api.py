"""Setting up, delivering, counting."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

from . import _guard, _runtime
from ._config import load
from ._status import Status

FLUSH_SECONDS = 5.0


def init(
    project: str | None = None,
    endpoint: str | None = None,
    api_key: str | None = None,
    *,
    environment: str | None = None,
    release: str | None = None,
    memory: int | None = None,
    spool: str | bool | None = None,
    redact: Callable[[str, str], str] | None = None,
    masks: Iterable[str] | bool | None = None,
    otel: str | None = None,
    sample: float | None = None,
    keep_errors: bool | None = None,
    keep_slow: float | None = None,
) -> None:
    """Say where steps go. Optional: without it the `STEPSCOPE_*` variables hold, else the defaults. Never raises.

    `project`, `endpoint` and `api_key` fall back to `STEPSCOPE_PROJECT`, `STEPSCOPE_ENDPOINT`, `STEPSCOPE_API_KEY`,
    the endpoint at last to `http://127.0.0.1:4747`. `environment` and `release` describe this program. `memory` is
    the number of bytes that may wait in memory (64 MB). `spool` is the folder where steps wait while the server is
    away (`False`: none). `redact` takes an attribute's name and text and returns the text that may leave the process.
    `masks` names the built-in masks: `keys` and `secrets` are on by default, `emails` and `cards` can be (`True`: all).
    `otel="join"` sends the spans of the program's own OpenTelemetry provider too (`STEPSCOPE_OTEL=join`).
    `sample` is the part of all traces that is recorded (0.1: one in ten); besides, those that fail (`keep_errors`, on
    by default) and those that take `keep_slow` seconds or more.
    A second call sends later steps to the new place; the same call again changes nothing.

        stepscope.init(project="shop")
    """
    try:
        config = load(
            project,
            endpoint,
            api_key,
            environment,
            release,
            memory,
            spool,
            redact,
            masks,
            sample,
            keep_errors,
            keep_slow,
        )
        if (otel or os.environ.get("STEPSCOPE_OTEL", "").strip().lower()) == "join" and config.on:
            from .otel import join

            join()
        if _runtime.exporter is not None and _runtime.exporter.config == config and _runtime.reason is None:
            return
        _runtime.configure(config)
    except Exception:
        _guard.failed("setting up")


def flush(timeout: float = FLUSH_SECONDS) -> bool:
    """Deliver everything recorded so far; True when the server has it, False when `timeout` seconds were not enough.

    Returns at once when nobody answers at the server's address: the steps wait.

        stepscope.flush(timeout=2)
    """
    try:
        exporter = _runtime.exporter
        return True if exporter is None else exporter.flush(max(float(timeout), 0.0))
    except Exception:
        _guard.failed("delivering")
        return False


def shutdown(timeout: float = _runtime.EXIT_SECONDS) -> bool:
    """Deliver what waits, then record nothing more until `init` is called again; True when everything was delivered.

    stepscope.shutdown()
    """
    try:
        exporter, _runtime.exporter = _runtime.exporter, None
        if exporter is None:
            return True
        if _runtime.sink is exporter.front:
            _runtime.sink = _runtime.NOWHERE
        _runtime.reason = "shutdown() was called"
        return exporter.close(max(float(timeout), 0.0))
    except Exception:
        _guard.failed("shutting down")
        return False


def status() -> Status:
    """Count the steps of this process: recorded, delivered, waiting, dropped, and why.

    print(stepscope.status())
    """
    try:
        if _runtime.exporter is not None:
            return _runtime.exporter.status()
    except Exception:
        _guard.failed("counting")
    return Status(0, 0, 0, 0, 0, 0, 0, "", _runtime.reason)
