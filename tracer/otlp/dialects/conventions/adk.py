"""Google's agent kit: GenAI attributes, and whole requests and responses as JSON under its own names."""

from __future__ import annotations

from tracer.otlp.dialects import messages
from tracer.otlp.dialects.dialect import Dialect, Field
from tracer.otlp.dialects.fill import fill_tool, tool_definitions
from tracer.otlp.dialects.reading import Content, Kind
from tracer.otlp.dialects.source import Source, as_value

_REQUEST, _RESPONSE = "gcp.vertex.agent.llm_request", "gcp.vertex.agent.llm_response"
_ARGUMENTS, _RESULT = "gcp.vertex.agent.tool_call_args", "gcp.vertex.agent.tool_response"
_NOT_PARAMETERS = frozenset({"system_instruction", "tools", "labels", "http_options", "response_schema"})


def content(source: Source, content: Content) -> None:
    """Fill in what the kit's own request, response and tool attributes say."""
    request, response = source.json(_REQUEST), source.json(_RESPONSE)
    config = request.get("config") if isinstance(request, dict) else None
    if source.kind is Kind.llm and isinstance(request, dict):
        if content.input_messages is None:
            system = config.get("system_instruction") if isinstance(config, dict) else None
            content.input_messages = messages.with_system(system, messages.messages(request.get("contents")))
        if content.input is None:
            content.input = as_value(source.get(_REQUEST))
        if isinstance(config, dict):
            content.tools = content.tools or tool_definitions(config.get("tools"))
            for name, value in config.items():
                if name not in _NOT_PARAMETERS and value is not None:
                    content.parameters.setdefault(name, value)
    if source.kind is Kind.llm and isinstance(response, dict):
        if content.output_messages is None:
            content.output_messages = messages.answers(response.get("content"))
        if content.output is None:
            content.output = as_value(source.get(_RESPONSE))
        reason = response.get("finish_reason")
        if isinstance(reason, str) and not content.finish_reasons:
            content.finish_reasons = [reason]
    if source.kind is Kind.tool:
        for side, key in (("input", _ARGUMENTS), ("output", _RESULT)):
            if getattr(content, side) is None and source.get(key) is not None:
                setattr(content, side, as_value(source.get(key)))
        fill_tool(content, None, None, source.json(_ARGUMENTS), source.json(_RESULT))


DIALECT = Dialect(
    name="adk",
    rank=60,
    marks=frozenset({"gcp.vertex.agent.invocation_id", "gcp.vertex.agent.event_id", _REQUEST, _ARGUMENTS}),
    facts={Field.SESSION: ("gcp.vertex.agent.session_id",)},
    families={"gcp.vertex.agent.": Field.MARK},
    content=content,
    roots=frozenset({"gcp"}),
)
