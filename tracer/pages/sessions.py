"""Conversations as people read them, and users: lists with totals, and one conversation with its turns as chat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from tracer.pages.addresses import url
from tracer.pages.page import abandoned_after, caller_of, reading, render
from tracer.pages.turns import Turn, turns_of
from tracer.queries.projects import project_by_slug, projects
from tracer.queries.rows import ProjectRow, SharedRow, TraceRow
from tracer.queries.sessions import By, shared, shared_by_key, traces_before, traces_of
from tracer.units import UnixNanos

router = APIRouter(include_in_schema=False)

PER_PAGE = 50
TURNS = 20
"""Turns of a conversation that a page shows: each with the whole of what was said."""


@dataclass(frozen=True, slots=True)
class SharedListPage:
    """One page of a project's sessions or users."""

    project: ProjectRow
    projects: Sequence[ProjectRow]
    by: By
    items: Sequence[SharedRow]
    after: str | None
    next_cursor: str | None
    searched_to: UnixNanos | None
    """Set where the time for one page was over: how far back it looked."""


@dataclass(frozen=True, slots=True)
class SessionPage:
    """One conversation: its totals, and some of its turns."""

    project: ProjectRow
    projects: Sequence[ProjectRow]
    session: SharedRow
    turns: Sequence[Turn]
    after: str | None
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class UserPage:
    """One user: totals, their conversations and their newest traces."""

    project: ProjectRow
    projects: Sequence[ProjectRow]
    user: SharedRow
    sessions: Sequence[SharedRow]
    more_sessions: bool
    traces: Sequence[TraceRow]
    after: str | None
    next_cursor: str | None


@router.get("/sessions/{session_id:path}")
def session_anywhere(request: Request, session_id: str) -> Response:
    """Lead to a conversation in whichever project it lies."""
    with reading(request) as conn:
        scope = caller_of(request).scope
        found = shared_by_key(conn, scope=scope, key=session_id)
        slug = next(one.slug for one in projects(conn, scope=scope) if one.id == found.project_id)
    there = url(request, "/p/{slug}/sessions/{session_id}", slug=slug, session_id=session_id)
    return RedirectResponse(there, status_code=302)


@router.get("/p/{slug}/sessions")
def list_sessions(request: Request, slug: str, after: str | None = None) -> Response:
    """The conversations of a project, that with the newest turn first."""
    return _list(request, slug, "session", after)


@router.get("/p/{slug}/users")
def list_users(request: Request, slug: str, after: str | None = None) -> Response:
    """The users of a project, who was there last first."""
    return _list(request, slug, "user", after)


def _list(request: Request, slug: str, by: By, after: str | None) -> Response:
    scope = caller_of(request).scope
    with reading(request) as conn:
        project = project_by_slug(conn, scope=scope, slug=slug)
        found = shared(conn, scope=scope, project_id=project.id, by=by, after=after, limit=PER_PAGE)
        page = SharedListPage(
            project=project,
            projects=projects(conn, scope=scope),
            by=by,
            items=found.items,
            after=after,
            next_cursor=found.next_cursor,
            searched_to=found.searched_to,
        )
    return render(request, "sessions/list.html", page, block="rows")


@router.get("/p/{slug}/sessions/{session_id:path}")
def show_session(request: Request, slug: str, session_id: str, after: str | None = None) -> Response:
    """One conversation: what was asked and answered, turn by turn."""
    scope = caller_of(request).scope
    silence = abandoned_after(request)
    with reading(request) as conn:
        project = project_by_slug(conn, scope=scope, slug=slug)
        session = shared_by_key(conn, scope=scope, key=session_id, project_id=project.id)
        found = traces_of(
            conn, scope=scope, project_id=project.id, key=session_id, after=after, limit=TURNS, abandoned_after=silence
        )
        earlier = 0
        if after is not None and found.items:
            earlier = traces_before(conn, project_id=project.id, key=session_id, first=found.items[0])
        page = SessionPage(
            project=project,
            projects=projects(conn, scope=scope),
            session=session,
            turns=turns_of(conn, found.items, first=earlier + 1),
            after=after,
            next_cursor=found.next_cursor,
        )
    return render(request, "sessions/session.html", page, block="conversation")


@router.get("/p/{slug}/users/{user_id:path}")
def show_user(request: Request, slug: str, user_id: str, after: str | None = None) -> Response:
    """One user: totals, conversations and traces, the newest first."""
    scope = caller_of(request).scope
    silence = abandoned_after(request)
    with reading(request) as conn:
        project = project_by_slug(conn, scope=scope, slug=slug)
        user = shared_by_key(conn, scope=scope, key=user_id, by="user", project_id=project.id)
        sessions = shared(conn, scope=scope, project_id=project.id, user=user_id, limit=PER_PAGE)
        found = traces_of(
            conn, scope=scope, project_id=project.id, key=user_id, by="user", newest_first=True, after=after,
            limit=PER_PAGE, abandoned_after=silence,
        )  # fmt: skip
        page = UserPage(
            project=project,
            projects=projects(conn, scope=scope),
            user=user,
            sessions=sessions.items,
            more_sessions=sessions.next_cursor is not None,
            traces=found.items,
            after=after,
            next_cursor=found.next_cursor,
        )
    return render(request, "sessions/user.html", page)
