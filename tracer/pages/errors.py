"""What a reader sees when something goes wrong: a sentence on a page, or in the place that asked."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import Request, Response
from fastapi.responses import RedirectResponse

from tracer.pages.addresses import base_path, url
from tracer.pages.page import render, wants_block

_TITLES = {
    400: "That cannot be read",
    401: "Please sign in",
    403: "That is not yours to see",
    404: "Nothing here",
    405: "That is not done here",
    421: "Not this server's name",
    429: "One moment, please",
    503: "The database is away",
}


@dataclass(frozen=True, slots=True)
class ErrorPage:
    """One problem: a headline, and the sentence that says what to do about it."""

    status: int
    code: str
    title: str
    message: str
    request_id: str | None


def error_page(request: Request, status: int, code: str, message: str) -> Response:
    """Draw a problem as a whole page; for htmx as the note at the top of the page that is open.

    Whoever has to sign in first is led there, and back afterwards.
    """
    if status == 401 and request.method == "GET" and not wants_block(request):
        path = request.url.path
        wanted = path if path.startswith(base_path(request)) else base_path(request) + path
        query = f"?{request.url.query}" if request.url.query else ""
        return RedirectResponse(url(request, "/sign-in", {"next": wanted + query}), status_code=303)
    state = request.scope.get("state") or {}
    page = ErrorPage(
        status=status,
        code=code,
        title=_TITLES.get(status, "Something went wrong"),
        message=message,
        request_id=str(state["request_id"]) if "request_id" in state else None,
    )
    headers = {"HX-Retarget": "#problem", "HX-Reswap": "innerHTML"} if wants_block(request) else {}
    return render(request, "error.html", page, block="problem", status=status, headers=headers)
