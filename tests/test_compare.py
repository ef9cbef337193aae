"""Comparing traces: the run before, texts word by word, and what the pages answer."""

from __future__ import annotations

import json
import re
import time
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import event

from tests import make
from tests.client import Client, Service
from tests.make import SECOND, START, Message
from tracer.pages.differences import compare_texts
from tracer.queries.edits import FAR, Work, edits
from tracer.queries.runs import run_before, runs
from tracer.queries.scope import EVERYTHING
from tracer.queries.traces import trace_by_id
from tracer.store.engine import Store

HTMX = {"HX-Request": "true", "HX-Request-Type": "partial"}


def call(trace: Message, text: str, *, name: str = "draft", tokens: int = 10) -> Message:
    said = [{"role": "user", "parts": [{"type": "text", "content": text}]}]
    having: dict[str, make.Value] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "gpt-4o-mini",
        "gen_ai.usage.input_tokens": tokens,
        "gen_ai.input.messages": json.dumps(said),
    }
    begin = int(trace["startTimeUnixNano"]) + 1
    parent = trace["spanId"]
    return make.span(name, trace=trace["traceId"], parent=parent, start=begin, end=begin + 9, having=having)


def pair_of(client: Client) -> tuple[list[Message], list[Message]]:
    """A run, and a later one that lacks a step, has a new one, and asks in other words."""
    before, now = make.span("answer"), make.span("answer", start=START + SECOND, end=START + 3 * SECOND)
    one = [before, call(before, "Where is my red order?"), call(before, "x", name="gone")]
    other = [now, call(now, "Where is my blue order?", tokens=14), call(now, "x", name="new")]
    client.store(*one)
    client.store(*other)
    return one, other


def rejoined(one: str, other: str) -> tuple[str, str]:
    pieces = compare_texts(one, other, Work())
    assert all(piece.text for piece in pieces)
    return (
        "".join(piece.text for piece in pieces if piece.state in ("same", "gone")),
        "".join(piece.text for piece in pieces if piece.state in ("same", "come")),
    )


short = st.text(alphabet="ab \n.", max_size=30)


@given(short, short)
def test_s29_both_texts_can_be_read_off_their_differences(one: str, other: str) -> None:
    pieces = compare_texts(one, other, Work())
    if any(piece.state == "skip" for piece in pieces):
        return
    assert rejoined(one, other) == (one, other)


def test_s29_a_changed_word_is_marked_and_nothing_else() -> None:
    pieces = compare_texts("Where is my red order?\nThanks", "Where is my blue order?\nThanks", Work())
    assert [(piece.state, piece.text) for piece in pieces] == [
        ("same", "Where is my "),
        ("gone", "red"),
        ("come", "blue"),
        ("same", " order?\n"),
        ("same", "Thanks"),
    ]


def test_s29_what_stayed_is_left_out_where_there_is_much_of_it() -> None:
    lines = [f"line {number}\n" for number in range(100)]
    pieces = compare_texts("".join(lines), "".join([*lines[:50], "new\n", *lines[50:]]), Work())
    assert [piece.state for piece in pieces] == ["skip", "same", "come", "same", "skip"]
    assert pieces[0].text == "48 lines the same"


def test_s29_texts_that_have_nothing_in_common_cost_a_bounded_time() -> None:
    one, other = " ".join(map(str, range(9_000))), " ".join(map(str, range(20_000, 29_000)))
    began = time.process_time()
    pieces = compare_texts(one * 3, other * 3, Work())
    assert time.process_time() - began < 1
    assert [piece.state for piece in pieces] == ["gone", "come"]
    assert edits(range(FAR), range(FAR, 2 * FAR), Work()) is None


def before(store: Store, trace_id: str) -> list[str]:
    with store.reading() as conn:
        trace = trace_by_id(conn, scope=EVERYTHING, trace_id=trace_id)
        return [run.trace_id for run in runs(conn, scope=EVERYTHING, like=trace)]


def test_s29_the_run_before_is_the_newest_earlier_trace_of_that_name_in_the_project(
    client: Client, service: Service
) -> None:
    made = [make.span("answer", start=START + number * SECOND) for number in (0, 1, 1, 3)]
    for span in made:
        client.store(span)
        client.store(make.span("other", start=START + 2 * SECOND))
    with Client(str(client.base_url), project=f"{client.project}-2") as elsewhere:
        elsewhere.store(make.span("answer", start=START + 2 * SECOND))
    assert before(service.store, made[3]["traceId"]) == [made[2]["traceId"]]
    assert before(service.store, made[2]["traceId"]) == [made[1]["traceId"]]
    assert before(service.store, made[1]["traceId"]) == [made[0]["traceId"]]
    assert before(service.store, made[0]["traceId"]) == []


def test_s29_of_the_runs_before_the_last_with_the_same_input_is_preferred(client: Client, service: Service) -> None:
    asked = ("red?", "blue?", "red?", "blue?", "green?", "blue?", "none")
    made = [
        make.span("answer", start=START + number * SECOND, having={"input.value": text})
        for number, text in enumerate(asked)
    ]
    client.store(*made)

    def found(number: int) -> int | None:
        with service.store.reading() as conn:
            like = trace_by_id(conn, scope=EVERYTHING, trace_id=made[number]["traceId"])
            run = run_before(conn, scope=EVERYTHING, like=like)
        return None if run is None else [span["traceId"] for span in made].index(run.trace_id)

    assert [found(number) for number in range(len(asked))] == [None, 0, 0, 1, 3, 3, 5]


def test_s29_a_run_that_people_gave_another_name_is_still_a_run_of_its_chain(client: Client, service: Service) -> None:
    made = [make.span("answer", start=START + number * SECOND) for number in (0, 1)]
    client.store(*made)
    for span in made:
        renamed = client.patch(f"/api/v1/traces/{span['traceId']}", json={"name": f"mine {span['traceId']}"})
        assert renamed.is_success
    assert before(service.store, made[1]["traceId"]) == [made[0]["traceId"]]


def test_s29_the_run_before_is_found_by_its_index(client: Client, service: Service) -> None:
    span = make.span("answer")
    client.store(span)
    asked: list[tuple[str, Any]] = []
    with service.store.reading() as conn:
        if conn.dialect.name != "sqlite":
            return  # Postgres reads a table of a few rows as it likes
        trace = trace_by_id(conn, scope=EVERYTHING, trace_id=span["traceId"])
        event.listen(conn, "before_cursor_execute", lambda *told: asked.append((told[2], told[3])))
        run_before(conn, scope=EVERYTHING, like=trace)
        plan = conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {asked[0][0]}", asked[0][1]).all()
    steps = [row.detail for row in plan]
    assert any("trace_project_named (project_id=? AND name=? AND start_time<?)" in step for step in steps), steps
    assert not any(step.startswith("SCAN") or "TEMP B-TREE" in step for step in steps), steps


def rows(client: Client, one: Message, other: Message) -> dict[str, Any]:
    found: dict[str, Any] = client.get(
        f"/p/{client.project}/compare/rows", params={"a": one["traceId"], "b": other["traceId"]}
    ).json()
    return found


def test_s29_lines_say_what_came_what_went_and_what_changed(client: Client) -> None:
    (before, first, gone), (now, second, new) = pair_of(client)
    found = rows(client, before, now)
    names = [found["names"][name] for name in found["name"]]
    lines = dict(zip(names, zip(found["ids"], found["state"], strict=True), strict=True))
    assert lines["answer"] == ([before["spanId"], now["spanId"]], 0)
    assert lines["draft"] == ([first["spanId"], second["spanId"]], 1)
    assert lines["gone"] == ([gone["spanId"], ""], 3)
    assert lines["new"] == (["", new["spanId"]], 2)
    assert found["took"][0] == [SECOND, 2 * SECOND]


def test_s29_whether_texts_differ_is_told_pair_by_pair(client: Client) -> None:
    (before, first, _), (now, second, _) = pair_of(client)
    pairs = ",".join(f"{one['spanId']}.{other['spanId']}" for one, other in ((before, now), (first, second)))
    asked = {"a": before["traceId"], "b": now["traceId"], "pairs": pairs}
    assert client.get(f"/p/{client.project}/compare/texts", params=asked).json() == [False, True]
    assert client.get(f"/p/{client.project}/compare/texts", params=asked | {"pairs": "a.b"}).status_code == 400
    none = {"pairs": f"{'0' * 16}.{second['spanId']}"}
    assert client.get(f"/p/{client.project}/compare/texts", params=asked | none).status_code == 404
    assert client.get(f"/p/{client.project}/compare/texts", params=asked | {"pairs": "," * 70}).status_code == 400


def test_s29_a_pair_shows_its_texts_word_by_word_and_its_figures(client: Client) -> None:
    (before, first, gone), (now, second, _) = pair_of(client)
    asked = {"a": before["traceId"], "b": now["traceId"], "one": first["spanId"], "other": second["spanId"]}
    html = client.get(f"/p/{client.project}/compare/pair", params=asked, headers=HTMX).text
    assert "<del>red</del><ins>blue</ins>" in html
    assert "+4" in html
    alone = {"a": before["traceId"], "b": now["traceId"], "one": gone["spanId"]}
    html = client.get(f"/p/{client.project}/compare/pair", params=alone, headers=HTMX).text
    assert "only the earlier trace has this step" in html
    assert client.get(f"/p/{client.project}/compare/pair", params=asked | {"one": "", "other": ""}).status_code == 400


def test_s29_the_previous_run_is_one_address_away_and_any_trace_can_be_chosen(client: Client) -> None:
    (before, *_), (now, *_) = pair_of(client)
    address = f"/p/{client.project}/compare"
    answer = client.get(address, params={"a": "previous", "b": now["traceId"], "span": now["spanId"]})
    assert answer.status_code == 303
    assert answer.headers["location"].endswith(f"a={before['traceId']}&b={now['traceId']}&span={now['spanId']}")
    page = client.get(answer.headers["location"])
    assert "+1.00 s" in page.text
    first = client.get(address, params={"a": "previous", "b": before["traceId"]})
    assert "No earlier run" in first.text
    assert f"a={now['traceId']}&amp;b={before['traceId']}" in first.text
    assert client.get(address).status_code == 400
    assert client.get(address, params={"a": "f" * 32, "b": now["traceId"]}).status_code == 404


def test_s29_a_step_that_fails_now_is_no_gain(client: Client) -> None:
    before, now = make.span("answer"), make.span("answer", start=START + SECOND, status=2)
    client.store(before, now)
    asked = {"a": before["traceId"], "b": now["traceId"], "one": before["spanId"], "other": now["spanId"]}
    html = client.get(f"/p/{client.project}/compare/pair", params=asked, headers=HTMX).text
    assert re.search(r'<ins class="is-bad">.*<bdi>error</bdi></ins>', html)


def test_s29_nothing_is_compared_across_projects(client: Client) -> None:
    mine, theirs = make.span("answer"), make.span("answer")
    client.store(mine)
    with Client(str(client.base_url), project=f"{client.project}-2") as other:
        other.store(theirs)
    for path in ("", "/rows", "/pair", "/texts"):
        asked = {
            "a": theirs["traceId"],
            "b": mine["traceId"],
            "one": theirs["spanId"],
            "pairs": f"{'0' * 16}.{'0' * 16}",
        }
        assert client.get(f"/p/{client.project}/compare{path}", params=asked).status_code == 404
