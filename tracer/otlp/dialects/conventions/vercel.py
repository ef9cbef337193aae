"""Vercel's AI SDK (versions 3 to 6): a wrapper span for each call of the app, and one inside for each model call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tracer.otlp.dialects import documents, messages, values
from tracer.otlp.dialects.dialect import Dialect, Field, Key
from tracer.otlp.dialects.fill import fill_tool, tool_definitions
from tracer.otlp.dialects.parts import of_content, text_part, tool_call
from tracer.otlp.dialects.reading import Content, Kind, Message
from tracer.otlp.dialects.source import Source, as_value
from tracer.otlp.records import AnyValue

KINDS: Mapping[str, Kind] = {
    "ai.generateText": Kind.agent,
    "ai.streamText": Kind.agent,
    "ai.generateObject": Kind.agent,
    "ai.streamObject": Kind.agent,
    "ai.workflowAgent.stream": Kind.agent,
    "ai.toolCall": Kind.tool,
    "ai.embed": Kind.chain,
    "ai.embedMany": Kind.chain,
    "ai.rerank": Kind.chain,
}
"""Operations of the app. What the SDK does for them ends in `.doGenerate`, `.doStream`, `.doEmbed`, `.doRerank`."""

_DONE: Mapping[str, Kind] = {
    "doGenerate": Kind.llm,
    "doStream": Kind.llm,
    "doEmbed": Kind.embedding,
    "doRerank": Kind.reranker,
}
_ANSWER = ("ai.response.text", "ai.response.object", "ai.result.text", "ai.result.object")
_CALLS = ("ai.response.toolCalls", "ai.result.toolCalls")
_SETTINGS = "ai.settings."
_METADATA = "ai.telemetry.metadata."


def content(source: Source, content: Content) -> None:
    """Fill in what the SDK's prompt, response and tool attributes say."""
    if source.get("ai.operationId", "ai.model.id", "ai.toolCall.name") is None:
        return
    asked = source.json("ai.prompt.messages", "ai.prompt")
    if content.input is None:
        sent = source.get("ai.prompt", "ai.prompt.messages", "ai.toolCall.args")
        several: list[AnyValue] = _listed(source, "ai.values", "ai.value", "ai.documents") if sent is None else []
        content.input = as_value(sent if sent is not None else several) if sent is not None or several else None
    if content.output is None:
        sent = source.get(*_ANSWER, *_CALLS, "ai.toolCall.result", "ai.ranking")
        content.output = as_value(sent) if sent is not None else None
    if source.kind in (Kind.llm, Kind.agent):
        if content.input_messages is None:
            content.input_messages = messages.messages(asked)
        if content.output_messages is None:
            content.output_messages = _answer(source)
        if not content.tools:
            content.tools = tool_definitions(source.json("ai.prompt.tools"))
        for name, value in source.below(_SETTINGS).items():
            if value is not None and "." not in name:
                content.parameters.setdefault(name, values.plain(value))
        reason = source.word("ai.response.finishReason", "ai.finishReason")
        if reason and not content.finish_reasons:
            content.finish_reasons = [reason]
    elif source.kind is Kind.tool:
        name, call_id = source.word("ai.toolCall.name"), source.word("ai.toolCall.id")
        fill_tool(content, name, call_id, source.json("ai.toolCall.args"), source.json("ai.toolCall.result"))
    elif source.kind is Kind.embedding and not content.embeddings:
        content.embeddings = _embeddings(source)
    elif source.kind is Kind.reranker and content.documents is None:
        content.documents = _ranked(source)


def _answer(source: Source) -> list[Message] | None:
    parts = []
    reasoning = source.json("ai.response.reasoning")
    if isinstance(reasoning, str):
        parts.append({"type": "reasoning", "content": reasoning})
    elif reasoning is not None:
        parts.extend(of_content(reasoning))
    text = source.text(*_ANSWER)
    if text:
        parts.append(text_part(text))
    calls = source.json(*_CALLS)
    for call in calls if isinstance(calls, list) else ():
        if isinstance(call, dict):
            arguments = call.get("input", call.get("args"))
            parts.append(tool_call(call.get("toolCallId"), call.get("toolName"), arguments))
    return [{"role": "assistant", "parts": parts}] if parts else None


def _embeddings(source: Source) -> list[dict[str, Any]]:
    texts, vectors = _listed(source, "ai.values"), _listed(source, "ai.embeddings")
    if not texts:
        texts, vectors = [source.json("ai.value")], [source.json("ai.embedding")]
    found: list[dict[str, Any]] = []
    for place, text in enumerate(texts):
        entry: dict[str, Any] = {"text": text} if isinstance(text, str) else {}
        vector = vectors[place] if place < len(vectors) else None
        if isinstance(vector, list):
            entry["dimensions"] = len(vector)
        if entry:
            found.append(entry)
    return found


def _ranked(source: Source) -> list[dict[str, Any]] | None:
    given = [documents.document(entry) for entry in _listed(source, "ai.documents")]
    found = []
    for place in _listed(source, "ai.ranking"):
        if isinstance(place, dict) and isinstance(place.get("index"), int) and 0 <= place["index"] < len(given):
            document = given[place["index"]] or {}
            score = values.number(place.get("relevanceScore", place.get("score")))
            found.append(document | ({"score": score} if score is not None else {}))
    return found or None


def _listed(source: Source, *keys: str) -> list[Any]:
    """A list whose entries are JSON texts, or one value alone."""
    sent = source.json(*keys)
    if sent is None:
        return []
    return [values.opened(entry) for entry in sent] if isinstance(sent, list) else [sent]


def _kind(value: object) -> Kind | None:
    if not isinstance(value, str):
        return None
    operation = value.split(" ", 1)[0]
    return KINDS.get(operation) or _DONE.get(operation.rpartition(".")[2])


def _maker(value: object) -> object:
    """`openai.chat` is openai's."""
    word = values.text(value)
    return word.split(".", 1)[0] if word is not None else None


DIALECT = Dialect(
    name="vercel",
    rank=80,
    marks=frozenset({"ai.operationId", "ai.model.id", "ai.toolCall.name"}),
    facts={
        Field.KIND: (Key("ai.operationId", _kind),),
        Field.ANSWERED_MODEL: ("ai.response.model",),
        Field.REQUESTED_MODEL: ("ai.model.id",),
        Field.PROVIDER: (Key("ai.model.provider", _maker),),
        Field.INPUT_TOKENS: ("ai.usage.inputTokens", "ai.usage.promptTokens", "ai.usage.tokens"),
        Field.OUTPUT_TOKENS: ("ai.usage.outputTokens", "ai.usage.completionTokens"),
        Field.TOTAL_TOKENS: ("ai.usage.totalTokens",),
        Field.CACHED_INPUT: ("ai.usage.cachedInputTokens", "ai.usage.inputTokenDetails.cacheReadTokens"),
        Field.CACHE_WRITE: ("ai.usage.inputTokenDetails.cacheWriteTokens",),
        Field.REASONING: ("ai.usage.reasoningTokens", "ai.usage.outputTokenDetails.reasoningTokens"),
        Field.RESPONSE_ID: ("ai.response.id",),
        Field.TIME_TO_FIRST: (
            Key("ai.response.msToFirstChunk", values.milliseconds),
            Key("ai.stream.msToFirstChunk", values.milliseconds),
            "gen_ai.client.operation.time_to_first_chunk",
        ),
        Field.SESSION: (_METADATA + "sessionId", _METADATA + "session_id", _METADATA + "session.id"),
        Field.USER: (_METADATA + "userId", _METADATA + "user_id", _METADATA + "user.id"),
        Field.TAGS: (_METADATA + "tags",),
    },
    families={_METADATA: Field.METADATA},
    first_token_events=frozenset({"ai.stream.firstChunk"}),
    content=content,
    roots=frozenset({"ai"}),
)
