"""OpenTelemetry's GenAI semantic conventions: current attributes, the older event forms on spans and in logs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from tracer.otlp.dialects import documents, messages, values
from tracer.otlp.dialects.dialect import Dialect, Field, Key, always, one_of, roots_of
from tracer.otlp.dialects.fill import fill_tool, tool_definitions
from tracer.otlp.dialects.parts import content_text
from tracer.otlp.dialects.reading import Content, Kind, Message, Value
from tracer.otlp.dialects.source import JSON_MIME, Source, as_value
from tracer.otlp.records import Attributes

OPERATIONS: Mapping[str, Kind] = {
    "chat": Kind.llm,
    "chat.completions": Kind.llm,
    "text.completions": Kind.llm,
    "chat.streaming_completions": Kind.llm,
    "text.streaming_completions": Kind.llm,
    "text_completion": Kind.llm,
    "text_completions": Kind.llm,
    "completion": Kind.llm,
    "generate_content": Kind.llm,
    "generate": Kind.llm,
    "message": Kind.llm,
    "responses": Kind.llm,
    "realtime": Kind.llm,
    "image_generation": Kind.llm,
    "speech": Kind.llm,
    "transcription": Kind.llm,
    "embeddings": Kind.embedding,
    "embedding": Kind.embedding,
    "execute_tool": Kind.tool,
    "tool": Kind.tool,
    "retrieval": Kind.retriever,
    "retrieve": Kind.retriever,
    "vector_db_retrieve": Kind.retriever,
    "rerank": Kind.reranker,
    "invoke_agent": Kind.agent,
    "agent": Kind.agent,
    "create_agent": Kind.other,
    "invoke_workflow": Kind.chain,
    "workflow": Kind.chain,
    "execute_task": Kind.chain,
    "execute_event_loop_cycle": Kind.chain,
    "agent_step": Kind.chain,
    "task": Kind.chain,
    "chain": Kind.chain,
    "framework": Kind.chain,
    "evaluate": Kind.evaluator,
    "evaluation": Kind.evaluator,
    "guardrail": Kind.guardrail,
    "apply_guardrail": Kind.guardrail,
}
"""Operation names: those of the conventions first, then those that clients made up."""

PARAMETERS = "gen_ai.request."
_NOT_PARAMETERS = frozenset(
    {"model", "structured_output_schema", "type", "instructions", "system_instruction", "functions", "tools", "headers"}
)
_DETAILS = "gen_ai.client.inference.operation.details"
_MESSAGE_EVENTS = {
    "gen_ai.system.message": "system",
    "gen_ai.developer.message": "developer",
    "gen_ai.user.message": "user",
    "gen_ai.assistant.message": "assistant",
    "gen_ai.tool.message": "tool",
}
_CHOICE = "gen_ai.choice"
_ARGUMENTS = ("gen_ai.tool.call.arguments", "gen_ai.tool.args", "gen_ai.tool.arguments", "gen_ai.tool.input")
_RESULTS = ("gen_ai.tool.call.result", "gen_ai.tool.result", "gen_ai.tool.output")
_INSTRUCTIONS = (
    "gen_ai.system_instructions",
    "gen_ai.system.instructions",
    "gen_ai.system_instruction",
    "gen_ai.request.system_instruction",
    "gen_ai.request.instructions",
)
_PLAIN_VALUES = {
    "input": ("gen_ai.workflow.input", "gen_ai.guardrail.input", "gen_ai.execution.input"),
    "output": ("gen_ai.workflow.output", "gen_ai.guardrail.output", "gen_ai.execution.output"),
}
"""Keys of steps that are no calls, whose values are taken as they are."""

_SAID_IN = roots_of(
    "gen_ai.input.messages",
    "gen_ai.output.messages",
    "gen_ai.prompt",
    "gen_ai.completion",
    *_PLAIN_VALUES["input"],
    *_PLAIN_VALUES["output"],
)
"""The first two words of the keys that hold what was said."""

_OLDEST = {"gen_ai.content.prompt": "gen_ai.prompt", "gen_ai.content.completion": "gen_ai.completion"}


def content(source: Source, content: Content) -> None:
    """Fill in what GenAI attributes, span events and log events say."""
    details = _details(source) if source.events or source.logs else {}
    if source.events or source.logs or not source.roots.isdisjoint(_SAID_IN):
        _conversation(source, content, details)
        _values(source, content)
    _instruct(source, content, details)
    if not content.tools:
        sent, full = (tool_definitions(one("gen_ai.tool.definitions")) for one in (source.json, details.get))
        content.tools = full if full and not any("schema" in tool for tool in sent) else sent
    _parameters(source, content)
    if not content.finish_reasons:
        reasons = source.get("gen_ai.response.finish_reasons", "gen_ai.response.finish_reason")
        reasons = details.get("gen_ai.response.finish_reasons") if reasons is None else reasons
        content.finish_reasons = list(values.words(reasons) or ())
    if source.kind is Kind.tool:
        _tool(source, content, details)
    elif source.kind is Kind.retriever:
        _documents(source, content)
    elif source.kind is Kind.embedding and not content.embeddings:
        size = values.count(source.get("gen_ai.embeddings.dimension.count"))
        if size is not None:
            content.embeddings = [{"dimensions": size}]
    if content.prompt is None and source.word("gen_ai.prompt.name"):
        version = source.word("gen_ai.prompt.version")
        content.prompt = {"name": source.word("gen_ai.prompt.name")} | ({"version": version} if version else {})
    if not content.scores and (source.events or source.logs):
        content.scores = _scores(source)


def _conversation(source: Source, content: Content, details: dict[str, Any]) -> None:
    """Messages: on the span, in the event that describes the call, in events of their own, in the oldest attributes."""
    for one in (source.json, details.get):
        if content.input_messages is None:
            content.input_messages = _messages(one("gen_ai.input.messages"), "user")
        if content.output_messages is None:
            content.output_messages = _messages(one("gen_ai.output.messages"), "assistant")
    if content.input_messages is None or content.output_messages is None:
        _from_events(source, content)
    if source.kind is Kind.llm:
        if content.input_messages is None:
            content.input_messages = messages.messages(source.json("gen_ai.prompt"))
        if content.output_messages is None:
            content.output_messages = messages.answers(source.json("gen_ai.completion"))


def _instruct(source: Source, content: Content, details: dict[str, Any]) -> None:
    """Lead the conversation with the instructions that were sent apart from it."""
    instructions = source.json(*_INSTRUCTIONS) or details.get("gen_ai.system_instructions")
    if instructions and (content.input_messages or source.kind in (Kind.llm, Kind.agent)):
        content.input_messages = messages.with_system(instructions, content.input_messages)


def _messages(sent: object, role: str) -> list[Message] | None:
    """Messages of an attribute that should hold a list of them; a client's other use of the key gives None."""
    if isinstance(sent, dict) and ("role" in sent or "parts" in sent or "messages" in sent):
        return messages.messages(sent, role)
    if not isinstance(sent, list) or not sent:
        return None
    if not all(isinstance(entry, dict) and ("role" in entry or "parts" in entry) for entry in sent):
        return None
    return messages.messages(sent, role)


def _details(source: Source) -> dict[str, Any]:
    """The attributes of the log or span event that describes the whole call, as JSON values."""
    found: dict[str, Any] = {}
    for name, attributes in _named(source):
        if name == _DETAILS:
            for key, value in attributes.items():
                if key.startswith("gen_ai.") and key not in found:
                    found[key] = values.opened(values.plain(value))
    return found


def _named(source: Source) -> list[tuple[str, Attributes]]:
    """Names and attributes of the span's events and of its log records, in order of time within each."""
    found = [(event.name, event.attributes) for event in source.events]
    in_order = sorted(source.logs, key=lambda record: record.time)
    return found + [(_event_name(record.event_name, record.attributes), record.attributes) for record in in_order]


def _event_name(name: str, attributes: Attributes) -> str:
    named = name or attributes.get("event.name")
    return named if isinstance(named, str) else ""


def _from_events(source: Source, content: Content) -> None:
    """Messages that came one by one, in log records (body) or span events (attributes)."""
    asked: list[Message] = []
    answered: list[Message] = []
    bodies: list[tuple[str, object]] = [(event.name, event.attributes) for event in source.events]
    for record in sorted(source.logs, key=lambda record: record.time):
        body = record.body if isinstance(record.body, (dict, str)) and record.body else record.attributes
        bodies.append((_event_name(record.event_name, record.attributes), body))
    for name, sent in bodies:
        if name not in _MESSAGE_EVENTS and name != _CHOICE and name not in _OLDEST:
            continue
        body = values.opened(values.plain(sent))
        if name in _OLDEST:
            text = body.get(_OLDEST[name]) if isinstance(body, dict) else body
            found = messages.messages(text, "user") if name == "gen_ai.content.prompt" else messages.answers(text)
            (asked if name == "gen_ai.content.prompt" else answered).extend(found or ())
        else:
            made = message_of_event(name, body)
            if made is not None:
                (answered if name == _CHOICE else asked).append(made)
    if content.input_messages is None and asked:
        content.input_messages = asked
    if content.output_messages is None and answered:
        content.output_messages = answered


def message_of_event(name: str, body: object) -> Message | None:
    """The message in one event of the older form: its name tells the role, its body the rest."""
    if isinstance(body, dict) and "gen_ai.event.content" in body:
        body = values.opened(body["gen_ai.event.content"])
    if name == _CHOICE:
        return _choice(body)
    role = _MESSAGE_EVENTS.get(name)
    return _one(body, role) if role is not None else None


def _one(body: object, role: str) -> Message | None:
    if not isinstance(body, dict):
        return messages.message(body, role)
    sent: dict[str, Any] = {key: value for key, value in body.items() if not key.startswith("gen_ai.")}
    said = sent.get("content")
    if isinstance(said, str) and said[:1] in ("[", "{"):
        blocks = values.opened(said)
        if isinstance(blocks, list) and blocks and all(isinstance(block, dict) for block in blocks):
            sent["content"] = blocks
    sent["tool_calls"] = values.opened(sent.get("tool_calls"))
    sent.setdefault("role", role)
    sent.setdefault("content", None)
    return messages.message(sent, role)


def _choice(body: object) -> Message | None:
    if not isinstance(body, dict):
        return messages.message(body, "assistant")
    inner = values.opened(body.get("message", body.get("content")))
    sent: dict[str, Any]
    if isinstance(inner, dict) and ("role" in inner or "content" in inner or "tool_calls" in inner):
        sent = dict(inner)
    else:
        sent = {"content": inner}
    if "tool_calls" not in sent and body.get("tool_calls") is not None:
        sent["tool_calls"] = values.opened(body["tool_calls"])
    made = _one(sent, "assistant")
    finish = body.get("finish_reason")
    if made is not None and isinstance(finish, str) and finish:
        made["finish_reason"] = finish
    return made


def _values(source: Source, content: Content) -> None:
    """Input and output from the message attributes, also where a client puts a plain return value there."""
    for side, key in (("input", "gen_ai.input.messages"), ("output", "gen_ai.output.messages")):
        if getattr(content, side) is not None or source.get(key) is None:
            continue
        sent = source.get(key)
        value = (
            as_value(sent)
            if isinstance(sent, str)
            else Value(JSON_MIME, source.json(key), values.compact(values.plain(sent)))
        )
        setattr(content, side, value)
    for side, keys in _PLAIN_VALUES.items():
        sent = source.get(*keys)
        if getattr(content, side) is None and sent is not None:
            setattr(content, side, as_value(sent))


def _parameters(source: Source, content: Content) -> None:
    for name, sent in source.below(PARAMETERS).items():
        if name.partition(".")[0] not in _NOT_PARAMETERS and sent is not None and sent != "" and sent != []:
            content.parameters.setdefault(name, values.plain(sent))
    schema = source.json("gen_ai.request.structured_output_schema")
    if schema is None:
        schema = source.json("gen_ai.openai.request.response_format", "gen_ai.output.type")
    if schema is not None and schema != "text":
        content.parameters.setdefault("response_format", schema)


def _tool(source: Source, content: Content, details: dict[str, Any]) -> None:
    arguments = source.json(*_ARGUMENTS)
    result = source.json(*_RESULTS)
    if arguments is None:
        arguments = details.get("gen_ai.tool.call.arguments")
    if result is None:
        result = details.get("gen_ai.tool.call.result")
    if arguments is None:
        arguments = _said_of_tool(content.input_messages, "tool_call", "arguments")
    if result is None:
        result = _said_of_tool(content.output_messages, "tool_call_response", "response")
    fill_tool(content, source.word("gen_ai.tool.name"), source.word("gen_ai.tool.call.id"), arguments, result)
    if content.input is None and source.get(*_ARGUMENTS) is not None:
        content.input = as_value(source.get(*_ARGUMENTS))
    if content.output is None and source.get(*_RESULTS) is not None:
        content.output = as_value(source.get(*_RESULTS))


def _said_of_tool(found: list[Message] | None, kind: str, key: str) -> object:
    """A run's arguments or result out of messages: in a part of that kind, else in a text that may be JSON."""
    parts = [part for message in found or () for part in message["parts"]]
    for part in parts:
        if part["type"] == kind:
            return part.get(key)
    for part in parts:
        if part["type"] == "tool_call_response":
            return values.opened(part.get("response"))
        if part["type"] == "text":
            return values.opened(part.get("content"))
    return None


def _documents(source: Source, content: Content) -> None:
    if content.documents is None:
        content.documents = documents.documents(source.json("gen_ai.retrieval.documents"))
    query = source.text("gen_ai.retrieval.query.text", "gen_ai.retrieval.query")
    if content.input is None and query is not None:
        content.input = as_value(query, "text/plain")


def _scores(source: Source) -> list[dict[str, Any]]:
    found = []
    for name, attributes in _named(source):
        if name == "gen_ai.evaluation.result" and attributes.get("gen_ai.evaluation.name") is not None:
            value = values.number(attributes.get("gen_ai.evaluation.score.value"))
            score: dict[str, Any] = {
                "name": content_text(attributes["gen_ai.evaluation.name"]),
                "value": value if value is not None else values.text(attributes.get("gen_ai.evaluation.score.label")),
            }
            comment = values.text(attributes.get("gen_ai.evaluation.explanation"))
            found.append(score | {"comment": comment} if comment else score)
    return found


_APIS = re.compile(r"(?<=.)[.](?:chat|completion|responses|messages|embeddings?|generative-ai|image)$")


def _maker(value: object) -> str | None:
    """Who makes the model: `openai.chat`, as some clients say, is openai's."""
    word = values.text(value)
    return _APIS.sub("", word) if word is not None else None


DIALECT = Dialect(
    name="genai",
    rank=20,
    base=True,
    marks=frozenset({"gen_ai.operation.name", "gen_ai.provider.name", "gen_ai.system", "gen_ai.request.model"}),
    facts={
        Field.KIND: (Key("gen_ai.operation.name", one_of(OPERATIONS)),),
        Field.HINT: (
            Key("gen_ai.embeddings.dimension.count", always(Kind.embedding)),
            Key("gen_ai.retrieval.query.text", always(Kind.retriever)),
            Key("gen_ai.retrieval.query", always(Kind.retriever)),
            Key("gen_ai.tool.call.result", always(Kind.tool)),
            Key("gen_ai.guardrail.name", always(Kind.guardrail)),
        ),
        Field.ANSWERED_MODEL: ("gen_ai.response.model",),
        Field.REQUESTED_MODEL: ("gen_ai.request.model",),
        Field.PROVIDER: ("gen_ai.provider.name", Key("gen_ai.system", _maker)),
        Field.INPUT_TOKENS: ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens"),
        Field.OUTPUT_TOKENS: ("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens"),
        Field.TOTAL_TOKENS: ("gen_ai.usage.total_tokens",),
        Field.CACHED_INPUT: (
            "gen_ai.usage.cache_read.input_tokens",
            "gen_ai.usage.cached_tokens",
            "gen_ai.usage.prompt_tokens_details.cached_tokens",
        ),
        Field.CACHE_WRITE: (
            "gen_ai.usage.cache_creation.input_tokens",
            "gen_ai.usage.cache_write.input_tokens",
            "gen_ai.usage.prompt_tokens_details.cache_creation_tokens",
        ),
        Field.REASONING: (
            "gen_ai.usage.reasoning.output_tokens",
            "gen_ai.usage.reasoning_tokens",
            "gen_ai.usage.reasoning_output_tokens",
            "gen_ai.usage.thinking_tokens",
            "gen_ai.usage.completion_tokens_details.reasoning_tokens",
        ),
        Field.AUDIO_INPUT: ("gen_ai.usage.audio.input_tokens", "gen_ai.usage.input_audio_tokens"),
        Field.AUDIO_OUTPUT: (
            "gen_ai.usage.audio.output_tokens",
            "gen_ai.usage.output_audio_tokens",
            "gen_ai.usage.completion_tokens_details.audio_tokens",
        ),
        Field.COST: ("gen_ai.usage.cost", "gen_ai.usage.total_cost"),
        Field.COST_INPUT: ("gen_ai.usage.input_cost",),
        Field.COST_OUTPUT: ("gen_ai.usage.output_cost",),
        Field.RESPONSE_ID: ("gen_ai.response.id",),
        Field.TIME_TO_FIRST: (
            "gen_ai.response.time_to_first_chunk",
            "gen_ai.streaming.time_to_first_token",
        ),
        Field.STREAM: ("gen_ai.request.stream", "gen_ai.request.streaming"),
        Field.SESSION: ("gen_ai.conversation.id", "gen_ai.session.id", "gen_ai.thread.id"),
        Field.USER: ("gen_ai.user.id",),
    },
    first_token_events=frozenset({"gen_ai.content.completion.chunk"}),
    content=content,
    roots=frozenset({"gen_ai", "llm"}),
)
