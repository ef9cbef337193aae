"""One kept connection to the server, and what its answers mean. Used by the delivery thread alone."""

from __future__ import annotations

import email.utils
import http.client
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple
from urllib.parse import urlsplit

from ._config import Config

CONNECT_SECONDS = 3.0
ANSWER_SECONDS = 10.0
ANSWER_LIMIT = 64 * 1024
"""Bytes read of an answer."""
LONGEST_RETRY_AFTER = 300.0

PIECE = 256 * 1024
"""Bytes of a body sent at once."""
LOOK = 0.05
"""Seconds between two looks at what piles up while an answer is awaited."""

_RETRIED = frozenset({429, 502, 503, 504})
_BROKEN_PIPE = (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError, ConnectionAbortedError)


class Answer(NamedTuple):
    """What came of one request."""

    status: int
    """HTTP status; 0: there was no answer."""
    retry: bool
    """Whether sending the same again makes sense."""
    retry_after: float | None = None
    """Seconds that the server asked us to wait."""
    rejected: int = 0
    """Spans that the server took out of a batch it accepted."""
    problem: str | None = None
    """What went wrong, in words."""

    @property
    def accepted(self) -> bool:
        """Whether the server has what we sent."""
        return self.status == 200 and self.problem is None


class Client:
    """Posts batches, to `{endpoint}/v1/traces` unless told otherwise."""

    def __init__(self, config: Config) -> None:
        parts = urlsplit(config.endpoint)
        self._secure = parts.scheme == "https"
        self._host = parts.hostname or "127.0.0.1"
        self._port = parts.port or (443 if self._secure else 80)
        self._base = parts.path.rstrip("/")
        self._connection: http.client.HTTPConnection | None = None
        self._headers: dict[str, str | bytes] = {
            "Content-Type": "application/json",
            "User-Agent": "stepscope-python",
        }
        if config.api_key is not None:
            self._headers["Authorization"] = f"Bearer {config.api_key}".encode()
        if config.project is not None and config.project.isascii():
            self._headers["x-stepscope-project"] = config.project

    def post(
        self, body: bytes, *, gzipped: bool, meanwhile: Callable[[], None] | None = None, path: str = "/v1/traces"
    ) -> Answer:
        """Send one body; every failure comes back as an answer. `meanwhile` is called now and then until it comes."""
        headers = {**self._headers, "Content-Encoding": "gzip"} if gzipped else self._headers
        kept = self._connection is not None
        try:
            try:
                return self._post(path, body, headers, meanwhile)
            except _BROKEN_PIPE:
                if not kept:
                    raise
                # A server may close an idle connection just when we use it again: that says nothing about the server.
                self.close()
                return self._post(path, body, headers, meanwhile)
        except Exception as error:
            # Not only OSError: an address may not be encodable, a fork may leave a module half imported.
            self.close()
            return Answer(0, True, problem=f"{type(error).__name__}: {error}"[:300])

    def close(self) -> None:
        """Let the connection go."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def forsake(self) -> None:
        """In a forked child: close this process's end, and nothing else.

        A thread of the parent may have been reading: its buffer's lock is held for ever here, and closing would wait
        for it.
        """
        connection, self._connection = self._connection, None
        if connection is not None and connection.sock is not None:
            os.close(connection.sock.detach())

    def _post(
        self, path: str, body: bytes, headers: dict[str, str | bytes], meanwhile: Callable[[], None] | None
    ) -> Answer:
        if self._connection is None:
            kind = http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
            self._connection = kind(self._host, self._port, timeout=CONNECT_SECONDS)
            self._connection.connect()
        connection = self._connection
        if connection.sock is not None:
            connection.sock.settimeout(ANSWER_SECONDS)
        if meanwhile is None or len(body) <= PIECE:
            connection.request("POST", self._base + path, body, headers)
        else:
            sized = {**headers, "Content-Length": str(len(body))}
            connection.request("POST", self._base + path, _pieces(body, meanwhile), sized)
        if meanwhile is not None and connection.sock is not None and not self._secure:
            _await(connection.sock, meanwhile)
        response = connection.getresponse()
        said = response.read(ANSWER_LIMIT)
        status = response.status
        after = response.getheader("Retry-After")
        if not response.isclosed() or response.will_close:
            self.close()
        if path != "/v1/traces" and 200 <= status < 300:
            return Answer(200, False)
        return _read_answer(status, said, after)


def _pieces(body: bytes, meanwhile: Callable[[], None]) -> Iterator[memoryview]:
    whole = memoryview(body)
    for start in range(0, len(body), PIECE):
        yield whole[start : start + PIECE]
        meanwhile()


def _await(sock: socket.socket, meanwhile: Callable[[], None]) -> None:
    """Wait for the first byte of an answer; TimeoutError when it doesn't come."""
    deadline = time.monotonic() + ANSWER_SECONDS
    sock.settimeout(LOOK)
    while True:
        try:
            sock.recv(1, socket.MSG_PEEK)
            break
        except TimeoutError:
            if time.monotonic() > deadline:
                raise
            meanwhile()
    sock.settimeout(ANSWER_SECONDS)


def _read_answer(status: int, said: bytes, after: str | None) -> Answer:
    if status in _RETRIED:
        return Answer(status, True, retry_after=read_retry_after(after), problem=f"it answered {status}")
    if status != 200:
        hint = {401: " (is the API key right?)", 403: " (may the API key write?)", 404: " (is the endpoint right?)"}
        return Answer(status, False, problem=f"it answered {status}{hint.get(status, '')}{_message(said)}")
    if not said.strip():
        return Answer(200, False)
    try:
        document = json.loads(said)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        return Answer(200, False, problem="its answer is not that of a trace server")
    partial = document.get("partialSuccess") or document.get("partial_success")
    if not isinstance(partial, dict):
        return Answer(200, False)
    rejected = partial.get("rejectedSpans") or partial.get("rejected_spans") or 0
    try:
        return Answer(200, False, rejected=max(int(rejected), 0))
    except (TypeError, ValueError):
        return Answer(200, False)


def _message(said: bytes) -> str:
    """Return the server's own words, where it gave any that are fit to print."""
    try:
        document = json.loads(said)
        message = document.get("message") if isinstance(document, dict) else None
    except (ValueError, RecursionError):
        return ""
    if not isinstance(message, str) or not message.strip():
        return ""
    return ": " + " ".join(message.split())[:200]


def read_retry_after(text: str | None) -> float | None:
    """Read a `Retry-After` header, seconds or a date; None where it makes no sense."""
    if text is None:
        return None
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(text).timestamp() - time.time()
        except (TypeError, ValueError, IndexError, OverflowError):
            return None
    if seconds != seconds:
        return None
    return min(max(seconds, 0.0), LONGEST_RETRY_AFTER)
