"""MLflow: every attribute is a JSON document, whole requests and responses among them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tracer.otlp.dialects import documents, messages, values
from tracer.otlp.dialects.dialect import Dialect, Field, Key, one_of
from tracer.otlp.dialects.fill import fill_tool, request_parameters, tool_definitions
from tracer.otlp.dialects.parts import tool_call
from tracer.otlp.dialects.reading import Content, Kind, Value
from tracer.otlp.dialects.source import Source, document_value

KINDS: Mapping[str, Kind] = {
    "chat_model": Kind.llm,
    "llm": Kind.llm,
    "embedding": Kind.embedding,
    "tool": Kind.tool,
    "retriever": Kind.retriever,
    "reranker": Kind.reranker,
    "agent": Kind.agent,
    "chain": Kind.chain,
    "workflow": Kind.chain,
    "task": Kind.chain,
    "parser": Kind.chain,
    "memory": Kind.chain,
    "guardrail": Kind.guardrail,
    "evaluator": Kind.evaluator,
    "judge": Kind.evaluator,
    "prompt": Kind.prompt,
}


def content(source: Source, content: Content) -> None:
    """Fill in what MLflow's inputs and outputs say."""
    asked, answered = source.json("mlflow.spanInputs"), source.json("mlflow.spanOutputs")
    if asked is None and answered is None and source.get("mlflow.spanType") is None:
        return
    if content.input is None:
        content.input = _value(source, "mlflow.spanInputs")
    if content.output is None:
        content.output = _value(source, "mlflow.spanOutputs")
    if source.kind is Kind.llm:
        if content.input_messages is None:
            content.input_messages = messages.messages(asked)
        if content.output_messages is None:
            content.output_messages = messages.answers(answered)
        if source.events:
            _add_streamed_calls(source, content)
        request_parameters(content, asked)
        request_parameters(content, source.json("invocation_params"))
    elif source.kind is Kind.embedding:
        request_parameters(content, asked)
        if not content.embeddings:
            content.embeddings = _embeddings(asked, answered)
    elif source.kind is Kind.tool:
        name = source.word("mlflow.spanFunctionName", "tool_name")
        fill_tool(content, name, source.word("tool_call_id"), asked, _result(answered))
    elif source.kind in (Kind.retriever, Kind.reranker) and content.documents is None:
        content.documents = documents.documents(answered)
    if not content.tools:
        content.tools = tool_definitions(source.json("mlflow.chat.tools", "tools") if source.kind is Kind.llm else None)


def _value(source: Source, key: str) -> Value | None:
    sent = source.get(key)
    return document_value(sent) if sent is not None else None


def _add_streamed_calls(source: Source, content: Content) -> None:
    """Tool calls of a streamed answer, put together from its chunks where the recorded answer lacks them."""
    if any(part["type"] == "tool_call" for made in content.output_messages or () for part in made["parts"]):
        return
    calls: dict[int, dict[str, str]] = {}
    for event in source.events:
        sent = event.attributes.get("mlflow.chunk.value")
        chunk = values.opened(sent) if isinstance(sent, str) and '"tool_calls"' in sent else None
        choices = chunk.get("choices") if isinstance(chunk, dict) else None
        for choice in choices if isinstance(choices, list) else ():
            delta = choice.get("delta") if isinstance(choice, dict) else None
            pieces = delta.get("tool_calls") if isinstance(delta, dict) else None
            for piece in pieces if isinstance(pieces, list) else ():
                if isinstance(piece, dict):
                    _add_piece(calls, piece)
    if calls:
        parts = [tool_call(call.get("id"), call.get("name"), call.get("arguments")) for call in calls.values()]
        if content.output_messages:
            content.output_messages[0]["parts"].extend(parts)
        else:
            content.output_messages = [{"role": "assistant", "parts": parts}]


def _add_piece(calls: dict[int, dict[str, str]], piece: dict[str, Any]) -> None:
    place = piece.get("index")
    call = calls.setdefault(place if isinstance(place, int) else 0, {})
    function = piece.get("function")
    for name, sent in (("id", piece.get("id")), *(function.items() if isinstance(function, dict) else ())):
        if isinstance(sent, str) and name in ("id", "name", "arguments"):
            call[name] = call.get(name, "") + sent


def _result(answered: object) -> object:
    """A tool's result; LangChain wraps it in a message."""
    made = messages.message(answered) if isinstance(answered, dict) else None
    if made is not None and made["role"] == "tool" and made["parts"]:
        return made["parts"][0].get("response")
    return answered


def _embeddings(asked: object, answered: object) -> list[dict[str, Any]]:
    texts = asked.get("input") if isinstance(asked, dict) else asked
    texts = [texts] if isinstance(texts, str) else texts if isinstance(texts, list) else []
    data = answered.get("data") if isinstance(answered, dict) else answered
    vectors = data if isinstance(data, list) else []
    found: list[dict[str, Any]] = []
    for place in range(max(len(texts), len(vectors))):
        entry: dict[str, Any] = {}
        if place < len(texts) and isinstance(texts[place], str):
            entry["text"] = texts[place]
        vector = vectors[place] if place < len(vectors) else None
        vector = vector.get("embedding") if isinstance(vector, dict) else vector
        if isinstance(vector, list):
            entry["dimensions"] = len(vector)
        if entry:
            found.append(entry)
    return found


def _cost(value: object) -> object:
    sent = values.mapping(value)
    return values.dollars(sent.get("total_cost")) if sent is not None else values.dollars(value)


DIALECT = Dialect(
    name="mlflow",
    rank=40,
    marks=frozenset({"mlflow.spanType", "mlflow.traceRequestId", "mlflow.spanInputs", "mlflow.spanOutputs"}),
    facts={
        Field.KIND: (Key("mlflow.spanType", one_of(KINDS)),),
        Field.ANSWERED_MODEL: (Key("mlflow.llm.model", values.quoted),),
        Field.LIKELY_MODEL: (Key("model", values.quoted),),
        Field.PROVIDER: (Key("mlflow.llm.provider", values.quoted),),
        Field.USAGE: ("mlflow.chat.tokenUsage",),
        Field.COST: (Key("mlflow.llm.cost", _cost),),
        Field.SESSION: (Key("mlflow.trace.session", values.quoted),),
        Field.USER: (Key("mlflow.trace.user", values.quoted),),
    },
    families={"mlflow.traceTag.": Field.METADATA},
    content=content,
    roots=frozenset({"mlflow"}),
)
