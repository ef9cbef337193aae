"""Sessions and users: lists with totals, and conversations turn by turn, over REST and as pages."""

from __future__ import annotations

import random
from typing import Any

import pytest
from sqlalchemy import event

from tests import make
from tests.api.test_traces import error_of, walk
from tests.client import Client, Service, on_one_database
from tests.make import SECOND, START, Message, Value
from tracer.api import schemas
from tracer.pages.sessions import TURNS
from tracer.queries import sessions
from tracer.queries.projects import project_by_name
from tracer.queries.scope import EVERYTHING
from tracer.queries.sessions import shared, traces_of
from tracer.search.parse import read_search
from tracer.units import MINUTE, rfc3339


def turn(session: str | None, at: int, *, user: str | None = None, seconds: float = 1, **having: Value) -> Message:
    """A trace of one step that began so many minutes after START."""
    said = {"session.id": session, "user.id": user}
    begin = START + at * MINUTE
    return make.span(
        "answer",
        start=begin,
        end=begin + int(seconds * SECOND),
        status=2 if having.pop("failed", False) else 1,
        having={**{key: value for key, value in said.items() if value is not None}, **having},
    )


def names(found: dict[str, Any]) -> list[str]:
    return [item.get("session_id", item.get("user_id")) for item in found["items"]]


def test_a_session_sums_up_its_traces_and_the_one_with_the_newest_comes_first(client: Client) -> None:
    call: dict[str, Value] = {
        "openinference.span.kind": "LLM",
        "llm.model_name": "gpt-4o-mini",
        "llm.token_count.prompt": 100,
        "llm.token_count.completion": 20,
    }
    client.store(
        turn("first", 0, user="mara", seconds=2, **{"input.value": "Is it open?"}, **call),
        turn("second", 1, user="tom"),
        turn("first", 9, user="mara", seconds=3, failed=True, **{"input.value": "And on Sunday?"}, **call),
        turn(None, 10),
    )
    found = client.read("/api/v1/sessions", project=client.project)
    schemas.Sessions.model_validate(found)

    assert names(found) == ["first", "second"]
    first = found["items"][0]
    expected = {
        "project": client.project, "user_id": "mara", "user_count": 1, "trace_count": 2, "whole": True,
        "failed_count": 1, "span_count": 2, "error_count": 1, "llm_call_count": 2, "working_ms": 5_000,
        "input_preview": "Is it open?", "first_start": rfc3339(START), "last_start": rfc3339(START + 9 * MINUTE),
        "end_time": rfc3339(START + 9 * MINUTE + 3 * SECOND), "tokens": {"input": 200, "output": 40, "total": 240},
    }  # fmt: skip
    assert {key: first[key] for key in expected} == expected
    assert first["cost_usd"] == pytest.approx(2 * (100 * 0.15 + 20 * 0.6) / 1e6)
    assert found["items"][1]["cost_usd"] is None
    assert names(client.read("/api/v1/sessions", project=client.project, user="tom")) == ["second"]
    later = {"from": rfc3339(START + 2 * MINUTE), "to": rfc3339(START + 10 * MINUTE)}
    assert names(client.read("/api/v1/sessions", project=client.project, **later)) == ["first"]


def test_a_user_has_the_totals_of_all_their_traces(client: Client) -> None:
    client.store(
        turn("a", 0, user="mara"), turn("b", 1, user="mara"), turn(None, 2, user="mara"), turn("c", 3, user="tom")
    )
    found = client.read("/api/v1/users", project=client.project)
    schemas.Users.model_validate(found)
    assert [(one["user_id"], one["trace_count"], one["session_count"]) for one in found["items"]] == [
        ("tom", 1, 1),
        ("mara", 3, 2),
    ]


def test_every_session_is_on_exactly_one_page_however_little_time_there_is(
    client: Client, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(7)
    keys = [f"s{number}" for number in range(12)]
    client.store(*(turn(chance.choice([*keys, None]), minute) for minute in range(80)))
    said = client.traces(limit=100)
    wanted = list(dict.fromkeys(one["session_id"] for one in said if one["session_id"]))
    monkeypatch.setattr(sessions, "LOT", 5)
    with service.store.reading() as conn:
        project_id = conn.exec_driver_sql(f"SELECT id FROM project WHERE name = '{client.project}'").scalar_one()
        for seconds, limit in ((60.0, 3), (0.0, 3), (0.0, 100)):
            found: list[str] = []
            reached: list[int] = []
            after: str | None = None
            for _ in range(100):
                page = shared(
                    conn, scope=EVERYTHING, project_id=project_id, after=after, limit=limit, seconds=seconds
                )  # fmt: skip
                found += [one.key for one in page.items]
                reached += [page.searched_to] if page.searched_to is not None else []
                after = page.next_cursor
                if after is None:
                    break
            assert found == wanted
            assert bool(reached) == (seconds == 0)
            assert reached == sorted(reached, reverse=True)


def test_totals_of_very_many_traces_are_of_the_newest_and_say_so(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "SUMMED", 3)
    client.store(*(turn("long", minute) for minute in range(5)), turn("short", 9))
    found = client.read("/api/v1/sessions", project=client.project)["items"]
    assert [(one["session_id"], one["trace_count"], one["whole"]) for one in found] == [
        ("short", 1, True),
        ("long", 3, False),
    ]
    assert found[1]["first_start"] == rfc3339(START + 2 * MINUTE)


def test_a_session_lists_its_turns_in_order_page_by_page(client: Client) -> None:
    client.store(*(turn("a/b?c", minute) for minute in (3, 1, 2, 2)), turn("other", 0))
    path = "/api/v1/sessions/a%2Fb%3Fc"
    found = client.read(path, project=client.project)
    schemas.Session.model_validate(found)
    assert [one["start_time"] for one in found["items"]] == [rfc3339(START + at * MINUTE) for at in (1, 2, 2, 3)]
    assert [one["trace_id"] for one in walk(client, path, limit=1, project=client.project)] == [
        one["trace_id"] for one in found["items"]
    ]
    error_of(client.get("/api/v1/sessions/none"), 404, "not_found", "session_id")
    asked = {"project": client.project, "cursor": "x"}
    error_of(client.get("/api/v1/sessions", params=asked), 400, "bad_request", "cursor")


def test_the_page_of_a_session_says_the_whole_of_each_turn_and_nothing_of_it_is_code(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tracer.pages.turns.PATIENCE_S", 60)
    key = f"talk {client.project}"
    question = '<script>alert("x")</script> ' + "why? " * 100 + "the end"
    client.store(
        turn(key, 0, user="mara", **{"input.value": question, "output.value": '{"answer": "Because of **it**."}'}),
        turn(key, 90, **{"input.value": "Really?"}, failed=True),
    )
    answer = client.get(f"/sessions/{key}", follow_redirects=True)
    html = answer.text

    assert answer.url.path.startswith(f"/p/{client.project}/sessions/")
    assert "the end" in html
    assert "<script>alert" not in html
    assert "Because of <strong>it</strong>." in html
    assert "1 h 30 min later" in html
    assert "The step failed and said nothing more." in html
    users = client.get(f"/p/{client.project}/users").text
    assert f'href="/p/{client.project}/users/mara"' in users
    assert "why? why?" in client.get(f"/p/{client.project}/users/mara").text


@on_one_database
def test_a_long_conversation_is_read_page_by_page(client: Client) -> None:
    client.store(*(turn("long", minute, **{"input.value": f"question {minute}."}) for minute in range(TURNS + 2)))
    first = client.get(f"/p/{client.project}/sessions/long").text
    assert f"question {TURNS - 1}." in first
    assert f"question {TURNS}." not in first
    cursor = first.split("?after=")[1].split('"')[0]
    second = client.get(f"/p/{client.project}/sessions/long", params={"after": cursor}).text
    assert f"question {TURNS}." in second
    assert f'start="{TURNS + 1}"' in second


@on_one_database
def test_turns_are_found_by_their_own_index(client: Client, service: Service) -> None:
    client.store(turn("a", 0))
    with service.store.reading() as conn:
        statements: list[str] = []

        def keep(_: Any, __: Any, statement: str, parameters: Any, *___: Any) -> None:
            plan = conn.connection.cursor().execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
            statements.append(" ".join(str(row[3]) for row in plan))

        event.listen(conn, "before_cursor_execute", keep)
        traces_of(conn, scope=EVERYTHING, project_id=1, key="a")
    assert "USING INDEX trace_session" in statements[0]
    assert "TEMP B-TREE" not in statements[0]


def test_sessions_and_users_are_found_by_their_traces(client: Client) -> None:
    client.store(
        turn("first", 0, user="mara", failed=True),
        turn("first", 9, user="mara"),
        turn("second", 5, user="tom"),
        turn("third", 3, user="mara", failed=True),
    )
    found = client.read("/api/v1/sessions", project=client.project, q="status:error")
    assert names(found) == ["third", "first"], "in the order of the traces that were found"
    assert found["items"][1]["trace_count"] == 2, "the totals are of all its traces"
    assert names(client.read("/api/v1/users", project=client.project, q="status:error")) == ["mara"]
    assert names(client.read("/api/v1/sessions", project=client.project, q="status:error", user="tom")) == []
    assert client.get("/api/v1/sessions", params={"q": "status:eror"}).json()["error"]["field"] == "q"


def test_every_session_that_a_search_finds_is_on_exactly_one_page(
    client: Client, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(11)
    keys = [f"s{number}" for number in range(12)]
    client.store(*(turn(chance.choice([*keys, None]), minute, failed=chance.random() < 0.4) for minute in range(80)))
    failed = [one["session_id"] for one in client.traces(limit=100, q="status:error") if one["session_id"]]
    wanted = list(dict.fromkeys(failed))
    assert names({"items": walk(client, "/api/v1/sessions", q="status:error", limit=3)}) == wanted

    monkeypatch.setattr(sessions, "LOT", 7)
    monkeypatch.setattr("tracer.search.walk.LOTS", (5, 5, 5))
    with service.store.reading() as conn:
        project_id = project_by_name(conn, scope=EVERYTHING, name=client.project).id
        search, after, found = read_search("status:error"), None, list[str]()
        for _ in range(200):
            page = shared(conn, scope=EVERYTHING, project_id=project_id, search=search, after=after, limit=4, seconds=0)
            found += [one.key for one in page.items]
            after = page.next_cursor
            if after is None:
                break
    assert found == wanted
