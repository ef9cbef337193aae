"""One client's connection: how long it may take, and how long an address and headers may be."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

HEAD_LIMIT = 64 * 1024
"""Bytes of a request's address and headers together."""

HEAD_WITHIN_S = 20.0
REQUEST_WITHIN_S = 44.0
"""A request's headers, and with its body all of it, must have come in so long."""

STALLED_S = 60.0
"""A client that takes nothing of its answer for so long is let go."""


class _BadHead(Exception):
    """The address and headers of a request are longer than we take."""


class Connection(HttpToolsProtocol):
    """One client's connection; uvicorn alone waits for ever for slow clients, and takes headers of any length."""

    _receiving: asyncio.TimerHandle | None = None
    _sending: asyncio.TimerHandle | None = None
    _in_head = True
    _head_size = 0
    _refusal = 400

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client connected: its first request is awaited."""
        super().connection_made(transport)
        self._receive_within(HEAD_WITHIN_S)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._received()
        self.resume_writing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes came; a head that does not end is refused before it fills the memory."""
        was_in_head = self._in_head
        super().data_received(data)
        if was_in_head and self._in_head and not self.transport.is_closing():
            self._head_size += len(data)
            if self._head_size > HEAD_LIMIT:
                self._refuse(431)

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._in_head, self._head_size = True, 0
        self._receive_within(HEAD_WITHIN_S)

    def on_headers_complete(self) -> None:
        """The address and headers are here."""
        self._in_head = False
        if len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers) > HEAD_LIMIT:
            self._refusal = 431
            raise _BadHead
        self._receive_within(REQUEST_WITHIN_S)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The whole request is here."""
        self._received()
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse what cannot be read as HTTP."""
        self._refuse(self._refusal)

    def pause_writing(self) -> None:
        """The client takes its answer slower than we make it."""
        super().pause_writing()
        if self._sending is None:
            self._sending = self.loop.call_later(STALLED_S, self.transport.abort)

    def resume_writing(self) -> None:
        """The client took some of its answer."""
        if self._sending is not None:
            self._sending.cancel()
            self._sending = None
        if self.flow is not None:
            super().resume_writing()

    def _receive_within(self, seconds: float) -> None:
        self._received()
        self._receiving = self.loop.call_later(seconds, self._too_slow)

    def _received(self) -> None:
        if self._receiving is not None:
            self._receiving.cancel()
            self._receiving = None

    def _too_slow(self) -> None:
        if self._in_head:
            self._refuse(408)
        else:
            self.transport.abort()

    def _refuse(self, status: int) -> None:
        """Answer with a status alone and close, unless an earlier answer on this connection is under way."""
        if self.transport.is_closing():
            return
        if self.cycle is None or self.cycle.response_complete or not self.cycle.response_started:
            self.transport.write(STATUS_LINE[status] + b"connection: close\r\ncontent-length: 0\r\n\r\n")
        self.transport.close()
