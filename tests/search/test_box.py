"""What a search box is given: counts by value, ways to go on, saved searches."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests import make
from tests.client import Client, Service, on_one_database
from tracer.api import schemas
from tracer.search.complete import completions, wanted
from tracer.search.parse import read_search
from tracer.units import MINUTE


@pytest.fixture(scope="module")
def stored(service: Service) -> Iterator[Client]:
    """Twelve traces, a minute apart: four failed, three by another model, one tagged by a person."""
    with Client(service.url) as client:
        for number in range(12):
            having: dict[str, make.Value] = {
                "openinference.span.kind": "LLM",
                "llm.model_name": "house-2" if number % 4 == 0 else "house-1",
                "user.id": f"user {number % 3}",
                "tag.tags": ["nightly"],
                "metadata": json.dumps({"plan": "pro" if number % 2 else "free", "odd key": True}),
            }
            start = make.START + number * MINUTE
            root = make.span("answer", start=start, end=start + 1000, status=2 if number % 3 == 0 else 1, having=having)
            tool: dict[str, make.Value] = {"openinference.span.kind": "TOOL"}
            child = make.span("search_web", trace=root["traceId"], parent=root["spanId"], start=start, having=tool)
            client.store(root, child)
        tags = {"tags": ["golden", "nightly"], "name": "the golden one"}
        client.patch(f"/api/v1/traces/{root['traceId']}", params={"project": client.project}, json=tags)
        about = {"trace_id": root["traceId"], "project": client.project, "name": "is it good", "value": 1}
        client.post("/api/v1/scores", json=about)
        yield client


def counts(found: schemas.Facets, field: str) -> dict[str, int]:
    return {one.value: one.count for facet in found.facets if facet.field == field for one in facet.values}


def test_facets_count_what_a_search_finds(stored: Client) -> None:
    found = schemas.Facets.model_validate(stored.read("/api/v1/facets", project=stored.project))
    assert (found.traces, found.searched_to) == (12, None)
    assert counts(found, "status") == {"ok": 8, "error": 4}
    assert counts(found, "model") == {"house-1": 9, "house-2": 3}
    assert counts(found, "name") == {"answer": 11, "the golden one": 1}
    assert counts(found, "tag") == {"nightly": 12, "golden": 1}
    assert counts(found, "kind") == {"llm": 12, "tool": 12}
    assert counts(found, "user") == {"user 0": 4, "user 1": 4, "user 2": 4}
    assert (sum(bar.count for bar in found.bars), sum(bar.errors for bar in found.bars)) == (12, 4)
    assert found.interval_ms == 15_000.0
    assert len(found.bars) == 12

    some = stored.read("/api/v1/facets", project=stored.project, q="status:error model:house-2", values=1)
    found = schemas.Facets.model_validate(some)
    assert (found.traces, counts(found, "user")) == (1, {"user 0": 1})


def test_facets_of_more_than_they_count_say_how_far_back_that_is(
    stored: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tracer.queries.facets.MOST", 5)
    found = schemas.Facets.model_validate(stored.read("/api/v1/facets", project=stored.project, q="spans>0"))

    assert (found.traces, found.searched_to) == (5, "2025-11-24T16:07:00Z")
    assert sum(counts(found, "status").values()) == 5


def test_kinds_are_counted_over_as_many_steps_as_a_moment_allows(
    stored: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tracer.queries.facets.STEPS", 11)
    found = schemas.Facets.model_validate(stored.read("/api/v1/facets", project=stored.project))

    assert {one.field: one.traces for one in found.facets if one.field in ("kind", "model")} == {"kind": 5, "model": 12}
    assert counts(found, "kind") == {"llm": 5, "tool": 5}


def test_facets_are_what_the_search_for_each_value_finds(stored: Client) -> None:
    found = schemas.Facets.model_validate(stored.read("/api/v1/facets", project=stored.project))
    for facet in found.facets:
        for one in facet.values:
            traces = stored.traces(q=f'{facet.field}:"{one.value}"', limit=1000)
            assert len(traces) == one.count, (facet.field, one.value)


@pytest.mark.parametrize(
    ("typed", "first"),
    [
        ("", "status:"),
        ("refund sta", "status:"),
        ("-ki", "kind:"),
        ("lat", "latency>"),
        ("meta", "metadata."),
        ("status:er", "error"),
        ("status:ok,ru", "running"),
        ("(kind:to", "tool"),
        ("model:", "house-1"),
        ("model:house-1,2", "house-2"),
        ("user:", '"user 0"'),
        ('user:"user 2', '"user 2"'),
        ("name:gold", '"the golden one"'),
        ("tag:gol", "golden"),
        ("tool:", "search_web"),
        ("metadata.", '"odd key":'),
        ("metadata.pl", "plan:"),
        ("metadata.plan:", "free"),
        ('metadata."odd key":', "true"),
        ("score.", '"is it good":'),
        ("attr.llm", "llm.model_name:"),
    ],
)
def test_what_is_being_typed_is_gone_on_with(stored: Client, typed: str, first: str) -> None:
    found = schemas.Completions.model_validate(
        stored.read("/api/v1/completions", project=stored.project, q=typed)
    ).items

    assert found[0].text == first
    whole = typed[: found[0].start] + found[0].text + typed[found[0].end :]
    if not first.endswith((":", ">", ".")):
        read_search(whole if whole.count("(") == whole.count(")") else whole + ")")


def test_a_completion_replaces_the_term_at_the_cursor() -> None:
    text = "refund sta tool:x"

    assert [(one.start, one.end) for one in completions(text, 10)] == [(7, 10)]
    assert (wanted(text, 6).beginning, wanted(text, 17).beginning) == ("refund", "x")


@on_one_database
def test_searches_are_saved_replaced_and_deleted(client: Client) -> None:
    client.store(make.span())
    given = {"project": client.project, "name": " Failed ", "q": "status:error", "columns": ["name", "score.tone"]}
    made = schemas.SavedView.model_validate(client.post("/api/v1/views", json=given).json())
    assert (made.name, made.q, made.order, made.columns) == ("Failed", "status:error", "-start_time", given["columns"])

    again = schemas.SavedView.model_validate(client.post("/api/v1/views", json=given | {"order": "-cost"}).json())
    listed = schemas.SavedViews.model_validate(client.read("/api/v1/views", project=client.project)).items
    assert listed == [again]
    assert (again.id, again.order) == (made.id, "-cost")

    assert client.post("/api/v1/views", json=given | {"q": "status:eror"}).json()["error"]["code"] == "bad_search"
    assert client.post("/api/v1/views", json=given | {"order": "up"}).json()["error"]["field"] == "order"
    assert client.delete(f"/api/v1/views/{made.id}").status_code == 204
    assert client.delete(f"/api/v1/views/{made.id}").status_code == 404
    assert client.read("/api/v1/views", project=client.project)["items"] == []
