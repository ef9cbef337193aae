"""How to send a first trace, by kind of app, and what has come since: for the first app and for each later one."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import APIRouter, Form, Query, Request, Response
from fastapi.responses import RedirectResponse
from sqlalchemy import Connection

from tracer.access.audit import tell
from tracer.access.keys import KeyRight, Wanted, make_key
from tracer.auth import ROUTES, Right
from tracer.errors import NotFound
from tracer.ingest.deleter import Deleter
from tracer.ingest.prepare import DEFAULT_PROJECT, project_name
from tracer.ingest.samples import SAMPLES, sample_spans
from tracer.ingest.writer import Writer
from tracer.otlp.text import clean
from tracer.pages.addresses import origin, url
from tracer.pages.page import abandoned_after, caller_of, reading, render
from tracer.pages.peek import PeekPage
from tracer.pages.snippets import KEY_PLACE, HowTo, how_to
from tracer.pages.turns import turns_of
from tracer.queries.projects import project_by_name, projects
from tracer.queries.rows import ProjectRow
from tracer.queries.traces import first_received, last_received
from tracer.store.engine import Store

router = APIRouter(include_in_schema=False)

HERE = "/start"
REMOVED_S = 5.0
LAST = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Start:
    """The ways to send to a project; `key` is one that was just made."""

    project: str
    address: str
    """The server's own."""
    ways: Sequence[HowTo]
    key: str | None
    asks: bool
    """Whether this server asks for keys."""
    may_make: bool
    """Whether the reader may make one for the project."""
    may_sample: bool
    """Whether the reader may have the samples, or be rid of them."""
    sampled: bool
    """Whether they are there."""


@dataclass(frozen=True, slots=True)
class StartPage:
    """The page: what to paste, and what has come since it was opened."""

    start: Start
    projects: Sequence[ProjectRow]
    project: ProjectRow | None
    """The chosen one, when it is there already."""
    since: int
    """The row number of the trace that had come last when it was opened."""
    peek: PeekPage | None
    """The first trace that came since."""


def start_of(
    request: Request, name: str, project: ProjectRow | None, known: Sequence[ProjectRow], *, key: str | None = None
) -> Start:
    """How to send to a project, which need not be there yet; `known` are all that the reader sees."""
    caller = caller_of(request)
    asks = caller.signed_in
    managed = caller.within(Right.manage)
    return Start(
        project=name,
        address=origin(request),
        ways=how_to(origin(request), name, key=key or (KEY_PLACE if asks else None)),
        key=key,
        asks=asks,
        may_make=managed.project_ids is None or (project is not None and managed.allows(project.id)),
        may_sample=ROUTES["POST", f"{HERE}/samples"] in caller.rights,
        sampled=any(one.name == SAMPLES for one in known),
    )


@router.get(HERE)
def show_start(
    request: Request,
    project: Annotated[str, Query(max_length=400)] = "",
    since: Annotated[int | None, Query(ge=0, le=LAST)] = None,
) -> Response:
    """The page; for htmx what came to the project after a trace, alone."""
    return _page(request, project, since=since)


@router.post(f"{HERE}/key")
def make_ingest_key(request: Request, project: Annotated[str, Form()] = "") -> Response:
    """Make a key that sends to the project, and show the page with it: nobody can read it again."""
    caller = caller_of(request)
    store = cast(Store, request.app.state.store)
    wanted = Wanted("app", KeyRight.ingest)
    secret, key = make_key(store, wanted, project=_name(project), scope=caller.scope, author=caller.name)
    tell(request, project=key.project, target=f"key {key.name}", detail=f"{key.right} {key.prefix}")
    return _page(request, key.project, key=secret)


@router.post(f"{HERE}/samples")
def add_samples(request: Request) -> Response:
    """Put the samples into a project of their own, and lead there."""
    writer = cast(Writer, request.app.state.writer)
    writer.submit(sample_spans(writer.prices, now=time.time_ns())).result()
    with reading(request) as conn:
        there = project_by_name(conn, scope=caller_of(request).scope, name=SAMPLES)
    tell(request, project=there.name)
    return RedirectResponse(url(request, "/p/{slug}/traces", slug=there.slug), status_code=303)


@router.post(f"{HERE}/samples/remove")
def remove_samples(request: Request) -> Response:
    """Delete the samples with their project."""
    deleter = cast(Deleter, request.app.state.deleter)
    caller = caller_of(request)
    with reading(request) as conn:
        there = project_by_name(conn, scope=caller.scope, name=SAMPLES)
    receipt = deleter.remove_project(there.id, author=caller.name)
    tell(request, project=there.name, project_id=there.id, target=f"project {there.name}")
    deleter.wait(receipt.id, seconds=REMOVED_S)
    return RedirectResponse(url(request, "/"), status_code=303)


def _name(text: str) -> str:
    return project_name(clean(text)) or DEFAULT_PROJECT


def _page(request: Request, asked: str, *, since: int | None = None, key: str | None = None) -> Response:
    caller = caller_of(request)
    with reading(request) as conn:
        known = projects(conn, scope=caller.scope)
        own = [one for one in known if one.name != SAMPLES]
        name = _name(asked) if asked.strip() else own[0].name if own else DEFAULT_PROJECT
        there = _there(conn, request, name)
        page = StartPage(
            start=start_of(request, there.name if there else name, there, known, key=key),
            projects=own,
            project=there,
            since=last_received(conn) if since is None else since,
            peek=None if since is None or there is None else _peek(conn, request, there, since),
        )
    return render(request, "start/start.html", page, block="arrived", headers={"Cache-Control": "no-store"})


def _there(conn: Connection, request: Request, name: str) -> ProjectRow | None:
    """The project of that name, where the reader sees it."""
    try:
        return project_by_name(conn, scope=caller_of(request).scope, name=name)
    except NotFound:
        return None


def _peek(conn: Connection, request: Request, project: ProjectRow, since: int) -> PeekPage | None:
    scope, silence = caller_of(request).scope, abandoned_after(request)
    trace = first_received(conn, scope=scope, project_id=project.id, since=since, abandoned_after=silence)
    if trace is None:
        return None
    [turn] = turns_of(conn, [trace], first=1)
    return PeekPage(project, trace, turn)
