"""A convention that is passed over, since a step has none of its keys, would have had nothing to say."""

from __future__ import annotations

import random

import pytest

from tests.counts import counted
from tests.otlp.dialects.spans import content_of, scenario, scenarios
from tracer.otlp.dialects import content as reading
from tracer.otlp.dialects import flattened, source
from tracer.otlp.dialects.content import read_content
from tracer.otlp.records import AnyValue, SpanRecord


class Every(frozenset[str]):
    """First words of keys among which each one is."""

    def __contains__(self, root: object) -> bool:
        return True

    def isdisjoint(self, roots: object) -> bool:
        return False


def asking_everyone(span: SpanRecord, monkeypatch: pytest.MonkeyPatch) -> object:
    with monkeypatch.context() as patch:
        patch.setattr(reading, "_readers_of", lambda roots: reading._READERS)
        patch.setattr(source, "shape_of", lambda keys: source.Shape(Every(), flattened.by_prefix(keys)))
        return read_content(span)


def test_what_clients_sent_reads_the_same_when_every_convention_is_asked(monkeypatch):
    for name in scenarios():
        for span in scenario(name).spans.values():
            assert content_of(span, []) == asking_everyone(span, monkeypatch), name


def test_mixed_keys_of_many_clients_read_the_same_when_every_convention_is_asked(monkeypatch):
    spans = [span for name in scenarios() for span in scenario(name).spans.values()]
    pool: list[tuple[str, AnyValue]] = [item for span in spans for item in span.attributes.items()]
    chance = random.Random(7)
    for _ in range(counted(400, 20_000)):
        span = chance.choice(spans)
        kept = {key: value for key, value in span.attributes.items() if chance.random() < 0.7}
        kept |= dict(chance.sample(pool, chance.randint(0, 4)))
        mixed = SpanRecord(
            span.trace_id, span.span_id, None, span.name, 1, 1, 2, 0, "", kept, [], [], span.resource, span.scope
        )

        assert read_content(mixed) == asking_everyone(mixed, monkeypatch), sorted(kept)
