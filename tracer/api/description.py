"""The description of the REST interface (OpenAPI): what FastAPI reads from the routes, with refusals and examples."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from fastapi import FastAPI

from tracer.api.answers import JSON
from tracer.api.examples import ANSWERS, BODIES, CURSORS, PARAMETERS
from tracer.otlp.addresses import is_otlp

REFUSALS = {
    400: "A parameter, a body or a search that cannot be read",
    401: "No key, or one that is not known",
    403: "Not allowed, or asked by another web page",
    404: "Not there, or nothing that this caller may see",
    408: "The body did not come in time",
    409: "In conflict with what is there",
    413: "The body is too large",
    415: "A content type or an encoding that is not served",
    421: "The Host is none of this server's names",
    422: "A parameter or field out of its range",
    429: "More than may be taken now; `Retry-After` says when to come again",
    503: "The database is away or busy; `Retry-After` says when to come again",
}
OF_BODIES = frozenset({408, 413, 415})
"""Refusals that only requests with a body get."""

OF_CHANGES = 409
"""The refusal that who only reads never gets."""

RPC_STATUS = {
    "type": "object",
    "description": "google.rpc.Status, in the content type of the request",
    "properties": {"code": {"type": "integer"}, "message": {"type": "string"}},
    "required": ["code", "message"],
}


def describe(app: FastAPI) -> dict[str, Any]:
    """The description as `/openapi.json` gives it."""
    made = deepcopy(app.openapi())
    for path, methods in made["paths"].items():
        for method, operation in methods.items():
            _refusals(path, method, operation)
            _examples((method.upper(), path), operation)
    made["components"]["schemas"] = {
        name: schema
        for name, schema in made["components"]["schemas"].items()
        if name not in ("HTTPValidationError", "ValidationError")
    }
    return made


def _refusals(path: str, method: str, operation: dict[str, Any]) -> None:
    """Every refusal that may come, in the form in which it comes."""
    schema = RPC_STATUS if is_otlp(path) else {"$ref": "#/components/schemas/Error"}
    answers: dict[str, Any] = operation["responses"]
    for status, words in REFUSALS.items():
        if status in OF_BODIES and "requestBody" not in operation:
            continue
        if (is_otlp(path) and status in (OF_CHANGES, 422)) or (status == OF_CHANGES and method == "get"):
            continue
        known = answers.get(str(status), {})
        if JSON not in known.get("content", {}) or status == 422:
            answers[str(status)] = {"description": words, "content": {JSON: {"schema": schema}}}


def _examples(key: tuple[str, str], operation: dict[str, Any]) -> None:
    for parameter in operation.get("parameters", ()):
        example = PARAMETERS.get(parameter["name"])
        if parameter["name"] == "cursor":
            example = CURSORS.get(key[1], example)
        if example is None:
            example = parameter["schema"].get("default")
        if example is not None and "examples" not in parameter["schema"]:
            parameter["example"] = example
    body = operation.get("requestBody", {}).get("content", {})
    for media in body.values():
        if key in BODIES and media is next(iter(body.values())):
            media["example"] = BODIES[key]
    for status, answer in operation["responses"].items():
        if status[0] == "2" and key in ANSWERS and answer.get("content"):
            next(iter(answer["content"].values())).setdefault("example", ANSWERS[key])
