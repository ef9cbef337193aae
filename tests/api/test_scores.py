"""Scores, tags, names and notes: what people and programs add to traces over REST."""

from __future__ import annotations

from typing import Any

import pytest

from tests import make
from tests.api.test_traces import error_of, walk
from tests.client import Client, Guarded, Service, on_one_database
from tracer.api import schemas
from tracer.ingest.verify import verify


def given(trace: str, **facts: Any) -> dict[str, Any]:
    return {"trace_id": trace, "name": "helpful", "value": 0.5, **facts}


def post(client: Client, trace: str, **facts: Any) -> dict[str, Any]:
    answer = client.post("/api/v1/scores", json=given(trace, **facts))
    assert answer.status_code == 200, answer.text
    return schemas.Score.model_validate(answer.json()).model_dump()


def stored(client: Client) -> tuple[str, str]:
    """One trace of one step: its id and the step's."""
    span = make.span("answer")
    client.store(span)
    trace = client.traces()[0]["trace_id"]
    return trace, client.trace(trace)["spans"][0]["span_id"]


def test_a_score_is_the_traces_or_a_steps_and_the_summary_sums_them_up(client: Client) -> None:
    trace, span = stored(client)
    first = post(client, trace, source="user", comment="Spot on.")
    assert (first["project"], first["span_id"], first["author"]) == (client.project, None, None)
    post(client, trace, span_id=span, name="exact", value=True, source="model")
    post(client, trace, name="tone", value="warm", source="reviewer")
    post(client, trace, name="speed", value=1)
    post(client, trace, span_id=span, name="speed", value=0)
    assert client.trace(trace)["scores"] == [
        {"name": "exact", "value": True, "source": "model", "count": 1},
        {"name": "helpful", "value": 0.5, "source": "user", "count": 1},
        {"name": "speed", "value": 0.5, "source": "code", "count": 2},
        {"name": "tone", "value": "warm", "source": "reviewer", "count": 1},
    ]
    assert client.traces()[0]["scores"] == client.trace(trace)["scores"]
    listed = schemas.Scores.model_validate(client.read("/api/v1/scores", trace_id=trace)).items
    assert [one.name for one in listed] == ["speed", "speed", "tone", "exact", "helpful"]
    assert [one["id"] for one in walk(client, "/api/v1/scores", limit=2)] == [one.id for one in listed]


def test_the_same_score_again_replaces_it_and_another_author_or_id_does_not(client: Client) -> None:
    trace, _ = stored(client)
    first = post(client, trace)
    again = post(client, trace, value=1.0, comment="better")
    assert (again["id"], again["created_at"], again["value"]) == (first["id"], first["created_at"], 1.0)
    assert post(client, trace, source="user")["id"] != first["id"]
    post(client, trace, id="run-7", value=True)
    post(client, trace, id="run-7", value="no")
    values = [one["value"] for one in client.read("/api/v1/scores", trace_id=trace)["items"]]
    assert values == ["no", 0.5, 1.0]


def test_a_score_may_come_before_its_trace_and_is_joined(client: Client) -> None:
    trace = make.new_trace_id()
    early = client.post("/api/v1/scores", json=given(trace), headers={"x-stepscope-project": client.project})
    assert early.json()["project"] == client.project
    assert client.get(f"/api/v1/traces/{trace}").status_code == 404
    client.store(make.span(trace=trace))
    assert client.trace(trace)["scores"] == [{"name": "helpful", "value": 0.5, "source": "code", "count": 1}]


def test_a_deleted_trace_takes_its_scores_along_and_no_new_ones(client: Client, service: Service) -> None:
    trace, _ = stored(client)
    post(client, trace)
    client.patch(f"/api/v1/traces/{trace}", json={"note": "keep"})
    assert client.delete(f"/api/v1/traces/{trace}").json()["state"] == "done"
    assert client.read("/api/v1/scores", trace_id=trace)["items"] == []
    refused = client.post("/api/v1/scores", json=given(trace, project=client.project))
    assert "was deleted" in error_of(refused, 404, "not_found", "trace_id")
    assert list(verify(service.store)) == []


def test_a_score_can_be_taken_away(client: Client) -> None:
    trace, _ = stored(client)
    made = post(client, trace)
    assert client.delete(f"/api/v1/scores/{made['id']}").status_code == 204
    assert client.trace(trace)["scores"] == []
    error_of(client.delete(f"/api/v1/scores/{made['id']}"), 404, "not_found", "score_id")


@on_one_database
@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("trace_id", "xyz", "32 hex digits"),
        ("trace_id", "0" * 32, "not all of them 0"),
        ("span_id", "12", "16 hex digits"),
        ("name", "", "at least 1 character"),
        ("name", " \t", "pattern"),
        ("value", None, "a finite number, true, false or a text"),
        ("value", [1], "a finite number, true, false or a text"),
        ("value", "", "1 to 1,000 characters"),
        ("value", 10**400, "finite"),
        ("source", "me", "'user', 'reviewer', 'code' or 'model'"),
        ("id", "a b", "pattern"),
        ("when", 1, "Extra inputs"),
    ],
)
def test_what_is_no_score_is_refused_with_the_field_named(client: Client, field: str, value: Any, words: str) -> None:
    answer = client.post("/api/v1/scores", json=given(make.new_trace_id(), **{field: value}))
    assert words in error_of(answer, 422, "invalid", field)


@on_one_database
def test_a_body_that_is_no_json_or_holds_nan_is_refused(client: Client) -> None:
    for body in (b"{", b'{"trace_id": NaN}', b"[]", b'"x"'):
        answer = client.post("/api/v1/scores", content=body, headers={"content-type": "application/json"})
        assert answer.status_code == 422, answer.text
    trace = make.new_trace_id()
    body = f'{{"trace_id":"{trace}","name":"n","value":NaN}}'.encode()
    answer = client.post("/api/v1/scores", content=body, headers={"content-type": "application/json"})
    assert "finite" in error_of(answer, 422, "invalid", "value")


def test_people_add_tags_a_name_and_a_note_beside_what_came(client: Client) -> None:
    client.store(make.span("answer", having={"tag.tags": ["prod"]}))
    trace = client.traces()[0]["trace_id"]
    path = f"/api/v1/traces/{trace}"
    answer = client.patch(path, json={"tags": ["golden", "prod", "golden"], "name": "Refund, good", "note": "Keep\0."})
    found = schemas.TraceSummary.model_validate(answer.json())
    assert (found.name, found.note, found.tags) == ("Refund, good", "Keep␀.", ["prod", "golden"])
    client.store(make.span("late", trace=trace, start=make.START + 10**9, end=make.START + 2 * 10**9))
    assert client.trace(trace)["name"] == "Refund, good"
    answer = client.patch(path, json={"tags": [], "name": ""})
    assert (answer.json()["name"], answer.json()["tags"], answer.json()["note"]) == ("answer", ["prod"], "Keep␀.")
    assert client.patch(path, json={"note": ""}).json()["note"] is None


@on_one_database
def test_a_patch_that_cannot_be_is_refused_with_the_field_named(client: Client) -> None:
    trace, _ = stored(client)
    path = f"/api/v1/traces/{trace}"
    error_of(client.patch(path, json={"tags": [""]}), 422, "invalid", "tags")
    error_of(client.patch(path, json={"tags": ["x"] * 101}), 422, "invalid", "tags")
    error_of(client.patch(path, json={"status": "ok"}), 422, "invalid", "status")
    error_of(client.patch(f"/api/v1/traces/{make.new_trace_id()}", json={"note": "x"}), 404, "not_found", "trace_id")


def test_who_signed_in_is_the_author(guarded: Guarded) -> None:
    headers = {"x-api-key": guarded.token}
    answer = guarded.client.post("/api/v1/scores", json=given(make.new_trace_id()), headers=headers)
    assert (answer.status_code, answer.json()["author"]) == (200, "administrator")
