"""The clients of OpenAI and Anthropic come from one generator: every call goes through one method, `request`.

It is wrapped once, on its class. The call's body is read before, the answer after; a streamed answer is read along
while the program reads it. What goes in and what comes out is not touched.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Awaitable, Callable, Mapping
from types import ModuleType
from typing import Protocol, cast

from .. import _guard, _runtime
from .._decorate import start_step
from .._sinks import NOWHERE
from .._steps import Step
from ._tee import read_along


class Talk(Protocol):
    """One model call, as one provider's protocol has it."""

    def ask(self, body: Mapping[str, object]) -> None:
        """Read the request."""

    def answer(self, said: Mapping[str, object]) -> None:
        """Read a whole answer."""

    def event(self, name: str, data: dict[str, object]) -> None:
        """Read one event of a streamed answer."""

    def settle(self) -> None:
        """Write down what a streamed answer came to, whole or not."""


Choose = Callable[[str, str, Mapping[str, object]], "tuple[Step, Talk] | None"]
"""Takes the address's path, the client's base address and the body; starts the step of a call that we know."""


class _Heard:
    """Listens to a streamed answer."""

    def __init__(self, step: Step, talk: Talk) -> None:
        self._step = step
        self._talk = talk

    def event(self, name: str, data: dict[str, object]) -> None:
        """Read one event."""
        self._talk.event(name, data)

    def end(self, error: BaseException | None, *, whole: bool) -> None:
        """End the step with what was heard."""
        try:
            self._talk.settle()
            if error is None and not whole and self._step.get("gen_ai.response.finish_reasons") is None:
                self._step.event("the stream was closed before its end")
        finally:
            self._step.end(error)


def wrap_clients(module: ModuleType, sync: str, later: str, choose: Choose) -> None:
    """Wrap `request` where these client classes of a module have it."""
    for name, wrapper in ((sync, _wrapped), (later, _wrapped_async)):
        client: object = getattr(module, name, None)
        if not isinstance(client, type):
            continue
        owner = next((base for base in client.__mro__ if "request" in base.__dict__), None)
        if owner is None:
            continue
        before = owner.__dict__["request"]
        if not hasattr(before, "__stepscope__"):
            after = wrapper(before, choose)
            after.__stepscope__ = True  # pyrefly: ignore[missing-attribute]
            setattr(owner, "request", after)  # noqa: B010


def _wrapped(request: Callable[..., object], choose: Choose) -> Callable[..., object]:
    @functools.wraps(request)
    def recorded(self: object, *args: object, **kwargs: object) -> object:
        begun = _begin(self, args, kwargs, choose)
        if begun is None:
            return request(self, *args, **kwargs)
        try:
            result = request(self, *args, **kwargs)
        except BaseException as error:
            begun[0].end(error)
            raise
        _read(begun, result)
        return result

    return recorded


def _wrapped_async(request: Callable[..., object], choose: Choose) -> Callable[..., object]:
    asked = cast("Callable[..., Awaitable[object]]", request)

    @functools.wraps(request)
    async def recorded(self: object, *args: object, **kwargs: object) -> object:
        begun = _begin(self, args, kwargs, choose)
        if begun is None:
            return await asked(self, *args, **kwargs)
        try:
            result = await asked(self, *args, **kwargs)
        except BaseException as error:
            begun[0].end(error)
            raise
        _read(begun, result)
        return result

    return recorded


def _begin(
    client: object, args: tuple[object, ...], kwargs: Mapping[str, object], choose: Choose
) -> tuple[Step, Talk] | None:
    try:
        if (_runtime.sink or _runtime.start()) is NOWHERE:
            return None
        options = kwargs.get("options", args[1] if len(args) > 1 else None)
        given: object = getattr(options, "json_data", None)
        if not isinstance(given, Mapping) or str(getattr(options, "method", "")).lower() != "post":
            return None
        more: object = getattr(options, "extra_json", None)
        body = {**given, **more} if isinstance(more, Mapping) else given
        path = str(getattr(options, "url", "")).partition("?")[0].rstrip("/")
        begun = choose(path, str(getattr(client, "base_url", "")), body)
        if begun is not None:
            try:
                begun[1].ask(body)
            except Exception:
                _guard.failed("reading a model call")
        return begun
    except Exception:
        _guard.failed("starting a model call's step")
        return None


def _read(begun: tuple[Step, Talk], result: object) -> None:
    """Read the answer, or read along; ends the step, now or when the stream ends."""
    step, talk = begun
    try:
        # `with_raw_response` gives the answer, a stream has it, a whole result is the answer itself, already read.
        response: object = getattr(result, "http_response", None)
        if response is None and hasattr(result, "response") and not hasattr(result, "model_dump"):
            response = result.response
        if response is None:
            said: object = _dumped(result)
        elif read_along(response, _Heard(step, talk)):
            return
        else:
            said = json.loads(getattr(response, "content", b"null"))
        if isinstance(said, Mapping):
            talk.answer(said)
    except Exception:
        _guard.failed("reading a model's answer")
    step.end()


def _dumped(result: object) -> object:
    # Not validated again: providers that only resemble OpenAI answer with more, or with less.
    dump: object = getattr(result, "model_dump", None)
    return dump(exclude_none=True, warnings=False, exclude={"parsed"}) if callable(dump) else result


def begin(name: str, model: object, kind: str = "llm") -> Step:
    """Start the step of a model call; it is not current: the program's own steps don't stand below it."""
    return start_step(f"{name} {model}" if isinstance(model, str) and model else name, kind=kind)


def mapping(value: object) -> Mapping[str, object]:
    """Return a mapping, or an empty one where there is none."""
    return cast("Mapping[str, object]", value) if isinstance(value, Mapping) else {}


def items(value: object) -> list[Mapping[str, object]]:
    """Return the mappings in a list."""
    return [mapping(part) for part in value if isinstance(part, Mapping)] if isinstance(value, (list, tuple)) else []


def count(value: object) -> int | None:
    """Return a number of tokens, or None."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def text(value: object) -> str:
    """Return a text, or an empty one."""
    return value if isinstance(value, str) else ""
