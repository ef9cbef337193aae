"""Small pieces that several conventions fill into a step's content."""

from __future__ import annotations

from typing import Any, Final

from tracer.otlp.dialects import documents, messages, values
from tracer.otlp.dialects.reading import Content, Kind, Message
from tracer.otlp.dialects.source import Source, document_value

REQUEST_CONTENT: Final = frozenset(
    {"messages", "input", "prompt", "instructions", "system", "contents", "tools", "functions", "model", "model_name"}
    | {"extra_headers", "extra_body", "extra_query", "timeout", "_type", "metadata", "self"}
)
"""Names in a model's request that are no parameter of it."""


def tool_definitions(sent: object) -> list[dict[str, Any]]:
    """The tools offered to a model, out of any vendor's list of definitions: [{name, description?, schema?}]."""
    sent = values.opened(sent)
    if isinstance(sent, dict):
        listed: list[Any] = (
            [{"name": name, **tool} if isinstance(tool, dict) else {"name": name} for name, tool in sent.items()]
            if "name" not in sent and "function" not in sent and "type" not in sent
            else [sent]
        )
    elif isinstance(sent, list):
        listed = sent
    else:
        return []
    found: list[dict[str, Any]] = []
    for entry in listed:
        entry = values.opened(entry)
        if isinstance(entry, dict):
            for key in ("functionDeclarations", "function_declarations"):
                if isinstance(entry.get(key), list):
                    found.extend(tool_definitions(entry[key]))
                    break
            else:
                found.append(_definition(entry))
        elif isinstance(entry, str) and entry:
            found.append({"name": entry})
    return found


def fill_tool(content: Content, name: str | None, call_id: str | None, arguments: object, result: object) -> None:
    """Put what is known of a tool run where nothing is known yet."""
    tool: dict[str, Any] = {}
    tool.update(content.tool or {})
    for key, value in (("name", name), ("call_id", call_id), ("arguments", arguments), ("result", result)):
        if value is not None and tool.get(key) is None:
            tool[key] = value
    if tool:
        content.tool = tool


def needs_asked(content: Content) -> bool:
    """Whether no convention has told what a model was asked, beyond its instructions."""
    return content.input_messages is None or all(said.get("role") == "system" for said in content.input_messages)


def fill_asked(content: Content, found: list[Message] | None) -> None:
    """Put messages after the instructions that another convention told, where nothing but those is known."""
    if found and needs_asked(content):
        known = [part for said in content.input_messages or () for part in said["parts"]]
        content.input_messages = messages.with_system(known, found) if known else found


def fill_observed(source: Source, content: Content, asked_key: str | None, answered_key: str | None) -> None:
    """What a step of any kind took and gave, of which a convention says no more than one attribute each."""
    for side, key in (("input", asked_key), ("output", answered_key)):
        sent = source.get(key) if key is not None else None
        if getattr(content, side) is None and sent is not None:
            setattr(content, side, document_value(sent))
    asked = source.json(asked_key) if asked_key is not None else None
    answered = source.json(answered_key) if answered_key is not None else None
    if source.kind is Kind.llm:
        fill_asked(content, messages.messages(asked) if needs_asked(content) else None)
        if content.output_messages is None:
            content.output_messages = messages.answers(answered)
        if isinstance(asked, dict) and not content.tools:
            content.tools = tool_definitions(asked.get("tools"))
    elif source.kind is Kind.tool:
        fill_tool(content, None, None, called_with(asked), answered)
    elif source.kind in (Kind.retriever, Kind.reranker) and content.documents is None:
        content.documents = documents.documents(answered)


def called_with(sent: object) -> object:
    """A function's arguments out of `{"args": [...], "kwargs": {...}}`: the only ones there are, else both."""
    if not isinstance(sent, dict) or not sent.keys() <= {"args", "kwargs"}:
        return sent
    args, kwargs = sent.get("args"), sent.get("kwargs")
    if args and kwargs:
        return sent
    if isinstance(args, list) and len(args) == 1 and not kwargs:
        return args[0]
    return kwargs or args or dict[str, Any]()


def request_parameters(content: Content, request: object) -> None:
    """Put a request's settings among the parameters: all that is no content, model or null."""
    if isinstance(request, dict):
        for name, value in request.items():
            if name not in REQUEST_CONTENT and value is not None:
                content.parameters.setdefault(name, value)


def _definition(entry: dict[str, Any]) -> dict[str, Any]:
    inner = next((entry[key] for key in ("function", "toolSpec", "custom") if isinstance(entry.get(key), dict)), entry)
    name = inner.get("name") or entry.get("name") or entry.get("type") or ""
    found: dict[str, Any] = {"name": name if isinstance(name, str) else values.compact(name)}
    description = inner.get("description")
    if isinstance(description, str) and description:
        found["description"] = description
    for key in ("parameters", "input_schema", "inputSchema", "parameters_json_schema", "schema", "json_schema"):
        schema = values.opened(inner.get(key))
        if isinstance(schema, dict):
            inside = schema.get("jsonSchema", schema.get("json"))
            found["schema"] = inside if isinstance(inside, dict) else schema
            break
    return found
