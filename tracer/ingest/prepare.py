"""Turns records into what the writer needs, off the writer's thread: facts, columns, an encoded body."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence

import msgspec

from tracer.otlp.assemble import is_running
from tracer.otlp.dialects import ResourceFacts, preview, read_facts, read_resource
from tracer.otlp.dialects.reading import CALL_KINDS, Facts
from tracer.otlp.records import STATUS_ERROR, Attributes, LogRecord, SpanRecord
from tracer.prices import PriceBook
from tracer.store.bodies import BodyEncoder, EncodedBody
from tracer.store.models import Status
from tracer.units import NanoUsd, UnixNanos

PARTIAL_OUTPUT_LIMIT = 65_536
"""Characters of a growing output that are kept: its end."""

DEFAULT_PROJECT = "default"
NAME_LIMIT = 200


class Price(msgspec.Struct, frozen=True, gc=False):
    """What a model call cost, and who says so; None for unknown.

    `computed` from prices, `sent` by the client, or `cache`: nothing, since the app's own cache answered.
    """

    total: NanoUsd | None = None
    input: NanoUsd | None = None
    output: NanoUsd | None = None
    source: str | None = None


NO_PRICE = Price()
_RUNNING = Status.running
CACHED = Price(NanoUsd(0), source="cache")


class PreparedSpan(msgspec.Struct, gc=False):
    """A span on its way to the writer."""

    project: str
    record: SpanRecord
    facts: Facts
    price: Price
    body: EncodedBody
    status: Status
    seq: int | None
    """Set on a running version: the higher one wins."""
    partial_output: str | None
    logs: list[LogRecord] = []

    @property
    def running(self) -> bool:
        """True when this version announces a step that has not ended."""
        return self.status is _RUNNING

    @property
    def order(self) -> tuple[int, bytes]:
        """What decides between steps: the start, then the id."""
        return (self.record.start_time, self.record.span_id)

    def previews(self) -> tuple[str | None, str | None]:
        """The one-line input and output that lists show."""
        found_in, found_out = preview(self.record, self.facts, self.logs)
        if self.running and self.partial_output and not found_out:
            found_out = " ".join(self.partial_output[-400:].split())[-200:]
        return found_in, found_out

    def beats(self, other: PreparedSpan) -> bool:
        """Tell which of two versions of one span stays: finished beats running, then the higher seq, then the first."""
        if self.running != other.running:
            return other.running
        return self.running and (self.seq or 0) > (other.seq or 0)


def project_of(record: SpanRecord | LogRecord, asked: str | None) -> str:
    """The project's name: the header's, else the resource's or the span's own word for it, else `default`."""
    return asked or named_in(record.resource) or named_in(record.attributes) or DEFAULT_PROJECT


def overruled(records: Sequence[SpanRecord | LogRecord], *, asked: str | None, bound: Collection[str]) -> int:
    """How many records name another project than the one that their key is bound to; `bound` are all its names."""
    if asked is not None and asked.strip():
        return len(records) if project_name(asked) not in bound else 0
    # Records share their resources: each is asked once for its project.
    of_resource = {id(record.resource): named_in(record.resource) for record in records}
    named = (of_resource[id(record.resource)] or named_in(record.attributes) for record in records)
    return sum(name is not None and name not in bound for name in named)


def named_in(attributes: Attributes) -> str | None:
    """The project that attributes name; None when they name none."""
    for key in ("stepscope.project", "openinference.project.name"):
        name = attributes.get(key)
        if isinstance(name, str) and name.strip():
            return project_name(name)
    return None


def project_name(text: str) -> str:
    """A name from outside: white space at its ends taken off, cut with a mark at 200 characters."""
    text = text.strip()
    return text if len(text) <= NAME_LIMIT else text[: NAME_LIMIT - 1] + "…"


def prepare(
    records: list[SpanRecord], *, asked_project: str | None, prices: PriceBook, moved: frozenset[str] = frozenset()
) -> list[PreparedSpan]:
    """Read each record's facts and price, and encode its body.

    `asked_project` is the header's, None when it was not sent; what is for a project in `moved` goes to `default`.
    """
    encoder = BodyEncoder()
    asked = project_name(asked_project) if asked_project and asked_project.strip() else None
    # Spans share their resources: each is read once.
    resources = {id(record.resource): record.resource for record in records}
    shared = {key: (asked or named_in(resource), read_resource(resource)) for key, resource in resources.items()}
    prepared = [_prepare(record, encoder, *shared[id(record.resource)], prices) for record in records]
    if moved:
        for span in prepared:
            if span.project in moved:
                span.project = DEFAULT_PROJECT
    return prepared


def price_of(record: SpanRecord, facts: Facts, prices: PriceBook) -> Price:
    """A model call's cost: what the client sent, unless the user's own prices name the model, else computed."""
    if facts.kind not in CALL_KINDS:
        return NO_PRICE
    if facts.cache_hit:
        return CACHED
    at = UnixNanos(record.start_time)
    if facts.sent_cost is not None and not prices.names_own(facts.model, facts.provider, at):
        return Price(facts.sent_cost, source="sent")
    cost = prices.cost_of(facts.model, facts.provider, facts.usage, at)
    return NO_PRICE if cost is None else Price(cost.total, cost.input, cost.output, "computed")


def _prepare(
    record: SpanRecord, encoder: BodyEncoder, asked: str | None, of_resource: ResourceFacts, prices: PriceBook
) -> PreparedSpan:
    facts = read_facts(record, of_resource=of_resource)
    running = is_running(record)
    seq: int | None = None
    partial: str | None = None
    if facts.announces is not None:
        # Another client's placeholder: the running step that it announces, never a step of its own.
        record.span_id, record.end_time, running, seq = facts.announces, 0, True, 0
        if record.parent_id == record.span_id:
            record.parent_id = facts.announced_parent
    elif running:
        found = record.attributes["stepscope.seq"]
        seq = found if isinstance(found, int) else 0
        text = record.attributes.get("stepscope.output.partial")
        partial = text[-PARTIAL_OUTPUT_LIMIT:] if isinstance(text, str) else None
    return PreparedSpan(
        asked or project_of(record, None),
        record,
        facts,
        NO_PRICE if running else price_of(record, facts, prices),
        encoder.encode(record, running=running),
        Status.running if running else _status(record.status_code),
        seq,
        partial,
    )


_STATUSES = (Status.unset, Status.ok, Status.error)


def _status(code: int) -> Status:
    return _STATUSES[code] if 0 <= code <= STATUS_ERROR else Status.unset


# One encoder for all: `json.dumps` makes a new one for each value.
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False, default=str).encode


def as_json(value: object) -> str:
    """Compact JSON for a text column; what JSON cannot say (NaN, bytes) becomes text."""
    try:
        return _encode(value)
    except ValueError:
        return _encode(str(value))
