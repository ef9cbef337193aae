"""Every address that a page links to is made here, so that a base path is known in one place."""

from __future__ import annotations

import re
from urllib.parse import quote, urlencode

from fastapi import Request

_PLACE = re.compile(r"\{(\w+)\}")


def base_path(request: Request) -> str:
    """The path under which a reverse proxy serves us, without a slash at its end; empty for none."""
    path = str(request.scope.get("root_path") or "")
    return path.rstrip("/")


def url(request: Request, path: str, query: dict[str, str | None] | None = None, **parts: str) -> str:
    """Return the address of `path` on this server, with its `{places}` filled in and quoted.

    Query values that are None are left out. Raises KeyError when a place has no value.
    """
    filled = _PLACE.sub(lambda place: quote(parts[place[1]], safe=""), path)
    pairs = [(key, value) for key, value in (query or {}).items() if value is not None]
    return base_path(request) + filled + (f"?{urlencode(pairs)}" if pairs else "")


def changed(address: str, query: dict[str, str | None], changes: dict[str, str | None]) -> str:
    """An address with its query, some of it changed; what is None is left out."""
    pairs = [(key, value) for key, value in {**query, **changes}.items() if value is not None]
    return address + (f"?{urlencode(pairs)}" if pairs else "")


def origin(request: Request) -> str:
    """The server's address as the reader's browser knows it, base path included: what a snippet must name."""
    return f"{request.url.scheme}://{request.url.netloc}{base_path(request)}"
