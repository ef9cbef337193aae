"""The one exporter of this process: made when first needed, replaced by `init` and in the child after a fork."""

from __future__ import annotations

import atexit
import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from typing import TYPE_CHECKING

from . import _guard
from ._config import Config, disabled, load
from ._sinks import NOWHERE, Sink

if TYPE_CHECKING:
    from ._export import Exporter

EXIT_SECONDS = 2.0
"""How long the end of the program may be held up."""

sink: Sink | None = None
"""Where steps go; None until the first step or `init`."""
exporter: Exporter | None = None
"""The real sink, also while a test's recorder stands in its place."""
reason: str | None = None
"""Why nothing is recorded, or None."""

_lock = threading.RLock()
_busy = False
_retired: list[Exporter] = []


def start() -> Sink:
    """Return the sink, and make it from the environment when there is none yet."""
    global _busy
    with _lock:
        # A signal handler may record while this very thread is at it below: its step is not kept.
        if sink is None and not _busy:
            _busy = True
            try:
                configure(load(), _quiet())
            finally:
                _busy = False
    return sink or NOWHERE


def configure(config: Config, because: str | None = None) -> None:
    """Send steps to the place that `config` names, from now on; steps that are under way still go to the old place."""
    global sink, exporter, reason
    from ._export import Exporter

    reason = config.problem or because
    if config.problem is not None and not disabled():
        _guard.warn("config", f"stepscope: {config.problem}; nothing is recorded.")
    old = exporter
    if reason is not None:
        exporter = None
        new: Sink = NOWHERE
    else:
        exporter = Exporter(config)
        new = exporter.front
    if sink is None or sink is NOWHERE or (old is not None and sink is old.front):
        sink = new
    if old is not None:
        old.retire()
        _retired.append(old)


def _quiet() -> str | None:
    """Say why nothing is recorded although nobody forbade it: a test run that names no endpoint."""
    if "PYTEST_CURRENT_TEST" in os.environ and not os.environ.get("STEPSCOPE_ENDPOINT"):
        return "this is a test run, and neither init() nor STEPSCOPE_ENDPOINT asked for recording"
    return None


def at_exit() -> None:
    """Deliver what waits, for `EXIT_SECONDS` at most."""
    try:
        end = time.monotonic() + EXIT_SECONDS
        for each in _all():
            each.close(max(end - time.monotonic(), 0.1))
    except Exception:
        _guard.failed("delivering at exit")


def _all() -> list[Exporter]:
    return ([] if exporter is None else [exporter]) + _retired


def before_fork() -> None:
    """End the delivery threads if that is quick: a process without threads forks cleanly.

    No thread of ours may be importing at that moment: the module's lock would be held for ever in the child.
    """
    try:
        _lock.acquire(timeout=2.0)
        for each in _all():
            each.park(0.05)
    except Exception:
        _guard.failed("making ready for a fork")


def fork_done() -> None:
    """In the parent: go on."""
    try:
        with suppress(RuntimeError):  # the lock could not be had
            _lock.release()
        for each in _all():
            each.unpark()
    except Exception:
        _guard.failed("going on after a fork")


def after_fork() -> None:
    """In the child: forget the parent's queue, threads, locks and connection; keep the settings."""
    global sink, exporter, _lock, _busy
    try:
        _lock, _busy = threading.RLock(), False
        old = exporter
        _guard.forget()
        for each in _all():
            each.orphan()
        _retired.clear()
        if old is not None:
            fresh = type(old)(old.config)
            exporter = fresh
            if sink is old.front:
                sink = fresh.front
    except Exception:
        _guard.failed("starting afresh after a fork")


def load_modules() -> None:
    """Import what the delivery thread needs, all at once: these modules cost more than the rest of the package."""
    with _lock:
        import base64
        import linecache

        from . import _http, _objects

        del base64, linecache, _http, _objects
        "localhost".encode("idna")  # the first look-up of an address would import it


def hook_workers() -> None:
    """Deliver at the end of worker processes too: those of `multiprocessing` and `billiard` skip `atexit`."""
    for name in ("multiprocessing.util", "billiard.util"):
        module = sys.modules.get(name)
        finalize = getattr(module, "Finalize", None)
        if finalize is not None:
            finalize(None, at_exit, exitpriority=0)
    # The workers of billiard's pool, which are Celery's, leave by `os._exit` when they are told to end or replaced.
    worker = getattr(sys.modules.get("billiard.pool"), "Worker", None)
    leave = getattr(worker, "_do_exit", None)
    if worker is not None and callable(leave) and not hasattr(leave, "__wrapped__"):
        worker._do_exit = _delivering_first(leave)


def _delivering_first(leave: Callable[..., object]) -> Callable[..., object]:
    @wraps(leave)
    def leave_when_delivered(*arguments: object, **named: object) -> object:
        at_exit()
        return leave(*arguments, **named)

    return leave_when_delivered


atexit.register(at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=before_fork, after_in_parent=fork_done, after_in_child=after_fork)
