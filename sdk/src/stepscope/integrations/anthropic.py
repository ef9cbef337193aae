"""Anthropic's client: messages, whole and streamed."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from contextlib import suppress
from urllib.parse import urlsplit

from .._steps import Step
from ._client import Talk, begin, count, items, mapping, text, wrap_clients

_NO_PARAMETERS = frozenset(("model", "messages", "system", "tools", "metadata"))
_REASONS = {"end_turn": "stop", "max_tokens": "length", "tool_use": "tool_calls", "stop_sequence": "stop"}


def install() -> None:
    """Hook into the client."""
    wrap_clients(sys.modules["anthropic"], "Anthropic", "AsyncAnthropic", _choose)


def _choose(path: str, base: str, body: Mapping[str, object]) -> tuple[Step, Talk] | None:
    if not path.endswith("/messages"):
        return None
    model = body.get("model")
    step = begin("chat", model)
    step.set("gen_ai.operation.name", "chat")
    step.provider = "anthropic"
    step.set("server.address", urlsplit(base).hostname or "")
    if isinstance(model, str):
        step.model = model
    return step, Messages(step)


class Messages:
    """`/v1/messages`."""

    def __init__(self, step: Step) -> None:
        self._step = step
        self._usage: dict[str, object] = {}
        self._blocks: dict[object, dict[str, object]] = {}
        self._reason: str = ""

    def ask(self, body: Mapping[str, object]) -> None:
        """Read the request."""
        step = self._step
        messages: list[object] = []
        if body.get("system"):
            messages.append({"role": "system", "content": body["system"]})
        step.messages = messages + items(body.get("messages"))
        given = {key: value for key, value in body.items() if key not in _NO_PARAMETERS and value is not None}
        if given:
            step.parameters = given
        if body.get("tools"):
            step.tools = body["tools"]

    def answer(self, said: Mapping[str, object]) -> None:
        """Read a whole answer."""
        self._facts(said)
        self._used(said.get("usage"))
        self._stopped(said.get("stop_reason"))
        self._replied(items(said.get("content")))

    def event(self, name: str, data: dict[str, object]) -> None:
        """Read one event of a streamed answer."""
        sort = text(data.get("type")) or name
        if sort == "message_start":
            message = mapping(data.get("message"))
            self._facts(message)
            self._used(message.get("usage"))
        elif sort == "content_block_start":
            self._blocks[data.get("index")] = dict(mapping(data.get("content_block")))
        elif sort == "content_block_delta":
            self._grow(self._blocks.setdefault(data.get("index"), {}), mapping(data.get("delta")))
        elif sort == "message_delta":
            self._used(data.get("usage"))
            self._stopped(mapping(data.get("delta")).get("stop_reason"))
        elif sort == "error":
            error = mapping(data.get("error"))
            self._step.fail(text(error.get("message")) or str(dict(error))[:1000])

    def settle(self) -> None:
        """Write down what a streamed answer came to."""
        blocks: list[Mapping[str, object]] = []
        for block in self._blocks.values():
            told = block.pop("partial_json", None)
            if isinstance(told, str):
                block["input"] = told
                with suppress(ValueError):  # it broke off in the midst of it
                    block["input"] = json.loads(told)
            blocks.append(block)
        if blocks:
            self._replied(blocks)

    def _grow(self, block: dict[str, object], delta: Mapping[str, object]) -> None:
        self._step.first_token()
        sort = delta.get("type")
        if sort == "text_delta":
            block["type"] = "text"
            block["text"] = text(block.get("text")) + text(delta.get("text"))
            self._step.stream(text(delta.get("text")))
        elif sort == "thinking_delta":
            block["type"] = "thinking"
            block["thinking"] = text(block.get("thinking")) + text(delta.get("thinking"))
        elif sort == "input_json_delta":
            block["partial_json"] = text(block.get("partial_json")) + text(delta.get("partial_json"))

    def _replied(self, blocks: list[Mapping[str, object]]) -> None:
        kept = [{key: value for key, value in block.items() if key != "signature"} for block in blocks]
        reply: dict[str, object] = {"role": "assistant", "content": kept}
        if self._reason:
            reply["finish_reason"] = self._reason
        self._step.reply = [reply]

    def _facts(self, message: Mapping[str, object]) -> None:
        if isinstance(message.get("id"), str):
            self._step.response_id = text(message["id"])
        if isinstance(message.get("model"), str):
            self._step.response_model = text(message["model"])

    def _stopped(self, reason: object) -> None:
        if isinstance(reason, str):
            self._reason = _REASONS.get(reason, reason)
            self._step.finish_reason = self._reason

    def _used(self, usage: object) -> None:
        """Count tokens: here `input_tokens` are those that no cache held; ours are all."""
        self._usage.update({key: value for key, value in mapping(usage).items() if count(value) is not None})
        read, written = (
            count(self._usage.get("cache_read_input_tokens")),
            count(self._usage.get("cache_creation_input_tokens")),
        )
        fresh = count(self._usage.get("input_tokens"))
        if fresh is None and read is None and written is None:
            return
        self._step.tokens(
            (fresh or 0) + (read or 0) + (written or 0),
            count(self._usage.get("output_tokens")),
            cached_input=read,
            cache_write=written,
        )
