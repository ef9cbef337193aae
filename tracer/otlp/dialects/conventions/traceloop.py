"""OpenLLMetry / Traceloop: entity input and output, flattened prompts and completions (before 0.5x), properties."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from tracer.otlp.dialects import documents, flattened, messages, values
from tracer.otlp.dialects.dialect import Dialect, Field, Key, always, one_of, roots_of
from tracer.otlp.dialects.fill import fill_asked, fill_tool, needs_asked, tool_definitions
from tracer.otlp.dialects.names import kind_by_name
from tracer.otlp.dialects.parts import tool_call, tool_response
from tracer.otlp.dialects.reading import Content, Kind, Message, Value
from tracer.otlp.dialects.source import Source, as_value, document_value
from tracer.otlp.records import AnyValue

KINDS: Mapping[str, Kind] = {"workflow": Kind.chain, "agent": Kind.agent, "tool": Kind.tool}
"""`task` is missing, since any step is one: its name may tell more."""

REQUEST_TYPES: Mapping[str, Kind] = {
    "chat": Kind.llm,
    "completion": Kind.llm,
    "embedding": Kind.embedding,
    "rerank": Kind.reranker,
}

_PARAMETERS = {
    "llm.frequency_penalty": "frequency_penalty",
    "llm.presence_penalty": "presence_penalty",
    "llm.top_k": "top_k",
    "llm.chat.stop_sequences": "stop_sequences",
    "llm.user": "user",
    "gen_ai.user": "user",
    "llm.is_streaming": "stream",
    "gen_ai.is_streaming": "stream",
    "llm.request.reasoning_effort": "reasoning_effort",
    "llm.request.repetition_penalty": "repetition_penalty",
}


_SCORED = re.compile(r"Doc (\d{1,6}), Score: ([-+.\deE]{1,40})")


def content(source: Source, content: Content) -> None:
    """Fill in what Traceloop's attributes say."""
    if content.input is None:
        content.input = _entity(source, "traceloop.entity.input", "gen_ai.task.input")
    if content.output is None:
        content.output = _entity(source, "traceloop.entity.output", "gen_ai.task.output")
    fill_asked(content, _messages(source, "gen_ai.prompt.", "user") if needs_asked(content) else None)
    if content.output_messages is None:
        content.output_messages = _messages(source, "gen_ai.completion.", "assistant")
    if not content.tools:
        content.tools = [
            tool for entry in source.items("llm.request.functions.") for tool in tool_definitions(_opened(entry))
        ]
    for key, name in _PARAMETERS.items():
        sent = source.get(key)
        if sent is not None and sent != "" and sent != []:
            content.parameters.setdefault(name, values.plain(sent))
    if source.kind is Kind.tool:
        _tool(source, content)
    if content.documents is None and source.kind in (Kind.retriever, Kind.reranker):
        sent = source.json("traceloop.entity.output", "gen_ai.task.output")
        content.documents = documents.documents(sent) if sent is not None else _found_in_store(source)
    if source.kind is Kind.reranker:
        _reranked(source, content)
    if content.prompt is None:
        _prompt(source, content)


def _entity(source: Source, *keys: str) -> Value | None:
    sent = source.get(*keys)
    return document_value(sent) if sent is not None else None


def _messages(source: Source, prefix: str, default_role: str) -> list[Message] | None:
    found = [made for entry in source.items(prefix) if (made := _message(entry, default_role)) is not None]
    return found or None


def _message(entry: Mapping[str, AnyValue], default_role: str) -> Message | None:
    role = messages.role_of(entry.get("role"), default_role)
    said: Any = values.plain(entry.get("content"))
    if isinstance(said, str) and said[:1] in ("[", '"', "{"):
        opened = values.opened(said)
        if isinstance(opened, str) or _are_blocks(opened):
            said = opened
    calls = [
        tool_call(call.get("id"), call.get("name"), call.get("arguments"))
        for call in flattened.items(entry, "tool_calls.")
    ]
    legacy = entry.get("function_call.name")
    if isinstance(legacy, str) and legacy:
        calls.append(tool_call(None, legacy, entry.get("function_call.arguments")))
    if role == "tool":
        return {"role": "tool", "parts": [tool_response(entry.get("tool_call_id"), said, entry.get("name"))]}
    made = messages.message({"role": role, "content": said})
    if made is None or not (made["parts"] or calls or "role" in entry):
        return None
    thought = entry.get("reasoning") or entry.get("thinking")
    if isinstance(thought, str) and thought:
        made["parts"].insert(0, {"type": "reasoning", "content": thought})
    if role == "thinking":
        made["role"] = "assistant"
        made["parts"] = [{"type": "reasoning", "content": messages.text_of(made)}]
    made["parts"].extend(calls)
    finish = entry.get("finish_reason")
    if isinstance(finish, str) and finish:
        made["finish_reason"] = finish
    return made


def _are_blocks(opened: object) -> bool:
    """Whether a text was a vendor's list of content blocks, rather than words that happen to be JSON."""
    return (
        isinstance(opened, list)
        and bool(opened)
        and all(isinstance(block, dict) and isinstance(block.get("type"), str) for block in opened)
    )


def _opened(entry: Mapping[str, AnyValue]) -> dict[str, Any]:
    return {key: values.opened(values.plain(value)) for key, value in entry.items() if value is not None}


def _tool(source: Source, content: Content) -> None:
    sent = source.json("traceloop.entity.input", "gen_ai.tool.call.arguments")
    arguments, call_id = sent, None
    if isinstance(sent, dict):
        if "args" in sent and "kwargs" in sent:
            args, kwargs = sent["args"], sent["kwargs"]
            arguments = sent if args and kwargs else args or kwargs or {}
            if isinstance(arguments, list) and len(arguments) == 1:
                arguments = arguments[0]
        elif isinstance(sent.get("input_str"), str):
            arguments = values.literal(sent["input_str"])
            if arguments is values.NOT_JSON:
                arguments = values.opened(sent["input_str"])
    result = source.json("traceloop.entity.output", "gen_ai.tool.call.result")
    if isinstance(result, dict) and "output" in result:
        result = values.opened(result["output"])
    answered = messages.message(result) if isinstance(result, dict) else None
    if answered is not None and answered["role"] == "tool" and answered["parts"]:
        part = answered["parts"][0]
        result, call_id = part.get("response"), part.get("id")
    tool = content.tool if content.tool is not None else {}
    if isinstance(sent, dict) and ("input_str" in sent or "args" in sent):
        tool.pop("arguments", None)
        tool.pop("result", None)
    content.tool = tool or None
    name = source.word("gen_ai.tool.name", "traceloop.entity.name")
    fill_tool(content, name, call_id, arguments, result)


def _found_in_store(source: Source) -> list[dict[str, Any]] | None:
    """Documents that a vector store's instrumentation sends as one event each."""
    found = []
    for event in source.events:
        if event.name in ("db.query.result", "db.search.result"):
            sent = {key.removeprefix(event.name + "."): values.plain(value) for key, value in event.attributes.items()}
            score = sent.get("score") if sent.get("score") is not None else sent.get("distance")
            text = sent.get("document") if sent.get("document") is not None else sent.get("entity")
            found.append(documents.made(sent.get("id"), text, score, sent.get("metadata")))
    return found or None


def _reranked(source: Source, content: Content) -> None:
    """A reranking in the words of a conversation: documents of the system, the user's query, answers with scores."""
    asked = source.items("gen_ai.prompt.")
    given = [entry.get("content") for entry in asked if entry.get("role") == "system"]
    query = next((said for entry in asked if entry.get("role") == "user" and (said := entry.get("content"))), None)
    if content.input is None and query is not None:
        content.input = as_value({"query": query, "documents": given})
    if content.documents is None:
        ranked = [_SCORED.match(str(entry.get("content"))) for entry in source.items("gen_ai.completion.")]
        places = [(int(found[1]), found[2]) for found in ranked if found is not None]
        found = [documents.made(None, given[place], score, None) for place, score in places if place < len(given)]
        content.documents = found or None


def _prompt(source: Source, content: Content) -> None:
    known = {
        "name": source.word("traceloop.prompt.key"),
        "version": source.word("traceloop.prompt.version", "traceloop.prompt.version_name"),
        "template": source.text("traceloop.prompt.template"),
        "variables": source.json("traceloop.prompt.template_variables"),
    }
    content.prompt = {key: value for key, value in known.items() if value is not None} or None


def _task_kind(value: object) -> Kind | None:
    return kind_by_name(value) or Kind.chain if isinstance(value, str) else None


_PROPERTIES = "traceloop.association.properties."

DIALECT = Dialect(
    name="traceloop",
    rank=30,
    marks=frozenset(
        {
            "traceloop.span.kind",
            "traceloop.entity.name",
            "traceloop.workflow.name",
            "gen_ai.prompt.0.role",
            "gen_ai.prompt.0.content",
            "gen_ai.completion.0.role",
            "llm.request.type",
            "llm.usage.total_tokens",
        }
    ),
    facts={
        Field.KIND: (
            Key("llm.request.type", one_of(REQUEST_TYPES)),
            Key("traceloop.span.kind", one_of(KINDS)),
        ),
        Field.HINT: (
            Key("gen_ai.prompt.0.role", always(Kind.llm)),
            Key("gen_ai.prompt.0.content", always(Kind.llm)),
            Key("gen_ai.completion.0.role", always(Kind.llm)),
            Key("traceloop.entity.name", _task_kind),
            Key("traceloop.entity.input", always(Kind.chain)),
            Key("db.vector.query.top_k", always(Kind.retriever)),
            Key("pinecone.query.top_k", always(Kind.retriever)),
            Key("db.chroma.query.n_results", always(Kind.retriever)),
            Key("db.milvus.search.limit", always(Kind.retriever)),
        ),
        Field.TOTAL_TOKENS: ("llm.usage.total_tokens",),
        Field.CACHED_INPUT: ("gen_ai.usage.cache_read_input_tokens",),
        Field.CACHE_WRITE: ("gen_ai.usage.cache_creation_input_tokens", "gen_ai.usage.cache_write_input_tokens"),
        Field.REASONING: ("llm.usage.reasoning_tokens",),
        Field.STREAM: ("gen_ai.is_streaming", "llm.is_streaming"),
        Field.SESSION: (_PROPERTIES + "session_id", _PROPERTIES + "session.id", _PROPERTIES + "thread_id"),
        Field.USER: (_PROPERTIES + "user_id", _PROPERTIES + "user.id", _PROPERTIES + "user"),
        Field.TAGS: (_PROPERTIES + "tags",),
    },
    families={_PROPERTIES: Field.METADATA},
    first_token_events=frozenset({"llm.content.completion.chunk"}),
    content=content,
    roots=frozenset(
        {"traceloop"}
        | roots_of("gen_ai.prompt.", "gen_ai.completion.", "gen_ai.task.input", "gen_ai.tool.name")
        | roots_of("llm.request.functions.", *_PARAMETERS)
    ),
)
