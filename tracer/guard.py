"""What every request and answer goes through: its Host, who made it, security headers, a request id."""

from __future__ import annotations

import ipaddress
import secrets
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tracer.errors import Forbidden, TooLarge, TracerError, WrongHost
from tracer.otlp.addresses import is_otlp
from tracer.resources import early_digest
from tracer.settings import Settings
from tracer.units import format_bytes

POLICY = (
    f"default-src 'none'; script-src 'self' '{early_digest()}'; "
    "style-src 'self'; img-src 'self' data: blob:; media-src data:; "
    "connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
}
FORM_LIMIT = 1 << 20
"""Bytes of a body that is not OTLP, whose routes have a limit of their own."""

OWN_LIMITS = frozenset({"/api/v1/import"})
"""Addresses beside those of OTLP that hold a body to the setting `max_body` themselves."""

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class Guard:
    """ASGI middleware: refuses foreign hosts and requests that other web pages make, and marks every answer."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        settings: Settings,
        refuse: Callable[[Request, TracerError], Response],
        answered: Callable[[Mapping[str, Any], int], None],
    ) -> None:
        self._app = app
        self._refuse = refuse
        self._answered = answered
        self._names = {"localhost", settings.host.lower(), *map(str.lower, settings.allowed_hosts)}
        self._any_address = settings.beyond_loopback
        if settings.beyond_loopback:
            self._names.add(socket.gethostname().lower())
        self._base_path = settings.base_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = secrets.token_hex(8)
        scope.setdefault("state", {})["request_id"] = request_id
        if self._base_path:
            scope["root_path"] = self._base_path

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                mark(MutableHeaders(scope=message), request_id)
                self._answered(scope["state"], message["status"])
            await send(message)

        headers = Headers(scope=scope)
        try:
            self._check_host(headers)
            if scope["method"] not in SAFE_METHODS:
                self._check_origin(headers)
                path = scope["path"].removeprefix(self._base_path)
                if not is_otlp(path) and path not in OWN_LIMITS:
                    receive = _limited(receive, headers)
        except TracerError as problem:
            await self._refuse(Request(scope), problem)(scope, receive, marked)
            return
        await self._app(scope, receive, marked)

    def _check_host(self, headers: Headers) -> None:
        given = headers.getlist("host")
        name = host_name(given[0]) if len(given) == 1 else None
        if name is None:
            raise WrongHost("The request has no Host that can be read.")
        if name in self._names:
            return
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            pass
        else:
            # An address cannot be rebound by DNS; beyond loopback the server asks for a key anyway.
            if address.is_loopback or self._any_address:
                return
        raise WrongHost(
            f"This server is not called {name[:80]!r}. Start it with --allowed-hosts {name[:80]} if that is its name."
        )

    def _check_origin(self, headers: Headers) -> None:
        site = headers.get("sec-fetch-site", "none").lower()
        if site not in ("same-origin", "none"):
            raise Forbidden("Another web page made this request; nothing was done.")
        origin = headers.get("origin")
        if origin is not None:
            try:
                found = urlsplit(origin).netloc.lower()
            except ValueError:
                found = ""
            if not found or found != headers.get("host", "").lower():
                raise Forbidden("Another web page made this request; nothing was done.")


def _limited(receive: Receive, headers: Headers) -> Receive:
    """The same `receive`, which raises TooLarge once a body is over the limit; raises it now when that is known."""
    problem = TooLarge(f"The body is over {format_bytes(FORM_LIMIT)}.")
    declared = headers.get("content-length", "")
    if declared.isdigit() and int(declared) > FORM_LIMIT:
        raise problem
    size = 0

    async def counted() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > FORM_LIMIT:
            raise problem
        return message

    return counted


def embedded(origins: Sequence[str]) -> dict[str, str]:
    """The headers of a page that pages of these origins may show in a frame."""
    ancestors = " ".join(("'self'", *origins))
    return {"Content-Security-Policy": POLICY.replace("frame-ancestors 'none'", f"frame-ancestors {ancestors}")}


def mark(headers: MutableHeaders, request_id: str) -> None:
    """Add what every answer carries: the security headers and the request's id."""
    for name, value in HEADERS.items():
        headers.setdefault(name, value)
    if "frame-ancestors 'self'" in headers["content-security-policy"]:
        del headers["x-frame-options"]  # it knows no origins
    headers.setdefault("x-request-id", request_id)


def host_name(host: str) -> str | None:
    """The name or address in a Host header, without its port and brackets; None when there is none."""
    try:
        name = urlsplit(f"//{host}").hostname
    except ValueError:
        return None
    return name.rstrip(".").lower() if name and not set(name) & set(" /\\@?#") else None
