"""Search in the texts of one trace, and a step with all below it as Markdown, over HTTP."""

from __future__ import annotations

import json
from typing import Any

from tests import make
from tests.client import Client, Service
from tests.make import SECOND, START
from tracer.queries.scope import EVERYTHING
from tracer.queries.traces import trace_by_id
from tracer.queries.within import find_within


def found(client: Client, trace: str, text: str) -> list[str]:
    answer: dict[str, Any] = client.get(f"/p/{client.project}/traces/{trace}/search", params={"q": text}).json()
    assert answer["after"] is None
    return sorted(answer["ids"])


def test_s14_a_text_is_found_in_every_part_of_a_step_whatever_its_case(client: Client) -> None:
    root = make.span("Root of Alpha")
    trace, top = root["traceId"], root["spanId"]
    event = {
        "name": "exception",
        "timeUnixNano": str(START),
        "attributes": make.attributes({"exception.message": "no Beta"}),
    }
    spans = {
        "alpha": root,
        "beta": make.span("a", trace=trace, parent=top, events=[event]),
        "gamma": make.span("b", trace=trace, parent=top, having={"input.value": "x" * 5_000 + "GAMMA" + "y" * 5_000}),
        "delta": make.span("c", trace=trace, parent=top, having={"any": {"deep": ["x", {"delta": 1}]}}),
        "epsilon": make.span("d", trace=trace, parent=top, having={"note": "Epsilon broke"}),
        "31337": make.span("e", trace=trace, parent=top, having={"number": 31337}),
    }
    client.store(*spans.values())
    log = make.log("Zeta said so", trace=trace, span=spans["beta"]["spanId"])
    assert client.ingest(make.log_request(log), path="/v1/logs").is_success
    for text, span in spans.items():
        assert found(client, trace, text) == [span["spanId"]], text
    assert found(client, trace, "zeta SAID") == [spans["beta"]["spanId"]]
    assert found(client, trace, "nowhere") == []
    assert found(client, trace, "%") == []


def test_s14_the_search_of_a_large_trace_comes_in_parts_that_miss_nothing(client: Client, service: Service) -> None:
    root = make.span("root")
    trace = root["traceId"]
    some = [
        make.span("step", trace=trace, parent=root["spanId"], having={"text": f"needle {number}"})
        for number in range(60)
    ]
    client.store(root, *some[:30])
    client.store(*some[30:])
    ids: list[bytes] = []
    after, parts = None, 0
    with service.store.reading() as conn:
        row = trace_by_id(conn, scope=EVERYTHING, trace_id=trace)
        while True:
            part = find_within(conn, trace=row, text="needle", after=after, seconds=-1)
            assert part.read <= 1
            ids += part.span_ids
            parts += 1
            after = part.after
            if after is None:
                break
    assert parts == 62
    assert sorted(one.hex() for one in ids) == sorted(one["spanId"] for one in some)


def test_what_cannot_be_searched_is_refused_in_words(client: Client) -> None:
    span = make.span("answer")
    client.store(span)
    address = f"/p/{client.project}/traces/{span['traceId']}/search"
    for wrong in ({"q": ""}, {"q": "x" * 201}, {"q": "x", "after": "1;2"}, {"q": "x", "after": "-1.0"}):
        assert client.get(address, params=wrong).status_code == 400, wrong
    assert client.get(address).status_code == 422
    assert client.get(address, params={"q": "x", "after": "99999999999.99999999999"}).json()["ids"] == []


def test_s19_a_step_and_all_below_it_as_markdown(client: Client) -> None:
    said = [{"role": "user", "parts": [{"type": "text", "content": "Say ```hi``` # now"}]}]
    root = make.span("answer", end=START + 2 * SECOND)
    call = make.span(
        "draft",
        trace=root["traceId"],
        parent=root["spanId"],
        having={"gen_ai.operation.name": "chat", "gen_ai.input.messages": json.dumps(said), "output.value": "Hi."},
    )
    other = make.span("other", trace=root["traceId"], having={"input.value": "not asked for"})
    client.store(root, call, other)
    address = f"/p/{client.project}/traces/{root['traceId']}/steps/"
    answer = client.get(f"{address}{root['spanId']}/markdown")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    text = answer.text
    assert text.index("## answer") < text.index("### draft") < text.index("**Input, user**")
    assert "````text\nSay ```hi``` # now\n````" in text
    assert "not asked for" not in text
    assert client.get(f"{address}{'0' * 16}/markdown").status_code == 404
