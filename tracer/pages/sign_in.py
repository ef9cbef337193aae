"""Signing in with a password or the administrator's token, and out again. Plain forms: they work without script."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import RedirectResponse

from tracer.access.audit import REFUSED, tell
from tracer.access.passwords import is_right
from tracer.access.people import password_of
from tracer.access.sessions import close_session, open_session
from tracer.access.throttle import Throttle
from tracer.access.tokens import token_id
from tracer.auth import COOKIE
from tracer.errors import NotSignedIn, TracerError
from tracer.otlp.text import clean
from tracer.pages.addresses import base_path, url
from tracer.pages.cookies import address_of, agent_of, drop_session, set_session
from tracer.pages.page import render
from tracer.store.engine import Store

router = APIRouter(include_in_schema=False)

NEXT_LIMIT = 2_000
EMAIL_LIMIT = 300
WRONG = "The address or the password is wrong."
WRONG_TOKEN = "That is not the administrator's token."  # noqa: S105 - words for people


@dataclass(frozen=True, slots=True)
class SignInPage:
    """The form; `problem` says why the last try failed."""

    next: str
    email: str
    problem: str | None
    with_token: bool
    provider: str | None
    """What the button is called that leads to the provider of OpenID Connect."""


@router.get("/sign-in")
def show_sign_in(request: Request, next: str = "") -> Response:
    """The form; an open server asks nobody and leads on."""
    if request.app.state.open_server:
        return RedirectResponse(url(request, "/"), status_code=303)
    return sign_in_page(request, next)


@router.post("/sign-in")
def sign_in(
    request: Request,
    email: Annotated[str, Form()] = "",
    password: Annotated[str, Form()] = "",
    token: Annotated[str, Form()] = "",
    next: Annotated[str, Form()] = "",
) -> Response:
    """Begin a session, kept in a cookie that no script can read; the browser's session before it ends."""
    try:
        value = _open(request, clean(email).strip().lower()[:EMAIL_LIMIT], password, token.strip())
    except TracerError as problem:
        tell(request, action=REFUSED, who=email, detail="signing in")
        return sign_in_page(request, next, email=email[:EMAIL_LIMIT], problem=problem, with_token=bool(token))
    tell(request, who=email or "administrator", kind="token" if token else "person")
    answer = RedirectResponse(safe_next(request, next), status_code=303)
    set_session(answer, request, value)
    return answer


@router.post("/sign-out")
def sign_out(request: Request) -> Response:
    """End the session at once, here and in the database."""
    value = request.cookies.get(COOKIE)
    if value:
        with _store(request).writing() as connection:
            close_session(connection, value)
    answer = RedirectResponse(url(request, "/sign-in"), status_code=303)
    drop_session(answer, request)
    return answer


def _open(request: Request, email: str, password: str, token: str) -> str:
    """Begin a session; raises NotSignedIn, and TooManyTries for who guesses."""
    throttle = cast(Throttle, request.app.state.throttle)
    address = address_of(request)
    throttle.begin(email, address)
    store = _store(request)
    with store.reading() as connection:
        of_token = token_id(connection, token) if token else None
        found = password_of(connection, email) if email else None
    if token:
        if of_token is None:
            raise NotSignedIn(WRONG_TOKEN, field="token")
    elif not is_right(found[1] if found is not None else None, password) or found is None:
        raise NotSignedIn(WRONG, field="password")
    throttle.passed(email, address)
    with store.writing() as connection:
        close_session(connection, request.cookies.get(COOKIE, ""))
        return open_session(
            connection,
            person_id=None if token or found is None else found[0],
            token_id=of_token,
            address=address,
            agent=agent_of(request),
        )


def sign_in_page(
    request: Request, next: str, *, email: str = "", problem: TracerError | None = None, with_token: bool = False
) -> Response:
    """The form, with what went wrong."""
    page = SignInPage(
        next=safe_next(request, next),
        email=email,
        problem=None if problem is None else problem.message,
        with_token=with_token,
        provider=None if request.app.state.oidc is None else request.app.state.settings.oidc_name,
    )
    headers = {"Cache-Control": "no-store"}
    if problem is not None and problem.retry_after is not None:
        headers["Retry-After"] = str(problem.retry_after)
    return render(request, "sign_in.html", page, status=200 if problem is None else problem.status, headers=headers)


def safe_next(request: Request, wanted: str) -> str:
    """Where to go after signing in: a path of this server, else its home; never another site."""
    home = url(request, "/")
    plain = wanted.isascii() and wanted.isprintable() and len(wanted) <= NEXT_LIMIT and "\\" not in wanted
    if not plain or not wanted.startswith(f"{base_path(request)}/") or wanted.startswith("//"):
        return home
    return wanted


def _store(request: Request) -> Store:
    return cast(Store, request.app.state.store)
