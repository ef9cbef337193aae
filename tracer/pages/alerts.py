"""Alerts of a project: how they stand, what became of them, and the forms to make, mute, try and delete them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import APIRouter, Form, Query, Request, Response
from fastapi.responses import RedirectResponse

from tracer.access.audit import tell
from tracer.alerts.change import read_rule, save_alert, try_webhook
from tracer.alerts.keep import drop_alert, mute_alert
from tracer.alerts.rows import Alert, AlertEvent, alert_by_id, alerts, amount, history
from tracer.alerts.watch import Watcher
from tracer.auth import Right
from tracer.errors import BadRequest, NotFound, TracerError
from tracer.pages.addresses import origin, url
from tracer.pages.page import caller_of, reading, render
from tracer.queries.projects import project_by_slug, projects
from tracer.queries.rows import ProjectRow, SavedView
from tracer.queries.views import views
from tracer.store.engine import Store
from tracer.store.sql import Sql
from tracer.units import LAST_INSTANT, MINUTE

router = APIRouter(include_in_schema=False)

HERE = "/p/{slug}/alerts"
LAST_ID = 2**63 - 1
FIELDS = {"name", "view_id", "measure", "score", "side", "threshold", "window_minutes", "url"}
NOTES = {
    "saved": "Saved. It is measured now and every half minute.",
    "muted": "Muted: nothing is sent.",
    "unmuted": "Not muted any more.",
    "removed": "Deleted, with its history.",
}
MEASURES = {
    "count": "Traces",
    "error_rate": "Error rate, in percent",
    "p95_ms": "p95 duration, in milliseconds",
    "cost_usd": "Cost, in dollars",
    "score": "Mean of a score",
}
LENGTHS = {"60": "for an hour", "480": "for 8 hours", "1440": "for a day", "10080": "for a week", "": "until I end it"}
AlertNumber = Annotated[int, Form(ge=0, le=LAST_ID)]


@dataclass(frozen=True, slots=True)
class AlertsPage:
    """The alerts of one project; `typed` is what its form shows, of the alert `edited` where one is changed."""

    project: ProjectRow
    projects: Sequence[ProjectRow]
    alerts: Sequence[Alert]
    history: Sequence[AlertEvent]
    views: Sequence[SavedView]
    may_write: bool
    typed: Mapping[str, str]
    edited: Alert | None
    problem: str | None
    wrong_field: str | None
    note: str | None

    @property
    def measures(self) -> Mapping[str, str]:
        """What can be measured, in words."""
        return MEASURES

    @property
    def lengths(self) -> Mapping[str, str]:
        """How long an alert can be muted: minutes, and words."""
        return LENGTHS

    def amount(self, one: Alert | AlertEvent) -> str:
        """What was measured, with its unit."""
        if one.value is None:
            return "nothing to measure"
        return amount(one.rule.measure if isinstance(one, Alert) else one.measure, one.value)


@router.get(HERE)
def show_alerts(
    request: Request,
    slug: str,
    edit: Annotated[int | None, Query(ge=1, le=LAST_ID)] = None,
    note: str = "",
) -> Response:
    """The page; `edit` fills the form with an alert."""
    return _page(request, slug, edit=edit, note=NOTES.get(note))


@router.post(HERE)
def save(
    request: Request,
    slug: str,
    alert: AlertNumber = 0,
    name: Annotated[str, Form()] = "",
    view_id: Annotated[str, Form()] = "",
    measure: Annotated[str, Form()] = "",
    score: Annotated[str, Form()] = "",
    side: Annotated[str, Form()] = "above",
    threshold: Annotated[str, Form()] = "",
    window_minutes: Annotated[str, Form()] = "",
    webhook: Annotated[str, Form(alias="url")] = "",
) -> Response:
    """Make an alert, or change one."""
    project = _project(request, slug)
    typed = {"name": name, "view_id": view_id, "measure": measure, "score": score, "side": side}
    typed |= {"threshold": threshold, "window_minutes": window_minutes, "url": webhook}
    try:
        one = save_alert(
            _store(request),
            _watcher(request),
            scope=caller_of(request).scope,
            project_id=project.id,
            alert_id=alert or None,
            view_id=int(_number(view_id, "view_id", "Choose a saved view.")),
            name=name,
            rule=read_rule(
                measure=measure,
                score=score,
                side=side,
                threshold=_number(threshold, "threshold", "This takes a number, such as 5 or 0.5."),
                window_minutes=int(_number(window_minutes, "window_minutes", "This takes a number of minutes.")),
            ),
            url=webhook.strip() or None,
            origin=origin(request),
            author=caller_of(request).name,
        )
    except NotFound:
        raise
    except TracerError as problem:
        return _page(request, slug, edit=alert or None, typed=typed, refused=problem)
    tell(request, project=project.name, target=f"alert {one.name}")
    if alert:
        tell(request, action="changed an alert")
    return _back(request, slug, "saved")


@router.post(f"{HERE}/mute")
def mute(
    request: Request,
    slug: str,
    alert: AlertNumber = 0,
    minutes: Annotated[str, Form(max_length=9)] = "",
    do: Annotated[str, Form()] = "mute",
) -> Response:
    """Send nothing for so many minutes, empty for good; or (`do` is unmute) send again."""
    one = _alert(request, slug, alert)
    until = None
    if do != "unmute":
        until = LAST_INSTANT
        if minutes:
            length = _number(minutes, "minutes", "This takes a number of minutes.")
            if not 1 <= length <= 10**8:
                raise BadRequest("This takes a number of minutes, from 1 on.", field="minutes")
            until = time.time_ns() + int(length) * MINUTE
    with _store(request).writing() as connection:
        mute_alert(Sql(connection), one.id, until)
    _watcher(request).wake()
    return _back(request, slug, "muted" if until else "unmuted")


@router.post(f"{HERE}/test")
def try_out(request: Request, slug: str, alert: AlertNumber = 0) -> Response:
    """Send the webhook a message that says that it is a test; the page says what it answered."""
    one = _alert(request, slug, alert)
    answer = try_webhook(_store(request), _watcher(request), one)
    words = f"The webhook of {one.name[:80]} answered the test: {answer.words}."
    if answer.ok:
        return _page(request, slug, note=words)
    return _page(request, slug, problem=f"The test of {one.name[:80]} did not arrive: {answer.words}.")


@router.post(f"{HERE}/remove")
def remove(request: Request, slug: str, alert: AlertNumber = 0) -> Response:
    """Delete an alert, with its history."""
    one = _alert(request, slug, alert)
    with _store(request).writing() as connection:
        drop_alert(Sql(connection), one.id)
    return _back(request, slug, "removed")


def _store(request: Request) -> Store:
    return cast(Store, request.app.state.store)


def _watcher(request: Request) -> Watcher:
    return cast(Watcher, request.app.state.watcher)


def _project(request: Request, slug: str) -> ProjectRow:
    with reading(request) as conn:
        return project_by_slug(conn, scope=caller_of(request).scope, slug=slug)


def _alert(request: Request, slug: str, number: int) -> Alert:
    project = _project(request, slug)
    with reading(request) as conn:
        one = alert_by_id(conn, number, scope=caller_of(request).scope, project_id=project.id)
    tell(request, project=project.name, target=f"alert {one.name}")
    return one


def _number(text: str, field: str, hint: str) -> float:
    try:
        number = float(text.strip().replace(",", "."))
    except ValueError:
        number = float("nan")
    if not abs(number) <= 1e15:
        raise BadRequest(hint, field=field)
    return number


def _back(request: Request, slug: str, note: str) -> Response:
    return RedirectResponse(url(request, HERE, {"note": note}, slug=slug), status_code=303)


def _shown(one: Alert) -> dict[str, str]:
    rule = one.rule
    return {
        "name": one.name,
        "view_id": str(one.view_id),
        "measure": rule.measure,
        "score": rule.score or "",
        "side": rule.side,
        "threshold": f"{rule.threshold:.15g}",
        "window_minutes": str(rule.window // MINUTE),
    }


def _page(
    request: Request,
    slug: str,
    *,
    edit: int | None = None,
    typed: Mapping[str, str] | None = None,
    note: str | None = None,
    problem: str | None = None,
    refused: TracerError | None = None,
) -> Response:
    caller = caller_of(request)
    with reading(request) as conn:
        project = project_by_slug(conn, scope=caller.scope, slug=slug)
        edited = alert_by_id(conn, edit, scope=caller.scope, project_id=project.id) if edit else None
        page = AlertsPage(
            project=project,
            projects=projects(conn, scope=caller.scope),
            alerts=alerts(conn, scope=caller.scope, project_id=project.id),
            history=history(conn, scope=caller.scope, project_id=project.id),
            views=views(conn, scope=caller.scope, project_id=project.id),
            may_write=caller.may(Right.write, project.id),
            typed=typed if typed is not None else _shown(edited) if edited else {"window_minutes": "15"},
            edited=edited,
            problem=refused.message if refused else problem,
            wrong_field=refused.field if refused and refused.field in FIELDS else None,
            note=note,
        )
    return render(request, "alerts/alerts.html", page, status=refused.status if refused else 200)
