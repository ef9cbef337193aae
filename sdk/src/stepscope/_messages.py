"""Messages and documents as people write them, in the forms that the wire has."""

from __future__ import annotations

import json
from contextlib import suppress

from ._text import to_json
from ._values import CutText


def message_list(given: object, role: str) -> list[object]:
    """Return messages in the OpenTelemetry GenAI form, `{"role", "parts"}`; a text or one message is a list of one."""
    if not isinstance(given, list):
        given = [given]
    return [_message(message, role) for message in given]


def _message(message: object, role: str) -> object:
    if not isinstance(message, dict):
        return {"role": role, "parts": [_text_part(message)]}
    if isinstance(message.get("parts"), list):
        return message if "role" in message else {"role": role, **message}
    said = str(message.get("role") or role)
    out: dict[str, object] = {"role": said}
    if message.get("name") is not None:
        out["name"] = message["name"]
    parts = _parts(message, said)
    out["parts"] = parts
    if message.get("finish_reason") is not None:
        out["finish_reason"] = message["finish_reason"]
    return out


def _parts(message: dict[object, object], role: str) -> list[object]:
    parts: list[object] = []
    reasoning = message.get("reasoning_content") or message.get("reasoning")
    if isinstance(reasoning, (str, CutText)):
        parts.append({"type": "reasoning", "content": reasoning})
    content = message.get("content")
    if role == "tool" or "tool_call_id" in message:
        return [*parts, {"type": "tool_call_response", "id": message.get("tool_call_id"), "response": content}]
    if isinstance(content, list):
        parts += [_content_part(part) for part in content]
    elif content is not None and content != "":
        parts.append(_text_part(content))
    calls = message.get("tool_calls")
    if isinstance(calls, list):
        parts += [_tool_call(call) for call in calls]
    return parts


def _text_part(content: object) -> dict[str, object]:
    if isinstance(content, (str, CutText)):
        return {"type": "text", "content": content}
    return {"type": "text", "content": to_json(content)}


def _content_part(part: object) -> object:
    """Turn one part of a provider's content list into ours; what we don't know stays as it is."""
    if not isinstance(part, dict):
        return _text_part(part)
    sort = part.get("type")
    if sort in ("text", "input_text", "output_text") and "text" in part:
        return {"type": "text", "content": part["text"]}
    if sort == "thinking":
        return {"type": "reasoning", "content": part.get("thinking")}
    if sort == "tool_use":
        return {"type": "tool_call", "id": part.get("id"), "name": part.get("name"), "arguments": part.get("input")}
    if sort == "tool_result":
        return {"type": "tool_call_response", "id": part.get("tool_use_id"), "response": part.get("content")}
    if sort in ("image_url", "input_image"):
        inner = part.get("image_url")
        address = inner.get("url") if isinstance(inner, dict) else inner
        return _picture(address) or part
    if sort == "image" and isinstance(part.get("source"), dict):
        source = part["source"]
        if isinstance(source, dict) and source.get("type") == "base64":
            return {
                "type": "blob",
                "modality": "image",
                "mime_type": source.get("media_type"),
                "content": source.get("data"),
            }
        if isinstance(source, dict) and source.get("type") == "url":
            return {"type": "uri", "modality": "image", "uri": source.get("url")}
    return part


def _picture(address: object) -> dict[str, object] | None:
    if not isinstance(address, str):
        return None
    if address.startswith("data:") and ";base64," in address:
        head, _, data = address.partition(";base64,")
        return {"type": "blob", "modality": "image", "mime_type": head[5:], "content": data}
    return {"type": "uri", "modality": "image", "uri": address}


def _tool_call(call: object) -> object:
    if not isinstance(call, dict):
        return _text_part(call)
    function = call.get("function")
    source = function if isinstance(function, dict) else call
    arguments = source.get("arguments")
    if isinstance(arguments, str):
        # A model's words that are no JSON are kept as they are.
        with suppress(ValueError, RecursionError):
            arguments = json.loads(arguments)
    return {"type": "tool_call", "id": call.get("id"), "name": source.get("name"), "arguments": arguments}


def document_fields(documents: object) -> list[tuple[str, object]]:
    """Return attributes for documents: `retrieval.documents.N.document.{id,content,score,metadata}`."""
    found = documents if isinstance(documents, list) else [documents]
    out: list[tuple[str, object]] = []
    for number, document in enumerate(found):
        base = f"retrieval.documents.{number}.document."
        if not isinstance(document, dict):
            out.append((f"{base}content", document if isinstance(document, (str, CutText)) else to_json(document)))
            continue
        content = next((document[key] for key in ("content", "page_content", "text") if key in document), None)
        for key in ("id", "score"):
            value = document.get(key)
            if value is not None:
                out.append((base + key, str(value) if key == "id" else value))
        if content is not None:
            out.append((f"{base}content", content if isinstance(content, (str, CutText)) else to_json(content)))
        extra = document.get("metadata")
        rest = {
            str(key): value
            for key, value in document.items()
            if key not in ("id", "score", "content", "page_content", "text", "metadata")
        }
        if isinstance(extra, dict):
            rest = {**rest, **extra}
        elif extra is not None:
            rest["metadata"] = extra
        if rest:
            out.append((f"{base}metadata", to_json(rest)))
    return out


__all__ = ["document_fields", "message_list"]
