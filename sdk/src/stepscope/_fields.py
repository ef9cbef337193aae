"""The fields of a handle that are attributes of the wire: model calls, tools, documents, prompts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from . import _guard
from ._values import label


class Fields:
    """What a handle can say of a model call, a tool run, a search, a prompt."""

    __slots__ = ()

    def set(self, key: str, value: object) -> None:
        """Set any other attribute, by its OpenTelemetry name."""
        raise NotImplementedError

    def get(self, key: str) -> object:
        """Return what `set` was given for a name, as it was then; None where nothing was."""
        raise NotImplementedError

    # --- model calls -----------------------------------------------------------------------------------------------

    @property
    def model(self) -> object:
        """The model that was asked for."""
        return self.get("gen_ai.request.model")

    @model.setter
    def model(self, name: str) -> None:
        self.set("gen_ai.request.model", name)

    @property
    def response_model(self) -> object:
        """The model that answered, where its name differs."""
        return self.get("gen_ai.response.model")

    @response_model.setter
    def response_model(self, name: str) -> None:
        self.set("gen_ai.response.model", name)

    @property
    def provider(self) -> object:
        """Who serves the model, such as `openai` or `anthropic`."""
        return self.get("gen_ai.provider.name")

    @provider.setter
    def provider(self, name: str) -> None:
        self.set("gen_ai.provider.name", name)

    @property
    def parameters(self) -> object:
        """The request's parameters by name: `{"temperature": 0.2, "max_tokens": 300}`."""
        return self.get("parameters")

    @parameters.setter
    def parameters(self, values: Mapping[str, object]) -> None:
        self.set("parameters", values)

    @property
    def messages(self) -> object:
        """The messages that went to the model: `[{"role": "user", "content": "Hello?"}]`, or with `parts`."""
        return self.get("gen_ai.input.messages")

    @messages.setter
    def messages(self, messages: object) -> None:
        self.set("gen_ai.input.messages", messages)

    @property
    def reply(self) -> object:
        """The model's answer: a text, a message, or a list of messages."""
        return self.get("gen_ai.output.messages")

    @reply.setter
    def reply(self, reply: object) -> None:
        self.set("gen_ai.output.messages", reply)

    @property
    def tools(self) -> object:
        """The tools offered to the model, in the provider's own form."""
        return self.get("gen_ai.tool.definitions")

    @tools.setter
    def tools(self, definitions: object) -> None:
        self.set("gen_ai.tool.definitions", definitions)

    @property
    def finish_reason(self) -> object:
        """Why the model stopped: `stop`, `length`, `tool_calls`, …; a list where there were several answers."""
        return self.get("gen_ai.response.finish_reasons")

    @finish_reason.setter
    def finish_reason(self, reason: str | Iterable[str]) -> None:
        self.set("gen_ai.response.finish_reasons", [reason] if isinstance(reason, str) else reason)

    @property
    def response_id(self) -> object:
        """The provider's id of the answer."""
        return self.get("gen_ai.response.id")

    @response_id.setter
    def response_id(self, response_id: str) -> None:
        self.set("gen_ai.response.id", response_id)

    def tokens(
        self,
        input: int | None = None,
        output: int | None = None,
        *,
        cached_input: int | None = None,
        cache_write: int | None = None,
        reasoning: int | None = None,
    ) -> None:
        """Say what the call used; `input` counts cached tokens too, and `reasoning` is part of `output`."""
        for key, count in (
            ("gen_ai.usage.input_tokens", input),
            ("gen_ai.usage.output_tokens", output),
            ("gen_ai.usage.cache_read.input_tokens", cached_input),
            ("gen_ai.usage.cache_creation.input_tokens", cache_write),
            ("gen_ai.usage.reasoning.output_tokens", reasoning),
        ):
            if count is None:
                continue
            try:
                self.set(key, int(count))
            except Exception:
                _guard.warn("tokens", f"stepscope: {label(count)[:100]} is no number of tokens; it is left out.")

    # --- tools, documents, prompts ---------------------------------------------------------------------------------

    @property
    def tool_name(self) -> object:
        """The tool's name; a tool step's own name is taken where none is set."""
        return self.get("gen_ai.tool.name")

    @tool_name.setter
    def tool_name(self, name: str) -> None:
        self.set("gen_ai.tool.name", name)

    @property
    def tool_call_id(self) -> object:
        """The id of the model's call that this tool run answers."""
        return self.get("gen_ai.tool.call.id")

    @tool_call_id.setter
    def tool_call_id(self, call_id: str) -> None:
        self.set("gen_ai.tool.call.id", call_id)

    @property
    def documents(self) -> object:
        """What was found: texts, or `{"id", "content", "score", "metadata"}`, best first."""
        return self.get("documents")

    @documents.setter
    def documents(self, documents: object) -> None:
        self.set("documents", documents)

    def prompt(
        self,
        template: str,
        variables: Mapping[str, object] | None = None,
        *,
        version: object = None,
        name: str | None = None,
    ) -> None:
        """Record a prompt's template and its variables apart from the text they make."""
        self.set("llm.prompt_template.template", template)
        if variables is not None:
            self.set("llm.prompt_template.variables", variables)
        if version is not None:
            self.set("llm.prompt_template.version", label(version))
        if name is not None:
            self.set("llm.prompt_template.name", name)
