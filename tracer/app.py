"""Puts the service together: routers, rights, refusals, start and stop."""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from threading import Thread
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from anyio import to_thread
from fastapi import Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from sqlalchemy.exc import DataError
from starlette.exceptions import HTTPException

from tracer import __version__
from tracer.access.audit import BY_RULE, REFUSED, AuditLog, Deed, Entry, deed_of
from tracer.access.ring import KeyRing
from tracer.access.sessions import Sessions
from tracer.access.throttle import Throttle
from tracer.alerts.watch import Watcher
from tracer.api import (
    alerts,
    audit,
    compat,
    deletions,
    exports,
    health,
    imports,
    keys,
    metrics,
    otlp,
    people,
    projects,
    prometheus,
    rules,
    scores,
    search,
    sessions,
    shares,
    status,
    traces,
)
from tracer.api import compare as compare_api
from tracer.api import live as live_api
from tracer.api import prices as prices_api
from tracer.api.answers import JsonAnswer, refusal
from tracer.api.description import describe
from tracer.auth import ROUTES, Caller, Doors, Right, check_right, identify, identify_at_once, methods_of
from tracer.errors import BadRequest, BadSetting, Forbidden, NotFound, TracerError
from tracer.guard import Guard, mark
from tracer.ingest.apply import Changes
from tracer.ingest.deleter import Deleter
from tracer.ingest.newcomers import NewProjects
from tracer.ingest.privacy import Privacy
from tracer.ingest.receipts import Receipt, in_words
from tracer.ingest.reread import Rereader
from tracer.ingest.retention import Retention
from tracer.ingest.writer import Writer
from tracer.live import Hub
from tracer.mcp import door as mcp_door
from tracer.pages import (
    account,
    compare,
    facets,
    join,
    markdown,
    oidc,
    peek,
    shared,
    sign_in,
    static,
    trace,
    transcript,
    wiring,
)
from tracer.pages import alerts as alerts_page
from tracer.pages import audit as audit_page
from tracer.pages import keys as keys_page
from tracer.pages import live as live_page
from tracer.pages import metrics as metrics_page
from tracer.pages import people as people_page
from tracer.pages import prices as prices_page
from tracer.pages import privacy as privacy_page
from tracer.pages import projects as projects_page
from tracer.pages import scores as scores_page
from tracer.pages import sessions as sessions_page
from tracer.pages import settings as settings_page
from tracer.pages import start as start_page
from tracer.pages import steps as steps_page
from tracer.pages import traces as trace_list
from tracer.pages.errors import error_page
from tracer.pages.skeletons import SkeletonCache
from tracer.prices import PriceBook
from tracer.search.worker import BESIDE_AFTER_S, Indexer, cores
from tracer.settings import Settings
from tracer.store.engine import Store
from tracer.zone import COOKIE as ZONE_COOKIE
from tracer.zone import use_zone

if TYPE_CHECKING:
    from tracer.access.oidc import OpenId
    from tracer.api.otlp_grpc import GrpcDoor

logger = logging.getLogger(__name__)

WRITE_OUT_S = 1.0
"""At the end, after requests had their time: so long for the commit that is under way."""

DECODE_THREADS = max(2, min(4, os.cpu_count() or 2))
MACHINE_PATHS = ("/v1/", "/v2/", "/api/", "/otel/", "/agents/", "/runs/", "/info", "/version")
MACHINE_PATHS += ("/healthz", "/readyz", "/metrics", "/openapi.json", "/mcp")
"""Refusals of these are for programs; of all others, for people."""


async def authorize(request: Request) -> None:
    """Find out who calls and hold them to the right that the route needs; a route without one is refused."""
    route = request.scope.get("route")
    path = route.path if isinstance(route, APIRoute) else None
    needed = ROUTES.get((request.method, path)) if path is not None else None
    if needed is None:
        raise Forbidden("This address has no right assigned to it.")
    state = request.app.state
    use_zone(unquote(request.cookies.get(ZONE_COOKIE, "")))
    caller: Caller | None = identify_at_once(request, state.doors)
    if caller is None:
        caller = await to_thread.run_sync(identify, request, state.doors)
    check_right(caller, needed)
    request.state.caller = caller.asking(needed)
    if needed is not Right.ingest:
        request.state.deed = deed_of(request, str(path), who=caller.name, kind=caller.kind, reads=needed is Right.read)


def create_app(settings: Settings, store: Store) -> FastAPI:
    """Make the ASGI application over an opened, migrated store."""
    hub = Hub(store)
    prices = PriceBook(settings.data / "prices.toml")
    searching = settings.search == "on"

    def committed(changes: Changes) -> None:
        hub.committed(changes)
        indexer.wake()

    writer = Writer(store, prices=prices, on_commit=committed, search=searching)
    retention = Retention(settings.retention_days, settings.max_size)
    log = AuditLog(store, later=writer.run, days=settings.audit_days)
    deleter = Deleter(
        store,
        writer,
        on_commit=hub.committed,
        on_done=partial(_went_by_rule, log),
        retention=retention,
        abandoned_after=settings.abandoned_after,
    )
    rereader = Rereader(store, writer, prices)
    beside = BESIDE_AFTER_S if cores() > 1 else None
    indexer = Indexer(store, on=searching, busy=lambda: writer.busy, beside_after=beside)
    watcher = Watcher(
        store,
        searching=searching,
        private=settings.calls_private_webhooks,
        abandoned_after=settings.abandoned_after,
    )
    threads = ThreadPoolExecutor(DECODE_THREADS, thread_name_prefix="decode")

    doors = Doors(
        store,
        KeyRing(store, later=writer.run),
        Sessions(store, later=writer.run),
        open_server=not settings.needs_sign_in,
    )
    privacy = Privacy(store)
    budget, newcomers = otlp.Budget(settings.ingest_memory), NewProjects(store, settings.new_projects)
    ingest = otlp.Ingest(settings, prices, writer, threads, retention, budget, privacy, newcomers)
    over_grpc = _grpc_door(ingest, doors) if settings.grpc_port is not None else None

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        to_thread.current_default_thread_limiter().total_tokens = settings.read_threads
        hub.start()
        writer.start()
        deleter.start()
        if over_grpc is not None:
            app.state.grpc_port = await over_grpc.start()
        # Half a second of reading, which no request should wait for.
        Thread(target=prices.load, name="prices", daemon=True).start()
        indexer.start()
        watcher.start()
        try:
            yield
        finally:
            hub.close()
            await app.state.mcp.stop()
            await hub.ended()
            if over_grpc is not None:
                await over_grpc.stop()
            await to_thread.run_sync(lambda: rereader.stop(within=WRITE_OUT_S))
            await to_thread.run_sync(lambda: watcher.stop(within=WRITE_OUT_S))
            await to_thread.run_sync(lambda: indexer.stop(within=WRITE_OUT_S))
            await to_thread.run_sync(lambda: deleter.stop(within=WRITE_OUT_S))
            await to_thread.run_sync(lambda: writer.stop(within=WRITE_OUT_S))
            threads.shutdown(wait=False, cancel_futures=True)
            store.close()

    app = FastAPI(
        title="Stepscope",
        version=__version__,
        summary="What an LLM chain really did.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        dependencies=[Depends(authorize)],
    )
    app.state.description = None
    app.state.settings = settings
    app.state.store = store
    app.state.doors = doors
    app.state.keys = doors.keys
    app.state.throttle = Throttle()
    app.state.audit = log
    app.state.oidc = _sign_in_provider(settings)
    app.state.privacy = privacy
    app.state.live = hub
    app.state.writer = writer
    app.state.deleter = deleter
    app.state.rereader = rereader
    app.state.watcher = watcher
    app.state.prices = prices
    app.state.skeletons = SkeletonCache()
    app.state.open_server = doors.open_server
    app.state.ingest = ingest
    app.state.mcp = mcp_door.McpDoor(store, settings, prices)
    app.state.readiness = health.Readiness(store, writer)

    # In the order in which they are tried: what is asked for most comes first.
    for router in (
        otlp.router,
        static.router,
        traces.router,
        search.router,
        projects.router,
        compat.router,
        alerts.router,
        deletions.router,
        exports.router,
        imports.router,
        metrics.router,
        compare_api.router,
        live_api.router,
        sessions.router,
        scores.router,
        shares.router,
        keys.router,
        people.router,
        audit.router,
        rules.router,
        prices_api.router,
        status.router,
        health.router,
        prometheus.router,
        trace_list.router,
        start_page.router,
        facets.router,
        peek.router,
        trace.router,
        transcript.router,
        wiring.router,
        compare.router,
        sessions_page.router,
        markdown.router,
        metrics_page.router,
        mcp_door.router,
        steps_page.router,
        scores_page.router,
        alerts_page.router,
        live_page.router,
        prices_page.router,
        keys_page.router,
        people_page.router,
        audit_page.router,
        privacy_page.router,
        projects_page.router,
        account.router,
        join.router,
        settings_page.router,
        sign_in.router,
        oidc.router,
        shared.router,
    ):
        app.include_router(router)
    app.add_api_route("/openapi.json", _openapi, methods=["GET"], include_in_schema=False)

    app.add_exception_handler(TracerError, _tracer_error)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(DataError, _not_storable)
    app.add_exception_handler(Exception, _unforeseen)
    app.add_middleware(Guard, settings=settings, refuse=answer_refusal, answered=partial(_answered, log))
    return app


def _sign_in_provider(settings: Settings) -> OpenId | None:
    if settings.oidc_issuer is None:
        return None
    from tracer.access.oidc import OpenId, Provider, Role  # half a second, which few need

    return OpenId(
        Provider(
            settings.oidc_issuer,
            settings.oidc_client_id,
            settings.oidc_client_secret,
            tuple(domain.lower().lstrip("@") for domain in settings.oidc_domains),
            Role(settings.oidc_role),
        )
    )


def _grpc_door(ingest: otlp.Ingest, doors: Doors) -> GrpcDoor:
    try:
        from tracer.api.otlp_grpc import GrpcDoor
    except ImportError:
        raise BadSetting(
            "OTLP over gRPC needs the package grpcio: install stepscope-server[grpc].", field="grpc_port"
        ) from None
    return GrpcDoor(ingest, doors)


def _answered(log: AuditLog, state: Mapping[str, Any], status: int) -> None:
    """Note what a request did, when it was done."""
    deed: Deed | None = state.get("deed")
    if deed is not None and (status < 400 or deed.entry.action == REFUSED):
        log.note(deed.entry, once=deed.once)


def _went_by_rule(log: AuditLog, receipt: Receipt) -> None:
    """Note what the retention deleted."""
    log.note(Entry(BY_RULE, kind="server", project_id=receipt.project_id, detail=in_words(receipt)))


async def _openapi(request: Request) -> Response:
    """The description of the REST interface."""
    state = request.app.state
    if state.description is None:
        state.description = await to_thread.run_sync(describe, request.app)
    return JsonAnswer(state.description)


def answer_refusal(request: Request, problem: TracerError) -> Response:
    """A refusal for whoever asked: JSON or `google.rpc.Status` for programs, a page for people."""
    path = request.scope["path"].removeprefix(request.scope.get("root_path", ""))
    if path.startswith(MACHINE_PATHS):
        return refusal(request, problem)
    answer = error_page(request, problem.status, problem.code, problem.message)
    if problem.retry_after is not None:
        answer.headers["retry-after"] = str(problem.retry_after)
    return answer


async def _tracer_error(request: Request, problem: Exception) -> Response:
    if not isinstance(problem, TracerError):
        raise problem
    return answer_refusal(request, problem)


async def _invalid(request: Request, problem: Exception) -> Response:
    if not isinstance(problem, RequestValidationError):
        raise problem
    first = problem.errors()[0]
    where = first["loc"][:2] if first["loc"][:1] == ("body",) else first["loc"]
    field = str(where[-1]) if where else None
    named = BadRequest(f"{field}: {first['msg'].removeprefix('Value error, ')}.", field=field)
    named.status, named.code = 422, "invalid"
    return answer_refusal(request, named)


async def _http_error(request: Request, problem: Exception) -> Response:
    if not isinstance(problem, HTTPException):
        raise problem
    words = {404: "There is nothing at this address.", 405: "This address does not take that method."}
    named: TracerError = NotFound(words.get(problem.status_code, str(problem.detail)))
    named.status = problem.status_code
    named.code = {404: "not_found", 405: "method_not_allowed"}.get(problem.status_code, "refused")
    answer = answer_refusal(request, named)
    answer.headers.update(problem.headers or {})
    if problem.status_code == 405:
        path = request.scope["path"].removeprefix(request.scope.get("root_path", ""))
        answer.headers["allow"] = ", ".join(methods_of(path))
    return answer


async def _not_storable(request: Request, problem: Exception) -> Response:
    """A value that the database cannot hold or compare, such as U+0000 in Postgres: its sender's, not our, fault."""
    logger.warning("request %s has a value that is none for the database", request.state.request_id, exc_info=problem)
    return answer_refusal(request, BadRequest("A value in the request is none that the database can hold."))


async def _unforeseen(request: Request, problem: Exception) -> Response:
    request_id = getattr(request.state, "request_id", "unknown")
    logger.error("request %s failed", request_id, exc_info=problem)
    named = TracerError(f"Something went wrong here; the server's log has it under {request_id}.")
    named.status, named.code = 500, "internal"
    answer = answer_refusal(request, named)
    mark(answer.headers, request_id)  # this answer is made outside the guard
    answer.headers["connection"] = "close"  # the server closes it: a client must not send its next request there
    return answer
