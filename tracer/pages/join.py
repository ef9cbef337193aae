"""Where a one-time link leads: to set the server up, to join it, or to choose a new password."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import RedirectResponse

from tracer.access.audit import tell
from tracer.access.invitations import Invitation, open_invitation, use_invitation
from tracer.access.passwords import FEWEST, hash_password
from tracer.access.people import read_email
from tracer.access.sessions import close_session, open_session
from tracer.auth import COOKIE
from tracer.errors import NotFound, TracerError
from tracer.pages.addresses import url
from tracer.pages.cookies import address_of, agent_of, set_session
from tracer.pages.page import render
from tracer.store.engine import Store

router = APIRouter(include_in_schema=False)

TYPED_LIMIT = 300
HEADERS = {"Cache-Control": "no-store"}


@dataclass(frozen=True, slots=True)
class JoinPage:
    """The form; `typed` is shown again after a mistake."""

    token: str
    what: str
    email: str | None
    """Whom the link is for; None where its reader says so."""
    fewest: int
    typed: Mapping[str, str]
    problem: str | None
    wrong_field: str | None


@router.get("/join/{token}")
def show_join(request: Request, token: str) -> Response:
    """The form; the link is used up when it is sent."""
    with cast(Store, request.app.state.store).reading() as connection:
        found = open_invitation(connection, token)
    return _page(request, token, found)


@router.post("/join/{token}")
def join(
    request: Request,
    token: str,
    email: Annotated[str, Form()] = "",
    name: Annotated[str, Form()] = "",
    password: Annotated[str, Form()] = "",
) -> Response:
    """Make the account, or change its password, and sign in."""
    store = cast(Store, request.app.state.store)
    with store.reading() as connection:
        found = open_invitation(connection, token)
    try:
        address = found.email or read_email(email)
        hashed = hash_password(password, email=address)
        with store.writing() as connection:
            person_id = use_invitation(connection, token, email=address, name=name, password=hashed)
            close_session(connection, request.cookies.get(COOKIE, ""))
            value = open_session(connection, person_id=person_id, address=address_of(request), agent=agent_of(request))
    except NotFound:
        raise
    except TracerError as problem:
        return _page(request, token, found, typed={"email": email, "name": name}, refused=problem)
    tell(request, who=address, kind="person", detail=found.what)
    answer = RedirectResponse(url(request, "/"), status_code=303)
    set_session(answer, request, value)
    return answer


def _page(
    request: Request,
    token: str,
    found: Invitation,
    *,
    typed: Mapping[str, str] | None = None,
    refused: TracerError | None = None,
) -> Response:
    page = JoinPage(
        token=token,
        what=found.what,
        email=found.email,
        fewest=FEWEST,
        typed={field: text[:TYPED_LIMIT] for field, text in (typed or {}).items()},
        problem=None if refused is None else refused.message,
        wrong_field=None if refused is None else refused.field,
    )
    return render(request, "join.html", page, status=200 if refused is None else refused.status, headers=HEADERS)
