"""Other services' clients, pointed here: what each really sent (`tests/payloads/clients`) is answered and stored."""

from __future__ import annotations

import base64
import gzip
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests import make
from tests.client import JSON, Client, Guarded, on_one_database
from tracer.otlp.addresses import LOGS, METRICS, TRACES, asked_project
from tracer.otlp.decode import decode_traces

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "tests" / "payloads" / "clients"
CLIENTS = sorted(path.stem for path in FOLDER.glob("*.json"))
PROJECTS = {
    "langfuse": "default",
    "langtrace": "default",
    "logfire": "default",
    "openlit": "default",
    "traceloop": "default",
}
"""Where the spans of clients go that name no project; all others say `shop`."""


def sent_by(name: str) -> list[dict[str, Any]]:
    return json.loads((FOLDER / f"{name}.json").read_text())["requests"]


def body_of(request: dict[str, Any]) -> bytes:
    return base64.b64decode(request.get("body", ""))


def repeat(client: httpx.Client, request: dict[str, Any], headers: dict[str, str] | None = None) -> httpx.Response:
    sent = request["headers"] if headers is None else headers
    return client.request(request["method"], request["path"], content=body_of(request), headers=sent)


def with_key(headers: dict[str, str], key: str) -> dict[str, str]:
    """The same headers with our key where the client had that of the other service."""
    changed = dict(headers)
    for name in ("authorization", "x-api-key", "api_key"):
        old = changed.get(name)
        if old is not None:
            scheme, space, _ = old.partition(" ")
            new = base64.b64encode(f"public:{key}".encode()).decode() if scheme == "Basic" else key
            changed[name] = f"{scheme} {new}" if space else key
    return changed


@pytest.mark.parametrize("name", CLIENTS)
def test_what_a_client_sends_is_answered_as_it_was_and_its_spans_are_stored(client: Client, name: str) -> None:
    project = PROJECTS.get(name, "shop")
    stored = 0
    for request in sent_by(name):
        answer = repeat(client, request)
        assert answer.status_code == request["status"], (request["path"], answer.text)
        if request["path"] in TRACES:
            body = body_of(request)
            inflated = gzip.decompress(body) if request["headers"].get("content-encoding") == "gzip" else body
            for span in decode_traces(inflated, json=False).spans:
                found = client.read(f"/api/v1/traces/{span.trace_id.hex()}/spans/{span.span_id.hex()}", project=project)
                assert found["name"] == span.name
                stored += 1
    assert stored


@pytest.mark.parametrize("name", [name for name in CLIENTS if name not in ("openlit", "mlflow")])
def test_the_key_is_found_where_the_client_puts_it(guarded: Guarded, name: str) -> None:
    for request in sent_by(name):
        if request["path"] in ("/info", "/version"):
            continue
        headers = request["headers"]
        assert repeat(guarded.client, request, headers).status_code == 401
        answer = repeat(guarded.client, request, with_key(headers, guarded.token))
        assert answer.status_code == request["status"], (request["path"], answer.text)


def test_every_client_is_in_the_docs_with_its_address() -> None:
    text = (ROOT / "docs" / "clients.md").read_text()
    for name in CLIENTS:
        for request in sent_by(name):
            assert request["path"].partition("?")[0] in text, (name, request["path"])


@on_one_database
class TestStartUp:
    def test_langfuse_asks_whether_the_server_is_there_and_what_its_key_opens(self, client: Client) -> None:
        assert client.read("/api/public/health")["status"] == "OK"
        assert [project["name"] for project in client.read("/api/public/projects")["data"]] == ["default"]

    def test_what_is_not_kept_is_not_called_kept(self, client: Client) -> None:
        batch: dict[str, Any] = {"batch": [{"id": "one", "type": "trace-create", "body": {}}, {"id": "two"}, "odd"]}
        answer = client.post("/api/public/ingestion", json=batch)
        assert (answer.status_code, answer.json()["successes"]) == (207, [])
        assert [(error["id"], error["status"]) for error in answer.json()["errors"]] == [("one", 400), ("two", 400)]
        scores = client.post("/api/public/scores", json=[{"name": "helpful", "value": 1}] * 3)
        assert (scores.status_code, scores.json()["accepted"], scores.json()["rejected"]) == (207, 0, 3)
        assert client.post("/api/public/scores", json={"name": "helpful"}).status_code == 400

    def test_langfuse_pictures_are_not_asked_for(self, client: Client) -> None:
        answer = client.post("/api/public/media", json={"sha256Hash": "gjzrmfzvUlIzPt4bIgI0HD/+x=", "contentLength": 6})
        assert answer.json() == {"mediaId": "gjzrmfzvUlIzPt4bIgI0HD", "uploadUrl": None}
        assert client.patch("/api/public/media/abc", json={}).status_code == 204

    @pytest.mark.parametrize("path", ["/api/public/ingestion", "/api/public/media", "/api/3.0/mlflow/traces"])
    @pytest.mark.parametrize(
        "body",
        [
            *(b"", b"[", b"[]", b"1", b'{"batch": 7, "trace": []}', b"[" * 100_000),
            b'{"batch": [{"id": "\\ud800"}], "sha256Hash": "\\ud800", "trace": {"trace_info": {"a": "\\ud800"}}}',
            b'{"batch": [{"id": 1%s}], "trace": {"trace_info": {"a": 1%s}}}' % (b"0" * 40, b"0" * 5000),
        ],
        ids=["nothing", "cut", "list", "number", "odd kinds", "deep", "surrogates", "huge numbers"],
    )
    def test_R54_odd_bodies_are_refused_kindly(self, client: Client, path: str, body: bytes) -> None:
        answer = client.post(path, content=body, headers={"content-type": JSON})
        assert answer.status_code < 500, answer.text

    def test_mlflow_is_told_that_its_spans_are_stored(self, client: Client) -> None:
        assert client.get("/version").text == "3.4.0"
        found = client.read("/api/2.0/mlflow/experiments/get-by-name", experiment_name="Læden 1")["experiment"]
        assert (found["experiment_id"], found["lifecycle_stage"]) == ("Læden 1", "active")
        assert client.read("/api/2.0/mlflow/experiments/get", experiment_id="Læden 1")["experiment"] == found
        for tags in ({"a": "b"}, [{"key": "a", "value": "b"}], None):
            sent = {"trace": {"trace_info": {"trace_id": "tr-1", "tags": tags}}}
            given = client.post("/api/3.0/mlflow/traces", json=sent).json()["trace"]["trace_info"]
            assert given["trace_id"] == "tr-1"
            assert "mlflow.trace.spansLocation" in str(given["tags"])

    @pytest.mark.parametrize(
        "path",
        [
            "/v1/traceloop/prompts",
            "/v1/prompts",
            "/v2/traces/1/spans/2/images",
            "/v2/evaluators/x/executions",
            "/api/public/v2/prompts/greeting",
            "/api/2.0/mlflow/runs/create",
            "/runs/multipart",
            "/otel/v1/nothing",
        ],
    )
    def test_what_is_not_served_is_a_short_404_for_programs(self, client: Client, path: str) -> None:
        for method in ("GET", "POST"):
            answer = client.request(method, path)
            assert (answer.status_code, answer.headers["content-type"]) == (404, JSON)
            assert len(answer.content) < 300


@on_one_database
@pytest.mark.parametrize("path", [*TRACES, *LOGS, *METRICS])
class TestAddresses:
    def test_each_takes_large_bodies_and_refuses_in_the_words_of_otlp(self, client: Client, path: str) -> None:
        large = make.as_json(make.request(make.span(having={"k": "x" * 1_100_000})))
        assert client.ingest(large, path=path).status_code == 200
        if path not in METRICS:
            refused = client.ingest(b"[1", path=path)
            assert (refused.status_code, refused.json()["code"]) == (400, 3)

    def test_each_is_closed_to_other_web_pages(self, client: Client, path: str) -> None:
        answer = client.ingest(b"{}", path=path, sec_fetch_site="cross-site")
        assert answer.status_code == 403


@pytest.mark.parametrize(
    ("headers", "project"),
    [
        ({}, None),
        ({"x-stepscope-project": "a%20b", "projectname": "x"}, "a b"),
        ({"x-stepscope-project": " ", "langsmith-project": "shop"}, None),
        ({"langsmith-project": "shop"}, "shop"),
        ({"projectname": "shop"}, "shop"),
        ({"x-project-name": "shop"}, "shop"),
        ({"x-bt-parent": "project_name:shop: the 2nd"}, "shop: the 2nd"),
        ({"x-bt-parent": "project_id:7f"}, "7f"),
        ({"x-bt-parent": "experiment_id:7f"}, None),
        ({"x-bt-parent": "nonsense"}, None),
        ({"project_id": "team/shop"}, "shop"),
        ({"project_id": "team/"}, None),
        ({"project_id": "7"}, None),
        ({"x-mlflow-experiment-id": "0"}, None),
        ({"x-mlflow-experiment-id": "12"}, "12"),
    ],
)
def test_headers_name_the_project(headers: dict[str, str], project: str | None) -> None:
    assert asked_project(headers) == project
