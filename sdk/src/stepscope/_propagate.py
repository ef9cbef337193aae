"""Carrying the current step into another thread."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from typing import TypeVar, cast

from . import _guard
from ._context import around, current

Function = TypeVar("Function", bound=Callable[..., object])

_COROUTINE = 0x80


def propagate(function: Function) -> Function:
    """Return the function so that, in whatever thread it runs, its steps stand below the step that is current now.

    Needed for threads and executors, which start without a context; asyncio's tasks and `asyncio.to_thread` have it.
    Never raises.

        with ThreadPoolExecutor() as pool:
            answers = list(pool.map(stepscope.propagate(answer), questions))
    """
    try:
        return cast("Function", _carrying(function))
    except Exception:
        _guard.failed("preparing a function for another thread")
        return function


def _carrying(function: Callable[..., object]) -> Callable[..., object]:
    step, surroundings = current.get(), around.get()

    flags: object = getattr(getattr(function, "__code__", None), "co_flags", 0)
    if isinstance(flags, int) and flags & _COROUTINE:
        awaited = cast("Callable[..., Awaitable[object]]", function)

        async def later(*args: object, **kwargs: object) -> object:
            before = current.get(), around.get()
            current.set(step)
            around.set(surroundings)
            try:
                return await awaited(*args, **kwargs)
            finally:
                current.set(before[0])
                around.set(before[1])

        return functools.update_wrapper(later, function)

    def carried(*args: object, **kwargs: object) -> object:
        before = current.get(), around.get()
        current.set(step)
        around.set(surroundings)
        try:
            return function(*args, **kwargs)
        finally:
            current.set(before[0])
            around.set(before[1])

    return functools.update_wrapper(carried, function)
