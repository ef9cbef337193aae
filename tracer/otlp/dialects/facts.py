"""What ingest derives from a span: one walk over its attributes against one table of all conventions' keys."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final, NamedTuple, TypeAlias

from tracer.otlp.dialects import values
from tracer.otlp.dialects.conventions import dialects
from tracer.otlp.dialects.conventions.genai import OPERATIONS
from tracer.otlp.dialects.dialect import DEFAULT_READERS, Field, Key, Reader
from tracer.otlp.dialects.names import kind_by_name
from tracer.otlp.dialects.reading import Facts, Kind
from tracer.otlp.dialects.usage import usage_inside, usage_of
from tracer.otlp.records import Attributes, LogRecord, SpanRecord
from tracer.units import Nanos, NanoUsd

_Spot: TypeAlias = tuple[int, int, Reader, int]
"""Field, place in the order of its field's keys, reader, place of the convention among those that may name a span."""

_NOBODY: Final = 10_000
_LATE: Final = 1_000_000
_BLANK: Final[list[Any]] = [None] * len(Field)
_UNSEEN: Final[list[int]] = [_LATE] * len(Field)
_MAX_METADATA: Final = 100
_MAX_METADATA_TEXT: Final = 2_000
_HEAD: Final = 4_000
_MODEL_INSIDE = re.compile(r'"model(?:_name|_id|Id)?"\s*:\s*"([^"\\]{1,200})"')
_ID_FIRST = re.compile(r'\s*\{\s*"id"\s*:\s*"([^"\\]{1,200})"')
_INTERNAL = re.compile(
    r"ls_|langgraph_|lc_versions$|checkpoint_(?:ns|id)$|__pregel|thread_ts$|finish_reason$"
    r"|LANG(?:SMITH|CHAIN)_|usage_metadata$"
)
_ANSWERS: Final = ("haystack.agent.step.llm.output", "haystack.component.output")
"""Attributes whose JSON names the model that answered, when nothing else does."""

_CALLS: Final = frozenset({Kind.llm, Kind.embedding, Kind.reranker})

# Plain integers, since looking an enum's member up costs more than the whole walk may.
_KIND, _HINT = int(Field.KIND), int(Field.HINT)
_ANSWERED, _REQUESTED, _LIKELY = int(Field.ANSWERED_MODEL), int(Field.REQUESTED_MODEL), int(Field.LIKELY_MODEL)
_PROVIDER, _PARAMETERS, _RESPONSE_ID = int(Field.PROVIDER), int(Field.PARAMETERS), int(Field.RESPONSE_ID)
_USAGE, _REASONING = int(Field.USAGE), int(Field.REASONING)
_INPUT, _OUTPUT = int(Field.INPUT_TOKENS), int(Field.OUTPUT_TOKENS)
_COST, _COST_INPUT, _COST_OUTPUT = int(Field.COST), int(Field.COST_INPUT), int(Field.COST_OUTPUT)
_TTFT, _TTFT_OR_ALL, _FIRST_AT = int(Field.TIME_TO_FIRST), int(Field.TIME_TO_ANSWER), int(Field.FIRST_TOKEN_AT)
_STREAM, _SESSION, _USER = int(Field.STREAM), int(Field.SESSION), int(Field.USER)
_ENVIRONMENT, _RELEASE, _SERVICE = int(Field.ENVIRONMENT), int(Field.RELEASE), int(Field.SERVICE)
_IN_MILLISECONDS, _CACHE_HIT = int(Field.IN_MILLISECONDS), int(Field.CACHE_HIT)
_TAGS, _METADATA, _ANNOUNCES = int(Field.TAGS), int(Field.METADATA), int(Field.ANNOUNCES)


class ResourceFacts(NamedTuple):
    """What spans have from the resource that they share."""

    environment: str | None
    release: str | None
    service: str | None


def read_resource(resource: Attributes) -> ResourceFacts:
    """What ingest derives from a resource. Pure; never raises."""
    return ResourceFacts(
        _first_word(resource, _ENVIRONMENT_KEYS),
        _first_word(resource, _RELEASE_KEYS),
        _first_word(resource, _SERVICE_KEYS),
    )


def read_facts(span: SpanRecord, logs: Sequence[LogRecord] = (), of_resource: ResourceFacts | None = None) -> Facts:
    """What ingest derives from a span and its log records. Pure; never raises, whatever the attributes are.

    `of_resource` is what its resource gave, where that was read already.
    """
    found, order = _BLANK.copy(), _UNSEEN.copy()
    named = _NOBODY
    families: list[str] = []
    table, prefixes = _TABLE, _PREFIXES
    attributes = span.attributes
    for key, value in attributes.items():
        spot = table.get(key)
        if spot is None:
            if key.startswith(prefixes):
                families.append(key)
            continue
        field, place, reader, mark = spot
        if mark < named:
            named = mark
        if place < order[field]:
            fact = reader(value)
            if fact is not None:
                found[field] = fact
                order[field] = place
    if families:
        named = min(named, _from_families(families, attributes, found))
    if logs:
        _from_logs(logs, found)
    kind = _kind(span, found)
    model, response_id = found[_ANSWERED] or found[_REQUESTED], found[_RESPONSE_ID]
    if kind in _CALLS:
        model = model or found[_LIKELY] or _model_inside(found, attributes)
        response_id = response_id or _response_id(attributes)
        if found[_REASONING] is None:
            inside = _usage_inside(attributes)
            if inside is not None and _fits(inside, found):
                found[_USAGE] = {**inside, **(found[_USAGE] or {})}
    cost = found[_COST]
    if cost is None and (found[_COST_INPUT] or found[_COST_OUTPUT]):
        cost = NanoUsd((found[_COST_INPUT] or 0) + (found[_COST_OUTPUT] or 0))
    environment, release, service = read_resource(span.resource) if of_resource is None else of_resource
    metadata = found[_METADATA]
    return Facts(
        dialect=_NAMES.get(named, "otel"),
        kind=kind,
        model=model,
        provider=found[_PROVIDER],
        usage=usage_of(found),
        sent_cost=cost,
        cache_hit=bool(found[_CACHE_HIT]) and kind in _CALLS,
        response_id=response_id,
        time_to_first_token=_time_to_first(span, found),
        session_id=found[_SESSION],
        user_id=found[_USER],
        environment=found[_ENVIRONMENT] or environment,
        release=found[_RELEASE] or release,
        service=service or found[_SERVICE],
        tags=found[_TAGS] or (),
        metadata=_metadata(metadata) if metadata else {},
        announces=span.parent_id if found[_ANNOUNCES] else None,
        announced_parent=_span_id(found[_ANNOUNCES]) if found[_ANNOUNCES] else None,
    )


def _kind(span: SpanRecord, found: list[Any]) -> Kind:
    """What is said outright; else what follows from what the span carries; else from its name."""
    kind: Kind | None = found[_KIND]
    if kind is not None:
        return kind
    hint: Kind | None = found[_HINT]
    if hint is not None and hint is not Kind.other and hint is not Kind.chain:
        return hint
    if found[_ANSWERED] or found[_REQUESTED] or found[_INPUT] is not None or found[_OUTPUT] is not None:
        return Kind.embedding if "embed" in span.name[:200].lower() else Kind.llm
    if hint is None or hint is Kind.chain:
        by_name = kind_by_name(span.name)
        if by_name is not None:
            return by_name
    if hint is None:
        operation, space, rest = span.name[:200].partition(" ")
        if space and rest and operation in _NAMED_OPERATIONS:
            return OPERATIONS[operation]
        return Kind.other
    return hint


def _model_inside(found: list[Any], attributes: Attributes) -> str | None:
    """The model asked for, when only the request's own JSON names it."""
    for sent in (found[_PARAMETERS], attributes.get("input.value"), attributes.get("mlflow.spanInputs")):
        if isinstance(sent, str) and sent[:1] == "{":
            inside = _MODEL_INSIDE.search(sent, 0, _HEAD)
            if inside is not None:
                return inside.group(1)
        elif isinstance(sent, dict):
            inside_of = values.text(sent.get("model")) or values.text(sent.get("model_name"))
            if inside_of is not None:
                return inside_of
    for key in _ANSWERS:
        answer = attributes.get(key)
        if isinstance(answer, str):
            inside = _MODEL_INSIDE.search(answer, 0, _HEAD) or _MODEL_INSIDE.search(answer[-_HEAD:])
            return inside.group(1) if inside is not None else None
    return None


def _response_id(attributes: Attributes) -> str | None:
    """The answer's id, when the answer's own JSON begins with it."""
    for key in ("output.value", "mlflow.spanOutputs"):
        sent = attributes.get(key)
        if isinstance(sent, str):
            first = _ID_FIRST.match(sent)
            if first is not None:
                return first.group(1)
    return None


def _usage_inside(attributes: Attributes) -> dict[str, Any] | None:
    """Token counts that only the answer's own JSON has."""
    sent = attributes.get("mlflow.spanOutputs")
    return usage_inside(sent if sent is not None else attributes.get("output.value"))


def _fits(inside: dict[str, Any], found: list[Any]) -> bool:
    """Whether the answer's own counts are of the call that the span tells of: its input and output are the same."""
    if found[_USAGE] is not None:
        return True
    counts = usage_of([None if place != _USAGE else inside for place in range(len(found))])
    sent = (found[_INPUT], found[_OUTPUT])
    return sent == (None, None) or (counts is not None and sent == (counts.input, counts.output))


def _time_to_first(span: SpanRecord, found: list[Any]) -> Nanos | None:
    if found[_TTFT] is not None:
        return found[_TTFT]
    if found[_TTFT_OR_ALL] is not None:
        if found[_IN_MILLISECONDS]:
            return Nanos(found[_TTFT_OR_ALL] // 1_000)
        if found[_STREAM]:
            return found[_TTFT_OR_ALL]
    start = span.start_time
    if found[_FIRST_AT] is not None:
        return _since(start, found[_FIRST_AT])
    for event in span.events:
        name = event.name
        if name in _FIRST_TOKEN_EVENTS or name.startswith("mlflow.chunk.item."):
            return _since(start, event.time)
    return None


def _span_id(word: str) -> bytes | None:
    """A span id out of its 16 hexadecimal digits; None for a text that is none, and for the id of no span."""
    try:
        identity = bytes.fromhex(word)
    except ValueError:
        return None
    return identity if len(identity) == 8 and any(identity) else None


def _since(start: int, instant: int) -> Nanos | None:
    length = instant - start
    return Nanos(length) if start > 0 and 0 <= length <= values.MAX_SECONDS * 10**9 else None


def _from_logs(logs: Sequence[LogRecord], found: list[Any]) -> None:
    """The few facts that clients put on log events alone."""
    for record in logs:
        for field, keys in _LOG_KEYS:
            if found[field] is None:
                found[field] = _first_word(record.attributes, keys)


def _from_families(keys: list[str], attributes: Attributes, found: list[Any]) -> int:
    """Collect open-ended keys as metadata; returns the place of the convention they tell."""
    named = _NOBODY
    metadata: dict[str, Any] = {}
    for key in keys:
        for prefix, (field, mark) in _FAMILIES.items():
            if key.startswith(prefix):
                named = min(named, mark)
                if field == _METADATA and len(metadata) < _MAX_METADATA:
                    metadata[key[len(prefix) :]] = attributes[key]
                break
    if metadata:
        found[_METADATA] = {**metadata, **(found[_METADATA] or {})}
    return named


def _metadata(sent: dict[str, Any]) -> dict[str, Any]:
    """What an app said about a run, without what frameworks note for themselves; long texts are cut."""
    kept: dict[str, Any] = {}
    for key, value in sent.items():
        if not isinstance(key, str) or not key or value is None or _INTERNAL.match(key):
            continue
        if isinstance(value, str) and value[:1] == '"':
            value = values.opened(value)
        if isinstance(value, str):
            kept[key[:200]] = value if len(value) <= _MAX_METADATA_TEXT else value[: _MAX_METADATA_TEXT - 1] + "…"
        elif isinstance(value, int | float):
            kept[key[:200]] = values.plain(value)
        else:
            value = values.plain(value)
            text = values.compact(value)
            kept[key[:200]] = value if len(text) <= _MAX_METADATA_TEXT else text[: _MAX_METADATA_TEXT - 1] + "…"
        if len(kept) == _MAX_METADATA:
            break
    return kept


def _first_word(attributes: Attributes, keys: tuple[str, ...]) -> str | None:
    for key in keys:
        value = attributes.get(key)
        if value is not None:
            word = values.text(value)
            if word is not None:
                return word
    return None


def _build() -> tuple[dict[str, _Spot], dict[str, tuple[int, int]], dict[int, str], frozenset[str]]:
    """One table out of all conventions': key -> spot; prefix -> (field, mark); mark -> name; first-token events."""
    table: dict[str, _Spot] = {}
    families: dict[str, tuple[int, int]] = {}
    names: dict[int, str] = {}
    events: set[str] = set()
    for number, dialect in enumerate(dialects()):
        mark = number + (1_000 if dialect.base else 0)
        names[mark] = dialect.name
        events |= dialect.first_token_events
        for field, keys in dialect.facts.items():
            for place, key in enumerate(keys):
                name, reader = key if isinstance(key, Key) else (key, DEFAULT_READERS.get(field, values.text))
                marking = mark if name in dialect.marks else _NOBODY
                table.setdefault(name, (int(field), number * 100 + place, reader, marking))
        for name in dialect.marks:
            table.setdefault(name, (int(Field.MARK), 0, DEFAULT_READERS[Field.MARK], mark))
        for prefix, field in dialect.families.items():
            families[prefix] = (int(field), mark)
    return table, families, names, frozenset(events)


_TABLE, _FAMILIES, _NAMES, _FIRST_TOKEN_EVENTS = _build()
_PREFIXES: Final = tuple(_FAMILIES)
_NAMED_OPERATIONS: Final = frozenset(
    {"chat", "text_completion", "generate_content", "embeddings", "execute_tool", "invoke_agent", "invoke_workflow"}
)
_ENVIRONMENT_KEYS: Final = ("deployment.environment.name", "deployment.environment", "langfuse.environment")
_RELEASE_KEYS: Final = ("service.version", "langfuse.release")
_SERVICE_KEYS: Final = ("service.name",)
_LOG_KEYS: Final = (
    (_SESSION, ("session.id", "gen_ai.conversation.id")),
    (_USER, ("user.id", "enduser.id")),
    (_RESPONSE_ID, ("gen_ai.response.id",)),
)
