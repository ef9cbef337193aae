"""A small client for any OpenAI-compatible model, on the standard library, that records each call as a step.

This is the one place where the examples tell Stepscope about model, tokens and messages; the chains only name their
steps. Programs that use a vendor's client can let Stepscope watch that client instead.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from http.client import HTTPResponse
from typing import NotRequired, TypedDict

import stepscope
from examples import clock
from examples.script.base import Json
from examples.wire import ModelError, address, an_object, connect, count_in, list_in, part_of, post, text_in

__all__ = [
    "Json",
    "Message",
    "ModelError",
    "Prompt",
    "Reply",
    "ToolCall",
    "achat",
    "chat",
    "closeness",
    "connect",
    "embed",
]

MODELS = {"small": "gpt-4.1-mini", "large": "gpt-4.1", "embedding": "text-embedding-3-small"}


class Message(TypedDict):
    """A message as OpenAI's protocol has it."""

    role: str
    content: str | None
    tool_calls: NotRequired[list[dict[str, Json]]]
    tool_call_id: NotRequired[str]


@dataclass(frozen=True)
class ToolCall:
    """A tool that the model wants called."""

    id: str
    name: str
    arguments: dict[str, Json]


@dataclass
class Reply:
    """What the model answered."""

    text: str = ""
    calls: list[ToolCall] = field(default_factory=list)
    message: Message = field(default_factory=lambda: Message(role="assistant", content=""))


@dataclass(frozen=True)
class Prompt:
    """A prompt with gaps, kept under a name and a version; `str(prompt)` is the text with the gaps filled."""

    name: str
    version: str
    template: str
    variables: Mapping[str, str] = field(default_factory=dict)

    def fill(self, **variables: str) -> "Prompt":
        """Give the prompt with its gaps filled."""
        return replace(self, variables=variables)

    def __str__(self) -> str:
        return self.template.format(**self.variables)


def system(text: str) -> Message:
    """Write a system message."""
    return Message(role="system", content=text)


def user(text: str) -> Message:
    """Write a user's message."""
    return Message(role="user", content=text)


def tool_result(call_id: str, text: str) -> Message:
    """Write what a tool answered."""
    return Message(role="tool", content=text, tool_call_id=call_id)


def as_json(message: Message) -> dict[str, Json]:
    """Give a message in the form that goes over the wire."""
    form: dict[str, Json] = {"role": message["role"], "content": message["content"]}
    if "tool_calls" in message:
        form["tool_calls"] = [*message["tool_calls"]]
    if "tool_call_id" in message:
        form["tool_call_id"] = message["tool_call_id"]
    return form


def tool(name: str, description: str, **arguments: str) -> dict[str, Json]:
    """Describe a tool to the model; each argument is a text, given with what it means."""
    properties: dict[str, Json] = {key: {"type": "string", "description": text} for key, text in arguments.items()}
    schema: Json = {"type": "object", "properties": properties, "required": [*arguments]}
    return {"type": "function", "function": {"name": name, "description": description, "parameters": schema}}


def closeness(one: Sequence[float], other: Sequence[float]) -> float:
    """Tell how close two embeddings are: 1 for the same direction, 0 for nothing in common."""
    return sum(a * b for a, b in zip(one, other, strict=True))


def chat(
    step_name: str,
    messages: Sequence[Message],
    *,
    size: str = "small",
    tools: Sequence[dict[str, Json]] = (),
    temperature: float = 0.2,
    max_tokens: int = 600,
    stream: bool = False,
    json_reply: bool = False,
    attempts: int = 1,
    prompt: Prompt | None = None,
) -> Reply:
    """Ask the model, as a step of its own; raises ModelError when it refuses.

    With `attempts`, a server that is too busy is asked again after the time it names; each try is a step. A `prompt`
    is recorded apart from the messages that were made of it.
    """
    body: dict[str, Json] = {
        "model": address().model or MODELS[size],
        "messages": [as_json(message) for message in messages],
        "temperature": temperature,
        "max_tokens": max_tokens,
    }
    if tools:
        body["tools"] = [*tools]
    if json_reply:
        body["response_format"] = {"type": "json_object"}
    if stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    for attempt in range(attempts):
        try:
            return ask_once(step_name, body, attempt, prompt)
        except ModelError as busy:
            if busy.status not in (429, 503) or attempt + 1 == attempts:
                raise
            clock.pause(busy.retry_after)
    raise ValueError("attempts must be at least 1")


async def achat(
    step_name: str,
    messages: Sequence[Message],
    *,
    size: str = "small",
    max_tokens: int = 600,
    stream: bool = False,
    attempts: int = 1,
) -> Reply:
    """Ask the model from asynchronous code: `chat` in a thread, which keeps the current step."""
    ask = partial(chat, step_name, messages, size=size, max_tokens=max_tokens, stream=stream, attempts=attempts)
    return await asyncio.to_thread(ask)


def embed(step_name: str, texts: Sequence[str]) -> list[list[float]]:
    """Turn texts into vectors, as a step of its own; raises ModelError when the server refuses."""
    model = address().model or MODELS["embedding"]
    with stepscope.step(step_name, kind="embedding") as step:
        step.model = model
        step.provider = "openai"
        step.input = list(texts) if len(texts) > 1 else texts[0]
        with post("/embeddings", {"model": model, "input": [*texts]}) as answer:
            content = an_object(answer.read())
        vectors = [
            [float(value) for value in list_in(item, "embedding") if isinstance(value, int | float)]
            for item in list_in(content, "data")
        ]
        step.response_model = text_in(content, "model")
        step.tokens(input=count_in(part_of(content, "usage"), "prompt_tokens"))
        step.output = f"{len(vectors)} vectors of {len(vectors[0])} numbers" if vectors else "no vectors"
        return vectors


def ask_once(step_name: str, body: dict[str, Json], attempt: int, prompt: Prompt | None) -> Reply:
    parameters = ("temperature", "max_tokens", "response_format")
    with stepscope.step(step_name, kind="llm") as step:
        step.model = str(body["model"])
        step.provider = "openai"
        step.parameters = {name: body[name] for name in parameters if name in body}
        step.messages = body["messages"]
        if "tools" in body:
            step.tools = body["tools"]
        if prompt is not None:
            step.prompt(prompt.template, prompt.variables, name=prompt.name, version=prompt.version)
        if attempt:
            step.metadata = {"attempt": attempt + 1}
        with post("/chat/completions", body, attempt) as answer:
            content = read_stream(answer, step) if body.get("stream") else an_object(answer.read())
        choice = part_of(content, "choices", 0)
        message = part_of(choice, "message")
        usage = part_of(content, "usage")
        step.response_model = text_in(content, "model")
        step.response_id = text_in(content, "id")
        step.finish_reason = text_in(choice, "finish_reason")
        step.tokens(
            input=count_in(usage, "prompt_tokens"),
            output=count_in(usage, "completion_tokens"),
            cached_input=count_in(part_of(usage, "prompt_tokens_details"), "cached_tokens"),
        )
        step.reply = message
        calls = [tool_call(call) for call in list_in(message, "tool_calls")]
        text = text_in(message, "content")
        said = Message(role="assistant", content=text or None)
        if calls:
            said["tool_calls"] = [call for call in list_in(message, "tool_calls") if isinstance(call, dict)]
        return Reply(text=text, calls=calls, message=said)


def tool_call(call: Json) -> ToolCall:
    """Read a tool call; arguments that are no JSON object come as none, and the tool then says what it misses."""
    function = part_of(call, "function")
    try:
        arguments = an_object(text_in(function, "arguments"))
    except ModelError:
        arguments = dict[str, Json]()
    return ToolCall(text_in(call, "id"), text_in(function, "name"), arguments)


def read_stream(answer: HTTPResponse, step: stepscope.Step) -> dict[str, Json]:
    """Read a streamed answer, showing the text as it grows; gives what an answer in one piece would have been."""
    head: dict[str, Json] = {}
    text: list[str] = []
    calls: dict[int, dict[str, str]] = {}
    finish = ""
    for line in answer:
        data = line.removeprefix(b"data:").strip()
        if not line.startswith(b"data:") or data == b"[DONE]":
            continue
        content = an_object(data)
        if "error" in content:
            raise ModelError(text_in(part_of(content, "error"), "message") or "the model broke off")
        head = {**head, **{name: value for name, value in content.items() if value is not None}}
        choice = part_of(content, "choices", 0)
        delta = part_of(choice, "delta")
        finish = text_in(choice, "finish_reason") or finish
        piece = text_in(delta, "content")
        if piece:
            text.append(piece)
            step.stream(piece)
        for part in list_in(delta, "tool_calls"):
            call = calls.setdefault(count_in(part, "index") or 0, {"id": "", "name": "", "arguments": ""})
            call["id"] += text_in(part, "id")
            call["name"] += text_in(part_of(part, "function"), "name")
            call["arguments"] += text_in(part_of(part, "function"), "arguments")
    message: dict[str, Json] = {"role": "assistant", "content": "".join(text)}
    if calls:
        message["tool_calls"] = [
            {"id": call["id"], "type": "function", "function": {"name": call["name"], "arguments": call["arguments"]}}
            for call in calls.values()
        ]
    return {**head, "choices": [{"message": message, "finish_reason": finish}]}
