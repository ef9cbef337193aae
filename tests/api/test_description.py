"""`/openapi.json`: what it says is what is answered, and each operation has examples."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.routing import APIRoute, iter_route_contexts

from tests import make
from tests.client import Client, Service, on_one_database
from tracer.api import schemas
from tracer.api.examples import ANSWERS, BODIES, CURSORS, PARAMETERS

pytestmark = on_one_database


@pytest.fixture
def operations(client: Client) -> list[tuple[tuple[str, str], dict[str, Any]]]:
    paths = client.read("/openapi.json")["paths"]
    return [((method.upper(), path), one) for path, methods in paths.items() for method, one in methods.items()]


def test_each_operation_has_examples_of_its_parameters_body_and_answer(
    operations: list[tuple[tuple[str, str], dict[str, Any]]],
) -> None:
    for key, operation in operations:
        for parameter in operation.get("parameters", ()):
            assert "example" in parameter or parameter["schema"].get("examples"), f"{key} {parameter['name']}"
            assert parameter["name"] != "request"
        if "requestBody" in operation:
            assert any("example" in media for media in operation["requestBody"]["content"].values()), key
        answers = [one for status, one in operation["responses"].items() if status[0] == "2" and one.get("content")]
        for answer in answers:
            assert any("example" in media for media in answer["content"].values()), key
        assert answers or "204" in operation["responses"], key
    keys = {key for key, _ in operations}
    assert set(ANSWERS) <= keys
    assert set(BODIES) <= keys
    named = {parameter["name"] for _, operation in operations for parameter in operation.get("parameters", ())}
    assert set(PARAMETERS) <= named, "an example of a parameter that there is not"


def routes(service: Service) -> Iterator[tuple[tuple[str, str], APIRoute]]:
    for context in iter_route_contexts(service.app.routes):
        route = context.original_route
        if isinstance(route, APIRoute) and route.include_in_schema:
            for method in route.methods or ():
                yield (method, f"{context.path_format}"), route


def test_examples_are_what_is_asked_and_answered(service: Service) -> None:
    checked = 0
    for key, route in routes(service):
        if route.response_model is not None and key in ANSWERS:
            route.response_model.model_validate(ANSWERS[key])
            checked += 1
        if route.body_field is not None:
            _, errors = route.body_field.validate(BODIES[key], {}, loc=())
            assert not errors, key
            checked += 1
    assert checked > 40


@pytest.mark.parametrize("path", [*CURSORS, "/api/v1/traces"])
def test_the_example_of_a_cursor_is_one_of_that_list(client: Client, path: str) -> None:
    one = make.span(having={"session.id": "s"})
    other = make.span()
    client.store(one, other)
    named = {"trace_id": one["traceId"], "session_id": "s"}
    traces = {"a": one["traceId"], "b": other["traceId"]} if path.endswith("/compare") else {}
    cursor = CURSORS.get(path, PARAMETERS["cursor"])
    client.read(path.format_map(named), project=client.project, cursor=cursor, **traces)


@pytest.mark.parametrize("value", [False, "1"])
def test_what_is_no_number_in_json_is_none(client: Client, value: object) -> None:
    asked: list[tuple[str, str, str, dict[str, object]]] = [
        ("POST", "/api/v1/keys", "days", {"project": client.project, "name": "k", "right": "read"}),
        ("POST", "/api/v1/keys/1/rotate", "keep_old_hours", {}),
        ("POST", "/api/v1/shares", "days", {"trace_id": "ab" * 16}),
        ("PUT", "/api/v1/rules", "retention_days", {}),
    ]
    for method, path, field, body in asked:
        answer = client.request(method, path, params={"project": client.project}, json={**body, field: value})
        assert answer.status_code == 422, path
        assert answer.json()["error"]["field"] == field


def test_each_refusal_is_told_of_in_its_form(operations: list[tuple[tuple[str, str], dict[str, Any]]]) -> None:
    for (method, path), operation in operations:
        assert ("409" in operation["responses"]) == (method != "GET" and not path.startswith("/v1/"))
        for status in ("400", "401", "403", "404", "421", "429"):
            schema = operation["responses"][status]["content"]["application/json"]["schema"]
            assert ("properties" in schema) == path.startswith("/v1/"), f"{path} {status}"
            assert schema.get("$ref", "#/components/schemas/Error") == "#/components/schemas/Error"


def test_the_example_spans_are_taken_and_its_trace_is_found(client: Client) -> None:
    body = BODIES["POST", "/v1/traces"]
    assert client.ingest(body).status_code == 200
    found = client.trace(ANSWERS["GET", "/api/v1/traces/{trace_id}"]["trace_id"])
    schemas.Trace.model_validate(found)
    assert found["name"] == "answer"
    assert client.ingest(BODIES["POST", "/v1/logs"], path="/v1/logs").status_code == 200


def test_figures_for_prometheus(client: Client) -> None:
    def figures() -> dict[str, float]:
        answer = client.get("/metrics")
        assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        lines = [line for line in answer.text.splitlines() if not line.startswith("#")]
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}

    before = figures()
    client.store(make.span(), make.span())
    after = figures()
    assert after["stepscope_ready"] == 1
    assert after["stepscope_spans_written_total"] - before["stepscope_spans_written_total"] == 2
    assert after["stepscope_spans"] - before["stepscope_spans"] == 2
    assert after["stepscope_database_bytes"] > 0


def test_an_address_says_which_methods_it_takes(client: Client) -> None:
    for path, methods in (
        ("/api/v1/traces", "DELETE, GET"),
        ("/api/v1/traces/" + "ab" * 16, "DELETE, GET, PATCH"),
        ("/api/v1/scores", "GET, POST"),
        ("/api/v1/sessions/a/b", "GET"),
        ("/v1/traces", "POST"),
    ):
        answer = client.put(path)
        assert (answer.status_code, answer.headers["allow"]) == (405, methods)


def test_prices_are_answered_as_the_numbers_that_are_told_of(client: Client) -> None:
    schema = client.read("/openapi.json")["components"]["schemas"]["OwnPrice"]["properties"]["input"]
    assert {"type": "number", "minimum": 0} in schema["anyOf"]
