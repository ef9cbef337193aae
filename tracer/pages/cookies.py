"""The cookie of a session: no script can read it, and other sites' requests do not carry it."""

from __future__ import annotations

from fastapi import Request, Response

from tracer.access.sessions import SESSION_LENGTH
from tracer.auth import COOKIE
from tracer.pages.addresses import base_path
from tracer.units import SECOND


def set_session(answer: Response, request: Request, value: str) -> None:
    """Let the browser keep a session."""
    answer.set_cookie(
        COOKIE,
        value,
        max_age=SESSION_LENGTH // SECOND,
        path=base_path(request) or "/",
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="lax",
    )
    answer.headers["Cache-Control"] = "no-store"


def drop_session(answer: Response, request: Request) -> None:
    """Let the browser forget it."""
    answer.delete_cookie(COOKIE, path=base_path(request) or "/", httponly=True, samesite="lax")


def address_of(request: Request) -> str:
    """Where a request comes from, as far as proxies that are trusted say so."""
    return request.client.host if request.client is not None else ""


def agent_of(request: Request) -> str:
    """What the browser calls itself."""
    return request.headers.get("user-agent", "")
