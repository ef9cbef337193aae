"""What somebody who manages projects does with a whole one, noted in the audit log."""

from __future__ import annotations

from fastapi import Request

from tracer.access.audit import tell
from tracer.errors import BadRequest
from tracer.ingest.deleter import Deleter
from tracer.ingest.projects import rename_project
from tracer.ingest.receipts import Receipt
from tracer.queries.rows import ProjectRow
from tracer.store.engine import Store
from tracer.store.sql import Sql


def rename(request: Request, row: ProjectRow, name: str) -> str:
    """Rename a project and return its name; raises BadRequest and Conflict, naming the field `name`."""
    store: Store = request.app.state.store
    with store.writing() as connection:
        called = rename_project(Sql(connection), row.id, name)
    _forget(request)
    tell(request, project=None, project_id=row.id, target=f"project {row.name}", detail=f"now {called}")
    return called


def merge(request: Request, row: ProjectRow, into: ProjectRow, *, author: str) -> Receipt:
    """Begin to merge two projects; raises BadRequest, Conflict and NotFound."""
    deleter: Deleter = request.app.state.deleter
    receipt = deleter.merge(row.id, into.id, author=author)
    _forget(request)
    tell(request, project=None, project_id=into.id, target=f"project {row.name}", detail=f"into {into.name}")
    return receipt


def remove(request: Request, row: ProjectRow, confirm: str, *, author: str) -> Receipt:
    """Begin to delete a project; raises BadRequest, naming the field `confirm`, unless that is its name."""
    confirm_name(row, confirm)
    deleter: Deleter = request.app.state.deleter
    receipt = deleter.remove_project(row.id, author=author)
    _forget(request)
    tell(request, project=row.name, project_id=row.id, target=f"project {row.name}")
    return receipt


def confirm_name(row: ProjectRow, typed: str) -> None:
    """Raise BadRequest, naming the field `confirm`, unless a project's name was typed."""
    if typed.strip() != row.name.strip():
        raise BadRequest("Write the project's name, to confirm what cannot be undone.", field="confirm")


def _forget(request: Request) -> None:
    """What is remembered of names and keys is asked for again."""
    request.app.state.keys.forget()
    request.app.state.privacy.forget()
