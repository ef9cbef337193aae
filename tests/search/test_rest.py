"""Searching over REST, and the index's lag."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import make
from tests.client import Client, Service, in_process, on_one_database, wait_until
from tracer.api import schemas
from tracer.search.fields import FIELDS, STATUSES
from tracer.search.tree import quote
from tracer.units import SECOND, parse_rfc3339, rfc3339


def caught_up(client: Client) -> bool:
    return client.read("/api/v1/status")["index"]["state"] == "caught_up"


@pytest.fixture(scope="module")
def stored(service: Service) -> Iterator[Client]:
    """Three traces: about refunds, about shipping, and one that failed."""
    with Client(service.url) as client:
        yield filled(client)


def filled(client: Client) -> Client:
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


def test_a_mistake_is_told_with_its_place_and_no_search_is_made(client: Client) -> None:
    answer = client.get("/api/v1/traces", params={"q": "refund status:eror"})

    error = schemas.Error.model_validate(answer.json()).error
    assert (answer.status_code, error.code, error.field) == (400, "bad_search", "q")
    assert error.message.startswith("Character 15: status has no 'eror': did you mean status:error?")


HOSTILE = (
    "'; DROP TABLE trace; --",
    "' OR '1'='1",
    "x' UNION SELECT digest FROM access_token --",
    "%", "_", "?", "%s", ":name", "$1", "{keys}", "\\", "[a-z]", "*?[", "\x00", "\ud800", "\u202e", "1e309", "NULL",
    "trace_pk", "0x41", "/**/", "a\nb", "🎉" * 50, "'" * 100, "(SELECT 1)", "\\'", "\";",
)  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_in_a_search_reaches_the_database_as_sql(stored: Client, text: str) -> None:
    quoted = quote(text)
    fields = ("name", "user", "tag", f"metadata.{quoted}", "attr.x", "score.x", "project")
    several = " ".join(f"{field}:{quoted}*" for field in fields)
    for q in (text, quoted, several, f"step:(name:{quoted}) OR model:a*{quoted}", f"-input:{quoted}"):
        answer = stored.get(
            "/api/v1/traces", params={"project": stored.project, "q": q.encode(errors="replace").decode()}
        )
        assert answer.status_code in (200, 400), answer.text
        if answer.status_code == 400:
            assert answer.json()["error"]["code"] == "bad_search"
    assert len(stored.traces()) == 3


def test_a_search_that_takes_long_answers_what_it_has_and_goes_on(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.store(*(make.span(start=make.START + number, having={"n": number}) for number in range(150)))
    monkeypatch.setattr("tracer.search.find.STEPS_AT_ONCE", dict.fromkeys(range(5), 30))
    monkeypatch.setattr("tracer.search.pace.Pace.ends", lambda _, size=0: True)

    found: list[str] = []
    at, pages, cursor = 2 * make.START, 0, dict[str, str]()
    while True:
        page = client.read("/api/v1/traces", project=client.project, q="attr.n>=100", limit=1000, **cursor)
        found += [one["trace_id"] for one in page["items"]]
        pages += 1
        if page["next_cursor"] is None:
            break
        before, at = at, parse_rfc3339(page["searched_to"])
        assert at < before
        cursor = {"cursor": page["next_cursor"]}
    assert pages >= 5
    assert len(found) == len(set(found)) == 50


@pytest.mark.parametrize("order", ["-start_time", "start_time", "received", "-duration"])
def test_a_walk_beside_ingest_meets_each_trace_that_was_there_once(client: Client, order: str) -> None:
    def trace(number: int) -> make.Message:
        start = make.START + number * SECOND
        return make.span(start=start, end=start + (number % 7) * SECOND, having={"user.id": "ada"})

    before = [trace(number) for number in range(20)]
    client.store(*before)
    met: list[str] = []
    cursor = dict[str, str]()
    for number in range(30):
        page = client.read("/api/v1/traces", project=client.project, q="user:ada", order=order, limit=3, **cursor)
        met += [one["trace_id"] for one in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
        client.store(trace(100 + number), trace(-number))
    assert [met.count(one["traceId"]) for one in before] == [1] * 20
    assert len(met) == len(set(met))


def test_without_an_index_fields_are_searched_and_words_are_refused(tmp_path: Path) -> None:
    with in_process(f"sqlite:///{tmp_path}/s.db", search="off") as running, Client(running.url) as client:
        client.store(make.span("one", status=2))

        assert len(client.traces(q="status:error name:o*")) == 1
        answer = client.get("/api/v1/traces", params={"q": "status:error one"})
        assert "STEPSCOPE_SEARCH=off" in answer.json()["error"]["message"]


def test_spans_are_found_across_traces_with_their_bodies_when_asked(stored: Client) -> None:
    found = schemas.Spans.model_validate(
        stored.read("/api/v1/spans", project=stored.project, q="refund", bodies="true")
    )
    assert {one.name for one in found.items} == {"refunds", "shipping"}
    assert all(one.input is not None and "refund" in one.input.value.lower() for one in found.items)

    bare = schemas.Spans.model_validate(stored.read("/api/v1/spans", project=stored.project, q="status:error"))
    assert [(one.name, one.attributes) for one in bare.items] == [("look_up", None)]

    refused = stored.get("/api/v1/spans", params={"q": "spans>3"})
    assert "spans is asked of traces" in refused.json()["error"]["message"]
    time = rfc3339(make.START + 1)
    assert stored.read("/api/v1/spans", project=stored.project, **{"from": time})["items"] == []
    assert len(stored.read("/api/v1/spans", project=stored.project, to=time)["items"]) == 3


@on_one_database
def test_every_field_is_described(client: Client) -> None:
    found = schemas.SearchFields.model_validate(client.read("/api/v1/fields")).items

    assert [one.name for one in found] == [one.name for one in FIELDS]
    assert next(one.values for one in found if one.name == "status") == list(STATUSES)


def test_the_status_has_sizes_and_rates(stored: Client) -> None:
    wait_until(lambda: caught_up(stored), "the index has caught up")
    found = stored.read("/api/v1/status")

    assert found["index"]["documents"] >= 5
    assert found["index"]["lag_spans"] == 0
    assert found["sizes"]["database_bytes"] > found["sizes"]["index_bytes"] > 0
    assert found["rates"]["spans_per_second"] > 0
