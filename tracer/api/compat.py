"""What other services' clients ask beside sending OTLP: start-up checks, and things that we do not keep.

Each is answered so that the app goes on and its spans arrive; what is not kept is not called kept. `docs/clients.md`
lists them by client.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from fastapi import APIRouter, Request, Response

from tracer import __version__
from tracer.api.answers import JsonAnswer
from tracer.auth import Caller
from tracer.errors import BadRequest
from tracer.otlp.text import clean

router = APIRouter(include_in_schema=False)

NOT_KEPT: Final = "Stepscope takes spans over OTLP here; this is not stored."
MLFLOW: Final = "3.4.0"
"""The first MLflow server that takes spans over OTLP: its clients ask for the version before they send any."""

LOGGED_HERE: Final = {"key": "mlflow.trace.spansLocation", "value": "TRACKING_STORE"}
"""Tells MLflow's client that the spans came by OTLP, so that it does not upload them once more as a file."""


@router.get("/api/public/health")
async def langfuse_health() -> Response:
    """Say to Langfuse that the server is there."""
    return JsonAnswer({"status": "OK", "version": __version__})


@router.get("/api/public/projects")
async def langfuse_projects(request: Request) -> Response:
    """Tell `auth_check` of Langfuse which project the key opens."""
    organization = {"id": "stepscope", "name": "Stepscope"}
    name = _project(request) or "default"
    project: dict[str, Any] = {"id": name, "name": name, "organization": organization, "metadata": {}}
    return JsonAnswer({"data": [project]})


@router.post("/api/public/ingestion")
async def langfuse_ingestion(request: Request) -> Response:
    """Langfuse's own batches (of its SDK before 3.0, and scores): each event is refused by name, so none is retried."""
    sent = await _body(request)
    batch = sent.get("batch")
    events = batch if isinstance(batch, list) else []
    refused = [
        {"id": event.get("id"), "status": 400, "message": NOT_KEPT, "error": NOT_KEPT}
        for event in events
        if isinstance(event, dict)
    ]
    return JsonAnswer({"successes": [], "errors": refused}, 207)


@router.post("/api/public/scores")
async def langfuse_scores(request: Request) -> Response:
    """Langfuse's scores, one or a list of them: refused by name, so that its client says so once and goes on."""
    sent = await _json(request)
    if not isinstance(sent, list):
        raise BadRequest(NOT_KEPT)
    errors = [{"index": place, "status": 400, "message": NOT_KEPT} for place in range(min(len(sent), 1))]
    return JsonAnswer({"accepted": 0, "rejected": len(sent), "errors": errors}, 207)


@router.post("/api/public/media")
async def langfuse_media(request: Request) -> Response:
    """Langfuse asks where a picture should go: nowhere, as if it were there; its span names it by the same id."""
    sent = await _body(request)
    digest = sent.get("sha256Hash")
    # The id that its clients write into the span: the beginning of the hash, safe in addresses.
    name = digest.replace("+", "-").replace("/", "_")[:22] if isinstance(digest, str) else "none"
    return JsonAnswer({"mediaId": clean(name), "uploadUrl": None}, 201)


@router.patch("/api/public/media/{media_id}")
async def langfuse_media_done(media_id: str) -> Response:
    """Take note that an upload to Langfuse is done."""
    return Response(status_code=204)


@router.get("/info")
async def langsmith_info() -> Response:
    """LangSmith asks what the server can do: nothing that would make its client send runs in another way."""
    return JsonAnswer({"version": __version__, "instance_flags": {}})


@router.get("/v1/info")
async def logfire_info(request: Request) -> Response:
    """Logfire asks to which project the token belongs; its client prints that with the address."""
    return JsonAnswer(
        {"project_name": _project(request) or "Stepscope", "project_url": str(request.base_url).rstrip("/")}
    )


@router.get("/version")
async def mlflow_version() -> Response:
    """Tell MLflow the version of the server."""
    return Response(MLFLOW, media_type="text/plain")


@router.get("/api/2.0/mlflow/experiments/get-by-name")
async def mlflow_experiment_by_name(request: Request) -> Response:
    """MLflow's `set_experiment`: the experiment's id is its name, which comes back as the project of its spans."""
    return JsonAnswer({"experiment": _experiment(request.query_params.get("experiment_name", ""))})


@router.get("/api/2.0/mlflow/experiments/get")
async def mlflow_experiment(request: Request) -> Response:
    """An experiment of MLflow by its id, which is its name."""
    return JsonAnswer({"experiment": _experiment(request.query_params.get("experiment_id", ""))})


@router.post("/api/3.0/mlflow/traces")
async def mlflow_trace(request: Request) -> Response:
    """MLflow's summary of a trace at its end: given back as taken, since the spans themselves came by OTLP."""
    sent = await _body(request)
    trace = sent.get("trace")
    info = trace.get("trace_info") if isinstance(trace, dict) else None
    if not isinstance(info, dict):
        raise BadRequest("There is no trace_info in it.", field="trace")
    tags = info.get("tags")
    if isinstance(tags, dict):
        tags = {**tags, LOGGED_HERE["key"]: LOGGED_HERE["value"]}
    else:
        tags = [*(tags if isinstance(tags, list) else []), LOGGED_HERE]
    return JsonAnswer({"trace": {"trace_info": {**info, "tags": tags}}})


def _project(request: Request) -> str | None:
    """The project that the request's key belongs to; None when it may send to any."""
    caller: Caller = request.state.caller
    return caller.project


def _experiment(name: str) -> dict[str, Any]:
    name = clean(name)
    return {"experiment_id": name, "name": name, "lifecycle_stage": "active", "artifact_location": "", "tags": []}


async def _body(request: Request) -> dict[str, Any]:
    """The request's JSON object; raises BadRequest for anything else."""
    sent = await _json(request)
    if not isinstance(sent, dict):
        raise BadRequest("The body is no JSON object.")
    return sent


async def _json(request: Request) -> Any:
    try:
        # What comes back in an answer has to be text that UTF-8 can say, and numbers that every reader can hold.
        return msgspec.json.decode(await request.body())
    except (ValueError, RecursionError):
        raise BadRequest("The body is no JSON.") from None
