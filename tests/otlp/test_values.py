"""Values off the wire: kept as they are, or as near as every database and browser can hold them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from tests import make
from tests.make import Message
from tests.otlp.reading import INT64, both_forms, decoded, one, value_of
from tracer.errors import BadPayload
from tracer.otlp.decode import decode_traces
from tracer.otlp.records import AnyValue, Flag


class TestJson:
    @pytest.mark.parametrize("change", [str.upper, str.lower])
    def test_R27_ids_are_hex_in_any_case(self, change: Callable[[str], str]) -> None:
        trace, id = "00ABCDEF" * 4, "ABCDEF00" * 2
        record = one(make.request(make.span(trace=change(trace), id=change(id), parent=change(id[::-1]))))
        assert (record.trace_id.hex(), record.span_id.hex()) == (trace.lower(), id.lower())

    @pytest.mark.parametrize("number", ["42", 42, 42.0])
    def test_R27_a_64_bit_integer_is_text_or_number(self, number: str | float) -> None:
        record = one(make.request(make.span(startTimeUnixNano=number, flags=number)))
        assert (record.start_time, record.otlp_flags) == (42, 42)
        assert value_of({"intValue": number}) == 42
        assert type(value_of({"intValue": number})) is int

    def test_R27_ids_in_base64_are_refused_one_by_one(self) -> None:
        good = make.span("good")
        bad = make.span("bad", traceId="W47/95gDgQPSaYzgFXM2Rg==", spanId="7uGbfsP7s2Y=")
        found = decoded(make.request(bad, good), True)
        assert [span.name for span in found.spans] == ["good"]
        assert found.rejected.count == 1
        assert "16 bytes" in found.rejected.message

    @pytest.mark.parametrize(("word", "number"), [("SPAN_KIND_CLIENT", 3), ("SPAN_KIND_PURPLE", 0), ("3", 3), (3.0, 3)])
    def test_R27_names_of_kinds_are_read(self, word: str | float, number: int) -> None:
        assert one(make.request(make.span(kind=word))).otlp_kind == number

    @pytest.mark.parametrize(("word", "number"), [("STATUS_CODE_ERROR", 2), ("2", 2), ("no", 0), (-1, 0), (2**40, 0)])
    def test_R27_names_of_status_codes_are_read(self, word: str | int, number: int) -> None:
        assert one(make.request(make.span(status=0) | {"status": {"code": word}})).status_code == number

    @pytest.mark.parametrize(
        ("sent", "read"),
        [
            ({"stringValue": ""}, ""),
            ({"intValue": str(INT64)}, INT64),
            ({"intValue": str(-INT64 - 1)}, -INT64 - 1),
            ({"intValue": str(INT64 + 1)}, str(INT64 + 1)),
            ({"intValue": INT64 + 1}, str(INT64 + 1)),
            ({"intValue": 10**30}, str(10**30)),
            ({"intValue": "9" * 5000}, "9" * 5000),
            ({"intValue": "seven"}, "seven"),
            ({"intValue": 1.5}, 1.5),
            ({"doubleValue": "Infinity"}, float("inf")),
            ({"doubleValue": "-Infinity"}, float("-inf")),
            ({"doubleValue": "1e400"}, float("inf")),
            ({"doubleValue": "much"}, "much"),
            ({"doubleValue": 10**30}, 1e30),
            ({"bytesValue": "AP8="}, b"\x00\xff"),
            ({"bytesValue": "not base64!"}, "not base64!"),
            ({"boolValue": False}, False),
            ({"arrayValue": {}}, []),
            ({"arrayValue": {"values": [None, {}]}}, [None, None]),
            ({"kvlistValue": {}}, {}),
            ({}, None),
            (None, None),
            ({"futureValue": 1}, None),
        ],
    )
    def test_R35_R48_values_are_kept_as_far_as_they_can_be(self, sent: Message, read: AnyValue) -> None:
        found = value_of(sent)
        assert (found, type(found)) == (read, type(read))

    def test_R35_nan_is_kept(self) -> None:
        found = value_of({"doubleValue": "NaN"})
        assert isinstance(found, float)
        assert found != found


class TestText:
    """R32 to R34: what a database or a browser cannot hold is replaced by a visible mark, and flagged."""

    @pytest.mark.parametrize("place", ["name", "message", "key", "value", "nested", "event", "resource", "scope"])
    def test_R32_invalid_utf8_in_protobuf_is_replaced(self, place: str) -> None:
        bad = b"caf\xe9 \xff\xfe!"
        text = make.field(1, bad)
        fields = {
            "name": make.field(5, bad),
            "message": make.field(15, make.field(2, bad)),
            "key": make.field(9, make.field(1, bad) + make.field(2, make.field(1, b"v"))),
            "value": make.field(9, make.field(1, b"k") + make.field(2, text)),
            "nested": make.field(9, make.field(1, b"k") + make.field(2, make.field(5, make.field(1, text)))),
            "event": make.field(11, make.field(2, bad)),
        }
        ids = make.field(1, b"\x01" * 16) + make.field(2, b"\x01" * 8)
        resource = (
            make.field(1, make.field(1, make.field(1, b"k") + make.field(2, text))) if place == "resource" else b""
        )
        scope = make.field(1, text) if place == "scope" else b""
        body = make.field(1, resource + make.field(2, scope + make.field(2, ids + fields.get(place, b""))))

        record = one(body, as_json=False)

        assert record.flags & Flag.TEXT_REPLACED
        found = repr(
            (record.name, record.status_message, record.attributes, record.events, record.resource, record.scope)
        )
        assert "caf\ufffd \ufffd\ufffd!" in found

    @both_forms
    @pytest.mark.parametrize("place", ["name", "message", "key", "value", "nested", "event", "resource"])
    def test_R33_the_character_nul_becomes_a_visible_mark(self, place: str, as_json: bool) -> None:
        bad = "a\0b"
        sent = make.span(
            bad if place == "name" else "name",
            having={bad: 1}
            if place == "key"
            else {"k": [bad]}
            if place == "nested"
            else {"k": bad if place == "value" else ""},
            events=[make.event(bad if place == "event" else "e")],
        )
        sent["status"]["message"] = bad if place == "message" else ""
        record = one(make.request(sent, resource={"r": bad if place == "resource" else ""}), as_json)

        assert record.flags == Flag.TEXT_REPLACED
        found = repr((record.name, record.status_message, record.attributes, record.events, record.resource))
        assert "a\u2400b" in found
        assert "\\x00" not in found

    @both_forms
    def test_R33_the_words_backslash_u0000_stay_as_they_are(self, as_json: bool) -> None:
        record = one(make.request(make.span(having={"k": r"\u0000"})), as_json)
        assert (record.attributes, record.flags) == ({"k": r"\u0000"}, Flag.NONE)

    @pytest.mark.parametrize("bad", ["\ud800", "x\udfffy", "\udc00\ud800"])
    def test_R34_lone_surrogates_in_json_are_replaced(self, bad: str) -> None:
        record = one(make.request(make.span(bad, having={bad: bad, "list": [bad]})))
        assert record.flags == Flag.TEXT_REPLACED
        for text in (record.name, *record.attributes):
            text.encode()
        assert "\ufffd" in record.name

    @both_forms
    @pytest.mark.parametrize("text", ["\ufeffBOM", "\u202eevil\u2066", "👩\u200d🚀", "e\u0301", "\uffff\ufffe", "𝄞"])
    def test_R46_odd_but_valid_text_is_kept_to_the_byte(self, text: str, as_json: bool) -> None:
        record = one(make.request(make.span(text, having={text: text})), as_json)
        assert (record.name, record.attributes, record.flags) == (text, {text: text}, Flag.NONE)


class TestNumbers:
    def test_R35_times_beyond_64_bits_are_held_to_them(self) -> None:
        for time_sent in (2**63, 2**64 - 1, str(10**30), 1e300):
            sent = make.span(startTimeUnixNano=time_sent, endTimeUnixNano=time_sent)
            sent["events"] = [{"name": "e", "timeUnixNano": time_sent}]
            record = one(make.request(sent))
            assert (record.start_time, record.end_time, record.events[0].time) == (INT64, INT64, INT64)
            assert record.flags & Flag.TIME_CLAMPED

    def test_R35_times_before_1970_are_held_to_it(self) -> None:
        sent = make.span(startTimeUnixNano="-5", endTimeUnixNano=-3, events=[{"timeUnixNano": -1}])
        record = one(make.request(sent))
        assert (record.start_time, record.end_time, record.events[0].time) == (0, 0, 0)
        assert record.flags & Flag.TIME_CLAMPED

    def test_R35_times_in_protobuf_fill_all_64_bits(self) -> None:
        largest = (2**64 - 1).to_bytes(8, "little")
        event = make.field(11, b"\x09" + largest)
        record = one(make.raw_span(b"\x39" + largest + b"\x41" + largest, event), as_json=False)
        assert (record.start_time, record.end_time, record.events[0].time) == (INT64, INT64, INT64)

    @pytest.mark.parametrize("time_sent", ["soon", "", None, 1.5, "1.5", "0x10", "9" * 5000])
    def test_R38_a_time_that_is_none_counts_as_not_sent(self, time_sent: Any) -> None:
        assert one(make.request(make.span(endTimeUnixNano=time_sent))).flags == Flag.NO_END

    @both_forms
    def test_R36_an_end_before_the_start_is_kept_and_flagged(self, as_json: bool) -> None:
        record = one(make.request(make.span(start=9, end=5)), as_json)
        assert (record.start_time, record.end_time, record.flags) == (9, 5, Flag.NEGATIVE_DURATION)

    @pytest.mark.parametrize("number", [-1, 6, 32_767, 32_768, 70_000, 2**31 - 1, -(2**31)])
    def test_R38_an_unknown_kind_fits_every_column(self, number: int) -> None:
        encoded = make.varint(number if number >= 0 else number + 2**64)
        found = {
            one(make.request(make.span(kind=number))).otlp_kind,
            one(make.raw_span(b"\x30" + encoded), as_json=False).otlp_kind,
        }
        assert found == {number if 0 <= number <= 32_767 else 0}

    def test_a_step_with_a_rising_number_and_no_end_is_running(self) -> None:
        assert one(make.request(make.span(end=0, having={"stepscope.seq": 3}))).flags == Flag.NONE
        assert one(make.request(make.span(end=0, having={"stepscope.seq": "3"}))).flags == Flag.NO_END


def nested(depth: int, *, maps: bool) -> Message:
    value: Message = {"stringValue": "bottom"}
    for _ in range(depth):
        inner = {"values": [{"key": "k", "value": value}]} if maps else {"values": [value]}
        value = {"kvlistValue" if maps else "arrayValue": inner}
    return value


def nested_bytes(depth: int, *, maps: bool) -> bytes:
    value = make.field(1, b"bottom")
    for _ in range(depth):
        inner = make.field(1, make.field(1, b"k") + make.field(2, value)) if maps else make.field(1, value)
        value = make.field(6 if maps else 5, inner)
    return make.raw_span(make.field(9, make.field(1, b"deep") + make.field(2, value)))


def depth_of(value: AnyValue) -> int:
    depth = 0
    while not isinstance(value, str):
        assert value
        value = value["k"] if isinstance(value, dict) else value[0] if isinstance(value, list) else None
        depth += 1
    assert value == "bottom"
    return depth


class TestDepth:
    """R30: 40 levels are stored, 5,000 are refused, in both forms alike, and quickly."""

    @pytest.mark.parametrize("maps", [True, False])
    @pytest.mark.parametrize("depth", [1, 40, 100])
    def test_R30_what_is_not_too_deep_is_kept(self, depth: int, maps: bool) -> None:
        sent = make.span(attributes=[{"key": "deep", "value": nested(depth, maps=maps)}])
        assert depth_of(one(make.request(sent)).attributes["deep"]) == depth
        assert depth_of(one(nested_bytes(depth, maps=maps), as_json=False).attributes["deep"]) == depth

    @pytest.mark.parametrize("maps", [True, False])
    @pytest.mark.parametrize("depth", [101, 300, 5000])
    def test_R30_what_is_too_deep_is_refused(self, depth: int, maps: bool) -> None:
        before, after = (
            ('{"kvlistValue":{"values":[{"key":"k","value":', "}]}}")
            if maps
            else (
                '{"arrayValue":{"values":[',
                "]}}",
            )
        )
        value = before * depth + "{}" + after * depth
        sent = make.as_json(make.request(make.span(attributes=[{"key": "deep", "value": "HERE"}])))
        start = time.thread_time()
        with pytest.raises(BadPayload):
            decode_traces(sent.replace(b'"HERE"', value.encode()), json=True)
        with pytest.raises(BadPayload):
            decode_traces(nested_bytes(depth, maps=maps), json=False)
        assert time.thread_time() - start < 5

    @pytest.mark.parametrize("opening", ["[", '{"a":', '{"resourceSpans":['])
    @pytest.mark.parametrize("closed", [True, False])
    def test_R30_json_nested_a_hundred_thousand_deep_is_refused(self, opening: str, closed: bool) -> None:
        closing = opening.translate(str.maketrans("[{", "]}", '"a:resoucSpn'))[::-1]
        body = opening * 100_000 + ("1" + closing * 100_000 if closed else "")
        with pytest.raises(BadPayload):
            decode_traces(body.encode(), json=True)
        with pytest.raises(BadPayload):
            decode_traces(b'{"resourceSpans":[],"x":' + body.encode() + b"}", json=True)


class TestKeys:
    @both_forms
    def test_R39_a_key_that_comes_again_is_kept_under_a_number(self, as_json: bool) -> None:
        pairs = [make.attributes({"k": number})[0] for number in range(3)] + make.attributes(
            {"k#2": "own", "": "empty"}
        )
        record = one(make.request(make.span(attributes=pairs)), as_json)
        assert record.attributes == {"k": 0, "k#2": 1, "k#3": 2, "k#2#2": "own", "": "empty"}
        assert record.flags == Flag.KEY_REPEATED

    @both_forms
    def test_R39_thousands_of_one_key_take_no_longer_than_as_many_keys(self, as_json: bool) -> None:
        pairs = make.attributes({"k": "v"}) * 20_000
        start = time.thread_time()
        record = one(make.request(make.span(attributes=pairs)), as_json)
        assert len(record.attributes) == 20_000
        assert time.thread_time() - start < 5  # each looking for the next free number took a minute

    @both_forms
    def test_R39_keys_stay_flat(self, as_json: bool) -> None:
        keys = ["a", "a.b", "a.b.c", ".".join("x" * 3000), "list.999999999.x", "__proto__", "__class__", "constructor"]
        record = one(make.request(make.span(having=dict.fromkeys(keys, 1))), as_json)
        assert record.attributes == dict.fromkeys(keys, 1)
