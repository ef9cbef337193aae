"""Keeps our failures out of the program we are a guest in, and says so at most once a minute."""

from __future__ import annotations

import sys
import time

reraise = False
"""Our own tests set this, so that the guard never hides a bug of ours."""

EVERY = 60.0
"""Seconds between two warnings of one sort."""

_last: dict[str, float] = {}


def failed(doing: str) -> None:
    """Report, from an `except` clause, that our own code failed; the program goes on."""
    error = sys.exc_info()[1]
    if reraise and error is not None:
        raise error
    warn("failed", f"stepscope failed while {doing}; your program goes on.", trace=True)


def warn(sort: str, text: str, *, trace: bool = False) -> None:
    """Log one warning of this sort on the logger `stepscope`, unless one was logged in the last minute."""
    try:
        now = time.monotonic()
        last = _last.get(sort)
        if last is not None and now - last < EVERY:
            return
        _last[sort] = now
        # Not at import: `logging` costs milliseconds that most programs never need.
        import logging

        logging.getLogger("stepscope").warning(text, exc_info=sys.exc_info() if trace else None)
    except Exception:
        # A logging handler of the host's may fail, or the interpreter may be half gone. There is nobody left to tell.
        if reraise:
            raise


def forget() -> None:
    """Let the next warning of each sort through (after a fork, and in tests)."""
    _last.clear()
