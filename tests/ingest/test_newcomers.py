"""Names in what is sent make so many projects and no more; what names yet another is kept in `default`."""

from __future__ import annotations

from typing import Any

from tests import make
from tests.client import Client, in_process
from tests.make import Message
from tracer.access.tokens import ensure_admin_token


def told(client: Client, name: str | None, *spans: Message) -> dict[str, Any]:
    """Send spans, with a project in the header or without, and return what their sender is told."""
    headers = {"x-stepscope-project": name} if name else {}
    body = make.as_json(make.request(*spans))
    answer = client.post("/v1/traces", content=body, headers={"content-type": "application/json", **headers})
    assert answer.status_code == 200, answer.text
    return answer.json().get("partialSuccess", {})


def place(client: Client, span: Message) -> str:
    return client.read(f"/api/v1/traces/{span['traceId']}")["project"]


def test_beyond_the_limit_spans_are_kept_in_default_and_their_sender_is_told(database_url: str) -> None:
    with in_process(database_url, new_projects=2) as service, Client(service.url) as client:
        mine, theirs, third, again = (make.span() for _ in range(4))
        assert told(client, "mine", mine) == {}
        client.post("/api/v1/keys", json={"project": "by hand", "name": "app", "right": "ingest"})
        assert told(client, None, make.span(having={"stepscope.project": "theirs"})) == {}
        by_span = make.span(having={"openinference.project.name": "fourth"})
        assert told(client, "third", third)["rejectedSpans"] == "0"
        message = told(client, None, by_span, theirs)["errorMessage"]
        assert message.startswith("1 named a project that is not there, and names may make no more than 2 ")
        assert told(client, "mine", again) == told(client, "by hand", make.span()) == {}

        assert [place(client, one) for one in (mine, third, by_span, theirs, again)] == [
            "mine", "default", "default", "default", "mine",
        ]  # fmt: skip
        names = {one["name"] for one in client.read("/api/v1/projects")["items"]}
        assert names == {"mine", "by hand", "theirs", "default"}
        log = make.log("later", trace=third["traceId"], span=third["spanId"])
        answer = client.ingest(make.log_request(log), path="/v1/logs", x_stepscope_project="fifth")
        assert "were stored in 'default'" in answer.json()["partialSuccess"]["errorMessage"]
        assert [one["name"] for one in client.read(f"/api/v1/traces/{third['traceId']}")["spans"][0]["events"]]
        score = {"trace_id": third["traceId"], "name": "good", "value": 1, "project": "sixth"}
        assert client.post("/api/v1/scores", json=score).json()["project"] == "default"


def test_what_is_kept_in_default_is_held_to_its_rules(database_url: str) -> None:
    with in_process(database_url, new_projects=0, host="0.0.0.0") as service:
        token = ensure_admin_token(service.store)
        assert token is not None
        with Client(service.url, **{"x-api-key": token}) as client:
            told(client, "default", make.span())
            rules = client.put("/api/v1/rules", params={"project": "default"}, json={"masks": ["emails"]})
            assert rules.status_code == 200, rules.text
            span = make.span(having={"input.value": "Write to mara@example.com"})
            assert "were stored in 'default'" in told(client, "new", span)["errorMessage"]
            found = client.read(f"/api/v1/traces/{span['traceId']}")
    assert found["project"] == "default"
    assert "mara@example.com" not in str(found)
