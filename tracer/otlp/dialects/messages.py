"""Requests, answers and messages in every vendor's form, as messages of the OpenTelemetry GenAI form."""

from __future__ import annotations

from typing import Any

from tracer.otlp.dialects import values
from tracer.otlp.dialects.parts import Part, of_content, text_part, tool_call, tool_response
from tracer.otlp.dialects.reading import Message

_ROLES = {
    "human": "user",
    "humanmessage": "user",
    "humanmessagechunk": "user",
    "ai": "assistant",
    "aimessage": "assistant",
    "aimessagechunk": "assistant",
    "model": "assistant",
    "bot": "assistant",
    "systemmessage": "system",
    "systemmessagechunk": "system",
    "toolmessage": "tool",
    "toolmessagechunk": "tool",
    "function": "tool",
    "functionmessage": "tool",
    "functionmessagechunk": "tool",
    "chatmessage": "user",
    "aimessagechunkmessage": "assistant",
    "tool-call": "assistant",
    "tool-response": "user",
}
_ITEM_ROLES = {
    "function_call": "assistant",
    "function_call_output": "tool",
    "reasoning": "assistant",
    "web_search_call": "assistant",
    "file_search_call": "assistant",
    "computer_call": "assistant",
    "computer_call_output": "tool",
    "code_interpreter_call": "assistant",
    "image_generation_call": "assistant",
    "custom_tool_call": "assistant",
    "custom_tool_call_output": "tool",
    "mcp_call": "assistant",
    "local_shell_call": "assistant",
    "local_shell_call_output": "tool",
}
_ANSWER_ITEMS = frozenset({"message", *_ITEM_ROLES})
_LISTS = ("messages", "input_messages", "input", "contents", "prompt", "prompts", "history")
_SAYING = frozenset({"content", "parts", "contents", "text", "tool_calls", "function_call", "refusal"})
_TYPES = frozenset({"system", "tool", "message", "user", "assistant"})
_NESTED = ("message", "output_message")
_RESULTS = frozenset({"toolResult", "toolResponse", "functionResponse", "function_response", "tool_call_result"})
"""Keys of blocks that hold a tool's result."""


def role_of(word: object, default: str = "user") -> str:
    """A role in the words of the GenAI form; one that is not known stays as it is."""
    if not isinstance(word, str) or not word.strip():
        return default
    name = word.strip().rpartition(".")[2]
    return _ROLES.get(name.lower(), name.lower() if name.isupper() else name)


def message(value: object, default_role: str = "user") -> Message | None:
    """One message out of what any vendor or framework writes for one; None when it isn't one."""
    if isinstance(value, str):
        return {"role": default_role, "parts": [text_part(value)]} if value else None
    if not isinstance(value, dict):
        return None
    inner = _unwrapped(value)
    if inner is not value:
        return message(inner, default_role)
    kind = value.get("type")
    if isinstance(kind, str) and kind in _ITEM_ROLES and "role" not in value:
        return _item(value, kind)
    if not _is_message(value):
        return None
    role = role_of(value.get("role") or (kind if kind != "message" else None), default_role)
    parts = _parts(value, role)
    made: Message = {"role": role, "parts": parts}
    if parts and all(part.get("type") == "tool_call_response" for part in parts):
        made["role"] = "tool"
    meta = value.get("meta")
    finish = value.get("finish_reason") or value.get("stop_reason")
    if not finish and isinstance(meta, dict):
        finish = meta.get("finish_reason")
    if isinstance(finish, str) and finish:
        made["finish_reason"] = finish
    name = value.get("name")
    if isinstance(name, str) and name and role != "tool":
        made["name"] = name
    return made


def messages(value: object, default_role: str = "user") -> list[Message] | None:
    """A list of messages, however it is wrapped; None when the value holds none."""
    value = values.opened(value)
    if isinstance(value, dict):
        for key in _LISTS:
            if key in value:
                found = messages(value[key], default_role)
                if found is not None:
                    return _with_system(value, found)
        only = message(value, default_role)
        return [only] if only is not None else None
    if isinstance(value, str):
        return [{"role": default_role, "parts": [text_part(value)]}] if value else None
    if not isinstance(value, list) or not value:
        return None
    if isinstance(value[0], list):
        return messages(value[0], default_role)
    if len(value) == 2 and isinstance(value[0], str) and isinstance(value[1], str) and value[0] in _ROLES:
        return [{"role": role_of(value[0]), "parts": [text_part(value[1])]}]
    found = []
    for entry in value:
        if isinstance(entry, list) and len(entry) == 2 and isinstance(entry[0], str):
            entry = {"role": entry[0], "content": entry[1]}
        made = message(values.opened(entry) if isinstance(entry, str) and entry[:1] == "{" else entry, default_role)
        if made is None:
            return None
        found.append(made)
    return found


def answers(value: object) -> list[Message] | None:
    """The answer's messages out of a whole response: one per choice; None when it is no model's response."""
    value = values.opened(value)
    if isinstance(value, str):
        return [{"role": "assistant", "parts": [text_part(value)]}] if value else None
    if isinstance(value, list):
        if value and isinstance(value[0], list):
            return answers(value[0])
        if all(isinstance(entry, dict) and _word(entry, "type") in _ANSWER_ITEMS for entry in value):
            return _merged([made for entry in value if (made := message(entry, "assistant")) is not None])
        found = [made for entry in value for made in answers(entry) or ()]
        return found or None
    if not isinstance(value, dict):
        return None
    for key in ("choices", "generations", "candidates", "outputs", "replies"):
        listed = value.get(key)
        if isinstance(listed, list) and listed:
            return _choices(listed)
    output = value.get("output")
    if isinstance(output, list) and output:
        return _merged([made for entry in output if (made := message(entry, "assistant")) is not None])
    if isinstance(output, dict):
        return answers(output)
    if "role" in value or "parts" in value or _unwrapped(value) is not value or _word(value, "type") in _ITEM_ROLES:
        only = message(value, "assistant")
        return [only] if only is not None else None
    for key in ("messages", "message", "response", "answer", "text", "content", "completion", "output_text", "result"):
        if value.get(key):
            if key == "messages" and isinstance(value[key], list):
                return _last_answer(value[key])
            found = answers(value[key]) if not isinstance(value[key], dict) or key in ("message", "response") else None
            if found is not None:
                return found
    return None


def system_message(instructions: object) -> Message | None:
    """System instructions sent apart from the messages: a list of parts, or a text."""
    parts = of_content(values.opened(instructions))
    return {"role": "system", "parts": parts} if parts else None


def with_system(instructions: object, found: list[Message] | None) -> list[Message] | None:
    """Messages led by the system instructions, unless the same text already leads them."""
    system = system_message(instructions)
    if system is None:
        return found
    if not found:
        return [system]
    if found[0].get("role") in ("system", "developer"):
        said, new = text_of(found[0]), text_of(system)
        if new in said or said in new:
            return found
    return [system, *found]


def text_of(value: Message) -> str:
    """The words of a message: its text parts, one a line."""
    texts = [part.get("content") for part in value.get("parts") or () if part.get("type") == "text"]
    return "\n".join(text for text in texts if isinstance(text, str))


def _word(value: dict[str, Any], key: str) -> str | None:
    """What stands under a key when it is a word: anything else may not even be looked up in a set."""
    found = value.get(key)
    return found if isinstance(found, str) else None


def _choices(listed: list[Any]) -> list[Message] | None:
    found: list[Message] = []
    for choice in listed:
        if isinstance(choice, list):
            found.extend(_choices(choice) or ())
            continue
        if not isinstance(choice, dict):
            continue
        inner = next((choice[key] for key in ("message", "content", "delta") if choice.get(key)), None)
        whole = inner is None or ("role" in choice and isinstance(inner, list))
        made = message(choice if whole else inner, "assistant")
        if made is None and isinstance(choice.get("text"), str):
            made = {"role": "assistant", "parts": of_content(choice["text"])}
        if made is None:
            continue
        info = choice.get("generation_info")
        finish = choice.get("finish_reason") or choice.get("finishReason")
        if not finish and isinstance(info, dict):
            finish = info.get("finish_reason")
        if isinstance(finish, str) and finish:
            made["finish_reason"] = finish
        found.append(made)
    return found or None


def _last_answer(listed: list[Any]) -> list[Message] | None:
    for entry in reversed(listed):
        made = message(entry, "assistant")
        if made is not None and made.get("role") == "assistant":
            return [made]
    return None


def _merged(found: list[Message]) -> list[Message] | None:
    """One assistant message out of the items (reasoning, text, calls) that one answer came in."""
    if not found:
        return None
    if any(made.get("role") != "assistant" for made in found):
        return found
    whole: Message = {"role": "assistant", "parts": [part for made in found for part in made["parts"]]}
    finish = next((made["finish_reason"] for made in reversed(found) if "finish_reason" in made), None)
    return [whole | {"finish_reason": finish} if finish else whole]


def _with_system(request: dict[str, Any], found: list[Message]) -> list[Message]:
    for key in ("system", "instructions", "system_instruction", "systemInstruction", "system_prompt"):
        if request.get(key):
            instructions = request[key]
            if isinstance(instructions, dict) and "parts" in instructions:
                instructions = instructions["parts"]
            return with_system(instructions, found) or found
    return found


def _unwrapped(value: dict[str, Any]) -> dict[str, Any]:
    """LangChain's and others' wrappings taken off; the value itself when it wears none."""
    kwargs = value.get("kwargs")
    if isinstance(kwargs, dict) and isinstance(value.get("id"), list) and value["id"]:
        name = value["id"][-1]
        if isinstance(name, str) and name.lower() in _ROLES:
            return {"type": name, **kwargs} if not isinstance(kwargs.get("type"), str) else kwargs
    data = value.get("data")
    if (
        isinstance(data, dict)
        and isinstance(value.get("type"), str)
        and (value["type"].lower() in _ROLES or value["type"] in _TYPES)
    ):
        return {**data, "type": data.get("type") or value["type"]}
    for key in _NESTED:
        inner = value.get(key)
        if isinstance(inner, dict) and "role" not in value and "content" not in value:
            finish = value.get("finish_reason") or value.get("finishReason")
            return {**inner, "finish_reason": finish} if isinstance(finish, str) else inner
    return value


def _is_message(value: dict[str, Any]) -> bool:
    if "role" in value:
        return len(value) <= 2 or not _SAYING.isdisjoint(value)
    kind = value.get("type")
    if isinstance(kind, str) and (kind.lower() in _ROLES or kind in _TYPES):
        return "content" in value
    return isinstance(value.get("parts"), list) and bool(value["parts"])


def _parts(value: dict[str, Any], role: str) -> list[Part]:
    calls = value.get("tool_calls")
    if role == "tool" and not isinstance(value.get("parts"), list):
        content = value.get("content")
        if not _holds_results(content):
            return [tool_response(value.get("tool_call_id") or value.get("id"), content, value.get("name"))]
    found: list[Part] = []
    reasoning = value.get("reasoning_content") or value.get("reasoning")
    if isinstance(reasoning, str) and reasoning:
        found.append({"type": "reasoning", "content": reasoning})
    for key in ("parts", "content", "contents", "text"):
        if value.get(key):
            found.extend(of_content(values.opened(value[key]) if key == "parts" else value[key]))
            break
    if isinstance(value.get("refusal"), str) and value["refusal"]:
        found.append(text_part(value["refusal"]))
    known = {part.get("id") for part in found if part.get("type") == "tool_call"}
    for call in calls if isinstance(calls, list) else ():
        if isinstance(call, dict):
            made = _call(call)
            if made.get("id") is None or made.get("id") not in known:
                found.append(made)
    extra = value.get("additional_kwargs")
    legacy = value.get("function_call") or (extra.get("function_call") if isinstance(extra, dict) else None)
    if isinstance(legacy, dict):
        found.append(tool_call(None, legacy.get("name"), legacy.get("arguments")))
    audio = value.get("audio")
    if isinstance(audio, dict) and isinstance(audio.get("transcript"), str) and not found:
        found.append(text_part(audio["transcript"]))
    return found


def _call(call: dict[str, Any]) -> Part:
    function = call.get("function")
    inner = function if isinstance(function, dict) else call
    arguments = next((inner[key] for key in ("arguments", "args", "input") if inner.get(key) is not None), None)
    name = inner.get("name") or inner.get("toolName")
    return tool_call(call.get("id") or call.get("call_id") or call.get("toolCallId"), name, arguments)


def _item(value: dict[str, Any], kind: str) -> Message:
    """An item of OpenAI's Responses API that is no message."""
    role = _ITEM_ROLES[kind]
    identity = value.get("call_id") or value.get("id")
    if kind == "reasoning":
        pieces = value.get("summary") or value.get("content") or []
        texts = (
            [piece.get("text") if isinstance(piece, dict) else piece for piece in pieces]
            if isinstance(pieces, list)
            else [pieces]
        )
        content = "\n".join(text for text in texts if isinstance(text, str))
        return {"role": role, "parts": [{"type": "reasoning", "content": content}]}
    if kind in ("function_call", "custom_tool_call"):
        arguments = value.get("arguments") if value.get("arguments") is not None else value.get("input")
        return {"role": role, "parts": [tool_call(identity, value.get("name"), arguments)]}
    if kind.endswith("_output"):
        return {"role": role, "parts": [tool_response(identity, value.get("output"))]}
    rest = {key: item for key, item in value.items() if key not in ("id", "type", "status")}
    return {"role": role, "parts": [tool_call(value.get("id"), kind.removesuffix("_call"), rest)]}


def _holds_results(content: object) -> bool:
    return isinstance(content, list) and any(
        isinstance(block, dict)
        and (block.get("type") in ("tool-result", "tool_result") or not _RESULTS.isdisjoint(block))
        for block in content
    )
