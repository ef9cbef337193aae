"""The audit log over REST: page by page, or all of it as a stream of lines."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from io import StringIO
from typing import Annotated, Literal

import msgspec
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse

from tracer.access.audit import Entry, Wanted, entries_of
from tracer.api import schemas
from tracer.api.answers import JsonAnswer
from tracer.api.takeout.csv_form import safe
from tracer.api.traces import REFUSALS, CursorText, Limit, Moment, ProjectName, Reader, read_moment
from tracer.errors import BadRequest
from tracer.queries.projects import project_id_by_name
from tracer.units import rfc3339

router = APIRouter(prefix="/api/v1", tags=["audit"], responses=REFUSALS)

SLICE = 1_000
COLUMNS = ("time", "who", "kind", "action", "project", "target", "detail", "address", "request_id")
MEDIA = {"jsonl": "application/x-ndjson", "csv": "text/csv; charset=utf-8"}


@router.get(
    "/audit",
    response_model=schemas.AuditLog,
    responses={200: {"content": {"application/x-ndjson": {}, "text/csv": {}}}},
)
def list_audit(
    request: Request,
    who: Annotated[str, Query(max_length=300, description="Part of an address or a key's name.")] = "",
    action: Annotated[str, Query(max_length=100, description="Part of what was done.")] = "",
    project: ProjectName = None,
    since: Annotated[Moment, Query(alias="from")] = None,
    until: Annotated[Moment, Query(alias="to")] = None,
    format: Annotated[
        Literal["json", "jsonl", "csv"], Query(description="jsonl, csv: all lines, as a stream.")
    ] = "json",
    limit: Limit = 50,
    cursor: CursorText = None,
) -> Response:
    """Who saw, changed, exported and deleted what in the projects that you manage, the newest first."""
    reader = Reader(request)
    with reader.store.reading() as conn:
        project_id = project_id_by_name(conn, scope=reader.scope, name=project) if project else None
        wanted = Wanted(who, action, project_id, read_moment(since, "from"), read_moment(until, "to"))
        if format == "json":
            before = _number(cursor)
            found = entries_of(conn, scope=reader.scope, wanted=wanted, before=before, limit=limit + 1)
            more = str(found[limit - 1].id) if len(found) > limit else None
            return JsonAnswer({"items": [_shape(entry) for entry in found[:limit]], "next_cursor": more})
    headers = {"content-disposition": f'attachment; filename="audit.{format}"', "cache-control": "no-store"}
    return StreamingResponse(_lines(reader, wanted, format), media_type=MEDIA[format], headers=headers)


def _lines(reader: Reader, wanted: Wanted, form: str) -> Iterator[bytes]:
    """All lines, a slice at a time: a slow reader holds no transaction open."""
    before: int | None = None
    if form == "csv":
        yield (",".join(COLUMNS) + "\r\n").encode()
    while True:
        with reader.store.reading() as conn:
            found = entries_of(conn, scope=reader.scope, wanted=wanted, before=before, limit=SLICE)
        if not found:
            return
        before = found[-1].id
        shaped = [_shape(entry) for entry in found]
        if form == "csv":
            out = StringIO()
            csv.writer(out, lineterminator="\r\n").writerows(
                [safe(line[column] or "") for column in COLUMNS] for line in shaped
            )
            yield out.getvalue().encode("utf-8", "replace")
        else:
            yield b"".join(msgspec.json.encode(line) + b"\n" for line in shaped)


def _shape(entry: Entry) -> dict[str, str | None]:
    return {
        "time": rfc3339(entry.at),
        "who": entry.who or None,
        "kind": entry.kind or None,
        "action": entry.action,
        "project": entry.project,
        "target": entry.target or None,
        "detail": entry.detail or None,
        "address": entry.address or None,
        "request_id": entry.request_id or None,
    }


def _number(cursor: str | None) -> int | None:
    if cursor is None:
        return None
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) < 19):
        raise BadRequest("cursor takes the next_cursor of the page before.", field="cursor")
    return int(cursor)
