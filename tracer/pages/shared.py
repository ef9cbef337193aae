"""Where a read-only link leads: its reader gets a cookie for that one trace, and its page."""

from __future__ import annotations

from typing import cast

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from tracer.access.audit import tell
from tracer.access.links import open_link
from tracer.auth import SHARED_COOKIE
from tracer.errors import NotFound
from tracer.pages.addresses import base_path, url
from tracer.queries.projects import projects
from tracer.queries.scope import Scope
from tracer.store.engine import Store
from tracer.units import SECOND

router = APIRouter(include_in_schema=False)


@router.get("/shared/{token}")
def open_shared(request: Request, token: str) -> Response:
    """Let the reader of a link in."""
    store = cast(Store, request.app.state.store)
    link = open_link(store, token)
    if link is None:
        raise NotFound("This link has expired or was taken back. Ask for a new one.")
    tell(request, kind="link", project_id=link.project_id, target=f"trace {link.trace_id}")
    with store.reading() as conn:
        slug = projects(conn, scope=Scope(frozenset({link.project_id})))[0].slug
    answer = RedirectResponse(url(request, "/p/{slug}/traces/{trace_id}", slug=slug, trace_id=link.trace_id), 303)
    if not request.app.state.open_server:
        # In a frame of another site a browser sends only cookies that say so, and those over HTTPS alone.
        framed = request.url.scheme == "https" and bool(request.app.state.settings.embed_origins)
        answer.set_cookie(
            f"{SHARED_COOKIE}_{link.trace_id}",
            token,
            max_age=(link.expires_at - link.created_at) // SECOND,
            path=f"{base_path(request)}/p/{slug}",
            secure=request.url.scheme == "https",
            httponly=True,
            samesite="none" if framed else "lax",
        )
        if framed:
            name, value = answer.raw_headers[-1]
            answer.raw_headers[-1] = (name, value + b"; Partitioned")
    answer.headers["Referrer-Policy"] = "no-referrer"
    answer.headers["Cache-Control"] = "no-store"
    return answer
