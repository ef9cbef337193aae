"""LangChain and LangGraph: their runs become steps, by a callback handler that every run of theirs gets.

What runs where is asked of LangChain itself, which carries its runs through threads and tasks: the program's own steps
inside a tool or a node stand below it, and nothing leaks into whoever consumes a stream.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from importlib import import_module
from typing import TYPE_CHECKING, cast

from .. import _guard
from .._context import current, finder
from .._decorate import start_step
from .._steps import Step
from ._client import count, mapping, text

if TYPE_CHECKING:
    from uuid import UUID

_ROLES = {"human": "user", "ai": "assistant", "AIMessageChunk": "assistant", "HumanMessageChunk": "user"}
_PROVIDERS = {"azure": "azure.ai.openai", "google_genai": "gcp.gemini", "google_vertexai": "gcp.vertex_ai"}
_SESSIONS = ("session_id", "thread_id", "conversation_id")
_MODEL_KEYS = ("model", "model_name", "model_id", "deployment_name")
_NO_PARAMETERS = frozenset((*_MODEL_KEYS, "tools", "functions", "messages", "_type", "stream_options"))
_RUNS = 100_000
"""Runs that are known at once; beyond that they are not recorded."""

_runs: dict[object, Step] = {}
_hidden: set[object] = set()
"""Runs that have no step of their own."""


def install() -> None:
    """Give every run our handler, and follow LangChain's own context."""
    context = import_module("langchain_core.tracers.context")
    handler = Handler.made()
    # A hook's variable holds the handler that is added wherever a run is configured.
    always: ContextVar[object] = ContextVar("stepscope_langchain", default=handler)
    context.register_configure_hook(always, inheritable=True)
    finder.find = _running


_config: ContextVar[object] | None = None


def _running() -> Step | None:
    """Return the step of the run whose code this is."""
    global _config
    try:
        if not _runs:
            return None
        if _config is None:
            _config = import_module("langchain_core.runnables.config").var_child_runnable_config
        config = _config.get()
        if not isinstance(config, dict):
            return None
        return _runs.get(getattr(config.get("callbacks"), "parent_run_id", None))
    except Exception:
        _guard.failed("asking LangChain what runs")
        return None


class Handler:
    """Turns LangChain's callbacks into steps; combined with its base class when that has been imported."""

    run_inline = True
    """Async runs call us where they are, not in another thread: our times are right, and our context holds."""
    raise_error = False

    @staticmethod
    def made() -> object:
        """Make the handler that LangChain takes."""
        base = import_module("langchain_core.callbacks").BaseCallbackHandler
        return type("StepscopeHandler", (Handler, base), {})()

    # --- chains, tools, retrievers -----------------------------------------------------------------------------------

    def on_chain_start(
        self, serialized: object, inputs: object, *, run_id: UUID, parent_run_id: UUID | None = None, **more: object
    ) -> None:
        """A runnable starts."""
        name = _name(serialized, more, "chain")
        step = self._start(name, "agent" if "agent" in name.lower() else "chain", run_id, parent_run_id, more)
        if step is not None:
            step.input = _readable(inputs)

    def on_chain_end(self, outputs: object, *, run_id: UUID, **more: object) -> None:
        """A runnable ends."""
        self._end(run_id, lambda step: _put(step, _readable(outputs)))

    def on_chain_error(self, error: BaseException, *, run_id: UUID, **more: object) -> None:
        """A runnable failed."""
        self._fail(run_id, error)

    def on_tool_start(
        self, serialized: object, input_str: str, *, run_id: UUID, parent_run_id: UUID | None = None, **more: object
    ) -> None:
        """A tool starts."""
        step = self._start(_name(serialized, more, "tool"), "tool", run_id, parent_run_id, more)
        if step is not None:
            given = more.get("inputs")
            step.input = _readable(given) if given is not None else input_str
            if more.get("tool_call_id"):
                step.tool_call_id = str(more["tool_call_id"])

    def on_tool_end(self, output: object, *, run_id: UUID, **more: object) -> None:
        """A tool ends."""
        said: object = getattr(output, "content", output) if _is_message(output) else output
        self._end(run_id, lambda step: _put(step, _readable(said)))

    def on_tool_error(self, error: BaseException, *, run_id: UUID, **more: object) -> None:
        """A tool failed."""
        self._fail(run_id, error)

    def on_retriever_start(
        self, serialized: object, query: str, *, run_id: UUID, parent_run_id: UUID | None = None, **more: object
    ) -> None:
        """A search starts."""
        step = self._start(_name(serialized, more, "retriever"), "retriever", run_id, parent_run_id, more)
        if step is not None:
            step.input = query

    def on_retriever_end(self, documents: Sequence[object], *, run_id: UUID, **more: object) -> None:
        """A search ends."""

        def found(step: Step) -> None:
            step.documents = [_document(document) for document in documents]
            step.output = f"{len(documents)} {'document' if len(documents) == 1 else 'documents'}"

        self._end(run_id, found)

    def on_retriever_error(self, error: BaseException, *, run_id: UUID, **more: object) -> None:
        """A search failed."""
        self._fail(run_id, error)

    def on_custom_event(self, name: str, data: object, *, run_id: UUID, **more: object) -> None:
        """A program notes something."""
        step = _runs.get(run_id)
        if step is not None:
            step.event(name, data=_readable(data))

    # --- model calls ------------------------------------------------------------------------------------------------

    def on_chat_model_start(
        self,
        serialized: object,
        messages: Sequence[Sequence[object]],
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        **more: object,
    ) -> None:
        """A chat model is called."""
        self._ask(serialized, [_message(each) for each in messages[0]], run_id, parent_run_id, more)

    def on_llm_start(
        self, serialized: object, prompts: list[str], *, run_id: UUID, parent_run_id: UUID | None = None, **more: object
    ) -> None:
        """A model that takes texts is called."""
        self._ask(serialized, [{"role": "user", "content": each} for each in prompts], run_id, parent_run_id, more)

    def on_llm_new_token(self, token: object, *, run_id: UUID, **more: object) -> None:
        """A model's answer grows."""
        step = _runs.get(run_id)
        if step is None:
            return
        # From here on a stream's consumer runs between the pieces, in this very context.
        step._leave()
        step.first_token()
        if isinstance(token, str):
            step.stream(token)

    def on_llm_end(self, response: object, *, run_id: UUID, **more: object) -> None:
        """A model has answered."""
        self._end(run_id, lambda step: _answered(step, response))

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **more: object) -> None:
        """A model's call failed."""
        self._fail(run_id, error)

    # --- what they share --------------------------------------------------------------------------------------------

    def _ask(
        self, serialized: object, messages: list[object], run_id: UUID, parent: UUID | None, more: Mapping[str, object]
    ) -> None:
        step = self._start(_name(serialized, more, "model"), "llm", run_id, parent, more)
        if step is None:
            return
        try:
            step.messages = messages
            told = mapping(more.get("metadata"))
            given = mapping(more.get("invocation_params"))
            model = next((given[key] for key in _MODEL_KEYS if given.get(key)), told.get("ls_model_name"))
            if isinstance(model, str):
                step.model = model
            provider = text(told.get("ls_provider"))
            if provider:
                step.provider = _PROVIDERS.get(provider, provider)
            if given.get("tools"):
                step.tools = given["tools"]
            parameters = {
                key: value for key, value in given.items() if key not in _NO_PARAMETERS and value not in (None, [], {})
            }
            if parameters:
                step.parameters = parameters
            current.set(step)
        except Exception:
            _guard.failed("reading a model call")

    def _start(
        self, name: str, kind: str, run_id: UUID, parent_id: UUID | None, more: Mapping[str, object]
    ) -> Step | None:
        try:
            parent = _runs.get(parent_id)
            tags = more.get("tags")
            names = [str(tag) for tag in tags] if isinstance(tags, (list, tuple)) else []
            if "langsmith:hidden" in names:
                # A part of the machinery: what runs below it stands below what it is part of.
                if parent is not None:
                    _runs[run_id] = parent
                    _hidden.add(run_id)
                return None
            if len(_runs) > _RUNS:
                return None
            here = current.get()
            if parent is not None and isinstance(here, Step) and here.around_run is parent and not here.ended:
                parent = here  # a step of the program's own, inside that run, called this one
            step = start_step(name, kind=kind, parent=parent)
            _runs[run_id] = step
            told = mapping(more.get("metadata"))
            session = next((told[key] for key in _SESSIONS if told.get(key)), None)
            if session is not None:
                step.session = session
            if told.get("user_id"):
                step.user = told["user_id"]
            shown = {key: value for key, value in told.items() if not key.startswith(("ls_", "__", "lc_"))}
            if shown:
                step.metadata = shown
            kept = [tag for tag in names if not tag.startswith(("seq:step:", "graph:step:", "langsmith:", "map:key:"))]
            if kept:
                step.tags = kept
            return step
        except Exception:
            _guard.failed("starting a LangChain run's step")
            return None

    def _end(self, run_id: UUID, finish: Callable[[Step], None]) -> None:
        step = self._over(run_id)
        if step is None:
            return
        try:
            finish(step)
        except Exception:
            _guard.failed("reading a LangChain run's result")
        step.end()

    def _fail(self, run_id: UUID, error: BaseException) -> None:
        step = self._over(run_id)
        if step is None:
            return
        # LangGraph stops a run that waits for a person by raising.
        if any(base.__name__ == "GraphBubbleUp" for base in type(error).__mro__):
            step.event("interrupted")
            step.end()
        else:
            step.end(error)

    def _over(self, run_id: UUID) -> Step | None:
        step = _runs.pop(run_id, None)
        if step is None:
            return None
        if run_id in _hidden:
            _hidden.discard(run_id)
            return None
        if step.kind == "llm":
            step._leave()
        return step


def _name(serialized: object, more: Mapping[str, object], otherwise: str) -> str:
    given = more.get("name")
    if isinstance(given, str) and given:
        return given
    known = mapping(serialized)
    path = known.get("id")
    return text(known.get("name")) or (str(path[-1]) if isinstance(path, list) and path else otherwise)


def _put(step: Step, output: object) -> None:
    if output is not None:
        step.output = output


def _is_message(value: object) -> bool:
    return any(base.__name__ == "BaseMessage" for base in type(value).__mro__)


def _message(message: object) -> object:
    """Write one message as the providers do."""
    if not _is_message(message):
        return _readable(message)
    sort = text(getattr(message, "type", ""))
    out: dict[str, object] = {
        "role": text(getattr(message, "role", "")) or _ROLES.get(sort, sort),
        "content": getattr(message, "content", ""),
    }
    calls: object = getattr(message, "tool_calls", None)
    if isinstance(calls, list) and calls:
        out["tool_calls"] = [
            {"id": call.get("id"), "name": call.get("name"), "arguments": call.get("args")}
            for call in calls
            if isinstance(call, dict)
        ]
        content = out["content"]
        if isinstance(content, list):
            # Said once, above.
            out["content"] = [
                part for part in content if not (isinstance(part, dict) and part.get("type") == "tool_use")
            ]
    if getattr(message, "tool_call_id", None):
        out["tool_call_id"] = getattr(message, "tool_call_id")  # noqa: B009
    thought = mapping(getattr(message, "additional_kwargs", None)).get("reasoning_content")
    if isinstance(thought, str) and thought:
        out["reasoning_content"] = thought
    return out


def _readable(value: object, depth: int = 0) -> object:
    """Write messages and documents readably wherever they stand; leave the rest as it is."""
    if _is_message(value):
        return _message(value)
    if type(value).__name__ == "Document" and hasattr(value, "page_content"):
        return _document(value)
    if depth < 6 and isinstance(value, Mapping):
        return {key: _readable(part, depth + 1) for key, part in value.items()}
    if depth < 6 and isinstance(value, (list, tuple)) and len(value) <= 1000:
        return [_readable(part, depth + 1) for part in value]
    to_messages: object = getattr(value, "to_messages", None)
    if callable(to_messages) and type(value).__name__.endswith("PromptValue"):
        return _readable(to_messages(), depth + 1)
    return value


def _document(document: object) -> dict[str, object]:
    out: dict[str, object] = {"content": getattr(document, "page_content", str(document))}
    metadata = dict(mapping(getattr(document, "metadata", None)))
    score = metadata.pop("score", metadata.pop("relevance_score", None))
    if getattr(document, "id", None):
        out["id"] = getattr(document, "id")  # noqa: B009
    if isinstance(score, (int, float)):
        out["score"] = score
    if metadata:
        out["metadata"] = metadata
    return out


def _answered(step: Step, response: object) -> None:
    generations = cast("list[list[object]]", getattr(response, "generations", []))
    replies: list[object] = []
    reasons: list[str] = []
    used: Mapping[str, object] = {}
    for generation in generations[0] if generations else []:
        message: object = getattr(generation, "message", None)
        facts = {**mapping(getattr(generation, "generation_info", None))}
        if message is None:
            replies.append({"role": "assistant", "content": getattr(generation, "text", "")})
        else:
            facts.update(mapping(getattr(message, "response_metadata", None)))
            replies.append(_message(message))
            used = mapping(getattr(message, "usage_metadata", None)) or used
        reason = facts.get("finish_reason") or facts.get("stop_reason")
        if reason:
            reasons.append(str(reason))
        for key in ("model_name", "model"):
            if isinstance(facts.get(key), str) and step.response_model is None:
                step.response_model = text(facts[key])
        if isinstance(facts.get("id"), str):
            step.response_id = text(facts["id"])
    if replies:
        step.reply = replies
    if reasons:
        step.finish_reason = reasons
    if not used:
        told = mapping(mapping(getattr(response, "llm_output", None)).get("token_usage"))
        used = {"input_tokens": told.get("prompt_tokens"), "output_tokens": told.get("completion_tokens")}
    inside, outside = mapping(used.get("input_token_details")), mapping(used.get("output_token_details"))
    step.tokens(
        count(used.get("input_tokens")),
        count(used.get("output_tokens")),
        cached_input=count(inside.get("cache_read")),
        cache_write=count(inside.get("cache_creation")),
        reasoning=count(outside.get("reasoning")),
    )
