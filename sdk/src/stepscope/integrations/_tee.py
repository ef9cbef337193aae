"""Reads along while a program reads an HTTP answer: the bytes pass through untouched, at the program's own pace."""

from __future__ import annotations

import json
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Protocol

from .. import _guard

EVENT_LIMIT = 16 * 1024 * 1024
"""Bytes of one event that are kept; longer ones are passed over."""


class Listener(Protocol):
    """Hears what a streamed answer says."""

    def event(self, name: str, data: dict[str, object]) -> None:
        """One event, its data read."""

    def end(self, error: BaseException | None, *, whole: bool) -> None:
        """The answer is over: whole, broken by an error, or given up."""


class Events:
    """Takes server-sent events apart, piece by piece."""

    def __init__(self, listener: Listener, encoding: str) -> None:
        self._listener = listener
        self._inflate: Callable[[bytes], bytes] | None = None
        self._blind = False
        if encoding in ("gzip", "deflate"):
            self._inflate = zlib.decompressobj(47).decompress
        elif encoding not in ("", "identity"):
            self._blind = True
        self._rest = b""
        self._name = ""
        self._data: list[bytes] = []
        self._over = False

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes."""
        try:
            if self._blind:
                return
            lines = (self._rest + (chunk if self._inflate is None else self._inflate(chunk))).split(b"\n")
            self._rest = lines.pop()
            if len(self._rest) > EVENT_LIMIT:
                self._blind = True
                self._rest = b""
            for line in lines:
                self._line(line.rstrip(b"\r"))
        except Exception:
            self._blind = True
            _guard.failed("reading along with a streamed answer")

    def end(self, error: BaseException | None = None, *, whole: bool) -> None:
        """Note the end; only the first one counts."""
        if self._over:
            return
        self._over = True
        try:
            if whole and self._data:
                self._line(b"")
            self._listener.end(error, whole=whole)
        except Exception:
            _guard.failed("ending a model call")

    def _line(self, line: bytes) -> None:
        if line.startswith(b"data:"):
            self._data.append(line[5:].lstrip(b" "))
        elif line.startswith(b"event:"):
            self._name = line[6:].strip().decode("utf-8", "replace")
        elif not line and self._data:
            name, data = self._name, b"\n".join(self._data)
            self._name = ""
            self._data.clear()
            if data.startswith(b"{"):
                said: object = json.loads(data)
                if isinstance(said, dict):
                    self._listener.event(name, said)


class _Both:
    """What the two sorts of streams share: everything but reading is the stream's own."""

    def __init__(self, inner: object, events: Events) -> None:
        self._inner = inner
        self._events = events

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)

    def __del__(self) -> None:
        self._events.end(whole=False)


def _sync(self: _Both) -> Iterator[bytes]:
    events = self._events
    try:
        for chunk in self._inner:  # pyrefly: ignore[not-iterable]
            events.feed(chunk)
            yield chunk
    except GeneratorExit:
        raise
    except BaseException as error:
        events.end(error, whole=False)
        raise
    events.end(whole=True)


def _close(self: _Both) -> None:
    try:
        self._inner.close()  # pyrefly: ignore[missing-attribute]
    finally:
        self._events.end(whole=False)


async def _async(self: _Both) -> AsyncIterator[bytes]:
    events = self._events
    try:
        async for chunk in self._inner:  # pyrefly: ignore[not-iterable]
            events.feed(chunk)
            yield chunk
    except GeneratorExit:
        raise
    except BaseException as error:
        events.end(error, whole=False)
        raise
    events.end(whole=True)


async def _aclose(self: _Both) -> None:
    try:
        await self._inner.aclose()  # pyrefly: ignore[missing-attribute]
    finally:
        self._events.end(whole=False)


_MEMBERS: dict[str, dict[str, object]] = {
    "SyncByteStream": {"__iter__": _sync, "close": _close},
    "AsyncByteStream": {"__aiter__": _async, "aclose": _aclose},
}
_kinds: dict[type, type] = {}


def read_along(response: object, listener: Listener) -> bool:
    """Let `listener` hear what the program reads of an HTTP answer (httpx's); False where that can't be done."""
    stream: object = getattr(response, "stream", None)
    if stream is None or getattr(response, "is_stream_consumed", True) or getattr(response, "is_closed", True):
        return False
    kind = _kinds.get(type(stream))
    if kind is None:
        base = next((base for base in type(stream).__mro__ if base.__name__ in _MEMBERS), None)
        if base is None:
            return False
        # The HTTP client asks whether a stream is one of its own.
        kind = _kinds[type(stream)] = type(type(stream).__name__, (_Both, base), dict(_MEMBERS[base.__name__]))
    headers: object = getattr(response, "headers", {})
    encoding = str(headers.get("content-encoding", "")) if hasattr(headers, "get") else ""
    setattr(response, "stream", kind(stream, Events(listener, encoding.strip().lower())))  # noqa: B010
    return True
