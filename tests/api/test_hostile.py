"""No stored span may ever make a read fail: every key with a meaning, with every value that it should not have."""

from __future__ import annotations

import random
from typing import Any

import pytest

from tests import make
from tests.client import Client, Service, strict_json
from tests.counts import FULL
from tests.make import Message, Value
from tracer.api import schemas

INT64 = 2**63 - 1

KINDS: dict[str, dict[str, Value]] = {
    "genai chat": {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "m"},
    "genai tool": {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "t"},
    "LLM": {"openinference.span.kind": "LLM", "llm.model_name": "m"},
    "TOOL": {"openinference.span.kind": "TOOL"},
    "RETRIEVER": {"openinference.span.kind": "RETRIEVER"},
    "RERANKER": {"openinference.span.kind": "RERANKER"},
    "EMBEDDING": {"openinference.span.kind": "EMBEDDING"},
    "traceloop": {"traceloop.span.kind": "workflow"},
    "mlflow": {"mlflow.spanType": "LLM", "mlflow.traceRequestId": "tr-1"},
    "vercel": {"ai.operationId": "ai.generateText.doGenerate"},
    "plain": {},
}
KEYS: dict[str, tuple[str, ...]] = {
    "genai chat": (
        *("gen_ai.input.messages", "gen_ai.output.messages", "gen_ai.system_instructions", "gen_ai.tool.definitions"),
        *("gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens", "gen_ai.usage.cache_read.input_tokens"),
        *("gen_ai.request.temperature", "gen_ai.request.model", "gen_ai.response.model", "gen_ai.response.id"),
        *("gen_ai.response.finish_reasons", "gen_ai.conversation.id", "gen_ai.provider.name", "gen_ai.usage.cost"),
        *("gen_ai.response.time_to_first_chunk", "gen_ai.operation.name", "gen_ai.prompt.name"),
        *("gen_ai.prompt.0.content", "gen_ai.completion.0.content", "gen_ai.prompt.0.role"),
    ),
    "genai tool": ("gen_ai.tool.call.arguments", "gen_ai.tool.call.result", "gen_ai.tool.call.id", "gen_ai.tool.name"),
    "LLM": (
        *("input.value", "output.value", "input.mime_type", "output.mime_type", "llm.invocation_parameters"),
        *("llm.input_messages.0.message.content", "llm.input_messages.0.message.role", "llm.output_messages"),
        *("llm.input_messages.0.message.tool_calls.0.tool_call.function.arguments", "llm.tools.0.tool.json_schema"),
        *("llm.token_count.prompt", "llm.token_count.completion", "llm.token_count.total", "llm.cost.total"),
        *("llm.prompt_template.variables", "llm.prompt_template.template", "llm.model_name", "llm.provider"),
        *("metadata", "tag.tags", "session.id", "user.id", "openinference.span.kind"),
    ),
    "TOOL": ("tool.parameters", "tool.name", "tool.id", "input.value", "output.value"),
    "RETRIEVER": (
        *("retrieval.documents.0.document.content", "retrieval.documents.0.document.score", "retrieval.documents"),
        *("retrieval.documents.0.document.metadata", "retrieval.documents.999999999.document.content"),
    ),
    "RERANKER": ("reranker.output_documents.0.document.score", "reranker.query"),
    "EMBEDDING": ("embedding.embeddings.0.embedding.text", "embedding.embeddings.0.embedding.vector"),
    "traceloop": ("traceloop.entity.input", "traceloop.entity.output", "traceloop.association.properties.x"),
    "mlflow": ("mlflow.spanInputs", "mlflow.spanOutputs", "mlflow.chat.tokenUsage", "mlflow.trace.session"),
    "vercel": ("ai.prompt.messages", "ai.prompt", "ai.response.toolCalls", "ai.usage.promptTokens", "ai.prompt.tools"),
    "plain": (
        *("stepscope.seq", "stepscope.kind", "stepscope.output.partial", "deployment.environment", "service.name"),
        *("", ".", "__proto__", "__class__", "constructor", "a", "a.b", "x" * 3000, "\u202ekey", "<script>"),
    ),
}

VALUES: dict[str, Value] = {
    "none": None,
    "true": True,
    "zero": 0,
    "minus one": -1,
    "the largest integer": INT64,
    "the smallest integer": -INT64 - 1,
    "an integer that JavaScript rounds": 2**53 + 1,
    "a large float": 1e308,
    "a small float": -1e-308,
    "NaN": float("nan"),
    "infinity": float("inf"),
    "bytes": b"\xff\x00\xfe",
    "an empty text": "",
    "white space": " \t\n\r ",
    "NUL": "a\0b\0",
    "a long text": "x" * 100_000,
    "bidi": "\u202e\u2066\ufeff\uffff",
    "a script": "<script>alert(1)</script>'\"`{{7*7}}${7*7}",
    "header": "a\r\nSet-Cookie: x=1",
    "text NaN": "NaN",
    "text null": "null",
    "text number": "123456789012345678901234567890",
    "text huge float": "1e999",
    "JSON NaN": '{"a": NaN, "b": [Infinity, -Infinity]}',
    "JSON huge numbers": '{"a": 123456789012345678901234567890, "b": 1e999, "c": -9223372036854775809}',
    "JSON longest number": '{"a": ' + "9" * 5000 + "}",
    "JSON surrogates": '{"\\ud800": "\\udfff", "role": "\\ud83d"}',
    "JSON text surrogate": '"\\ud800"',
    "JSON list of surrogates": '["\\ud800", "\\ud800"]',
    "JSON NUL": '{"a\\u0000": "\\u0000", "session_id": "\\u0000"}',
    "JSON list of NUL": '["\\u0000", ""]',
    "JSON cut": '{"a": [1, {"b": "',
    "JSON deep lists": "[" * 5000 + "]" * 5000,
    "JSON deep maps": '{"a":' * 3000 + "1" + "}" * 3000,
    "JSON lists 200 deep": "[" * 200 + "1" + "]" * 200,
    "JSON odd messages": '[{"role": 5, "content": {"x": []}}, null, 7, {"content": [null, {"type": []}]}]',
    "JSON messages under a key": '{"messages": [[{"type": {}, "kwargs": null}]], "generations": [[{"text": []}]]}',
    "an empty list": [],
    "an empty map": {},
    "a list of all": [None, True, 1, 0.5, "x", b"y", [], {}, float("nan"), INT64],
    "a map of all": {"": None, "a": {"b": [b"x", float("-inf"), INT64]}, "a.b": "c", "role": [1], "content": {"x": []}},
    "lists of lists": [[[[["x"]]]]],
}


def spans_with(value: Value, *, trace: str | None = None) -> list[Message]:
    """A span for every key that means something, with this value; traces of their own unless `trace` is given."""
    return [
        make.span(f"{kind} {key[:60]}", trace=trace, having={**KINDS[kind], key: value})
        for kind, keys in KEYS.items()
        for key in keys
    ]


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_R33_R34_R35_R38_R39_R48_no_stored_value_makes_a_read_or_a_page_fail(client: Client, value: Value) -> None:
    trace = make.new_trace_id()
    together = spans_with(value, trace=trace)
    alone = spans_with(value)[:: 1 if FULL else 12]
    for number, spans in enumerate((together, alone)):
        answer = client.ingest(make.request(*spans), json=bool(number))
        assert (answer.status_code, answer.content) == (200, b"{}" if number else b""), answer.text

    summaries = schemas.Traces.model_validate(client.read("/api/v1/traces", project=client.project, limit=1000))
    assert len(summaries.items) == len(alone) + 1
    whole = schemas.Trace.model_validate(client.trace(trace))
    assert {span.name for span in whole.spans} == {span["name"] for span in together}
    for order in ("-cost", "-tokens"):
        assert len(client.traces(order=order, limit=1000)) == len(alone) + 1
    for one in alone if FULL else alone[:: len(alone) // 2]:
        found = client.trace(one["traceId"])
        schemas.Trace.model_validate(found)
        assert client.read(f"/api/v1/traces/{one['traceId']}/spans/{one['spanId']}") == found["spans"][0]
    slug = slug_of(client)
    steps = together if FULL else together[:: len(together) // 2]
    for path in (
        f"/p/{slug}/traces",
        f"/p/{slug}/traces/{trace}",
        *(f"/p/{slug}/traces/{trace}/steps/{one['spanId']}" for one in steps),
    ):
        answer = client.get(path)
        assert answer.status_code == 200, f"{path}: {answer.text[:300]}"
        assert "<script>alert(1)" not in answer.content.decode("utf-8")
        assert "set-cookie" not in answer.headers


def slug_of(client: Client) -> str:
    """The client's project as addresses name it."""
    found: str = next(one["slug"] for one in client.read("/api/v1/projects")["items"] if one["name"] == client.project)
    return found


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_R34_R35_no_value_makes_a_log_record_fail(client: Client, value: Value) -> None:
    one = make.span("logged", having=KINDS["genai chat"])
    logs = [
        make.log(value, trace=one["traceId"], span=one["spanId"], having={"k": value}, eventName=name)
        for name in ("", "gen_ai.user.message", "gen_ai.choice", "gen_ai.client.inference.operation.details")
    ]
    for json in (True, False):
        assert client.ingest(make.log_request(*logs), json=json, path="/v1/logs").status_code == 200
    client.store(one)
    schemas.Trace.model_validate(client.trace(one["traceId"]))


class TestTexts:
    def test_R33_R34_what_was_replaced_is_the_same_on_every_database(self, client: Client) -> None:
        one = make.span("n\0", having={"k\0": "v\0", "s": "\ud800", "literal": r"\u0000"}, events=[make.event("e\0")])
        one["status"]["message"] = "m\0"
        client.store(one)
        span = client.trace(one["traceId"])["spans"][0]
        assert (span["name"], span["status_message"], span["events"][0]["name"]) == ("n␀", "m␀", "e␀")
        assert span["attributes"] == {"k␀": "v␀", "s": "\ufffd", "literal": r"\u0000"}
        assert span["flags"] == ["text_replaced"]

    def test_R32_invalid_utf8_is_replaced_and_flagged(self, client: Client) -> None:
        trace = make.new_trace_id()
        body = make.raw_span(make.field(5, b"caf\xe9"), trace=trace)
        assert client.ingest(body, json=False).status_code == 200
        span = client.trace(trace)["spans"][0]
        assert (span["name"], span["flags"]) == ("caf\ufffd", ["text_replaced", "no_end"])

    @pytest.mark.parametrize("name", ["", "   ", "\n", "x" * 100_000, "\u202e", "\0"])
    def test_R37_any_name_is_kept(self, client: Client, name: str) -> None:
        one = make.span(name)
        client.store(one)
        found = client.trace(one["traceId"])
        assert found["spans"][0]["name"] == name.replace("\0", "␀")

    def test_R37_R10_a_name_that_no_index_can_hold_costs_neither_its_neighbours_nor_the_lists(
        self, client: Client
    ) -> None:
        pick = random.Random(7)
        texts = ["".join(map(chr, pick.choices(range(0x20000, 0x2A000), k=size))) for size in (600, 3_000, 100_000)]
        longest = make.span("n" * 200_000, status=2)
        longest["status"]["message"] = "m" * 1_100_000
        spans = [make.span("before"), *map(make.span, texts), longest, make.span("after")]
        client.store(*spans)
        named = {one["trace_id"]: one["name"] for one in client.traces()}
        assert len(named) == 6
        for one, text in zip(spans[1:4], texts, strict=True):
            assert named[one["traceId"]] == text[:499] + "…"
            assert client.trace(one["traceId"])["spans"][0]["name"] == text
        cut = client.trace(longest["traceId"])["spans"][0]
        assert (len(cut["name"]), cut["name"][-2:], len(cut["status_message"])) == (131_072, "n…", 1_048_576)
        assert "cut" in cut["flags"]
        assert (
            client.get(f"/p/{slug_of(client)}/traces/{longest['traceId']}/steps/{longest['spanId']}").status_code == 200
        )

    @pytest.mark.parametrize(
        "text", ["\ufeffBOM", "\u202eevil\u2066", "👩\u200d🚀", "e\u0301", "\uffff\ufffe", "𝄞", "\x1b[31m"]
    )
    def test_R46_odd_but_valid_text_makes_the_round_trip_to_the_byte(self, client: Client, text: str) -> None:
        one = make.span(text, having={text: text, "input.value": text})
        client.store(one)
        span = client.trace(one["traceId"])["spans"][0]
        assert (span["name"], span["attributes"][text], span["input"]["value"]) == (text, text, text)

    def test_R65_a_name_cannot_add_header_lines(self, client: Client) -> None:
        one = make.span("a\r\nSet-Cookie: evil=1\r\n\r\n<html>")
        client.store(one)
        for path in (f"/traces/{one['traceId']}", f"/api/v1/traces/{one['traceId']}"):
            answer = client.get(path, follow_redirects=True)
            assert answer.status_code == 200
            assert "set-cookie" not in answer.headers


class TestNumbers:
    @pytest.mark.parametrize(
        ("value", "shown"),
        [
            (INT64, str(INT64)),
            (-INT64 - 1, str(-INT64 - 1)),
            (2**53, 2**53),
            (2**53 + 1, str(2**53 + 1)),
            (float("nan"), "NaN"),
            (float("inf"), "Infinity"),
            (float("-inf"), "-Infinity"),
            (True, True),
            (b"\xff", {"bytesValue": "/w=="}),
            (None, None),
            ([1, [b"", {}]], [1, [{"bytesValue": ""}, {}]]),
        ],
    )
    def test_R35_R48_values_are_strict_json_that_nobody_rounds(self, client: Client, value: Value, shown: Any) -> None:
        one = make.span(having={"k": value}, events=[make.event("e", {"k": value})])
        client.store(one, json=False)
        span = client.trace(one["traceId"])["spans"][0]
        for found in (span["attributes"]["k"], span["events"][0]["attributes"]["k"]):
            assert (found, type(found)) == (shown, type(shown))

    @pytest.mark.parametrize(
        ("start", "end"),
        [
            (make.START, make.START - make.SECOND),
            (make.START, 0),
            (0, 0),
            (0, INT64),
            (INT64, INT64),
            (INT64, 2**64 - 1),
            (2**64 - 1, 0),
            (7_258_118_400 * make.SECOND, 7_258_118_401 * make.SECOND),
            (make.START, make.START + 50 * 365 * 86_400 * make.SECOND),
        ],
    )
    def test_R35_R36_any_times_are_stored_and_every_list_survives(self, client: Client, start: int, end: int) -> None:
        one = make.span("odd times", start=start, end=end)
        client.store(one, json=False)
        client.store(make.span("usual"))
        found = client.trace(one["traceId"])
        schemas.Trace.model_validate(found)
        assert (found["duration_ms"] or 0) >= 0
        for order in ("-start_time", "start_time", "-duration", "-cost", "-tokens", "received"):
            walked = walk(client, order=order, limit=1)
            assert sorted(trace["name"] for trace in walked) == ["odd times", "usual"], order
        slug = slug_of(client)
        for path in (f"/p/{slug}/traces", f"/p/{slug}/traces/{one['traceId']}"):
            assert client.get(path).status_code == 200

    def test_R35_tokens_of_any_size_add_up_to_what_a_column_can_hold(self, client: Client) -> None:
        trace = make.new_trace_id()
        counts: dict[str, Value] = {"gen_ai.usage.input_tokens": INT64, "gen_ai.usage.output_tokens": INT64}
        said = {**KINDS["genai chat"], **counts}
        client.store(*[make.span("chat", trace=trace, having=said) for _ in range(3)], make.model_call())
        client.store(make.span("chat", having=said))
        for order in ("-tokens", "-cost"):
            assert len(walk(client, order=order, limit=1)) == 3
        schemas.Trace.model_validate(client.trace(trace))

    @pytest.mark.parametrize("number", [-1, 6, 40_000, 2**31 - 1, -(2**31)])
    def test_R38_unknown_kinds_and_status_codes_are_stored(self, client: Client, number: int) -> None:
        encoded = make.varint(number if number >= 0 else number + 2**64)
        trace = make.new_trace_id()
        body = make.raw_span(b"\x30" + encoded, make.field(15, b"\x18" + encoded), trace=trace)
        assert client.ingest(body, json=False).content == b""
        assert client.trace(trace)["spans"][0]["status"] == "unset"


class TestTrees:
    def test_R42_orphans_cycles_and_several_roots_are_each_there_once(self, client: Client) -> None:
        trace = make.new_trace_id()
        a, b, c, d = (make.new_span_id() for _ in range(4))
        spans = [
            make.span("first root", trace=trace),
            make.span("second root", trace=trace),
            make.span("orphan", trace=trace, parent=make.new_span_id()),
            make.span("own parent", trace=trace, id=d, parent=d),
            make.span("circle a", trace=trace, id=a, parent=c),
            make.span("circle b", trace=trace, id=b, parent=a),
            make.span("circle c", trace=trace, id=c, parent=b),
        ]
        client.store(*spans)
        names = [span["name"] for span in client.trace(trace)["spans"]]
        assert sorted(names) == sorted(span["name"] for span in spans)
        for one in spans:
            client.read(f"/api/v1/traces/{trace}/spans/{one['spanId']}")

    def test_R42_a_chain_of_thousands_is_read(self, client: Client) -> None:
        trace, depth = make.new_trace_id(), 5000 if FULL else 1500
        ids = [make.new_span_id() for _ in range(depth)]
        spans = [make.span(f"n{n}", trace=trace, id=ids[n], parent=ids[n - 1] if n else None) for n in range(depth)]
        spans[-1]["status"] = {"code": 2}
        client.store(*reversed(spans))
        found = client.trace(trace, bodies="false")
        assert [span["name"] for span in found["spans"]] == [span["name"] for span in spans]
        assert (found["name"], found["error_count"]) == ("n0", 1)

    def test_R43_a_child_outside_its_parent_is_stored_as_sent(self, client: Client) -> None:
        root = make.span("root")
        child = make.span("early", trace=root["traceId"], parent=root["spanId"], start=make.START - make.SECOND)
        client.store(root, child)
        found = client.trace(root["traceId"])
        assert found["start_time"] == "2025-11-24T15:59:59Z"
        assert [span["duration_ms"] for span in found["spans"]] == [1000.0, 2000.0]


class TestSizes:
    def test_R39_ten_thousand_attributes_stay_flat(self, client: Client) -> None:
        one = make.span(having={f"list.{number}.x": number for number in range(10_000)})
        client.store(one)
        assert len(client.trace(one["traceId"])["spans"][0]["attributes"]) == 10_000

    def test_R40_a_long_attribute_is_kept_and_lists_do_not_carry_it(self, client: Client) -> None:
        text = "lorem ipsum " * (870_000 if FULL else 200_000)
        one = make.span(having={"input.value": text, "output.value": text})
        client.store(one)
        assert client.trace(one["traceId"])["spans"][0]["attributes"]["input.value"] == text
        assert len(client.get("/api/v1/traces", params={"project": client.project}).content) < 20_000
        assert len(client.get(f"/api/v1/traces/{one['traceId']}", params={"bodies": False}).content) < 20_000

    def test_R44_thousands_of_events_and_links_of_any_id_are_kept(self, client: Client) -> None:
        links = [{"traceId": "ab" * size, "spanId": "cd" * size} for size in (0, 1, 8, 16)] + [{}]
        one = make.span(events=[make.event(f"e{number}") for number in range(10_000)], links=links)
        client.store(one)
        span = client.trace(one["traceId"])["spans"][0]
        assert (len(span["events"]), len(span["links"])) == (10_000, 5)


def walk(client: Client, **parameters: str | int) -> list[dict[str, Any]]:
    """Every trace of the client's project, page by page."""
    out: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    for _ in range(1000):
        page = client.read("/api/v1/traces", **{"project": client.project, **parameters, **cursor})
        out += page["items"]
        if page["next_cursor"] is None:
            return out
        cursor = {"cursor": page["next_cursor"]}
    raise AssertionError("the list does not end")


def test_an_answer_that_no_reader_could_hold_is_not_made(service: Service) -> None:
    with Client(service.url) as client, pytest.raises(AssertionError):
        strict_json(b'{"a": NaN}')
    assert client.project
