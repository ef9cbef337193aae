"""The Model Context Protocol over HTTP, within the rights of whoever calls; needs the package mcp."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request, Response
from starlette.types import Receive, Scope, Send

from tracer.auth import Caller
from tracer.errors import TracerError
from tracer.prices import PriceBook
from tracer.settings import Settings
from tracer.sources.local import LocalReader
from tracer.store.engine import Store

if TYPE_CHECKING:
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

router = APIRouter(include_in_schema=False)


class NotInstalled(TracerError):
    """An address whose package is not installed on this server."""

    status = 501
    code = "not_installed"


class McpDoor:
    """Answers each request on its own, without sessions; the package is loaded when the first one comes."""

    def __init__(self, store: Store, settings: Settings, prices: PriceBook) -> None:
        self._store = store
        self._settings = settings
        self._prices = prices
        self._manager: StreamableHTTPSessionManager | None = None
        self._running: asyncio.Task[None] | None = None
        self._opening = asyncio.Lock()
        self._stop = asyncio.Event()

    async def manager(self) -> StreamableHTTPSessionManager:
        """What answers requests. Raises NotInstalled without the package."""
        async with self._opening:
            if self._manager is None:
                try:
                    made = await asyncio.to_thread(self._make)
                except ImportError:
                    raise NotInstalled(
                        "Assistants are answered with the package mcp beside the server: install stepscope-server[mcp]."
                    ) from None
                ready = asyncio.Event()
                self._running = asyncio.create_task(self._run(made, ready))
                await ready.wait()
                self._manager = made
            return self._manager

    async def stop(self) -> None:
        """Let go of requests that are under way."""
        self._stop.set()
        if self._running is not None:
            await asyncio.wait({self._running}, timeout=1)

    def _make(self) -> StreamableHTTPSessionManager:
        from mcp.server.transport_security import TransportSecuritySettings

        from tracer.mcp.tools import make_server

        server = make_server(self._source)
        # Foreign hosts and origins are refused before, for every address alike.
        checked = TransportSecuritySettings(enable_dns_rebinding_protection=False)
        server.streamable_http_app(stateless_http=True, json_response=True, transport_security=checked)
        return server.session_manager

    async def _run(self, manager: StreamableHTTPSessionManager, ready: asyncio.Event) -> None:
        async with manager.run():
            ready.set()
            await self._stop.wait()

    def _source(self, request: Any) -> LocalReader:
        caller: Caller = request.state.caller
        return LocalReader(self._store, self._settings, self._prices, caller.scope)


class _Handover(Response):
    """Lets the protocol's own code write the answer."""

    def __init__(self, manager: StreamableHTTPSessionManager) -> None:
        super().__init__()
        self._manager = manager

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._manager.handle_request(scope, receive, send)


@router.post("/mcp")
async def call(request: Request) -> Response:
    """One message of the protocol, and its answer."""
    door: McpDoor = request.app.state.mcp
    return _Handover(await door.manager())
