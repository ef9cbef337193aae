"""OTLP bodies in both forms: the same records, spans refused one by one, whole bodies only when unreadable."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import make
from tests.make import Message
from tests.otlp.reading import INT64, both_forms, decoded, one
from tracer.errors import BadPayload, TracerError
from tracer.otlp.decode import decode_logs, decode_traces
from tracer.otlp.records import Flag


@both_forms
def test_every_field_arrives(as_json: bool) -> None:
    trace, parent = make.new_trace_id(), make.new_span_id()
    sent = make.span(
        "écrire",
        trace=trace,
        parent=parent,
        start=5,
        end=9,
        status=2,
        having={"a": "text", "b": 7, "c": 0.5, "d": True, "e": b"\x00\xff", "f": None, "g": [1, ["x"]], "h": {"i": {}}},
        events=[make.event("exception", {"exception.type": "ValueError"}, time=7)],
        links=[{"traceId": trace, "spanId": parent, "traceState": "k=v", "attributes": make.attributes({"l": "m"})}],
        traceState="vendor=1",
        flags=257,
    )
    sent["status"]["message"] = "no such thing"
    sent["kind"] = 3
    scope = {"name": "lib", "version": "1.2", "attributes": make.attributes({"s": 1})}
    record = one(make.request(sent, resource={"service.name": "shop"}, scope=scope), as_json)

    assert (record.trace_id.hex(), record.span_id.hex(), record.parent_id) == (
        trace,
        sent["spanId"],
        bytes.fromhex(parent),
    )
    assert (record.name, record.otlp_kind, record.start_time, record.end_time) == ("écrire", 3, 5, 9)
    assert (record.status_code, record.status_message) == (2, "no such thing")
    assert record.attributes == {
        "a": "text",
        "b": 7,
        "c": 0.5,
        "d": True,
        "e": b"\x00\xff",
        "f": None,
        "g": [1, ["x"]],
        "h": {"i": {}},
    }
    assert [(event.name, event.time, event.attributes) for event in record.events] == [
        ("exception", 7, {"exception.type": "ValueError"})
    ]
    link = record.links[0]
    assert (link.trace_id.hex(), link.span_id.hex(), link.trace_state, link.attributes) == (
        trace,
        parent,
        "k=v",
        {"l": "m"},
    )
    assert record.resource == {"service.name": "shop"}
    assert (record.scope.name, record.scope.version, record.scope.attributes) == ("lib", "1.2", {"s": 1})
    assert (record.trace_state, record.otlp_flags, record.flags) == ("vendor=1", 257, Flag.NONE)


EMPTY = [b"", b"\n\x00", b"\n\x02\x12\x00"]
EMPTY_JSON = [b"{}", b'{"resourceSpans":[]}', b'{"resourceSpans":null}', b'{"resourceSpans":[{"scopeSpans":[{}]}]}']


@pytest.mark.parametrize("body", [*EMPTY, *EMPTY_JSON])
def test_R20_an_empty_request_is_one_without_spans(body: bytes) -> None:
    found = decode_traces(body, json=body in EMPTY_JSON)
    assert (found.spans, found.rejected.count, found.rejected.message) == ([], 0, "")


BROKEN_JSON = {
    "nothing": b"",
    "half": b'{"resourceSpans": [',
    "more after it": b"{} {}",
    "a list": b"[]",
    "null": b"null",
    "a text": b'"spans"',
    "a wrong shape": b'{"resourceSpans": {"scopeSpans": []}}',
    "a span that is a number": b'{"resourceSpans": [{"scopeSpans": [{"spans": [7]}]}]}',
    "a key that is a number": b'{"resourceSpans":[{"resource":{"attributes":[{"key":7}]}}]}',
    "bad UTF-8": make.as_json(make.request(make.span("NAME"))).replace(b"NAME", b"\xff"),
    "UTF-16": '{"resourceSpans": []}'.encode("utf-16"),
    "NaN": b'{"resourceSpans": [], "x": NaN}',
    "protobuf": make.as_protobuf(make.request(make.span())),
    "an endless number": b'{"resourceSpans": [], "x": ' + b"9" * 50_000 + b"e}",
}


@pytest.mark.parametrize("body", BROKEN_JSON.values(), ids=BROKEN_JSON)
def test_R21_what_is_no_otlp_json_is_refused(body: bytes) -> None:
    with pytest.raises(BadPayload) as refused:
        decode_traces(body, json=True)
    assert "Traceback" not in refused.value.message
    assert len(refused.value.message) < 400


@pytest.mark.parametrize("body", [b"\xff", b"\n\xff\x01", b"\x0a\x05ab", b'{"resourceSpans":[]}', b"<html>", bytes(9)])
def test_R21_what_is_no_otlp_protobuf_is_refused(body: bytes) -> None:
    with pytest.raises(BadPayload):
        decode_traces(body, json=False)


@both_forms
def test_R21_a_body_cut_short_is_refused_and_stores_nothing(as_json: bool) -> None:
    request = make.request(make.span("whole", having={"key": "value"}))
    body = make.as_json(request) if as_json else make.as_protobuf(request)
    for end in range(1, len(body)):
        with pytest.raises(BadPayload):
            decode_traces(body[:end], json=as_json)


def test_a_byte_order_mark_is_passed_over() -> None:
    assert one(b"\xef\xbb\xbf" + make.as_json(make.request(make.span("marked")))).name == "marked"


def test_R26_unknown_fields_are_passed_over() -> None:
    sent = make.span("known", unknown={"deep": [1, {"er": None}]}, attributes=[{"key": "k", "value": {}, "more": 1}])
    assert one(make.request(sent) | {"future": 1}).attributes == {"k": None}

    unknown = (
        make.varint(900 << 3) + make.varint(2**60) + make.field(901, b"later") + make.varint(902 << 3 | 5) + b"1234"
    )
    assert one(make.raw_span(make.field(5, b"known"), unknown), as_json=False).name == "known"


class TestIds:
    """R31: a span without usable ids is refused and counted, its neighbours are stored."""

    @pytest.mark.parametrize(
        "ids",
        [
            {"traceId": ""},
            {"traceId": None},
            {"traceId": "0" * 32},
            {"traceId": "ab" * 15},
            {"traceId": "ab" * 17},
            {"traceId": "ab" * 5000},
            {"traceId": "zz" * 16},
            {"traceId": " " * 32},
            {"traceId": "ab " * 16},
            {"traceId": "é" * 32},
            {"spanId": ""},
            {"spanId": "0" * 16},
            {"spanId": "ab" * 7},
            {"spanId": "ab" * 16},
        ],
    )
    def test_R31_R10_json(self, ids: Message) -> None:
        found = decoded(make.request(make.span("before"), make.span("bad") | ids, make.span("after")), True)
        assert [span.name for span in found.spans] == ["before", "after"]
        assert found.rejected.count == 1
        assert ("trace id" if "traceId" in ids else "span id") in found.rejected.message

    @pytest.mark.parametrize("length", [0, 1, 15, 17, 5000])
    @pytest.mark.parametrize("which", [1, 2])
    def test_R31_R10_protobuf(self, which: int, length: int) -> None:
        ids = {1: b"\x01" * 16, 2: b"\x01" * 8} | {which: b"\x01" * length}
        bad = make.field(2, make.field(1, ids[1]) + make.field(2, ids[2]))
        good = make.field(2, make.field(1, b"\x02" * 16) + make.field(2, b"\x02" * 8))
        found = decode_traces(make.field(1, make.field(2, bad + good)), json=False)
        assert [span.span_id for span in found.spans] == [b"\x02" * 8]
        assert found.rejected.count == 1

    @both_forms
    def test_a_parent_that_can_be_no_span_makes_a_root(self, as_json: bool) -> None:
        for parent in ("0" * 16, "ab", ""):
            assert one(make.request(make.span(parent=parent)), as_json).parent_id is None

    @both_forms
    def test_R42_a_span_that_is_its_own_parent_is_a_root_and_says_so(self, as_json: bool) -> None:
        id = make.new_span_id()
        record = one(make.request(make.span(id=id, parent=id)), as_json)
        assert record.parent_id is None
        assert record.flags == Flag.SELF_PARENT

    def test_the_reasons_are_counted(self) -> None:
        bad = [make.span(traceId="") for _ in range(3)] + [make.span(spanId="")]
        message = decoded(make.request(*bad), True).rejected.message
        assert message.startswith("3 refused: trace id")
        assert "1 refused: span id" in message


class TestLogs:
    @both_forms
    def test_a_log_record_arrives(self, as_json: bool) -> None:
        trace, span = make.new_trace_id(), make.new_span_id()
        sent = make.log({"role": "user"}, trace=trace, span=span, having={"k": 1}, eventName="gen_ai.user.message")
        body = make.log_request(sent, resource={"service.name": "shop"})
        found = decode_logs(make.as_json(body) if as_json else make.as_protobuf(body), json=as_json)
        record = found.logs[0]
        assert record.trace_id is not None
        assert record.span_id is not None
        assert (record.trace_id.hex(), record.span_id.hex(), record.time) == (trace, span, make.START)
        assert (record.body, record.attributes, record.resource) == (
            {"role": "user"},
            {"k": 1},
            {"service.name": "shop"},
        )
        assert record.event_name == "gen_ai.user.message"

    def test_a_log_record_of_no_step_is_refused_with_the_reason(self) -> None:
        good = make.log("x", trace=make.new_trace_id(), span=make.new_span_id())
        found = decode_logs(
            make.as_json(make.log_request(good | {"traceId": ""}, good, good | {"spanId": "00"})), json=True
        )
        assert (len(found.logs), found.rejected.count) == (1, 2)
        assert "belongs to no step" in found.rejected.message

    def test_a_log_records_time_is_held_to_64_bits(self) -> None:
        sent = make.log("x", trace=make.new_trace_id(), span=make.new_span_id(), timeUnixNano=str(10**30))
        assert decode_logs(make.as_json(make.log_request(sent)), json=True).logs[0].time == INT64


def status_of(body: bytes, *, json: bool, logs: bool = False) -> int:
    """The HTTP status that a body comes to; anything but a named error fails the test."""
    try:
        records = decode_logs(body, json=json).logs if logs else decode_traces(body, json=json).spans
    except TracerError as problem:
        return problem.status
    for record in records:
        repr(record).encode()  # no lone surrogate is left
    return 200


@given(st.binary(max_size=300), st.booleans(), st.booleans())
def test_any_bytes_give_an_answer_or_a_named_error(body: bytes, json: bool, logs: bool) -> None:
    assert status_of(body, json=json, logs=logs) in (200, 400)


VALID = make.as_protobuf(
    make.request(
        make.span("n", having={"a": "text", "b": [1, {"c": b"x"}]}, events=[make.event("e", {"k": 1.5})]),
        resource={"service.name": "shop"},
    )
)


@given(st.lists(st.tuples(st.integers(0, len(VALID) - 1), st.integers(0, 255)), min_size=1, max_size=6))
def test_any_change_to_a_protobuf_body_gives_an_answer_or_a_named_error(changes: list[tuple[int, int]]) -> None:
    body = bytearray(VALID)
    for place, byte in changes:
        body[place] = byte
    assert status_of(bytes(body), json=False) in (200, 400)


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["1", "NaN", "\ud800"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "resourceSpans",
                    "scopeSpans",
                    "spans",
                    "attributes",
                    "key",
                    "value",
                    "traceId",
                    "spanId",
                    "events",
                    "kind",
                    "status",
                    "code",
                    "intValue",
                    "stringValue",
                    "arrayValue",
                    "values",
                    "startTimeUnixNano",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=25,
)


@given(anything)
def test_any_json_in_a_spans_place_gives_an_answer_or_a_named_error(value: Any) -> None:
    spans = [value if isinstance(value, dict) else {"attributes": value}]
    whole = {"resourceSpans": [{"scopeSpans": [{"spans": [make.span(), *spans]}]}]}
    for body in (json.dumps(value), json.dumps(whole), json.dumps({"resourceSpans": value})):
        assert status_of(body.encode(), json=True) in (200, 400)


@given(st.dictionaries(st.sampled_from(list(make.span(parent="ab" * 8, events=[], links=[]))), anything))
def test_any_field_of_a_span_may_be_wrong(fields: Message) -> None:
    body = json.dumps(make.request({**make.span(), **fields}))
    assert status_of(body.encode(), json=True) in (200, 400)
