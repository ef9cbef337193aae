"""The audit log to look through: who saw, changed, exported and deleted what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from tracer.access.audit import Entry, Wanted, entries_of
from tracer.pages.page import caller_of, reading, render
from tracer.queries.projects import projects
from tracer.queries.rows import ProjectRow

router = APIRouter(include_in_schema=False)

HERE = "/settings/audit"
PER_PAGE = 100
LAST_ID = 2**63 - 1
KINDS = {"person": "", "token": "token", "key": "key", "link": "link", "owner": "this machine", "command": "command"}


@dataclass(frozen=True, slots=True)
class AuditPage:
    """Some lines, and what they were looked for by."""

    entries: Sequence[Entry]
    projects: Sequence[ProjectRow]
    who: str
    action: str
    project: str
    before: int | None
    next: int | None
    days: int

    @property
    def asked(self) -> dict[str, str | None]:
        """The filter, as an address carries it."""
        return {"who": self.who or None, "action": self.action or None, "project": self.project or None}

    @property
    def kinds(self) -> dict[str, str]:
        """What somebody came with, in words."""
        return KINDS


@router.get(HERE)
def show_audit(
    request: Request,
    who: Annotated[str, Query(max_length=300)] = "",
    action: Annotated[str, Query(max_length=100)] = "",
    project: Annotated[str, Query(max_length=400)] = "",
    before: Annotated[int | None, Query(ge=1, le=LAST_ID)] = None,
) -> Response:
    """The page; the newest lines first."""
    scope = caller_of(request).scope
    with reading(request) as conn:
        known = projects(conn, scope=scope)
        wanted = Wanted(who.strip(), action.strip())
        if project:
            # One that is not there, or not the reader's, has no lines.
            wanted = replace(wanted, project_id=next((one.id for one in known if one.name == project), -1))
        found = entries_of(conn, scope=scope, wanted=wanted, before=before, limit=PER_PAGE + 1)
    page = AuditPage(
        entries=found[:PER_PAGE],
        projects=known,
        who=who,
        action=action,
        project=project,
        before=before,
        next=found[PER_PAGE - 1].id if len(found) > PER_PAGE else None,
        days=request.app.state.settings.audit_days,
    )
    return render(request, "settings/audit.html", page)
