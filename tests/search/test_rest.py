"""Searching over REST, and the index's lag."""

from __future__ import annotations

import pytest

from tests import make
from tests.client import Client, wait_until


def caught_up(client: Client) -> bool:
    return client.read("/api/v1/status")["index"]["state"] == "caught_up"


@pytest.fixture
def stored(client: Client) -> Client:
    """Three traces: about refunds, about shipping, and one that failed."""
    for name, said in (("refunds", "Our refund policy is kind."), ("shipping", "The policy on shipping: no refund.")):
        client.store(make.span(name, having={"input.value": said, "openinference.span.kind": "CHAIN"}))
    failed = make.event("exception", {"exception.message": "Connection refused by getUserById"})
    client.store(make.span("look_up", status=2, events=[failed]))
    wait_until(lambda: caught_up(client), "the index has caught up")
    return client


def names(client: Client, q: str) -> set[str]:
    return {one["name"] for one in client.traces(q=q)}


@pytest.mark.parametrize(
    ("q", "wanted"),
    [
        ("refund policy", {"refunds", "shipping"}),
        ('"refund policy"', {"refunds"}),
        ("REFUND*", {"refunds", "shipping"}),
        ("user refused", {"look_up"}),
        ("look_up", {"look_up"}),
        ("nowhere", set()),
    ],
)
def test_words_phrases_and_beginnings_find_traces(stored: Client, q: str, wanted: set[str]) -> None:
    assert names(stored, q) == wanted


def test_pages_follow_each_other(stored: Client) -> None:
    first = stored.read("/api/v1/traces", project=stored.project, q="policy", limit=1)
    second = stored.read("/api/v1/traces", project=stored.project, q="policy", limit=1, cursor=first["next_cursor"])

    assert len(first["items"]) == len(second["items"]) == 1
    assert first["items"][0]["trace_id"] != second["items"][0]["trace_id"]
    assert second["next_cursor"] is None


@pytest.mark.parametrize(
    ("q", "says"),
    [
        ("status:error", "looks like a field"),
        ("latency>2s", "looks like a field"),
        ("a OR b", "OR, -word and parentheses"),
        ("-refund", "OR, -word and parentheses"),
        ('"never closed', "not closed"),
        ("re*fund", "a star stands at the end"),
        ("—", "no word"),
        (" ".join(f"w{number}" for number in range(40)), "at most 32 words"),
    ],
)
def test_what_this_version_does_not_read_is_refused_with_a_sentence(client: Client, q: str, says: str) -> None:
    answer = client.get("/api/v1/traces", params={"q": q})

    assert answer.status_code == 400
    assert says in answer.json()["error"]["message"]
    assert answer.json()["error"]["field"] == "q"


def test_another_order_with_words_is_refused(client: Client) -> None:
    answer = client.get("/api/v1/traces", params={"q": "word", "order": "-cost"})

    assert (answer.status_code, answer.json()["error"]["field"]) == (400, "order")


def test_the_status_has_sizes_and_rates(stored: Client) -> None:
    found = stored.read("/api/v1/status")

    assert found["index"]["documents"] >= 5
    assert found["index"]["lag_spans"] == 0
    assert found["sizes"]["database_bytes"] > found["sizes"]["index_bytes"] > 0
    assert found["rates"]["spans_per_second"] > 0
