"""`GET /api/v1/compare`: two traces step by step."""

from __future__ import annotations

from typing import Any

from tests import make
from tests.api.test_traces import error_of
from tests.client import Client, on_one_database
from tests.make import SECOND, START, Message
from tracer.api import schemas


def run(number: int, *names: str, said: str = "Is it open?") -> list[Message]:
    """A run of a chain with these steps one after the other, the first given `said`."""
    trace, root, start = make.new_trace_id(), make.new_span_id(), START + number * 60 * SECOND
    steps = [make.span("answer", trace=trace, id=root, start=start)]
    for place, name in enumerate(names):
        having: dict[str, make.Value] = {"input.value": said} if place == 0 else {}
        steps.append(
            make.span(name, trace=trace, parent=root, start=start + place, end=start + place + SECOND, having=having)
        )
    return steps


def compared(client: Client, **parameters: str | int) -> dict[str, Any]:
    found = client.read("/api/v1/compare", **parameters)
    schemas.Comparison.model_validate(found)
    return found


def names(found: dict[str, Any]) -> list[tuple[str, str]]:
    return [(line["state"], (line["b"] or line["a"])["name"]) for line in found["items"]]


def test_two_traces_are_told_step_by_step(client: Client) -> None:
    one = run(0, "look_up", "rank", "write")
    other = run(1, "look_up", "write", "check", said="Is it open today?")
    client.store(*one, *other)
    a, b = one[0]["traceId"], other[0]["traceId"]
    found = compared(client, a=a, b=b)

    assert (found["a"]["trace_id"], found["b"]["trace_id"]) == (a, b)
    assert names(found) == [
        ("same", "answer"), ("same", "look_up"), ("removed", "rank"), ("same", "write"), ("added", "check"),
    ]  # fmt: skip
    assert found["counts"] == {"same": 3, "changed": 0, "added": 1, "removed": 1, "moved": 0}
    assert [line["texts_differ"] for line in found["items"]] == [False, True, None, False, None]
    assert [line["depth"] for line in found["items"]] == [0, 1, 1, 1, 1]
    assert found["items"][2]["b"] is None
    assert found["items"][4]["b"] == {
        "span_id": other[3]["spanId"], "name": "check", "kind": "other", "status": "unset", "model": None,
        "duration_ms": 1_000, "tokens": None, "cost_usd": None,
    }  # fmt: skip
    assert names(compared(client, a=a, b=b, same="false")) == [("removed", "rank"), ("added", "check")]
    assert compared(client, b=b) == found, "the run before is taken when none is named"


@on_one_database
def test_a_comparison_comes_page_by_page(client: Client) -> None:
    one, other = run(0, *"abcdef"), run(1, *"abcxyz")
    client.store(*one, *other)
    ids = {"a": one[0]["traceId"], "b": other[0]["traceId"]}
    whole = compared(client, **ids)["items"]
    found: list[Any] = []
    cursor: dict[str, str] = {}
    while True:
        page = compared(client, **ids, **cursor, limit=3)
        found += page["items"]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert found == whole


@on_one_database
def test_a_refusal_names_the_trace_that_is_not_there(client: Client) -> None:
    [only] = run(0)
    client.store(only)
    there, gone = only["traceId"], make.new_trace_id()
    for asked, field in (
        ({"a": there, "b": gone}, "b"),
        ({"a": gone, "b": there}, "a"),
        ({"b": there}, "a"),
        ({"a": "x", "b": there}, "a"),
    ):
        error_of(client.get("/api/v1/compare", params=asked), 404, "not_found", field)
    error_of(client.get("/api/v1/compare"), 422, "invalid", "b")
