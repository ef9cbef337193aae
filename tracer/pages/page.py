"""What all pages share: who asks, the open database, and drawing a page or the one block of it that htmx asked for."""

from __future__ import annotations

import gzip
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import cache, partial
from typing import cast

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from sqlalchemy import Connection

from tracer.auth import ROUTES, Caller
from tracer.pages import ranges, words
from tracer.pages.addresses import changed, url
from tracer.pages.static import early, module, static_url, styles
from tracer.queries.projects import project_by_slug
from tracer.queries.rows import ProjectRow, TraceRow
from tracer.queries.traces import trace_by_id
from tracer.resources import resource_dir
from tracer.settings import Settings
from tracer.store.engine import Store
from tracer.units import UnixNanos, format_bytes, format_cost, format_count, format_duration, rfc3339
from tracer.zone import local_text, zone_label, zone_name

PAGE_HEADERS = {
    "Cache-Control": "private, no-cache",
    "Vary": "HX-Request, HX-Request-Type",
}
"""Sent with every page; the guard around the service adds the security headers."""

SMALL_PAGE = 2_000
"""Bytes of HTML that are not worth packing."""


SETTINGS = (
    ("/projects", "Projects"),
    ("/settings/keys", "Keys"),
    ("/settings/people", "People"),
    ("/settings/privacy", "Privacy"),
    ("/settings/audit", "Audit log"),
    ("/settings/account", "Your account"),
    ("/settings/prices", "Prices"),
)
"""The pages of the settings, in the order of their menu; a reader sees those that they have the right to."""


MOST_EVENTS = 100
"""Events and links of one step that its page shows before it points to the whole."""


FILTERS: dict[str, Callable[..., object]] = {
    "duration": format_duration,
    "cost": format_cost,
    "count": format_count,
    "bytes": format_bytes,
    "rfc3339": rfc3339,
    "moment": words.moment,
    "local": local_text,
    "zone": zone_label,
    "name": words.name_of,
    "plural": words.plural,
    "score": words.score_words,
    "combine": words.combine,
    "token_total": words.token_total,
    "token_words": words.token_words,
    "partial_words": words.partial_words,
}
"""What templates may pipe a value through."""

NAMES: dict[str, object] = {
    "KINDS": words.KINDS,
    "NOT_THERE": words.NOT_THERE,
    "FLAGS": words.FLAGS,
    "EVENTS": MOST_EVENTS,
    "SOURCES": words.SOURCES,
    "ago": words.ago,
    "verdict": words.verdict,
    "trace_cost": words.trace_cost,
    "step_cost": words.step_cost,
    "ROUTES": ROUTES,
    "SETTINGS": SETTINGS,
    "changed": changed,
    "early": early,
    "zone_name": zone_name,
    "zone_label": zone_label,
    "RANGES": ranges.LENGTHS,
}
"""What templates may call by name."""


def caller_of(request: Request) -> Caller:
    """Who asks, as the door made out before the route was reached."""
    return cast(Caller, request.state.caller)


def reading(request: Request) -> AbstractContextManager[Connection]:
    """Open the database for reading, for as long as the `with` block lasts."""
    return cast(Store, request.app.state.store).reading()


def abandoned_after(request: Request) -> int:
    """Minutes without news after which a running step counts as abandoned."""
    return cast(Settings, request.app.state.settings).abandoned_after


def unix_now() -> UnixNanos:
    """The wall clock, for what pages say about "ago" and "so far"."""
    return UnixNanos(time.time_ns())


def wants_block(request: Request) -> bool:
    """Whether htmx asks for a part of the page that it already shows."""
    return request.headers.get("hx-request") == "true" and request.headers.get("hx-request-type") != "full"


def trace_at(conn: Connection, request: Request, slug: str, trace_id: str) -> tuple[ProjectRow, TraceRow]:
    """The trace that an address names, in the project that it names; raises NotFound where the caller sees none."""
    scope = caller_of(request).scope
    project = project_by_slug(conn, scope=scope, slug=slug)
    silence = abandoned_after(request)
    return project, trace_by_id(conn, scope=scope, trace_id=trace_id, project_id=project.id, abandoned_after=silence)


@cache
def environment() -> Environment:
    """The templates: everything escaped, nothing undefined passed over."""
    made = Environment(
        loader=FileSystemLoader(resource_dir("web") / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(FILTERS)
    cast(dict[str, object], made.globals).update(NAMES)
    return made


def render(
    request: Request,
    name: str,
    page: object,
    *,
    block: str | None = None,
    status: int = 200,
    headers: dict[str, str] | None = None,
) -> HTMLResponse:
    """Draw the template `name` for `page`; only its `block` when one is named and htmx asks for a part."""
    template = environment().get_template(name)
    variables: dict[str, object] = {
        "page": page,
        "caller": getattr(request.state, "caller", None),
        "now": unix_now(),
        "url": partial(url, request),
        "static": partial(static_url, request),
        "module": partial(module, request),
        "styles": partial(styles, request),
        "partial": False,
        "read_only": cast(Store, request.app.state.store).read_only,
    }
    if block is not None and wants_block(request):
        # Nothing around the block's element: morphing would add white space to the page with every change.
        variables["partial"] = True
        html = "".join(template.blocks[block](template.new_context(variables))).strip()
    else:
        html = template.render(variables)
    body, more = html.encode(), PAGE_HEADERS | (headers or {})
    if len(body) > SMALL_PAGE and "gzip" in request.headers.get("accept-encoding", ""):
        body, more = gzip.compress(body, 3, mtime=0), more | {"Content-Encoding": "gzip"}
    more = more | {"Vary": f"{more['Vary']}, Accept-Encoding"}
    return HTMLResponse(body, status_code=status, headers=more)
