"""OpenAI's client, and every service that speaks its protocol: chat, responses, completions, embeddings."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from urllib.parse import urlsplit

from .._steps import Step
from ._client import Talk, begin, count, items, mapping, text, wrap_clients

_PROVIDERS = (
    ("azure.com", "azure.ai.openai"),
    ("groq.com", "groq"),
    ("mistral.ai", "mistral_ai"),
    ("deepseek.com", "deepseek"),
    ("x.ai", "x_ai"),
    ("openrouter.ai", "openrouter"),
    ("together.xyz", "together_ai"),
    ("perplexity.ai", "perplexity"),
    ("googleapis.com", "gcp.gemini"),
    ("anthropic.com", "anthropic"),
)
_NO_PARAMETERS = frozenset(
    ("model", "messages", "input", "instructions", "prompt", "tools", "functions", "metadata", "stream_options", "user")
)


def install() -> None:
    """Hook into the client."""
    wrap_clients(sys.modules["openai"], "OpenAI", "AsyncOpenAI", _choose)


def _choose(path: str, base: str, body: Mapping[str, object]) -> tuple[Step, Talk] | None:
    model = body.get("model")
    kinds = {
        "chat/completions": ("chat", "llm"),
        "responses": ("chat", "llm"),
        "embeddings": ("embeddings", "embedding"),
    }
    kinds["completions"] = ("text_completion", "llm")
    end = next((end for end in kinds if path == f"/{end}" or path == end or path.endswith(f"/{end}")), None)
    if end is None:
        return None
    name, kind = kinds[end]
    step = begin(name, model, kind)
    step.set("gen_ai.operation.name", name)
    host = urlsplit(base).hostname or ""
    step.provider = next((known for ending, known in _PROVIDERS if f".{host}".endswith(f".{ending}")), "openai")
    step.set("server.address", host)
    if isinstance(model, str):
        step.model = model
    if end == "responses":
        return step, Responses(step)
    return step, Embeddings(step) if end == "embeddings" else Chat(step)


def _parameters(step: Step, body: Mapping[str, object]) -> None:
    given = {key: value for key, value in body.items() if key not in _NO_PARAMETERS and value is not None}
    if given:
        step.parameters = given
    tools = body.get("tools") or body.get("functions")
    if tools:
        step.tools = tools


def _facts(step: Step, said: Mapping[str, object]) -> None:
    if isinstance(said.get("id"), str):
        step.response_id = text(said["id"])
    if isinstance(said.get("model"), str):
        step.response_model = text(said["model"])
    if said.get("service_tier") is not None:
        step.set("openai.response.service_tier", said["service_tier"])


class Chat:
    """`/chat/completions`, and the older `/completions`."""

    def __init__(self, step: Step) -> None:
        self._step = step
        self._choices: dict[int, dict[str, object]] = {}

    def ask(self, body: Mapping[str, object]) -> None:
        """Read the request."""
        self._step.messages = body.get("messages") or body.get("prompt") or []
        _parameters(self._step, body)

    def answer(self, said: Mapping[str, object]) -> None:
        """Read a whole answer."""
        step = self._step
        _facts(step, said)
        self._usage(said.get("usage"))
        replies: list[object] = []
        reasons: list[str] = []
        for choice in items(said.get("choices")):
            message = mapping(choice.get("message")) or {"role": "assistant", "content": choice.get("text")}
            replies.append(_reply(message, choice.get("finish_reason")))
            reasons.append(text(choice.get("finish_reason")))
        if replies:
            step.reply = replies
        if any(reasons):
            step.finish_reason = [reason for reason in reasons if reason]

    def event(self, name: str, data: dict[str, object]) -> None:
        """Read one event of a streamed answer."""
        if data.get("error"):
            self._step.fail(_problem(data["error"]))
        _facts(self._step, data)
        self._usage(data.get("usage"))
        for choice in items(data.get("choices")):
            number = count(choice.get("index")) or 0
            kept = self._choices.setdefault(number, {"role": "assistant", "content": "", "calls": {}})
            if choice.get("finish_reason"):
                kept["finish_reason"] = choice["finish_reason"]
                self._step.finish_reason = [
                    text(one["finish_reason"]) for one in self._choices.values() if one.get("finish_reason")
                ]
            delta = mapping(choice.get("delta"))
            said = text(delta.get("content")) or text(delta.get("refusal")) or text(choice.get("text"))
            thought = text(delta.get("reasoning_content")) or text(delta.get("reasoning"))
            if thought:
                kept["reasoning_content"] = text(kept.get("reasoning_content")) + thought
                self._step.first_token()
            if said:
                kept["content"] = text(kept["content"]) + said
                if number == 0:
                    self._step.stream(said)
            calls = kept["calls"]
            for part in items(delta.get("tool_calls")):
                self._step.first_token()
                if isinstance(calls, dict):
                    _grow(calls.setdefault(part.get("index", 0), {"id": "", "name": "", "arguments": ""}), part)

    def settle(self) -> None:
        """Write down what a streamed answer came to."""
        replies: list[object] = []
        for number in sorted(self._choices):
            kept = self._choices[number]
            calls = kept.pop("calls", None)
            message: dict[str, object] = dict(kept)
            if isinstance(calls, dict) and calls:
                message["tool_calls"] = [
                    {"id": call["id"], "function": {"name": call["name"], "arguments": call["arguments"]}}
                    for call in calls.values()
                ]
            replies.append(message)
        if replies:
            self._step.reply = replies

    def _usage(self, usage: object) -> None:
        found = mapping(usage)
        if not found:
            return
        self._step.tokens(
            count(found.get("prompt_tokens")),
            count(found.get("completion_tokens")),
            cached_input=count(mapping(found.get("prompt_tokens_details")).get("cached_tokens")),
            reasoning=count(mapping(found.get("completion_tokens_details")).get("reasoning_tokens")),
        )


def _reply(message: Mapping[str, object], reason: object) -> dict[str, object]:
    out = {key: value for key, value in message.items() if key not in ("audio", "annotations", "parsed")}
    if not out.get("content") and isinstance(out.get("refusal"), str):
        out["content"] = out["refusal"]
    return {**out, "finish_reason": reason} if reason else out


def _grow(call: dict[str, str], part: Mapping[str, object]) -> None:
    function = mapping(part.get("function"))
    call["id"] = text(part.get("id")) or call["id"]
    call["name"] += text(function.get("name"))
    call["arguments"] += text(function.get("arguments"))


def _problem(error: object) -> str:
    return text(mapping(error).get("message")) or str(error)[:1000]


class Embeddings:
    """`/embeddings`: the vectors themselves are not kept."""

    def __init__(self, step: Step) -> None:
        self._step = step

    def ask(self, body: Mapping[str, object]) -> None:
        """Read the request."""
        self._step.input = body.get("input")
        _parameters(self._step, body)

    def answer(self, said: Mapping[str, object]) -> None:
        """Read a whole answer."""
        step = self._step
        _facts(step, said)
        data = items(said.get("data"))
        first: object = data[0].get("embedding") if data else None
        step.output = {"vectors": len(data), "dimensions": len(first) if isinstance(first, (list, tuple)) else None}
        step.tokens(count(mapping(said.get("usage")).get("prompt_tokens")))

    def event(self, name: str, data: dict[str, object]) -> None:
        """Embeddings aren't streamed."""

    def settle(self) -> None:
        """Embeddings aren't streamed."""


class Responses:
    """`/responses`."""

    def __init__(self, step: Step) -> None:
        self._step = step
        self._said: dict[object, str] = {}
        self._calls: dict[object, dict[str, object]] = {}
        self._whole = False

    def ask(self, body: Mapping[str, object]) -> None:
        """Read the request."""
        messages: list[object] = []
        if isinstance(body.get("instructions"), str):
            messages.append({"role": "system", "content": body["instructions"]})
        given = body.get("input")
        if isinstance(given, (list, tuple)):
            messages += [_item(mapping(item), "user") for item in given]
        elif given is not None:
            messages.append({"role": "user", "content": given})
        self._step.messages = messages
        _parameters(self._step, body)
        if isinstance(body.get("previous_response_id"), str):
            self._step.set("openai.request.previous_response_id", body["previous_response_id"])

    def answer(self, said: Mapping[str, object]) -> None:
        """Read a whole answer."""
        self._whole = True
        step = self._step
        _facts(step, said)
        output = items(said.get("output"))
        if output:
            step.reply = [_item(item, "assistant") for item in output]
        usage = mapping(said.get("usage"))
        if usage:
            step.tokens(
                count(usage.get("input_tokens")),
                count(usage.get("output_tokens")),
                cached_input=count(mapping(usage.get("input_tokens_details")).get("cached_tokens")),
                reasoning=count(mapping(usage.get("output_tokens_details")).get("reasoning_tokens")),
            )
        state = text(said.get("status"))
        why = text(mapping(said.get("incomplete_details")).get("reason"))
        if state and state not in ("queued", "in_progress"):
            calls = any(item.get("type") == "function_call" for item in output)
            step.finish_reason = why or ("tool_calls" if calls else "stop" if state == "completed" else state)
        if said.get("error"):
            step.fail(_problem(said["error"]))

    def event(self, name: str, data: dict[str, object]) -> None:
        """Read one event of a streamed answer."""
        sort = text(data.get("type")) or name
        if sort == "response.output_text.delta":
            place, said = data.get("output_index"), text(data.get("delta"))
            self._said[place] = self._said.get(place, "") + said
            self._step.stream(said)
        elif sort == "response.output_item.added" and mapping(data.get("item")).get("type") == "function_call":
            self._step.first_token()
            item = mapping(data.get("item"))
            self._calls[data.get("output_index")] = {**item, "arguments": text(item.get("arguments"))}
        elif sort == "response.function_call_arguments.delta":
            call = self._calls.setdefault(data.get("output_index"), {"type": "function_call", "arguments": ""})
            call["arguments"] = text(call["arguments"]) + text(data.get("delta"))
        elif sort in ("response.completed", "response.incomplete", "response.failed"):
            self.answer(mapping(data.get("response")))
        elif sort == "response.created":
            _facts(self._step, mapping(data.get("response")))
        elif sort == "error":
            self._step.fail(_problem(data.get("error") or data))

    def settle(self) -> None:
        """Write down what a streamed answer came to, where it didn't say so itself."""
        if self._whole or not (self._said or self._calls):
            return
        replies: list[object] = [{"role": "assistant", "content": said} for said in self._said.values()]
        replies += [_item(call, "assistant") for call in self._calls.values()]
        self._step.reply = replies


def _item(item: Mapping[str, object], role: str) -> object:
    """Turn one item of a conversation into a message."""
    sort = item.get("type")
    if sort == "function_call":
        function = {"name": item.get("name"), "arguments": item.get("arguments")}
        return {"role": "assistant", "tool_calls": [{"id": item.get("call_id"), "function": function}]}
    if sort == "function_call_output":
        return {"role": "tool", "tool_call_id": item.get("call_id"), "content": item.get("output")}
    if sort == "reasoning":
        thoughts = [text(part.get("text")) for part in items(item.get("summary")) + items(item.get("content"))]
        return {"role": "assistant", "reasoning_content": "\n".join(thoughts), "content": ""}
    if sort in (None, "message"):
        return {"role": item.get("role") or role, "content": item.get("content")}
    return {"role": role, "content": [dict(item)]}
