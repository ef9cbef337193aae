"""Metrics over REST: series and totals of a project's steps."""

from __future__ import annotations

import time
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from sqlalchemy import Connection

from tracer.api import schemas, shape
from tracer.api.answers import JsonAnswer
from tracer.api.traces import REFUSALS, Moment, ProjectName, Reader, SearchText, asked, read_moment
from tracer.errors import BadRequest
from tracer.queries.measured import measured
from tracer.queries.metrics import BY, read_interval
from tracer.queries.projects import project_by_name, projects
from tracer.queries.rows import ProjectRow
from tracer.queries.scope import Scope
from tracer.queries.trace_metrics import TRACE_BY
from tracer.units import DAY, UnixNanos

router = APIRouter(prefix="/api/v1", tags=["metrics"], responses=REFUSALS)


@router.get("/metrics", response_model=schemas.Metrics)
def get_metrics(
    request: Request,
    project: ProjectName = None,
    q: SearchText = "",
    since: Annotated[Moment, Query(alias="from", description="A day before `to` without.")] = None,
    until: Annotated[Moment, Query(alias="to", description="Now without.")] = None,
    by: Annotated[
        str | None,
        Query(
            max_length=40,
            description="Of steps `name`, `kind`, `model` or `status`; of traces `name`, `user`, `tag`, `environment`, "
            "`release`, `service` or `status`.",
        ),
    ] = None,
    interval: Annotated[
        str | None, Query(max_length=20, examples=["1h", "1d"], description="One that fits the time without.")
    ] = None,
    of: Annotated[
        str | None, Query(max_length=40, description="`steps` or `traces`; without, whichever `by` belongs to.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=50, description="How many series; all others share one.")] = 10,
) -> Response:
    """Counts, errors, durations, tokens and cost of a project's finished steps, in whole hours (UTC), or of its traces.

    Percentiles of steps are within 3 %, those of traces and of a search exact. Tokens and cost are those of model and
    embedding steps. Metrics of traces are read from the newest 50,000 of them. With a search (`q`, asked of each step
    itself, or of each trace) the newest 10,000 that it finds in half a second are counted. Where that is not all,
    `searched_to` says how far it went.
    """
    subject = of or ("traces" if by in TRACE_BY and by not in BY else "steps")
    reader = Reader(request)
    search = asked(q, reader, spans=subject == "steps")
    end = read_moment(until, "to") or UnixNanos(time.time_ns())
    begin = read_moment(since, "from")
    length = read_interval(interval, minutes=subject == "traces") if interval is not None else None
    start = UnixNanos(end - DAY) if begin is None else begin
    with reader.store.reading() as conn:
        found = project_meant(conn, reader.scope, project)
        answer = measured(
            conn,
            scope=reader.scope,
            project_id=found.id,
            since=start,
            until=end,
            of=subject,
            by=by,
            interval=length,
            limit=limit,
            search=search,
            abandoned_after=reader.abandoned_after,
        )
    return JsonAnswer({"project": found.name, "of": subject, "by": by, **shape.metrics(answer)})


def project_meant(conn: Connection, scope: Scope, name: str | None) -> ProjectRow:
    """The project of this name, or without one the only one in sight. Raises BadRequest where there are several."""
    if name:
        return project_by_name(conn, scope=scope, name=name)
    found = projects(conn, scope=scope)
    if len(found) != 1:
        raise BadRequest("Say of which project: each has its own.", field="project")
    return found[0]
