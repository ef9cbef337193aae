"""One's own account: another password, and the browsers that are signed in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import RedirectResponse

from tracer.access.passwords import FEWEST, hash_password, is_right
from tracer.access.people import Person, password_of, set_password
from tracer.access.sessions import Session, close_sessions, open_session, sessions_of
from tracer.access.throttle import Throttle
from tracer.errors import BadRequest, NotFound, TracerError
from tracer.pages.addresses import url
from tracer.pages.cookies import address_of, agent_of, set_session
from tracer.pages.page import caller_of, reading, render
from tracer.store.engine import Store

router = APIRouter(include_in_schema=False)

HERE = "/settings/account"
FIELDS = {"current", "password"}
"""Those of the form: a problem with one of them is told there."""

NOTES = {
    "password": "Your password is changed. Every other browser was signed out.",
    "ended": "Signed out there.",
}


@dataclass(frozen=True, slots=True)
class AccountPage:
    """The forms and the sessions; `here` is the one of this browser."""

    person: Person | None
    """None for who is signed in with the administrator's token, or on an open server."""
    has_password: bool
    sessions: Sequence[Session]
    here: int | None
    fewest: int
    typed: Mapping[str, str]
    problem: str | None
    wrong_field: str | None
    note: str | None


@router.get(HERE)
def show_account(request: Request, note: str = "") -> Response:
    """The page."""
    return _page(request, note=NOTES.get(note))


@router.post(f"{HERE}/password")
def change_password(
    request: Request, current: Annotated[str, Form()] = "", password: Annotated[str, Form()] = ""
) -> Response:
    """Change the password: this browser gets a new session, and every other one ends."""
    person = _person(request)
    store = cast(Store, request.app.state.store)
    throttle = cast(Throttle, request.app.state.throttle)
    address = address_of(request)
    try:
        throttle.begin(person.email, address)
        with store.reading() as connection:
            found = password_of(connection, person.email)
        stored = found[1] if found is not None else None
        if stored is not None and not is_right(stored, current):
            raise BadRequest("This is not your present password.", field="current")
        throttle.passed(person.email, address)
        hashed = hash_password(password, email=person.email)
    except TracerError as problem:
        return _page(request, refused=problem)
    with store.writing() as connection:
        set_password(connection, person.id, hashed)
        close_sessions(connection, person.id)
        value = open_session(connection, person_id=person.id, address=address, agent=agent_of(request))
    answer = RedirectResponse(url(request, HERE, {"note": "password"}), status_code=303)
    set_session(answer, request, value)
    return answer


@router.post(f"{HERE}/sessions")
def end_sessions(request: Request, session: Annotated[str, Form()] = "") -> Response:
    """End one session, or (`others`) every one but this."""
    person = _person(request)
    here = caller_of(request).session_id
    with cast(Store, request.app.state.store).writing() as connection:
        if session == "others":
            close_sessions(connection, person.id, but=here)
        elif session.isascii() and session.isdigit() and len(session) < 19:
            close_sessions(connection, person.id, only=int(session))
        else:
            raise BadRequest("session takes a session's number.", field="session")
    return RedirectResponse(url(request, HERE, {"note": "ended"}), status_code=303)


def _person(request: Request) -> Person:
    person = caller_of(request).person
    if person is None:
        raise NotFound("There is no account here: nobody signed in with a password.")
    return person


def _page(request: Request, *, note: str | None = None, refused: TracerError | None = None) -> Response:
    caller = caller_of(request)
    sessions: list[Session] = []
    stored: str | None = None
    if caller.person is not None:
        with reading(request) as conn:
            sessions = sessions_of(conn, caller.person.id)
            found = password_of(conn, caller.person.email)
            stored = found[1] if found is not None else None
    page = AccountPage(
        person=caller.person,
        has_password=stored is not None,
        sessions=sessions,
        here=caller.session_id,
        fewest=FEWEST,
        typed={},
        problem=None if refused is None else refused.message,
        wrong_field=None if refused is None or refused.field not in FIELDS else refused.field,
        note=note,
    )
    headers = {"Cache-Control": "no-store"}
    if refused is not None and refused.retry_after is not None:
        headers["Retry-After"] = str(refused.retry_after)
    return render(
        request, "settings/account.html", page, status=200 if refused is None else refused.status, headers=headers
    )
