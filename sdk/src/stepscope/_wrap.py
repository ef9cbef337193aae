"""Decorated functions: plain, async, generator and async generator ones.

A generator's step is the current one only while the generator runs: it is set around each resume, never across a
`yield`, so that nothing leaks into whoever iterates.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping
from typing import cast

from . import _guard, _runtime
from ._context import Origin, current
from ._sinks import NOWHERE
from ._steps import UNSET, Step
from ._values import ITEM_LIMIT, label, take, take_own

_VARARGS, _GENERATOR, _COROUTINE, _ASYNC_GENERATOR, _ITERABLE_COROUTINE = 0x04, 0x20, 0x80, 0x200, 0x100


class Plan:
    """What is known of a decorated function before it is called."""

    __slots__ = ("capture", "flags", "kind", "name", "names", "rest", "skip")

    def __init__(self, function: Callable[..., object], name: str | None, kind: str, capture: bool) -> None:
        inner: object = function
        while isinstance(inner, functools.partial):
            inner = inner.func
        code: object = getattr(inner, "__code__", None)
        flags: object = getattr(code, "co_flags", 0)
        self.kind = kind
        self.capture = capture
        self.name = label(name) if name is not None else _name_of(inner)
        self.flags = flags if isinstance(flags, int) else 0
        self.names: tuple[str, ...] = ()
        self.rest = "args"
        self.skip = 0
        variables: object = getattr(code, "co_varnames", None)
        count: object = getattr(code, "co_argcount", None)
        only: object = getattr(code, "co_kwonlyargcount", None)
        if inner is function and isinstance(variables, tuple) and isinstance(count, int) and isinstance(only, int):
            self.names = variables[:count]
            if self.flags & _VARARGS:
                self.rest = str(variables[count + only])
            bound = getattr(inner, "__self__", None) is not None
            if bound or (self.names and self.names[0] in ("self", "cls")):
                self.skip = 0 if bound else 1
                self.names = self.names[1:]


def _name_of(function: object) -> str:
    name = getattr(function, "__qualname__", None) or getattr(function, "__name__", None)
    return name.rpartition("<locals>.")[2] if isinstance(name, str) else type(function).__name__


def begin(plan: Plan, args: tuple[object, ...], kwargs: Mapping[str, object]) -> Step | None:
    """Start a call's step, not yet current; None where nothing is recorded."""
    try:
        sink = _runtime.sink or _runtime.start()
        if sink is NOWHERE:
            return None
        step = Step(sink, plan.name, plan.kind)
        if plan.capture and (args or kwargs):
            given = args[plan.skip :] if plan.skip else args
            names = plan.names
            pairs: dict[str, object] = dict(zip(names, given))  # noqa: B905  (the rest is taken below)
            if len(given) > len(names):
                pairs[plan.rest] = given[len(names) :]
            if kwargs:
                pairs.update(kwargs)
            if pairs:
                step._input, size = take_own(pairs)
                step._size += size
        return step
    except Exception:
        _guard.failed("starting a step")
        return None


def close(step: Step, result: object, *, leave: bool = True) -> None:
    """End a step that went well; `result` becomes its output where it has none."""
    try:
        if result is not UNSET and result is not None and step._output is UNSET and step._chunks is None:
            step._output, size = take(result)
            step._size += size
        if leave:
            step._leave()
    except Exception:
        _guard.failed("ending a step")
    step.end()


def close_failed(step: Step, error: BaseException, *, leave: bool = True) -> None:
    """End a step that raised. A generator being closed and a program that exits with 0 are no failures."""
    try:
        if leave:
            step._leave()
        if isinstance(error, GeneratorExit) or (isinstance(error, SystemExit) and error.code in (None, 0)):
            step.end()
        else:
            step.end(error)
    except Exception:
        _guard.failed("ending a step")


def wrapped(function: Callable[..., object], plan: Plan) -> Callable[..., object]:
    """Return the function that records, of the same sort as the one it stands for."""
    wrapper: Callable[..., object]
    if plan.flags & (_COROUTINE | _ITERABLE_COROUTINE):
        wrapper = _coroutine(cast("Callable[..., Awaitable[object]]", function), plan)
    elif plan.flags & _ASYNC_GENERATOR:
        wrapper = _async_generator(cast("Callable[..., AsyncGenerator[object, object]]", function), plan)
    elif plan.flags & _GENERATOR:
        wrapper = _generator(cast("Callable[..., Generator[object, object, object]]", function), plan)
    else:
        wrapper = _plain(function, plan)
    return functools.update_wrapper(wrapper, function)


def _plain(function: Callable[..., object], plan: Plan) -> Callable[..., object]:
    def wrapper(*args: object, **kwargs: object) -> object:
        step = begin(plan, args, kwargs)
        if step is None:
            return function(*args, **kwargs)
        step._enter()
        try:
            result = function(*args, **kwargs)
        except BaseException as error:
            close_failed(step, error)
            raise
        close(step, result if plan.capture else UNSET)
        return result

    return wrapper


def _coroutine(function: Callable[..., Awaitable[object]], plan: Plan) -> Callable[..., object]:
    async def wrapper(*args: object, **kwargs: object) -> object:
        step = begin(plan, args, kwargs)
        if step is None:
            return await function(*args, **kwargs)
        step._enter()
        try:
            result = await function(*args, **kwargs)
        except BaseException as error:
            close_failed(step, error)
            raise
        close(step, result if plan.capture else UNSET)
        return result

    return wrapper


class _Yielded:
    """What a generator has yielded: texts grow the output at once, other values are kept as a list."""

    __slots__ = ("_count", "_own", "_parts", "_step")

    def __init__(self, step: Step) -> None:
        self._step = step
        self._parts: list[object] | None = None
        self._own = True
        self._count = 0

    def add(self, value: object) -> None:
        """Keep one value."""
        try:
            self._count += 1
            if self._count == 1:
                self._own = self._step._chunks is None  # else the function streams by itself
            if not self._own or self._step._output is not UNSET:
                return
            if isinstance(value, str) and self._parts is None:
                self._step.stream(value)
                return
            if self._parts is None:
                self._parts = list(self._step._chunks or ())
                self._step._chunks = None
            if len(self._parts) < ITEM_LIMIT and self._step._size < 4_000_000:
                part, size = take(value)
                self._parts.append(part)
                self._step._size += size
        except Exception:
            _guard.failed("reading what a generator yields")

    def keep(self) -> None:
        """Make the values the step's output, where it was given none."""
        if self._parts is not None and self._step._output is UNSET:
            if self._count > len(self._parts):
                self._parts.append(f"… {self._count - len(self._parts):,} more")
            self._step._output = self._parts


def _generator(function: Callable[..., Generator[object, object, object]], plan: Plan) -> Callable[..., object]:
    def wrapper(*args: object, **kwargs: object) -> Generator[object, object, object]:
        step = begin(plan, args, kwargs)
        if step is None:
            return (yield from function(*args, **kwargs))
        step._sink.begin(step)
        inner = function(*args, **kwargs)
        yielded = _Yielded(step)
        inside: Step | Origin | None = step
        following: Callable[[], object] = functools.partial(next, inner)
        resume = following
        while True:
            outside = current.get()
            current.set(inside)
            try:
                item = resume()
            except StopIteration as stop:
                current.set(outside)
                yielded.keep()
                close(step, stop.value if plan.capture else UNSET, leave=False)
                return stop.value
            except BaseException as error:
                current.set(outside)
                yielded.keep()
                close_failed(step, error, leave=False)
                raise
            inside = current.get()
            current.set(outside)
            resume = following  # lets go of what was sent or thrown
            if plan.capture:
                yielded.add(item)
            try:
                sent = yield item
            except GeneratorExit as error:
                _shut(inner, step, inside, yielded, error)
                raise
            except BaseException as error:
                resume = functools.partial(inner.throw, error)
            else:
                if sent is not None:
                    resume = functools.partial(inner.send, sent)

    return wrapper


def _shut(
    inner: Generator[object, object, object],
    step: Step,
    inside: Step | Origin | None,
    yielded: _Yielded,
    leaving: GeneratorExit,
) -> None:
    """Close a generator that is given up, inside its step."""
    outside = current.get()
    current.set(inside)
    try:
        inner.close()
    except BaseException as error:
        current.set(outside)
        yielded.keep()
        close_failed(step, error, leave=False)
        raise
    current.set(outside)
    yielded.keep()
    close_failed(step, leaving, leave=False)


def _async_generator(function: Callable[..., AsyncGenerator[object, object]], plan: Plan) -> Callable[..., object]:
    async def wrapper(*args: object, **kwargs: object) -> AsyncGenerator[object, object]:
        step = begin(plan, args, kwargs)
        inner = function(*args, **kwargs)
        if step is not None:
            step._sink.begin(step)
        yielded = None if step is None else _Yielded(step)
        inside: Step | Origin | None = step
        given_up: BaseException | None = None
        resume: Callable[[], Awaitable[object]] = inner.__anext__
        while True:
            outside = current.get()
            if step is not None:
                current.set(inside)
            try:
                item = await resume()
            except StopAsyncIteration:
                _settle(step, outside, yielded, None)
                return
            except BaseException as error:
                _settle(step, outside, yielded, GeneratorExit() if error is given_up else error)
                raise
            if step is not None:
                inside = current.get()
                current.set(outside)
            if yielded is not None and plan.capture:
                yielded.add(item)
            try:
                sent = yield item
            except GeneratorExit as leaving:
                outside = current.get()
                if step is not None:
                    current.set(inside)
                try:
                    await inner.aclose()
                except BaseException as error:
                    _settle(step, outside, yielded, error)
                    raise
                _settle(step, outside, yielded, leaving)
                raise
            except BaseException as error:
                # A loop that ends cancels the closing of generators that were given up.
                given_up = error if type(error).__name__ == "CancelledError" else None
                resume = functools.partial(inner.athrow, error)
            else:
                resume = inner.__anext__ if sent is None else functools.partial(inner.asend, sent)

    return wrapper


def _settle(
    step: Step | None, outside: Step | Origin | None, yielded: _Yielded | None, error: BaseException | None
) -> None:
    """End an async generator's step, outside of it."""
    if step is None:
        return
    current.set(outside)
    if yielded is not None:
        yielded.keep()
    if error is None:
        close(step, UNSET, leave=False)
    else:
        close_failed(step, error, leave=False)
