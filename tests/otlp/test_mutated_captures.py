"""What real clients sent, mutated on the wire: every span is stored or counted as refused, and can be read."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.counts import counted
from tests.otlp.dialects.spans import PAYLOADS
from tracer.ingest.prepare import prepare
from tracer.otlp.decode import decode_traces
from tracer.otlp.dialects import content as content_module
from tracer.otlp.dialects import read_content
from tracer.prices import PriceBook

PRICES = PriceBook()
TEXTS = ("", "x", "\x00", "\ud7ff", "[", "{}", "[]", "null", "NaN", '"\\ud800"', "1e999", "{" * 500, "é" * 5_000, "\\")
NUMBERS = (0, -1, 1, 2**31, 2**63 - 1, -(2**63))
PER_BATCH = 50


def captured() -> Iterator[Span]:
    for path in sorted(PAYLOADS.glob("*/*.otlp.pb")):
        if ".logs." not in path.name and ".metrics." not in path.name:
            request = ExportTraceServiceRequest.FromString(path.read_bytes())
            for resource in request.resource_spans:
                for scope in resource.scope_spans:
                    yield from scope.spans


SPANS = list(captured())
ATTRIBUTES = [pair for span in SPANS for pair in span.attributes]


def value(rng: random.Random, depth: int = 0) -> AnyValue:
    dice = rng.randrange(7 if depth < 3 else 5)
    if dice == 0:
        return AnyValue(string_value=rng.choice(TEXTS))
    if dice == 1:
        return AnyValue(int_value=rng.choice(NUMBERS))
    if dice == 2:
        return AnyValue(double_value=rng.choice((0.0, float("nan"), float("inf"), 1e308, -1.5)))
    if dice == 3:
        return AnyValue(bytes_value=rng.randbytes(rng.randrange(9)))
    if dice == 4:
        return AnyValue() if rng.random() < 0.5 else AnyValue(bool_value=True)
    made = AnyValue()
    for number in range(rng.randrange(4)):
        if dice == 5:
            made.array_value.values.append(value(rng, depth + 1))
        else:
            made.kvlist_value.values.add(key=rng.choice(("role", "content", "type", str(number)))).value.CopyFrom(
                value(rng, depth + 1)
            )
    return made


def cut(text: str, rng: random.Random) -> str:
    if rng.random() < 0.5 or not text:
        return text[: rng.randrange(len(text) + 1)]
    place = rng.randrange(len(text))
    return text[:place] + rng.choice('{}[]":,\\x') + text[place + rng.randrange(3) :]


def mutate(span: Span, rng: random.Random) -> Span:
    made = Span()
    made.CopyFrom(span)
    for _ in range(rng.randint(1, 4)):
        dice = rng.random()
        if dice < 0.35 and made.attributes:
            rng.choice(made.attributes).value.CopyFrom(value(rng))
        elif dice < 0.55 and made.attributes:
            one = rng.choice(made.attributes).value
            if one.HasField("string_value"):
                one.string_value = cut(one.string_value, rng)
        elif dice < 0.75:
            made.attributes.append(rng.choice(ATTRIBUTES))
        elif dice < 0.8 and made.attributes:
            rng.choice(made.attributes).key = rng.choice((*TEXTS[:4], rng.choice(ATTRIBUTES).key))
        elif dice < 0.85:
            made.start_time_unix_nano, made.end_time_unix_nano = (rng.choice((0, 1, 2**63, 2**64 - 1)) for _ in "ab")
        elif dice < 0.9:
            made.name = rng.choice(TEXTS)
            made.kind = rng.choice((Span.SPAN_KIND_UNSPECIFIED, Span.SPAN_KIND_CONSUMER))
        elif dice < 0.95:
            made.parent_span_id = rng.choice((b"", made.span_id, bytes(8), b"short", rng.randbytes(8)))
        else:
            event = made.events.add(name=rng.choice(("exception", "gen_ai.choice", "")), time_unix_nano=2**64 - 1)
            event.attributes.add(key=rng.choice(ATTRIBUTES).key).value.CopyFrom(value(rng))
    if rng.random() < 0.02:
        made.span_id = rng.choice((b"", bytes(8), b"four"))
    return made


def test_no_mutated_span_is_lost_and_each_can_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content_module, "reraise", True)
    rng = random.Random(71_946)
    for _ in range(counted(16, 2_000)):
        request = ExportTraceServiceRequest()
        into = request.resource_spans.add().scope_spans.add()
        into.spans.extend(mutate(rng.choice(SPANS), rng) for _ in range(PER_BATCH))
        decoded = decode_traces(request.SerializeToString(), json=False)
        assert len(decoded.spans) + decoded.rejected.count == PER_BATCH
        prepared = prepare(decoded.spans, asked_project=None, prices=PRICES)
        assert len(prepared) == len(decoded.spans)
        for one in prepared:
            told: dict[str, Any] = {"previews": one.previews(), "metadata": one.facts.metadata}
            content = read_content(one.record, one.logs)
            told["messages"] = [content.input_messages, content.output_messages]
            told |= {"tool": content.tool, "documents": content.documents, "parameters": content.parameters}
            json.dumps(told, allow_nan=False, ensure_ascii=False).encode()
