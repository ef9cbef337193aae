"""Traces across processes: the W3C header `traceparent`, out and in. No other header is ever read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from types import TracebackType

from . import _guard, _otel
from ._context import Origin, current
from ._steps import Step

_HEADER = re.compile(r"(?!ff)([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-.*)?", re.ASCII | re.DOTALL)
_LONGEST = 512


def traceparent() -> str | None:
    """Return the header that lets another process go on with this trace, or None where nothing runs here.

    requests.post(url, headers={"traceparent": stepscope.traceparent() or ""})
    """
    try:
        nearest, _ = _otel.choose(current.get())
        if nearest is None:
            return None
        trace, span = (nearest.trace_number, nearest.span_number) if isinstance(nearest, Step) else nearest
        return f"00-{trace:032x}-{span:016x}-01"
    except Exception:
        _guard.failed("writing a traceparent")
        return None


def continue_trace(headers: object) -> Continued:
    """Put the steps inside the block into the trace that a request came with; into a new one where it names none.

    `headers`: a mapping, pairs (texts or bytes), or the header's own text. Where OpenTelemetry has a current span, that
    stays the parent. Never raises.

        with stepscope.continue_trace(request.headers):
            answer("Hello?")
    """
    found: Origin | None = None
    try:
        found = read_traceparent(_header(headers))
    except Exception:
        found = None  # what came from outside is no fault of the program's, nor of ours
    return Continued(found)


class Continued:
    """What `continue_trace` returns: a context manager, sync and async."""

    __slots__ = ("_before", "_found")

    def __init__(self, found: Origin | None) -> None:
        self._found = found
        self._before: list[Step | Origin | None] = []

    def __enter__(self) -> None:
        try:
            self._before.append(current.get())
            current.set(self._found)
        except Exception:
            _guard.failed("continuing a trace")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            current.set(self._before.pop())
        except Exception:
            _guard.failed("leaving a trace")

    async def __aenter__(self) -> None:
        self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, traceback)


def read_traceparent(value: str | None) -> Origin | None:
    """Read a header; None for anything that the specification calls invalid."""
    if value is None or len(value) > _LONGEST:
        return None
    found = _HEADER.fullmatch(value.strip(" \t"))
    if found is None or (found[1] == "00" and found[4] is not None):
        return None
    trace, span = int(found[2], 16), int(found[3], 16)
    return Origin(trace, span) if trace and span else None


def _header(headers: object) -> str | None:
    if isinstance(headers, (str, bytes)):
        return _text(headers)
    pairs: Iterable[object] = headers.items() if isinstance(headers, Mapping) else _pairs(headers)
    said = [pair[1] for pair in pairs if isinstance(pair, (tuple, list)) and len(pair) == 2 and _named(pair[0])]
    # Twice is not once: the specification has such a request start a new trace.
    return _text(said[0]) if len(said) == 1 else None


def _pairs(headers: object) -> Iterable[object]:
    items: object = getattr(headers, "items", None)
    found: object = items() if callable(items) else headers
    return found if isinstance(found, Iterable) else ()


def _named(name: object) -> bool:
    # WSGI writes headers its own way.
    return (_text(name) or "").lower() in ("traceparent", "http_traceparent")


def _text(value: object) -> str | None:
    if isinstance(value, bytes):
        return value.decode("latin-1")
    return value if isinstance(value, str) else None
