"""OpenInference: flattened messages, documents and embeddings; input and output with their mime types."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tracer.otlp.dialects import documents, flattened, messages, values
from tracer.otlp.dialects.dialect import Dialect, Field, Key, always, one_of
from tracer.otlp.dialects.fill import fill_tool, tool_definitions
from tracer.otlp.dialects.parts import Part, media_part, of_content, text_part, tool_call, tool_response
from tracer.otlp.dialects.reading import Content, Kind, Message
from tracer.otlp.dialects.source import Source, as_value
from tracer.otlp.records import AnyValue

KINDS: Mapping[str, Kind] = {
    "llm": Kind.llm,
    "decision": Kind.llm,
    "embedding": Kind.embedding,
    "tool": Kind.tool,
    "retriever": Kind.retriever,
    "reranker": Kind.reranker,
    "agent": Kind.agent,
    "chain": Kind.chain,
    "workflow": Kind.chain,
    "task": Kind.chain,
    "guardrail": Kind.guardrail,
    "evaluator": Kind.evaluator,
    "prompt": Kind.prompt,
}

_NOT_PARAMETERS = frozenset({"model", "model_name", "messages", "input", "tools", "functions", "_type", "prompt"})

_PROMPT_ROOTS = frozenset({"llm", "prompt"})


def content(source: Source, content: Content) -> None:
    """Fill in what OpenInference attributes say."""
    if content.input is None:
        content.input = source.value("input.value", "input.mime_type")
    if content.output is None:
        content.output = source.value("output.value", "output.mime_type")
    if "llm" in source.roots:
        _from_call(source, content)
    if source.kind is Kind.llm:
        _from_values(source, content)
    _parameters(source, content)
    if source.kind is Kind.tool:
        _tool(source, content)
    if content.documents is None:
        content.documents = _documents(source)
    if source.kind is Kind.reranker:
        _reranked(source, content)
    if content.prompt is None and not source.roots.isdisjoint(_PROMPT_ROOTS):
        _prompt(source, content)
    if source.has_lists:
        if not content.embeddings:
            content.embeddings = [_embedding(entry) for entry in source.items("embedding.embeddings.")]
        if not content.scores:
            content.scores = _scores(source)


def _from_call(source: Source, content: Content) -> None:
    """What the attributes of a model call say."""
    if content.input_messages is None:
        content.input_messages = _messages(source, "llm.input_messages.", "user") or _prompts(source)
    if content.output_messages is None:
        content.output_messages = _messages(source, "llm.output_messages.", "assistant") or _completions(source)
    if not content.tools:
        content.tools = [
            tool
            for entry in source.items("llm.tools.")
            for tool in tool_definitions(entry.get("tool.json_schema") or _named_tool(entry))
        ]
    reason = source.word("llm.finish_reason")
    if reason and not content.finish_reasons:
        content.finish_reasons = [reason]


def _messages(source: Source, prefix: str, role: str) -> list[Message] | None:
    found = [made for entry in source.items(prefix) if (made := _message(entry, role)) is not None]
    return found or None


def _message(entry: Mapping[str, AnyValue], default_role: str) -> Message | None:
    role = messages.role_of(entry.get("message.role"), default_role)
    blocks = [part for block in flattened.items(entry, "message.contents.") for part in _block(block)]
    said = entry.get("message.content")
    if isinstance(said, str) and said:
        blocks = [part for part in blocks if part.get("content") != said]
        blocks.insert(0, text_part(said))
    elif said is not None and said != "":
        blocks[:0] = of_content(values.plain(said))
    known = {part.get("id") for part in blocks if part["type"] == "tool_call"}
    for call in flattened.items(entry, "message.tool_calls."):
        part = _call(call)
        if part.get("id") is None or part.get("id") not in known:
            blocks.append(part)
    name = entry.get("message.function_call_name")
    if isinstance(name, str) and name:
        blocks.append(tool_call(None, name, entry.get("message.function_call_arguments_json")))
    answered = entry.get("message.tool_call_id")
    if role == "tool" or (isinstance(answered, str) and answered):
        texts = [part.get("content") for part in blocks if part["type"] == "text"]
        response = "\n".join(text for text in texts if isinstance(text, str))
        return {"role": "tool", "parts": [tool_response(answered, response, entry.get("message.name"))]}
    if not blocks and "message.role" not in entry and "message.content" not in entry:
        return None
    made: Message = {"role": role, "parts": blocks}
    named = entry.get("message.name")
    if isinstance(named, str) and named:
        made["name"] = named
    return made


def _block(block: Mapping[str, AnyValue]) -> list[Part]:
    kind = block.get("message_content.type")
    text = block.get("message_content.text")
    if "tool_call.function.name" in block or "tool_call.id" in block:
        return [_call(block)]
    for modality in ("image", "audio", "video", "document"):
        url = block.get(f"message_content.{modality}.{modality}.url")
        if isinstance(url, str) and url:
            mime = block.get(f"message_content.{modality}.{modality}.mime_type")
            return [media_part(url, mime, modality)]
    if kind in ("reasoning", "thinking"):
        return [{"type": "reasoning", "content": text if isinstance(text, str) else ""}]
    if isinstance(text, str):
        return [text_part(text)] if text else []
    if text is not None:
        return [text_part(values.compact(values.plain(text)))]
    rest = {key.removeprefix("message_content."): values.plain(value) for key, value in block.items()}
    return [{"type": kind if isinstance(kind, str) else "unknown", **{k: v for k, v in rest.items() if k != "type"}}]


def _call(call: Mapping[str, AnyValue]) -> Part:
    return tool_call(
        call.get("tool_call.id"), call.get("tool_call.function.name"), call.get("tool_call.function.arguments")
    )


def _prompts(source: Source) -> list[Message] | None:
    texts = [entry.get("prompt.text", entry.get("")) for entry in source.items("llm.prompts.")]
    listed = source.get("llm.prompts")
    texts += listed if isinstance(listed, list) else []
    return [{"role": "user", "parts": [text_part(text)]} for text in texts if isinstance(text, str) and text] or None


def _completions(source: Source) -> list[Message] | None:
    texts = [entry.get("completion.text") for entry in source.items("llm.choices.")]
    found: list[Message] = [
        {"role": "assistant", "parts": [text_part(text)]} for text in texts if isinstance(text, str) and text
    ]
    called = source.json("llm.function_call")
    if not found and isinstance(called, dict):
        found.append({"role": "assistant", "parts": [tool_call(None, called.get("name"), called.get("arguments"))]})
    return found or None


def _from_values(source: Source, content: Content) -> None:
    """Messages of a model call that are only in its input and output as the vendor's own JSON."""
    if content.input_messages is None and content.input is not None:
        content.input_messages = messages.messages(content.input.value)
    if content.output_messages is None and content.output is not None:
        content.output_messages = messages.answers(content.output.value)
    if content.input is not None and _lacks_ids(content.input_messages):
        _take_ids(content.input_messages, messages.messages(content.input.value))
    if content.output is not None and _lacks_ids(content.output_messages):
        _take_ids(content.output_messages, messages.answers(content.output.value))


def _tool_parts(found: list[Message] | None) -> list[Part]:
    return [
        part for said in found or () for part in said["parts"] if part["type"] in ("tool_call", "tool_call_response")
    ]


def _lacks_ids(found: list[Message] | None) -> bool:
    return any("id" not in part for part in _tool_parts(found))


def _take_ids(found: list[Message] | None, whole: list[Message] | None) -> None:
    """Ids of tool calls that only the vendor's own JSON has, where it tells of the same calls in the same order."""
    ours, theirs = _tool_parts(found), _tool_parts(whole)
    if [part["type"] for part in ours] == [part["type"] for part in theirs]:
        for part, other in zip(ours, theirs, strict=True):
            if (
                "id" not in part
                and "id" in other
                and part.get("name", other.get("name")) == other.get("name", part.get("name"))
            ):
                part["id"] = other["id"]


def _named_tool(entry: Mapping[str, AnyValue]) -> dict[str, Any] | None:
    name = entry.get("tool.name")
    if not isinstance(name, str):
        return None
    return {"name": name, "description": entry.get("tool.description"), "parameters": entry.get("tool.parameters")}


def _parameters(source: Source, content: Content) -> None:
    sent = source.json("llm.invocation_parameters", "embedding.invocation_parameters")
    if isinstance(sent, dict):
        for name, value in sent.items():
            if name not in _NOT_PARAMETERS and value is not None and value != "":
                content.parameters.setdefault(name, value)
        if not content.tools and isinstance(sent.get("tools"), list):
            content.tools = tool_definitions(sent["tools"])
    if not content.tools and source.kind is Kind.llm and content.input is not None:
        request = content.input.value
        if isinstance(request, dict) and isinstance(request.get("tools"), list) and "messages" in request:
            content.tools = tool_definitions(request["tools"])


def _tool(source: Source, content: Content) -> None:
    arguments = content.input.value if content.input is not None else None
    result = content.output.value if content.output is not None else None
    call_id = source.word("tool_call.id", "tool.id", "tool.call.id")
    name = source.word("tool.name") or source.word("gen_ai.tool.name")
    if source.get("input.value") is None and source.get("output.value") is None and name is None:
        return
    fill_tool(content, name, call_id, arguments, result)


def _documents(source: Source) -> list[dict[str, Any]] | None:
    lists = ("retrieval.documents.", "reranker.output_documents.", "output.documents.") if source.has_lists else ()
    for prefix in lists:
        found = [
            documents.made(
                entry.get("document.id"),
                entry.get("document.content"),
                entry.get("document.score"),
                entry.get("document.metadata"),
            )
            for entry in source.items(prefix)
        ]
        if found:
            return found
    if source.kind in (Kind.retriever, Kind.reranker):
        return documents.documents(source.json("retrieval.documents", "output.value"))
    return None


def _reranked(source: Source, content: Content) -> None:
    """What a reranker was given: the query, the documents, how many to keep."""
    query = source.text("reranker.query")
    if content.input is None and query is not None:
        given = [entry.get("document.content") for entry in source.items("reranker.input_documents.")]
        texts = [text for text in given if isinstance(text, str)]
        content.input = as_value({"query": query, "documents": list[AnyValue](texts)} if texts else query, None)
    kept = values.count(source.get("reranker.top_k"))
    if kept is not None:
        content.parameters.setdefault("top_k", kept)


def _embedding(entry: Mapping[str, AnyValue]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    text = entry.get("embedding.text")
    if isinstance(text, str):
        found["text"] = text
    vector = values.opened(entry.get("embedding.vector"))
    if isinstance(vector, list):
        found["dimensions"] = len(vector)
    return found


def _prompt(source: Source, content: Content) -> None:
    template = source.text("llm.prompt_template.template")
    variables = source.json("llm.prompt_template.variables")
    version = source.word("llm.prompt_template.version")
    name = source.word("llm.prompt_template.name", "prompt.id")
    known = {"name": name, "version": version, "template": template, "variables": variables}
    content.prompt = {key: value for key, value in known.items() if value is not None} or None


def _scores(source: Source) -> list[dict[str, Any]]:
    found = []
    for family, noun in (
        ("evaluations.", "evaluation"),
        ("annotations.", "annotation"),
        ("trace.evaluations.", "evaluation"),
    ):
        for entry in source.items(family):
            name = values.text(entry.get(f"{noun}.name"))
            value: object = values.number(entry.get(f"{noun}.score"))
            if value is None:
                value = values.text(entry.get(f"{noun}.label"))
            if name is None or value is None:
                continue
            comment = values.text(entry.get(f"{noun}.explanation"))
            found.append({"name": name, "value": value} | ({"comment": comment} if comment else {}))
    return found


DIALECT = Dialect(
    name="openinference",
    rank=10,
    marks=frozenset({"openinference.span.kind", "llm.token_count.prompt", "llm.input_messages.0.message.role"}),
    facts={
        Field.KIND: (Key("openinference.span.kind", one_of(KINDS)),),
        Field.HINT: (
            Key("llm.input_messages.0.message.role", always(Kind.llm)),
            Key("llm.output_messages.0.message.role", always(Kind.llm)),
            Key("retrieval.documents.0.document.content", always(Kind.retriever)),
            Key("embedding.embeddings.0.embedding.text", always(Kind.embedding)),
            Key("reranker.output_documents.0.document.content", always(Kind.reranker)),
            Key("tool.name", always(Kind.tool)),
            Key("input.value", always(Kind.chain)),
            Key("output.value", always(Kind.chain)),
        ),
        Field.ANSWERED_MODEL: (
            "llm.response.model_name",
            "llm.model_name",
            "embedding.model_name",
            "reranker.model_name",
            "decision.response.model_name",
            "decision.model_name",
        ),
        Field.REQUESTED_MODEL: ("llm.request.model_name", "decision.request.model_name"),
        Field.PROVIDER: ("llm.provider", "llm.system", "decision.provider", "decision.system"),
        Field.PARAMETERS: ("llm.invocation_parameters", "embedding.invocation_parameters"),
        Field.INPUT_TOKENS: ("llm.token_count.prompt", "decision.token_count.input"),
        Field.OUTPUT_TOKENS: ("llm.token_count.completion", "decision.token_count.output"),
        Field.TOTAL_TOKENS: ("llm.token_count.total",),
        Field.CACHED_INPUT: ("llm.token_count.prompt_details.cache_read", "llm.token_count.prompt_details.cache_input"),
        Field.CACHE_WRITE: ("llm.token_count.prompt_details.cache_write",),
        Field.REASONING: ("llm.token_count.completion_details.reasoning",),
        Field.AUDIO_INPUT: ("llm.token_count.prompt_details.audio",),
        Field.AUDIO_OUTPUT: ("llm.token_count.completion_details.audio",),
        Field.COST: ("llm.cost.total",),
        Field.COST_INPUT: ("llm.cost.prompt",),
        Field.COST_OUTPUT: ("llm.cost.completion",),
        Field.SESSION: ("session.id",),
        Field.USER: ("user.id",),
        Field.TAGS: ("tag.tags",),
        Field.METADATA: ("metadata",),
    },
    first_token_events=frozenset({"First Token Stream Event"}),
    content=content,
)
