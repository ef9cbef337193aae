"""To the provider of OpenID Connect and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from tracer.access.audit import REFUSED, tell
from tracer.access.sessions import close_session, open_session
from tracer.auth import COOKIE
from tracer.errors import NotFound, NotSignedIn, TracerError
from tracer.pages.addresses import base_path, origin
from tracer.pages.cookies import address_of, agent_of, set_session
from tracer.pages.sign_in import safe_next, sign_in_page
from tracer.store.engine import Store

if TYPE_CHECKING:
    from tracer.access.oidc import OpenId

router = APIRouter(include_in_schema=False)

HERE = "/sign-in/oidc"
BACK = f"{HERE}/callback"
ATTEMPT = "stepscope_oidc"
ATTEMPT_S = 600


@router.get(HERE)
def go(request: Request, next: str = "") -> Response:
    """Lead to the provider, with what has to come back kept in a cookie."""
    try:
        there, attempt = _provider(request).begin(redirect_uri=origin(request) + BACK, next=safe_next(request, next))
    except TracerError as problem:
        return sign_in_page(request, next, problem=problem)
    answer = RedirectResponse(there, status_code=303)
    answer.set_cookie(
        ATTEMPT,
        attempt.as_cookie(),
        max_age=ATTEMPT_S,
        path=f"{base_path(request)}{HERE}",
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="lax",
    )
    answer.headers["Cache-Control"] = "no-store"
    return answer


@router.get(BACK)
def come_back(request: Request, state: str = "", code: str = "", error: str = "") -> Response:
    """Sign in who came back."""
    from tracer.access.oidc import read_attempt, somebody_at

    provider = _provider(request)
    next = ""
    try:
        attempt = read_attempt(request.cookies.get(ATTEMPT, ""))
        next = attempt.next
        if error:
            raise NotSignedIn("The sign-in provider did not let you through.")
        identity = provider.finish(attempt, redirect_uri=origin(request) + BACK, state=state, code=code)
        tell(request, action="signed in", who=identity.email, kind="person", detail="at the sign-in provider")
        with cast(Store, request.app.state.store).writing() as connection:
            person_id = somebody_at(connection, identity, provider.provider)
            close_session(connection, request.cookies.get(COOKIE, ""))
            value = open_session(connection, person_id=person_id, address=address_of(request), agent=agent_of(request))
    except TracerError as problem:
        tell(request, action=REFUSED)
        return sign_in_page(request, next, problem=problem)
    answer = RedirectResponse(safe_next(request, next), status_code=303)
    set_session(answer, request, value)
    answer.delete_cookie(ATTEMPT, path=f"{base_path(request)}{HERE}", httponly=True, samesite="lax")
    return answer


def _provider(request: Request) -> OpenId:
    provider = cast("OpenId | None", request.app.state.oidc)
    if provider is None:
        raise NotFound("No sign-in provider is set up here.")
    return provider
