"""Where the settings begin: the first page of them that the reader may see."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from tracer.auth import ROUTES
from tracer.errors import NotFound
from tracer.pages.addresses import url
from tracer.pages.page import SETTINGS, caller_of

router = APIRouter(include_in_schema=False)


@router.get("/settings")
def settings_home(request: Request) -> Response:
    """Lead to the first page that the reader may see."""
    rights = caller_of(request).rights
    for path, _ in SETTINGS:
        if ROUTES["GET", path] in rights:
            return RedirectResponse(url(request, path), status_code=303)
    raise NotFound("Nothing of the settings is yours to see.")
