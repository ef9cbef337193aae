"""Projects: what each has and takes, its name, and the end of one: part of another, or deleted. Plain forms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import APIRouter, Form, Query, Request, Response
from fastapi.responses import RedirectResponse
from sqlalchemy import Connection

from tracer.access.projects import confirm_name, merge, remove, rename
from tracer.auth import Caller, Right
from tracer.errors import BadRequest, NotFound, TracerError
from tracer.ingest.deleter import Deleter
from tracer.ingest.privacy import rules_in
from tracer.ingest.receipts import Receipt
from tracer.ingest.reclaim import Share, database_size, share_of, shares
from tracer.ingest.rules import NO_RULES
from tracer.pages.addresses import url
from tracer.pages.page import caller_of, reading, render
from tracer.queries.projects import Described, described, project_by_slug
from tracer.queries.rows import ProjectRow
from tracer.settings import Settings
from tracer.store.engine import Store

router = APIRouter(include_in_schema=False)

HERE = "/projects"
ONE = "/projects/{slug}"
SHORT_WAIT_S = 1.0
LAST_ID = 2**63 - 1
FIELDS = {"name", "into", "confirm"}


@dataclass(frozen=True, slots=True)
class ProjectsPage:
    """The list. `shares` has what each takes, by row number."""

    projects: Sequence[Described]
    shares: Mapping[int, Share]
    database: int
    """Bytes of the whole database."""
    kept_days: int | None
    """The server's rule of how long traces are kept."""
    managed: frozenset[int]
    receipt: Receipt | None
    into: ProjectRow | None
    """The project that a merged one became part of."""

    @property
    def largest(self) -> int:
        """Bytes of the project that takes most."""
        return max((share.size for share in self.shares.values()), default=0)


@dataclass(frozen=True, slots=True)
class ProjectPage:
    """One project and its forms; `typed` is what they show."""

    one: Described
    share: Share
    others: Sequence[Described]
    """Projects that it could become part of."""
    stricter: bool
    """Whether it has rules of its own for what comes in, which a merge would end."""
    typed: Mapping[str, str]
    problem: str | None
    wrong_field: str | None
    form: str
    """The form that the problem is in."""
    note: str | None


@router.get(HERE)
def show_projects(request: Request, receipt: Annotated[int | None, Query(ge=1, le=LAST_ID)] = None) -> Response:
    """The list; for htmx the list alone, with how far a receipt is."""
    caller = caller_of(request)
    deleter = cast(Deleter, request.app.state.deleter)
    shown = deleter.receipt(receipt) if receipt is not None else None
    if shown is not None and not _may_see(caller, shown):
        raise NotFound("There is no such receipt.")
    with reading(request) as conn:
        known = described(conn, scope=caller.scope)
    page = ProjectsPage(
        projects=known,
        shares=shares(_store(request)),
        database=database_size(_store(request)),
        kept_days=cast(Settings, request.app.state.settings).retention_days,
        managed=frozenset(one.row.id for one in known if caller.may(Right.manage, one.row.id)),
        receipt=shown,
        into=next((one.row for one in known if shown is not None and one.row.id == shown.into_id), None),
    )
    return render(request, "projects/list.html", page, block="listed")


@router.get(ONE)
def show_project(request: Request, slug: str, note: str = "") -> Response:
    """One project: its name, what it takes, and how it ends."""
    return _page(request, slug, note="Saved. What is sent under the name before reaches it too." if note else None)


@router.post(f"{ONE}/rename")
def rename_it(request: Request, slug: str, name: Annotated[str, Form()] = "") -> Response:
    """Give it another name."""
    row = _project(request, slug)
    try:
        rename(request, row, name)
    except TracerError as problem:
        return _page(request, slug, typed={"name": name}, refused=problem, form="rename")
    return RedirectResponse(url(request, ONE, {"note": "renamed"}, slug=row.slug), status_code=303)


@router.post(f"{ONE}/merge")
def merge_it(
    request: Request, slug: str, into: Annotated[str, Form()] = "", confirm: Annotated[str, Form()] = ""
) -> Response:
    """Make it part of another one."""
    row = _project(request, slug)
    try:
        confirm_name(row, confirm)
        if not into:
            raise BadRequest("Choose the project that it becomes part of.", field="into")
        receipt = merge(request, row, _project(request, into), author=caller_of(request).name)
    except TracerError as problem:
        return _page(request, slug, typed={"into": into, "confirm": confirm}, refused=problem, form="merge")
    return _watch(request, receipt)


@router.post(f"{ONE}/delete")
def delete_it(request: Request, slug: str, confirm: Annotated[str, Form()] = "") -> Response:
    """Delete it."""
    row = _project(request, slug)
    try:
        receipt = remove(request, row, confirm, author=caller_of(request).name)
    except TracerError as problem:
        return _page(request, slug, typed={"confirm": confirm}, refused=problem, form="delete")
    return _watch(request, receipt)


def _watch(request: Request, receipt: Receipt) -> Response:
    """Lead to the list, which says how far it is."""
    cast(Deleter, request.app.state.deleter).wait(receipt.id, seconds=SHORT_WAIT_S)
    return RedirectResponse(url(request, HERE, {"receipt": str(receipt.id)}), status_code=303)


def _may_see(caller: Caller, receipt: Receipt) -> bool:
    if receipt.job == "traces":
        return False
    if caller.scope.project_ids is None or (receipt.author is not None and receipt.author == caller.name):
        return True
    return receipt.into_id is not None and caller.scope.allows(receipt.into_id)


def _project(request: Request, slug: str) -> ProjectRow:
    with reading(request) as conn:
        return project_by_slug(conn, scope=caller_of(request).scope, slug=slug)


def _has_rules(conn: Connection, project_id: int) -> bool:
    rules = rules_in(conn, project_id)
    return rules != NO_RULES


def _page(
    request: Request,
    slug: str,
    *,
    typed: Mapping[str, str] | None = None,
    note: str | None = None,
    refused: TracerError | None = None,
    form: str = "",
) -> Response:
    scope = caller_of(request).scope
    with reading(request) as conn:
        row = project_by_slug(conn, scope=scope, slug=slug)
        known = described(conn, scope=scope)
        page = ProjectPage(
            one=next(one for one in known if one.row.id == row.id),
            share=share_of(_store(request), row.id),
            others=sorted((one for one in known if one.row.id != row.id), key=lambda one: one.row.name.lower()),
            stricter=_has_rules(conn, row.id),
            typed={"name": row.name, **(typed or {})},
            problem=None if refused is None else refused.message,
            wrong_field=None if refused is None or refused.field not in FIELDS else refused.field,
            form=form,
            note=note,
        )
    return render(request, "projects/project.html", page, status=200 if refused is None else refused.status)


def _store(request: Request) -> Store:
    return cast(Store, request.app.state.store)
