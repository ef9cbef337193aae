"""Alerts over REST: saved views with a threshold that tell a webhook."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from tracer.access.audit import tell
from tracer.alerts.change import LONGEST_WINDOW, read_rule, save_alert, try_webhook
from tracer.alerts.keep import drop_alert, mute_alert
from tracer.alerts.rows import Alert, AlertEvent, Measure, Side, alert_by_id, alerts, history
from tracer.alerts.watch import Watcher
from tracer.api import schemas
from tracer.api.answers import JsonAnswer
from tracer.api.numbers import A_NUMBER, LAST_NUMBER
from tracer.api.traces import REFUSALS, Limit, ProjectName, Reader, read_moment
from tracer.queries.projects import project_id_by_name
from tracer.queries.views import view_by_id
from tracer.store.sql import Sql
from tracer.units import MINUTE, rfc3339

router = APIRouter(prefix="/api/v1", tags=["alerts"], responses=REFUSALS)

LAST_ID = 2**63 - 1
AlertId = Annotated[int, Path(ge=1, le=LAST_ID)]


class AlertIn(BaseModel):
    """An alert: of which view what is measured, where the threshold lies, and whom to tell."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {
                "view_id": 1,
                "name": "Too many fail",
                "measure": "error_rate",
                "threshold": 5,
                "window_minutes": 15,
                "url": "https://hooks.example.com/services/T0/B0",
            }
        },
    )

    view_id: Annotated[int, Field(ge=1, le=LAST_NUMBER), A_NUMBER] = Field(
        description="A saved view; the alert is its project's."
    )
    name: str = Field(max_length=200)
    measure: Measure = Field(
        description="`count` of traces, `error_rate` in percent, `p95_ms`, `cost_usd`, or the mean of a `score`."
    )
    score: str | None = Field(None, max_length=200, description="The score's name.")
    side: Side = "above"
    threshold: Annotated[float, A_NUMBER]
    window_minutes: Annotated[int, A_NUMBER] = Field(
        description="How far back is measured, up to 7 days.",
        json_schema_extra={"minimum": 1, "maximum": LONGEST_WINDOW},
    )
    url: str | None = Field(
        None, max_length=2000, description="The webhook; never shown again. Without one a changed alert keeps its own."
    )


class MuteIn(BaseModel):
    """Until when nothing is sent; null sends again."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"until": "2026-11-24T08:00:00Z"}})

    until: str | None = Field(max_length=60, json_schema_extra={"format": "date-time"})


@router.get("/alerts", response_model=schemas.Alerts)
def list_alerts(request: Request, project: ProjectName = None) -> Response:
    """The alerts and how they stand, first those that fire. Of a webhook only its host is told."""
    reader = Reader(request)
    with reader.store.reading() as conn:
        project_id = project_id_by_name(conn, scope=reader.scope, name=project) if project else None
        found = alerts(conn, scope=reader.scope, project_id=project_id)
    return JsonAnswer({"items": [_shape(one) for one in found], "next_cursor": None})


@router.post("/alerts", response_model=schemas.Alert)
def post_alert(request: Request, given: AlertIn) -> Response:
    """Make an alert. It is measured at once and every half minute from then on."""
    return _save(request, given, None)


@router.put("/alerts/{alert_id}", response_model=schemas.Alert)
def put_alert(request: Request, alert_id: AlertId, given: AlertIn) -> Response:
    """Change an alert."""
    return _save(request, given, _alert(request, alert_id))


@router.delete("/alerts/{alert_id}", status_code=204, response_class=Response)
def delete_alert(request: Request, alert_id: AlertId) -> Response:
    """Delete an alert, with its history."""
    one = _alert(request, alert_id)
    with Reader(request).store.writing() as connection:
        drop_alert(Sql(connection), one.id)
    return Response(status_code=204)


@router.put("/alerts/{alert_id}/mute", response_model=schemas.Alert)
def put_mute(request: Request, alert_id: AlertId, given: MuteIn) -> Response:
    """Send nothing until a moment. An alert that then still fires is told of at once."""
    one = _alert(request, alert_id)
    until = read_moment(given.until, "until")
    reader = Reader(request)
    with reader.store.writing() as connection:
        mute_alert(Sql(connection), one.id, until)
        one = alert_by_id(connection, one.id, scope=reader.scope)
    _watcher(request).wake()
    return JsonAnswer(_shape(one))


@router.post("/alerts/{alert_id}/test", response_model=schemas.AlertTest)
def post_test(request: Request, alert_id: AlertId) -> Response:
    """Send the webhook a message that says that it is a test, and tell what it answered."""
    answer = try_webhook(Reader(request).store, _watcher(request), _alert(request, alert_id))
    return JsonAnswer({"ok": answer.ok, "answer": answer.words})


@router.get("/alerts/{alert_id}/history", response_model=schemas.AlertHistory)
def list_history(
    request: Request,
    alert_id: AlertId,
    limit: Limit = 50,
    cursor: Annotated[int | None, Query(ge=1, le=LAST_ID, description="`next_cursor` of the page before.")] = None,
) -> Response:
    """What became of an alert, the newest first; the newest 500 lines are kept."""
    reader = Reader(request)
    one = _alert(request, alert_id)
    with reader.store.reading() as conn:
        found = history(conn, scope=reader.scope, alert_id=one.id, before=cursor, limit=limit + 1)
    more = str(found[limit - 1].id) if len(found) > limit else None
    return JsonAnswer({"items": [_line(event) for event in found[:limit]], "next_cursor": more})


def _watcher(request: Request) -> Watcher:
    return request.app.state.watcher


def _alert(request: Request, alert_id: int) -> Alert:
    reader = Reader(request)
    with reader.store.reading() as conn:
        one = alert_by_id(conn, alert_id, scope=reader.scope)
    tell(request, project_id=one.project_id, target=f"alert {one.name}")
    return one


def _save(request: Request, given: AlertIn, before: Alert | None) -> Response:
    reader = Reader(request)
    with reader.store.reading() as conn:
        view = view_by_id(conn, given.view_id, scope=reader.scope)
    tell(request, project_id=view.project_id, target=f"alert {given.name}")
    one = save_alert(
        reader.store,
        _watcher(request),
        scope=reader.scope,
        project_id=view.project_id if before is None else before.project_id,
        alert_id=None if before is None else before.id,
        view_id=view.id,
        name=given.name,
        rule=read_rule(
            measure=given.measure,
            score=given.score,
            side=given.side,
            threshold=given.threshold,
            window_minutes=given.window_minutes,
        ),
        url=given.url,
        origin=f"{request.url.scheme}://{request.url.netloc}{request.scope.get('root_path') or ''}",
        author=request.state.caller.name,
    )
    return JsonAnswer(_shape(one))


def _moment(at: int | None) -> str | None:
    return None if at is None else rfc3339(at)


def _shape(one: Alert) -> dict[str, Any]:
    return {
        "id": one.id,
        "project": one.project,
        "view_id": one.view_id,
        "view": one.view,
        "name": one.name,
        "measure": one.rule.measure,
        "score": one.rule.score,
        "side": one.rule.side,
        "threshold": one.rule.threshold,
        "window_minutes": one.rule.window // MINUTE,
        "webhook": one.place,
        "author": one.author or None,
        "muted_until": _moment(one.muted_until),
        "state": one.state,
        "since": rfc3339(one.since),
        "value": one.value,
        "trace_count": one.traces,
        "whole": one.whole,
        "checked_at": _moment(one.checked_at),
        "problem": one.problem,
    }


def _line(event: AlertEvent) -> dict[str, Any]:
    return {
        "id": event.id,
        "at": rfc3339(event.at),
        "event": event.kind,
        "value": event.value,
        "trace_count": event.traces,
        "delivery": event.delivery,
        "tries": event.tries,
        "next_try_at": _moment(event.next_try_at),
        "answer": event.answer,
    }
