"""A trace's tree as columns, without payloads: the same order and sums as the rest of the service has."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path

from tests import make
from tests.client import Client, Service
from tests.make import SECOND, START
from tracer.queries.outline import (
    CHILD_ERROR,
    MISSING,
    NO_PRICE,
    NO_USAGE,
    ORPHAN,
    REPEATED,
    STATUSES,
    Outline,
    outline,
)
from tracer.queries.rows import SpanRow
from tracer.queries.scope import EVERYTHING
from tracer.queries.steps import tree
from tracer.queries.traces import newest_traces, trace_by_id
from tracer.store.engine import Store
from tracer.units import NanoUsd

PAYLOADS = Path(__file__).parent / "payloads"


def outline_of(store: Store, trace_id: str) -> Outline:
    with store.reading() as conn:
        return outline(conn, trace=trace_by_id(conn, scope=EVERYTHING, trace_id=trace_id))


def call(
    trace: str,
    parent: str | None = None,
    *,
    model: str = "gpt-4o-mini",
    start: int = START,
    response: str | None = None,
) -> make.Message:
    having: dict[str, make.Value] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": model,
        "gen_ai.usage.input_tokens": 1_000,
        "gen_ai.usage.output_tokens": 100,
    }
    if response is not None:
        having["gen_ai.response.id"] = response
    return make.span("call", trace=trace, parent=parent, start=start, having=having)


def test_the_outline_has_every_step_where_the_tree_has_it(client: Client, service: Service) -> None:
    for file in sorted(PAYLOADS.rglob("*.otlp.pb")):
        body = file.read_bytes()
        path = "/v1/logs" if ".logs." in file.name else "/v1/traces"
        client.ingest(gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body, json=False, path=path)
    compared = 0
    with service.store.reading() as conn:
        for trace in newest_traces(conn, scope=EVERYTHING, limit=1_000).items:
            rows, found = outline(conn, trace=trace), tree(conn, trace=trace)
            assert [span_id.hex() for span_id in rows.ids] == [row.span_id for row in found]
            assert rows.depth == [row.depth for row in found]
            assert [bool(flags & ORPHAN) for flags in rows.flags] == [row.orphan for row in found]
            assert [bool(flags & CHILD_ERROR) for flags in rows.flags] == failed_below(found)
            assert [STATUSES[status] for status in rows.status] == [row.status for row in found]
            assert [rows.start[at] + rows.first for at in range(len(rows))] == [row.start_time for row in found]
            tops = [at for at, depth in enumerate(rows.depth) if depth == 0]
            costs = [rows.cost[at] for at in tops if rows.cost[at] >= 0]
            assert sum(costs) == (trace.cost or 0), trace.name
            assert any(rows.flags[at] & (NO_PRICE | NO_USAGE) for at in tops) == (trace.partial is not None), trace.name
            compared += len(rows)
    assert compared > 200


def failed_below(found: Sequence[SpanRow]) -> list[bool]:
    """Of each step in tree order, whether a step below it failed."""
    return [
        any(
            below.status == "error"
            for below in takewhile(lambda one, depth=row.depth: one.depth > depth, found[number + 1 :])
        )
        for number, row in enumerate(found)
    ]


def test_s8_a_call_that_framework_and_client_both_report_is_summed_up_once(client: Client, service: Service) -> None:
    root = make.span("answer")
    trace, top = root["traceId"], root["spanId"]
    wrapper = call(trace, top, start=START + 1)
    inner = call(trace, wrapper["spanId"], start=START + 2)
    beside = call(trace, top, start=START + 3, response="r1")
    again = call(trace, top, start=START + 4, response="r1")
    client.store(root, wrapper, inner, beside, again)
    rows = outline_of(service.store, trace)
    assert rows.tokens == [2_200, 1_100, 1_100, 1_100, 1_100]
    assert [bool(flags & REPEATED) for flags in rows.flags] == [False, False, True, False, True]
    with service.store.reading() as conn:
        whole = trace_by_id(conn, scope=EVERYTHING, trace_id=trace)
    assert NanoUsd(rows.cost[0]) == whole.cost


def test_s8_a_sum_without_all_its_parts_is_marked_on_every_step_above(client: Client, service: Service) -> None:
    root = make.span("answer", end=START + 9 * SECOND)
    trace = root["traceId"]
    branch = make.span("branch", trace=trace, parent=root["spanId"], start=START + 1)
    unpriced = call(trace, branch["spanId"], start=START + 2, model="a-model-without-a-price")
    other = call(trace, root["spanId"], start=START + 3)
    client.store(root, branch, unpriced, other)
    rows = outline_of(service.store, trace)
    assert [bool(flags & NO_PRICE) for flags in rows.flags] == [True, True, True, False]
    assert rows.tokens == [2_200, 1_100, 1_100, 1_100]
    assert [cost >= 0 for cost in rows.cost] == [True, False, False, True]


def test_s20_each_parent_that_is_missing_has_one_place_that_is_no_step(client: Client, service: Service) -> None:
    root = make.span("answer")
    trace = root["traceId"]
    first = make.span("first", trace=trace, parent="ab" * 8, start=START + 5, end=START + 9)
    other = make.span("other", trace=trace, parent="ab" * 8, start=START + 2, end=START + 4)
    alone = make.span("alone", trace=trace, parent="cd" * 8, start=START + 7, end=START + 8)
    client.store(root, first, other, alone)
    with service.store.reading() as conn:
        rows = outline(conn, trace=trace_by_id(conn, scope=EVERYTHING, trace_id=trace), with_missing=True)
    assert rows.name == ["answer", "missing parent", "other", "first", "missing parent", "alone"]
    assert rows.depth == [0, 0, 1, 1, 0, 1]
    assert [row for row, flags in enumerate(rows.flags) if flags & MISSING] == [1, 4]
    assert (rows.ids[1], rows.ids[4]) == (b"\xab" * 8, b"\xcd" * 8)
    assert (rows.start[1], rows.duration[1]) == (2, 7)
    assert (len(rows), rows.steps) == (6, 4)
    assert outline_of(service.store, trace).name == ["answer", "other", "first", "alone"]
    page = client.get(f"/p/{client.project}/traces/{trace}", params={"span": "ab" * 8})
    assert "it has not arrived" in page.text
    assert client.get(f"/p/{client.project}/traces/{trace}/steps/{'ef' * 8}").status_code == 404


def test_s1_payloads_are_no_part_of_what_a_trace_opens_with(client: Client) -> None:
    root = make.span("root")
    trace = root["traceId"]
    long = [
        make.span(f"step {n}", trace=trace, parent=root["spanId"], having={"output.value": f"payload {n} " * 2_000})
        for n in range(30)
    ]
    client.store(root, *long)
    page = client.get(f"/p/{client.project}/traces/{trace}")
    skeleton = client.get(f"/p/{client.project}/traces/{trace}/skeleton")
    assert "payload" not in page.text + skeleton.text
    assert len(skeleton.json()["ids"]) == 31 * 16
    assert len(page.content) + len(skeleton.content) < 60_000
    # Of the step that it opens at it brings a head, however long that step's texts are.
    chosen = client.get(f"/p/{client.project}/traces/{trace}", params={"span": long[7]["spanId"]})
    assert chosen.text.count("payload 7 ") <= 2 * 16_000 // len("payload 7 ")
    assert "payload 8" not in chosen.text
    assert len(chosen.content) < 100_000


def test_steps_in_a_circle_and_very_deep_ones_are_all_there(client: Client, service: Service) -> None:
    first = make.span("a", id="aa" * 8, parent="bb" * 8)
    trace = first["traceId"]
    client.store(first, make.span("b", trace=trace, id="bb" * 8, parent="aa" * 8, start=START + 1))
    rows = outline_of(service.store, trace)
    assert (rows.name, rows.depth, rows.children) == (["a", "b"], [0, 1], [1, 0])

    chain = [make.span("top")]
    for _ in range(2_000):
        chain.append(make.span("level", trace=chain[0]["traceId"], parent=chain[-1]["spanId"]))
    client.store(*chain)
    assert outline_of(service.store, chain[0]["traceId"]).depth == list(range(2_001))
