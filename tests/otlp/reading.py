"""What tests of OTLP bodies share: reading one, in both forms."""

from __future__ import annotations

import pytest

from tests import make
from tests.make import Message
from tracer.otlp.decode import DecodedTraces, decode_traces
from tracer.otlp.records import AnyValue, SpanRecord

both_forms = pytest.mark.parametrize("as_json", [True, False], ids=["json", "protobuf"])
INT64 = 2**63 - 1


def decoded(request: Message, as_json: bool) -> DecodedTraces:
    body = make.as_json(request) if as_json else make.as_protobuf(request)
    return decode_traces(body, json=as_json)


def one(request: Message | bytes, as_json: bool = True) -> SpanRecord:
    """The only span of a request."""
    found = decode_traces(request, json=as_json) if isinstance(request, bytes) else decoded(request, as_json)
    assert (len(found.spans), found.rejected.count) == (1, 0), found.rejected.message
    return found.spans[0]


def value_of(value: Message) -> AnyValue:
    """What a value of OTLP/JSON is read as."""
    made = make.span(attributes=[{"key": "it", "value": value}])
    return one(make.request(made)).attributes["it"]
