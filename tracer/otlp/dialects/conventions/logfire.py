"""Pydantic AI and Logfire: GenAI attributes, with request, response and older message events under plain names."""

from __future__ import annotations

from typing import Any

from tracer.otlp.dialects import messages, values
from tracer.otlp.dialects.conventions.genai import message_of_event
from tracer.otlp.dialects.dialect import Dialect, Field, Key, always
from tracer.otlp.dialects.fill import fill_tool, request_parameters, tool_definitions
from tracer.otlp.dialects.reading import Content, Kind, Message
from tracer.otlp.dialects.source import Source, as_value

PENDING = "logfire.pending_parent_id"
"""Marks a span that only announces its parent, which has begun and will be sent when it ends: that one's parent."""

_NOT_ARGUMENTS = ("logfire.", "code.", "thread.", "gen_ai.", "otel.")


def content(source: Source, content: Content) -> None:
    """Fill in what Logfire's and Pydantic AI's own attributes say."""
    request, response = source.json("request_data"), source.json("response_data")
    if source.kind is Kind.llm:
        _events(content, source.json("events"))
        if isinstance(request, dict):
            if content.input_messages is None and len(request) > 1:
                content.input_messages = _asked(request)
            content.tools = content.tools or tool_definitions(request.get("tools"))
            request_parameters(content, request)
        if isinstance(response, dict) and content.output_messages is None:
            said = response.get("combined_chunk_content")
            content.output_messages = messages.answers(said if said is not None else response.get("message", response))
    elif source.kind is Kind.agent:
        _run(source, content)
    elif source.kind is Kind.tool:
        arguments, result = source.json("tool_arguments"), source.json("tool_response")
        fill_tool(content, None, None, arguments, result)
        for side, key in (("input", "tool_arguments"), ("output", "tool_response")):
            sent = source.get(key)
            if getattr(content, side) is None and sent is not None:
                setattr(content, side, as_value(sent))
    elif source.kind in (Kind.chain, Kind.other) and source.get("logfire.span_type", "logfire.msg") is not None:
        _call(source, content)


def _asked(request: dict[str, Any]) -> list[Message] | None:
    if not any(key in request for key in ("messages", "input", "prompt", "contents")):
        return None
    return messages.messages(request)


def _events(content: Content, events: object) -> None:
    """Messages as a list of events, each with its name in it."""
    if not isinstance(events, list):
        return
    asked: list[Message] = []
    answered: list[Message] = []
    for event in events:
        if not isinstance(event, dict):
            continue
        sent = {key: value for key, value in event.items() if not key.startswith("gen_ai.message")}
        name = sent.pop("event.name", None)
        made = message_of_event(name if isinstance(name, str) else "", sent)
        if made is not None:
            (answered if name == "gen_ai.choice" else asked).append(made)
    content.input_messages = content.input_messages or asked or None
    content.output_messages = content.output_messages or answered or None


def _run(source: Source, content: Content) -> None:
    """An agent's run: all its messages in one list, and the result apart."""
    found = (
        messages.messages(source.json("pydantic_ai.all_messages")) if source.get("pydantic_ai.all_messages") else None
    )
    if found:
        if content.input_messages is None or all(said.get("role") == "system" for said in content.input_messages):
            first = next((place for place, said in enumerate(found) if said.get("role") == "assistant"), len(found))
            content.input_messages = [*(content.input_messages or ()), *found[:first]] or None
        if content.output_messages is None and found[-1].get("role") == "assistant":
            content.output_messages = [found[-1]]
    else:
        _events(content, source.json("all_messages_events"))
    result = source.get("final_result")
    if content.output is None and result is not None:
        content.output = as_value(result)


def _call(source: Source, content: Content) -> None:
    """A plain Logfire span or a traced function: what was passed to it, and what it returned."""
    if content.input is None:
        passed = {
            key: values.plain(value)
            for key, value in source.attributes.items()
            if not key.startswith(_NOT_ARGUMENTS) and key != "return" and value is not None
        }
        if passed and len(passed) <= 50 and source.get("logfire.json_schema") is not None:
            content.input = as_value({key: values.opened(value) for key, value in passed.items()})
    returned = source.get("return")
    if content.output is None and returned is not None:
        content.output = as_value(returned)


def _span_type(value: object) -> object:
    """A log record in the shape of a span is no step."""
    return Kind.other if value == "log" else None


def _tags(value: object) -> object:
    """An app's tags, without the one that Logfire sets itself."""
    return tuple(tag for tag in values.words(value) or () if tag != "LLM") or None


_AGGREGATED = "gen_ai.aggregated_usage."

DIALECT = Dialect(
    name="logfire",
    rank=90,
    marks=frozenset(
        {
            "logfire.span_type",
            "logfire.msg",
            "logfire.msg_template",
            "logfire.json_schema",
            "pydantic_ai.all_messages",
            "model_request_parameters",
        }
    ),
    facts={
        Field.HINT: (Key("logfire.span_type", _span_type), Key("logfire.msg_template", always(Kind.chain))),
        Field.ANNOUNCES: (PENDING,),
        Field.COST: ("operation.cost",),
        Field.USAGE: ("gen_ai.usage.raw",),
        Field.LIKELY_MODEL: ("model_name",),
        Field.INPUT_TOKENS: (_AGGREGATED + "input_tokens",),
        Field.OUTPUT_TOKENS: (_AGGREGATED + "output_tokens",),
        Field.CACHED_INPUT: (
            "gen_ai.usage.details.cache_read_tokens",
            "gen_ai.usage.details.cached_tokens",
            _AGGREGATED + "cache_read.input_tokens",
        ),
        Field.CACHE_WRITE: ("gen_ai.usage.details.cache_write_tokens", _AGGREGATED + "cache_creation.input_tokens"),
        Field.REASONING: ("gen_ai.usage.details.reasoning_tokens", _AGGREGATED + "details.reasoning_tokens"),
        Field.AUDIO_INPUT: ("gen_ai.usage.details.input_audio_tokens",),
        Field.AUDIO_OUTPUT: ("gen_ai.usage.details.output_audio_tokens",),
        Field.TAGS: (Key("logfire.tags", _tags),),
    },
    content=content,
    roots=frozenset(
        {
            "logfire",
            "pydantic_ai",
            "request_data",
            "response_data",
            "events",
            "all_messages_events",
            "final_result",
            "tool_arguments",
            "tool_response",
        }
    ),
)
