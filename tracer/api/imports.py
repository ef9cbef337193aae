"""Traces of our own export taken back, with what people added to them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from anyio import to_thread
from fastapi import APIRouter, Request, Response

from tracer.access.audit import tell
from tracer.api import schemas
from tracer.api.answers import JsonAnswer
from tracer.api.otlp import Accepted, Ingest, Place, read_body, take
from tracer.api.scores import written
from tracer.api.traces import REFUSALS
from tracer.auth import Caller, Right
from tracer.ingest.prepare import PreparedSpan, prepare
from tracer.ingest.privacy import Privacy
from tracer.ingest.restore import Added, Restored, put_back, read_lines
from tracer.ingest.retention import Retention
from tracer.otlp.addresses import asked_project
from tracer.otlp.records import LogRecord
from tracer.prices import PriceBook
from tracer.queries.projects import project_by_name
from tracer.store.engine import Store

router = APIRouter(prefix="/api/v1", tags=["export"], responses=REFUSALS)

TRACES_AT_ONCE = 100
"""Traces whose scores and notes are written in one transaction: batches of spans wait for it."""


@router.post(
    "/import",
    response_model=schemas.Import,
    openapi_extra={
        "requestBody": {"content": {"application/x-ndjson": {"schema": {"type": "string"}}}, "required": False}
    },
)
async def import_traces(request: Request) -> Response:
    """Take lines of `/api/v1/export?format=jsonl`; sent again they change nothing.

    A line's project is its own unless the header `x-stepscope-project` names another. Scores keep their authors when
    the caller is an administrator, and are the caller's own otherwise. 200 means that all of it is on disk.
    """
    ingest: Ingest = request.app.state.ingest
    caller: Caller = request.state.caller
    store: Store = request.app.state.store
    author = None if Right.admin in caller.rights else caller.name
    read: list[Restored] = []

    def accept(ingest: Ingest, body: bytes, _: bool, place: Place) -> Accepted:
        restored = read_lines(body, project=place.project, author=author)
        if caller.scope.project_ids is not None:
            # Who may write to some projects makes no others.
            with store.reading() as conn:
                for name in restored.projects:
                    project_by_name(conn, scope=caller.scope, name=name)
        read.append(restored)
        spans, restored.logs = prepared(restored, ingest.retention, ingest.privacy, ingest.prices)
        committed = ingest.writer.submit(spans, restored.logs) if spans or restored.logs else None
        return Accepted(committed, restored.rejected)

    body = await read_body(request, ingest.settings.max_body, ingest.budget)
    encoding = request.headers.get("content-encoding", "")
    place = Place(asked_project(request.headers), caller.project)
    rejected = await take(ingest, accept, body, encoding=encoding, json=True, place=place)
    for part in parts_of(read[0].added):
        refused = await to_thread.run_sync(
            lambda part=part: written(request, lambda sql: put_back(sql, part, now=time.time_ns()))
        )
        rejected.reasons.update(refused.reasons)
    answer = {
        "traces": len(read[0].traces),
        "spans": sum(map(len, read[0].spans.values())),
        "scores": sum(len(one.scores) for one in read[0].added),
        "rejected": {"count": rejected.count, "message": rejected.message},
    }
    projects = read[0].projects
    detail = f"{answer['traces']} traces, {answer['scores']} scores"
    tell(request, project=min(projects) if len(projects) == 1 else None, detail=detail)
    return JsonAnswer(answer)


def prepared(
    restored: Restored, retention: Retention, privacy: Privacy, prices: PriceBook
) -> tuple[list[PreparedSpan], list[tuple[str, LogRecord]]]:
    """The spans and log records of some lines, as their projects' rules let them in, ready for the writer.

    What is too old is counted as refused.
    """
    spans: list[PreparedSpan] = []
    for project, records in restored.spans.items():
        young = retention.refuse_old(records, lambda span: span.start_time, restored.rejected)
        young = privacy.hold(young, project, restored.rejected)
        spans += prepare(young, asked_project=project, prices=prices)
    found = [log for _, log in restored.logs]
    young_logs = retention.refuse_old(found, lambda log: log.time or time.time_ns(), restored.rejected)
    kept = set(map(id, young_logs))
    logs = [
        (project, held)
        for project, log in restored.logs
        if id(log) in kept
        for held in privacy.hold([log], project, restored.rejected)
    ]
    return spans, logs


def parts_of(added: Sequence[Added]) -> Iterator[Sequence[Added]]:
    """What was added, cut into what one transaction writes."""
    for begin in range(0, len(added), TRACES_AT_ONCE):
        yield added[begin : begin + TRACES_AT_ONCE]
