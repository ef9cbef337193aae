"""Signing in with the administrator's token, and out again. Plain forms: they work without script."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import RedirectResponse

from tracer.access.tokens import SESSION_LENGTH, close_session, open_session
from tracer.auth import COOKIE
from tracer.errors import NotSignedIn
from tracer.pages.addresses import base_path, url
from tracer.pages.page import render
from tracer.store.engine import Store
from tracer.units import SECOND

router = APIRouter(include_in_schema=False)

NEXT_LIMIT = 2_000


@dataclass(frozen=True, slots=True)
class SignInPage:
    """The form; `problem` says why the last try failed."""

    next: str
    problem: str | None


@router.get("/sign-in")
def show_sign_in(request: Request, next: str = "") -> Response:
    """The form; an open server asks nobody and leads on."""
    if request.app.state.open_server:
        return RedirectResponse(url(request, "/"), status_code=303)
    return render(request, "sign_in.html", SignInPage(next=safe_next(request, next), problem=None))


@router.post("/sign-in")
def sign_in(request: Request, token: Annotated[str, Form()] = "", next: Annotated[str, Form()] = "") -> Response:
    """Exchange the token for a session, kept in a cookie that no script can read."""
    there = safe_next(request, next)
    store = cast(Store, request.app.state.store)
    try:
        session = open_session(store, token.strip())
    except NotSignedIn as problem:
        return render(request, "sign_in.html", SignInPage(next=there, problem=problem.message), status=401)
    answer = RedirectResponse(there, status_code=303)
    answer.set_cookie(
        COOKIE,
        session,
        max_age=SESSION_LENGTH // SECOND,
        path=base_path(request) or "/",
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="lax",
    )
    return answer


@router.post("/sign-out")
def sign_out(request: Request) -> Response:
    """End the session at once, here and in the database."""
    value = request.cookies.get(COOKIE)
    if value:
        close_session(cast(Store, request.app.state.store), value)
    answer = RedirectResponse(url(request, "/sign-in"), status_code=303)
    answer.delete_cookie(COOKIE, path=base_path(request) or "/", httponly=True, samesite="lax")
    return answer


def safe_next(request: Request, wanted: str) -> str:
    """Where to go after signing in: a path of this server, else its home; never another site."""
    home = url(request, "/")
    plain = wanted.isascii() and wanted.isprintable() and len(wanted) <= NEXT_LIMIT and "\\" not in wanted
    if not plain or not wanted.startswith(f"{base_path(request)}/") or wanted.startswith("//"):
        return home
    return wanted
