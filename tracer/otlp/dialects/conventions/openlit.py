"""openlit: GenAI attributes with some of its own, and decorated functions with Python text for arguments."""

from __future__ import annotations

from tracer.otlp.dialects import documents, values
from tracer.otlp.dialects.dialect import Dialect, Field, Key, always
from tracer.otlp.dialects.reading import Content, Kind, Value
from tracer.otlp.dialects.source import JSON_MIME, TEXT_MIME, Source


def content(source: Source, content: Content) -> None:
    """Fill in a decorated function's arguments and result; give a call the id that its result will name."""
    if content.input is None:
        content.input = _arguments(source)
    if source.kind in (Kind.retriever, Kind.reranker) and content.documents is None:
        content.documents = documents.documents(source.json("gen_ai.output.messages"))
    call_id, name = source.word("gen_ai.tool.call.id"), source.word("gen_ai.tool.name")
    if source.kind is Kind.llm and call_id and name and content.output_messages:
        calls = [
            part for message in content.output_messages for part in message["parts"] if part["type"] == "tool_call"
        ]
        if len(calls) == 1 and calls[0].get("name") == name:
            calls[0]["id"] = call_id


def _arguments(source: Source) -> Value | None:
    """`function.args` and `function.kwargs`, which are Python's own text: opened when both are plain literals."""
    args, kwargs = source.text("function.args"), source.text("function.kwargs")
    if args is None and kwargs is None:
        return None
    raw = ", ".join(text for text in (args, kwargs) if text not in (None, "()", "{}") and text)
    opened = values.literal(args or "()"), values.literal(kwargs or "{}")
    if values.NOT_JSON in opened:
        return Value(TEXT_MIME, raw, raw)
    return Value(JSON_MIME, {"args": opened[0], "kwargs": opened[1]}, raw)


def _is_openlit(value: object) -> object:
    return True if value == "openlit" else None


DIALECT = Dialect(
    name="openlit",
    rank=50,
    marks=frozenset(
        {
            "function.args",
            "function.kwargs",
            "gen_ai.client.token.usage",
            "gen_ai.server.time_per_output_token",
            "openlit.agent.version_hash",
            "gen_ai.application_name",
        }
    ),
    facts={
        Field.HINT: (Key("function.args", always(Kind.chain)), Key("function.kwargs", always(Kind.chain))),
        Field.TOTAL_TOKENS: ("gen_ai.client.token.usage",),
        Field.TIME_TO_ANSWER: ("gen_ai.server.time_to_first_token",),
        Field.EXCLUSIVE: (Key("telemetry.sdk.name", _is_openlit),),
        Field.ENVIRONMENT: ("gen_ai.environment",),
        Field.SERVICE: ("gen_ai.application_name",),
    },
    content=content,
    roots=frozenset({"function", "gen_ai"}),
)
