"""Random searches over random traces and over recorded ones find what a slow search over the REST answers finds."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import make
from tests.client import Client, Service, wait_until
from tests.counts import counted
from tests.search.random_searches import searches
from tests.search.reference import Reference
from tracer.queries.traces import ORDERS
from tracer.search.parse import read_search
from tracer.search.tree import Node, show
from tracer.store.sql import Sql
from tracer.units import MINUTE, SECOND, parse_rfc3339

PAYLOADS = Path(__file__).parents[1] / "payloads"
NAMES = ("draft answer", "search", "execute_tool search", "refund policy", "plan", "ü")
SAID = (
    "refund policy",
    "a policy for refunds",
    "getUserById failed",
    "退款政策",
    "timed out",
    "user",
    "",
    "Refund the user",
)
KINDS = ("LLM", "TOOL", "CHAIN", "AGENT", "GUARDRAIL")


def one_trace(chance: random.Random, number: int) -> list[make.Message]:
    """A root and up to six steps below, some of them failed, running, orphaned."""
    trace, ids = make.new_trace_id(), [make.new_span_id() for _ in range(chance.randint(1, 7))]
    start = make.START + chance.randrange(40) * MINUTE
    runs = number % 8 == 0
    spans: list[make.Message] = []
    for place, own in enumerate(ids):
        kind = chance.choice(KINDS)
        having: dict[str, make.Value] = {"openinference.span.kind": kind}
        for key in ("input.value", "output.value"):
            if chance.random() < 0.5:
                having[key] = chance.choice(SAID)
        if kind == "LLM":
            having["llm.model_name"] = chance.choice(("gpt-4o", "gpt-4o-mini", "claude-sonnet-4"))
            having["llm.provider"] = chance.choice(("openai", "anthropic"))
            if chance.random() < 0.6:
                having |= {"llm.token_count.prompt": chance.choice((5, 4_000)), "llm.token_count.completion": 12}
            if chance.random() < 0.4:
                having["llm.cost.total"] = chance.choice((0.05, 2.0, 1e-9))
            if chance.random() < 0.5:
                having["gen_ai.streaming.time_to_first_token"] = chance.choice((0.3, 1.0, 2.5))
        if chance.random() < 0.3:
            having["user.id"] = chance.choice(("ada", "grace"))
        if chance.random() < 0.3:
            having["session.id"] = chance.choice(("ada", "2 * 3"))
        if chance.random() < 0.3:
            having["tag.tags"] = chance.sample(["ada", "pro", "gpt-4o"], 2)
        if chance.random() < 0.4:
            having["metadata"] = json.dumps(
                {
                    "plan": chance.choice(["pro", None, True, 500, ["pro", "ü"]]),
                    "user": {"tier": chance.choice([1, "2"])},
                }
            )
        if chance.random() < 0.4:
            having |= {"http.status_code": chance.choice((200, 500)), "deep": {"er": {"key": "pro"}, "er.key": -1.5}}
        failed = chance.random() < 0.25
        running = runs and place == chance.choice((0, len(ids) - 1))
        began = start + place * SECOND // 2
        end = began + chance.choice((0, 300_000_000, SECOND, 2_500_000_000, 7_200 * SECOND))
        more: make.Message = {}
        if failed and not running:
            more["status"] = {"code": 2, "message": chance.choice(("timed out", "refused the refund policy"))}
            if chance.random() < 0.5:
                more["events"] = [make.event("exception", {"exception.message": "getUserById: no user"})]
        if running:
            having["stepscope.seq"] = 1
        parent = None if place == 0 else chance.choice([*ids[:place], *(["ab" * 8] if chance.random() < 0.1 else [])])
        made = make.span(
            chance.choice(NAMES), trace=trace, id=own, parent=parent, start=began, end=0 if running else end,
            status=1, having=having,
        )  # fmt: skip
        spans.append(made | more)
    return spans


@dataclass(frozen=True, repr=False)
class Stored:
    """A service with traces, and what the reference knows of them."""

    client: Client
    reference: Reference
    in_order: dict[str, list[str]]
    """The ids of all traces, by the order of the list."""


@pytest.fixture(scope="module")
def stored(service: Service) -> Iterator[Stored]:
    chance = random.Random(7)
    with Client(service.url) as client:
        traces = [one_trace(chance, number) for number in range(48)]
        for number in range(0, len(traces), 6):
            some = [span for trace in traces[number : number + 6] for span in trace]
            resource: dict[str, make.Value] = {"service.name": chance.choice(("search", "api")), "plan": "pro"}
            resource["deployment.environment.name"] = chance.choice(("ada", "production"))
            answer = client.ingest(make.request(*some, resource=resource))
            assert answer.content == b"{}"
        for spans in traces[::3]:
            about: dict[str, object] = {"trace_id": spans[0]["traceId"], "project": client.project, "source": "code"}
            for value in chance.sample([0.25, 1, True, False, "pro", "500"], 2):
                span = {"span_id": chance.choice(spans)["spanId"]} if chance.random() < 0.5 else {}
                name = chance.choice(("helpful", "tone"))
                given = {**about, **span, "name": name, "value": value}
                assert client.post("/api/v1/scores", json=given).status_code == 200
        for spans in traces[::5]:
            patch = {"tags": chance.sample(["golden", "pro"], 1), "name": chance.choice(("", "named by ada"))}
            where = f"/api/v1/traces/{spans[0]['traceId']}"
            answer = client.patch(where, params={"project": client.project}, json=patch)
            assert answer.status_code == 200, answer.text
        silent = bytes.fromhex(traces[8][0]["traceId"])
        with service.store.writing() as connection:
            Sql(connection).run("UPDATE trace SET changed_at = 1 WHERE trace_id = ?", [silent])
        wait_until(lambda: client.read("/api/v1/status")["index"]["state"] == "caught_up", "the index has caught up")
        yield Stored(client, known(client), {order: ids(client, order=order, limit=1000) for order in ORDERS})


def known(client: Client) -> Reference:
    """Everything in the client's project."""
    scores = client.read("/api/v1/scores", project=client.project, limit=1000)["items"]
    return Reference([client.trace(one) for one in ids(client)], scores)


def ids(client: Client, **parameters: str | int) -> list[str]:
    """The ids of the traces found, in order."""
    return [one["trace_id"] for one in walked(client, "/api/v1/traces", **parameters)]


def walked(client: Client, path: str, **parameters: str | int) -> list[dict[str, Any]]:
    """Every item of a list, page by page."""
    items: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        page = client.read(path, project=client.project, **parameters, **cursor)
        items += page["items"]
        if page["next_cursor"] is None:
            return items
        cursor = {"cursor": page["next_cursor"]}


WORDS = (
    "refund",
    "policy",
    "refund policy",
    "getUserById",
    "user",
    "timed out",
    "Refu",
    "退款",
    "search",
    "nowhere",
    "draft",
)
OWN = {
    "words": WORDS,
    "name": (*NAMES, "named by ada"),
    "tool": NAMES,
    "tag": ("golden", "pro", "ada", "gpt-4o"),
    "service": ("api", "search"),
    "score": ("0.25", "1", "true", "FALSE", "pro", "500", "0.5"),
    "metadata": ("pro", "500", "true", "null", "ü", "1", "2"),
    "attr": ("500", "200", "pro", "-1.5", "LLM", "ada"),
    "project": ("test-*", "other"),
}
KEYS = {
    "score": ("helpful", "tone"),
    "metadata": ("plan", "user.tier", "missing"),
    "attr": ("http.status_code", "deep.er.key", "plan", "openinference.span.kind", "user.id"),
}


@settings(max_examples=counted(60, 3_000))
@given(node=searches(OWN, KEYS), order=st.sampled_from(ORDERS), limit=st.sampled_from((7, 1000, 1000)))
def test_traces_are_found_as_the_reference_finds_them(stored: Stored, node: Node, order: str, limit: int) -> None:
    q = show(node)
    found = ids(stored.client, q=q, order=order, limit=limit)

    assert len(found) == len(set(found)), q
    assert set(found) ^ stored.reference.found(node) == set(), q
    assert found == [one for one in stored.in_order[order] if one in set(found)], q


@pytest.mark.parametrize(
    "q",
    [
        "refund",
        '"refund policy"',
        "-getUserById output:refu*",
        "status:error,running",
        "status:abandoned",
        "name:draft*,named* -has:note",
        "kind:llm -model:gpt-4o",
        "tool:search",
        "service:api tag:golden OR tag:pro",
        "user:ada (session:ada OR environment:ada)",
        "latency>1s latency<2h",
        "ttft>=1s tokens>4k",
        "cost>0.05 errors>0 spans>3",
        "score.helpful>0.5 OR score.tone:pro",
        "metadata.plan:pro metadata.user.tier>1",
        "attr.http.status_code:500 attr.deep.er.key<0 -step:(attr.http.status_code:200)",
        "step:(kind:tool status:error)",
        "step:(kind:llm input:refund*)",
        "kind:agent child:(kind:tool)",
        "-child:(status:error)",
        "is:root has:tag",
        "-(has:session OR has:user)",
    ],
)
def test_each_kind_of_term_tells_some_from_others(stored: Stored, q: str) -> None:
    node = read_search(q)
    assert node is not None
    found = ids(stored.client, q=q)

    assert set(found) == stored.reference.found(node)
    assert 0 < len(found) < len(stored.reference.traces)


def test_many_parents_are_found_as_few_are(stored: Stored, monkeypatch: pytest.MonkeyPatch) -> None:
    q = "kind:agent child:(kind:tool)"
    few = ids(stored.client, q=q)
    monkeypatch.setattr("tracer.search.evaluate.AT_ONCE", 2)

    assert len(few) > 2
    assert ids(stored.client, q=q) == few


@settings(max_examples=counted(60, 3_000))
@given(
    node=searches(OWN, KEYS, step=True),
    order=st.sampled_from(("-start_time", "start_time")),
    limit=st.sampled_from((20, 1000)),
    walks=st.booleans(),
)
def test_spans_are_found_as_the_reference_finds_them(
    stored: Stored, node: Node, order: str, limit: int, walks: bool
) -> None:
    q = show(node)
    with pytest.MonkeyPatch.context() as patch:
        if walks:
            patch.setattr("tracer.search.find_spans.FEW_STEPS", 0)
        found = walked(stored.client, "/api/v1/spans", q=q, order=order, limit=limit)
    keys = [(one["trace_id"], one["span_id"]) for one in found]
    starts = [parse_rfc3339(one["start_time"]) for one in found]

    assert len(keys) == len(set(keys)), q
    assert set(keys) ^ stored.reference.found_spans(node) == set(), q
    assert starts == sorted(starts, reverse=order.startswith("-")), q


@pytest.fixture(scope="module")
def recorded(service: Service) -> Iterator[Stored]:
    """What other instrumentations sent."""
    with Client(service.url) as client:
        for file in sorted(PAYLOADS.glob("*/*.otlp.pb"))[::4]:
            body = file.read_bytes()
            path = "/v1/logs" if ".logs." in file.name else "/v1/traces"
            plain = gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body
            assert client.ingest(plain, json=False, path=path).is_success
        yield Stored(client, known(client), {})


@settings(max_examples=counted(40, 2_000))
@given(data=st.data(), spans=st.booleans())
def test_recorded_traces_are_found_by_their_fields(recorded: Stored, data: st.DataObject, spans: bool) -> None:
    values, keys = vocabulary(recorded.reference)
    node = data.draw(searches(values, keys, words=False, step=spans, depth=2))
    q = show(node)
    if spans:
        found = walked(recorded.client, "/api/v1/spans", q=q, limit=1000)
        keys_found = {(one["trace_id"], one["span_id"]) for one in found}
        assert keys_found ^ recorded.reference.found_spans(node) == set(), q
    else:
        assert set(ids(recorded.client, q=q, limit=1000)) ^ recorded.reference.found(node) == set(), q


def vocabulary(reference: Reference) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Values and keys that the traces have."""
    spans = [span for trace in reference.traces for span in trace["spans"]]
    columns = {"name": "name", "tool": "name", "model": "model", "provider": "provider", "service": "service"}
    columns |= {"session": "session_id", "user": "user_id"}
    values = {
        field: sorted({span[column] for span in spans if span[column]})[:30] or ["none"]
        for field, column in columns.items()
    }
    attributes = sorted({key for span in spans for key in span["attributes"]})
    said = {str(one)[:40] for span in spans for one in span["attributes"].values() if isinstance(one, (str, int, bool))}
    return values | {"attr": sorted(said)[::7]}, {"attr": attributes[::5], "metadata": ["langgraph_step", "thread_id"]}
