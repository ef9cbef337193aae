"""Small pieces that several conventions fill into a step's content."""

from __future__ import annotations

from typing import Any, Final

from tracer.otlp.dialects import values
from tracer.otlp.dialects.reading import Content

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
