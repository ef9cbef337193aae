"""The pieces of a message in every vendor's form, as parts of the OpenTelemetry GenAI form.

Understood: GenAI parts, OpenAI chat and Responses blocks, Anthropic, Bedrock, Gemini, LangChain and AI SDK blocks.
A block of no known form is kept as it is.
"""

from __future__ import annotations

import base64
from typing import Any, TypeAlias

from tracer.otlp.dialects import values

Part: TypeAlias = dict[str, Any]

_TEXT_TYPES = frozenset({"text", "input_text", "output_text", "summary_text", "refusal", "input_value"})
_REASONING_TYPES = frozenset({"reasoning", "thinking", "reasoning_text", "reasoning-part", "redacted_thinking"})
_CALL_TYPES = frozenset(
    {
        "tool_call",
        "tool_use",
        "tool-call",
        "function_call",
        "function",
        "server_tool_use",
        "mcp_call",
        "server_tool_call",
    }
)
_RESULT_TYPES = frozenset(
    {"tool_call_response", "tool_result", "tool-result", "function_call_output", "web_search_tool_result"}
)
_MEDIA_TYPES = frozenset(
    {"image", "image_url", "input_image", "audio", "input_audio", "file", "input_file", "document", "video", "media"}
    | {"image_part", "audio_url", "video_url", "document_url", "file_url", "binary", "image-url", "audio-url", "blob"}
    | {"video-url", "document-url", "uri", "custom"}
)


def text_part(content: str) -> Part:
    """A text part."""
    return {"type": "text", "content": content}


def of_content(content: object) -> list[Part]:
    """The parts of a message's `content`: text, a list of blocks, one block, or nothing."""
    if content is None or content == "":
        return []
    if isinstance(content, str):
        return [text_part(content)]
    if isinstance(content, list):
        found: list[Part] = []
        for block in content:
            found.extend(of_block(block))
        return found
    if isinstance(content, dict):
        return of_block(content)
    return [text_part(content_text(content))]


def of_block(block: object) -> list[Part]:
    """The parts in one block of a message's content."""
    if isinstance(block, str):
        return [text_part(block)] if block else []
    if not isinstance(block, dict):
        return [] if block is None else [text_part(content_text(block))]
    kind = block.get("type")
    kind = kind if isinstance(kind, str) else block.get("kind") if isinstance(block.get("kind"), str) else None
    if kind is None:
        return _untyped(block)
    if kind in _TEXT_TYPES:
        return _text(block)
    if kind in _REASONING_TYPES:
        return _reasoning(block)
    if kind in _CALL_TYPES:
        return [_call(block)]
    if kind in _RESULT_TYPES:
        return [_result(block)]
    if kind in _MEDIA_TYPES:
        return [_media(block, kind)]
    return [{**block, "type": kind}]


def tool_call(identity: object, name: object, arguments: object) -> Part:
    """A tool call; arguments in JSON text are opened."""
    part: Part = {"type": "tool_call"}
    if identity is not None and identity != "":
        part["id"] = identity if isinstance(identity, str) else content_text(identity)
    part["name"] = name if isinstance(name, str) else content_text(name)
    part["arguments"] = values.opened(arguments)
    return part


def tool_response(identity: object, response: object, name: object = None) -> Part:
    """A tool's result, joined to its call by `identity`."""
    part: Part = {"type": "tool_call_response"}
    if identity is not None and identity != "":
        part["id"] = identity if isinstance(identity, str) else content_text(identity)
    if isinstance(name, str) and name:
        part["name"] = name
    part["response"] = _flat_response(response)
    return part


def media_part(url: str, mime: object = None, modality: object = None) -> Part:
    """An image, sound or file: its bytes when the address is a data URL, else where it lies."""
    part: Part
    if url[:5].lower() == "data:":
        head, comma, data = url.partition(",")
        named = head[5:].split(";", 1)[0]
        if comma:
            if not head.endswith("base64"):
                data = base64.b64encode(data.encode("utf-8", "replace")).decode("ascii")
            part = {"type": "blob", "mime_type": named or (mime if isinstance(mime, str) else ""), "data": data}
        else:
            part = {"type": "uri", "uri": url}
    else:
        part = {"type": "uri", "uri": url}
        if isinstance(mime, str) and mime:
            part["mime_type"] = mime
    if isinstance(modality, str) and modality:
        part["modality"] = modality
    return part


def content_text(value: object) -> str:
    """Any value as text a person can read."""
    return value if isinstance(value, str) else values.compact(value)


def _text(block: dict[str, Any]) -> list[Part]:
    content = _first(block, "content", "text", "refusal", "value")
    if isinstance(content, (list, dict)):
        return of_content(content)
    if content is None:
        return []
    part = text_part(content_text(content))
    if block.get("annotations"):
        part["annotations"] = block["annotations"]
    elif block.get("citations"):
        part["annotations"] = block["citations"]
    return [part]


def _reasoning(block: dict[str, Any]) -> list[Part]:
    content = _first(block, "content", "thinking", "reasoning", "text", "summary", "reasoningText", "data")
    if isinstance(content, dict):
        content = _first(content, "text", "content", "reasoningText")
    if isinstance(content, list):
        texts = [piece.get("text") or piece.get("content") if isinstance(piece, dict) else piece for piece in content]
        content = "\n".join(piece for piece in texts if isinstance(piece, str))
    part: Part = {"type": "reasoning", "content": content if isinstance(content, str) else ""}
    if block.get("type") == "redacted_thinking":
        part["redacted"] = True
    return [part]


def _call(block: dict[str, Any]) -> Part:
    function = block.get("function")
    inner = function if isinstance(function, dict) else block
    name = _first(inner, "name", "toolName", "tool_name")
    arguments = _first(inner, "arguments", "input", "args", "parameters", "tool_input")
    return tool_call(_first(block, "call_id", "toolCallId", "tool_call_id", "toolUseId", "id", "ref"), name, arguments)


def _result(block: dict[str, Any]) -> Part:
    identity = _first(block, "call_id", "toolCallId", "tool_call_id", "tool_use_id", "toolUseId", "id", "ref")
    response = _first(block, "response", "result", "output", "content")
    return tool_response(identity, response, _first(block, "name", "toolName", "tool_name"))


def _media(block: dict[str, Any], kind: str) -> Part:
    modality = block.get("modality") or next((m for m in ("image", "audio", "video") if m in kind), None)
    mime = _first(block, "mime_type", "media_type", "mediaType", "mimeType", "content_type", "contentType")
    source = next(
        (block[key] for key in ("source", kind, "image", "file", "audio") if isinstance(block.get(key), dict)), None
    )
    if source is not None:
        mime = _first(source, "media_type", "mime_type", "mimeType", "mediaType", "format") or mime
        url = _first(source, "url", "uri", "file_url")
        data = _first(source, "data", "file_data", "bytes", "base64", "content")
        file_id = source.get("file_id") or source.get("id")
    else:
        url = _first(block, "uri", "url", "image_url", "file_url", "image", "file")
        data = _first(block, "data", "content", "base64")
        file_id = block.get("file_id")
    if isinstance(url, dict):
        url = _first(url, "url", "uri")
    if isinstance(url, str) and url:
        return media_part(url, mime, modality)
    if isinstance(data, str) and data[:5].lower() == "data:":
        return media_part(data, mime, modality)
    if isinstance(data, str) and data:
        if isinstance(mime, str) and mime and "/" not in mime and isinstance(modality, str):
            mime = f"{modality}/{mime}"
        part: Part = {"type": "blob", "mime_type": mime if isinstance(mime, str) else "", "data": data}
        return part | {"modality": modality} if isinstance(modality, str) and modality else part
    if isinstance(file_id, str) and file_id:
        return {"type": "file", "file_id": file_id}
    return {**block, "type": kind}


def _untyped(block: dict[str, Any]) -> list[Part]:
    """Blocks told by their only key, as Bedrock and Gemini write them."""
    for key in ("toolUse", "functionCall", "function_call", "tool_call", "toolRequest"):
        inner = block.get(key)
        if isinstance(inner, dict):
            return [_call(inner)]
    for key in ("toolResult", "functionResponse", "function_response", "tool_call_result", "toolResponse"):
        inner = block.get(key)
        if isinstance(inner, dict):
            origin = inner.get("origin")
            return [_result({**origin, **inner} if isinstance(origin, dict) else inner)]
    for key in ("reasoningContent", "thinking", "reasoning_content"):
        if key in block:
            inner = block[key]
            if isinstance(inner, dict) and isinstance(inner.get("reasoningText"), dict):
                inner = inner["reasoningText"]
            return _reasoning(inner if isinstance(inner, dict) else {"content": inner})
    for key in ("inlineData", "inline_data", "fileData", "file_data", "media", "image", "document", "audio", "video"):
        inner = block.get(key)
        if isinstance(inner, dict):
            flat = dict(inner)
            source = flat.pop("source", None)
            if isinstance(source, dict):
                flat = {**flat, **source}
            flat.setdefault("uri", _first(flat, "fileUri", "file_uri"))
            if "bytes" in flat:
                flat.setdefault("data", flat["bytes"])
            if "format" in flat:
                flat.setdefault("mime_type", flat["format"])
            return [_media(flat, key if key in ("image", "audio", "video", "document") else "blob")]
    if isinstance(block.get("reasoning"), (str, dict)) and "text" not in block:
        return _reasoning(block)
    if "text" in block or "content" in block:
        reasoning = block.get("thought") is True
        return _reasoning(block) if reasoning else _text(block)
    if isinstance(block.get("parts"), list):
        return of_content(block["parts"])
    return [{**block, "type": "unknown"}] if block else []


def _flat_response(response: object) -> Any:
    """A result as short as it can be said: a list of text blocks is its text."""
    if isinstance(response, dict) and response.keys() == {"type", "value"}:
        if response["type"] in ("text", "json", "error-text", "error-json"):
            return response["value"]
        if response["type"] == "content":
            return _flat_response(response["value"])
    if (
        isinstance(response, list)
        and len(response) == 1
        and isinstance(response[0], dict)
        and response[0].keys() == {"json"}
    ):
        return response[0]["json"]
    if isinstance(response, list) and response:
        texts: list[str] = []
        for block in response:
            if not isinstance(block, dict) or not isinstance(block.get("text"), str):
                return response
            if set(block) - {"type", "text", "annotations", "cache_control", "citations"}:
                return response
            texts.append(block["text"])
        return "\n".join(texts)
    return response


def _first(block: dict[str, Any], *keys: str) -> Any:
    for key in keys:
        found = block.get(key)
        if found is not None:
            return found
    return None
