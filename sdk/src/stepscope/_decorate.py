"""`step`: one word that makes a step of a function or of a block."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import TypeVar, cast, overload

from . import _guard, _runtime
from ._context import current
from ._sinks import NOWHERE
from ._steps import UNSET, Step, known_kind
from ._values import label
from ._wrap import Plan, close, close_failed, wrapped

Function = TypeVar("Function", bound=Callable[..., object])


@overload
def step(function: Function, /) -> Function: ...


@overload
def step(
    name: str | None = None,
    /,
    *,
    kind: str = "chain",
    input: object = UNSET,
    capture: bool = True,
    start_time: int | None = None,
) -> StepMaker: ...


@overload
def step(
    *,
    name: str | None,
    kind: str = "chain",
    input: object = UNSET,
    capture: bool = True,
    start_time: int | None = None,
) -> StepMaker: ...


def step(
    function: Function | str | None = None,
    /,
    *,
    name: str | None = None,
    kind: str = "chain",
    input: object = UNSET,
    capture: bool = True,
    start_time: int | None = None,
) -> Function | StepMaker:
    """Make a step of a function (as a decorator) or of a block (as a context manager, sync or async).

    `capture=False` records neither a function's arguments nor what it returns. `start_time` (nanoseconds since 1970)
    sets the step, and all that happens inside it, at another time: for records of the past. Never raises.

        @stepscope.step(kind="tool")
        def lookup(order_id: str) -> str:
            return "on its way"

        with stepscope.step("answer") as s:
            s.output = lookup("A-17")
    """
    if function is None or isinstance(function, str):
        wanted = function if name is None else name
        return StepMaker(wanted, known_kind(kind), input, capture, start_time)
    return cast("Function", StepMaker(name, known_kind(kind), input, capture, start_time)(function))


def start_step(
    name: str, *, kind: str = "chain", input: object = UNSET, parent: Step | None = None, start_time: int | None = None
) -> Step:
    """Start a step that is ended by hand; steps started meanwhile don't stand below it unless told to.

    s = stepscope.start_step("upload", kind="tool")
    s.output = "done"
    s.end()
    """
    try:
        found = _runtime.sink or _runtime.start()
        begun = Step(found, label(name), known_kind(kind), start_time, parent)
        if input is not UNSET:
            begun.input = input
        found.begin(begun)
        return begun
    except Exception:
        _guard.failed("starting a step")
        return Step(NOWHERE, label(name), "other")


class StepMaker:
    """What `step(...)` returns: a decorator for functions, and a context manager that gives a block's handle."""

    __slots__ = ("_capture", "_input", "_kind", "_name", "_open", "_start_time")

    def __init__(self, name: str | None, kind: str, given: object, capture: bool, start_time: int | None) -> None:
        self._name = None if name is None else label(name)
        self._kind = kind
        self._input = given
        self._capture = capture
        self._start_time = start_time
        self._open: list[Step] = []

    def __call__(self, function: Function) -> Function:
        """Decorate a function of any sort; its signature stays."""
        if isinstance(function, (staticmethod, classmethod)):
            inner: Callable[..., object] = function.__func__
            return cast("Function", type(function)(self(inner)))
        return cast("Function", wrapped(function, Plan(function, self._name, self._kind, self._capture)))

    def __enter__(self) -> Step:
        try:
            sink = _runtime.sink or _runtime.start()
            begun = Step(sink, self._name or "step", self._kind, self._start_time)
            if self._input is not UNSET:
                begun.input = self._input
            self._open.append(begun)
            begun._enter()
            return begun
        except Exception:
            _guard.failed("starting a step")
            begun = Step(NOWHERE, self._name or "step", self._kind)
            self._open.append(begun)
            return begun

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        begun = self._mine()
        if begun is None:
            return
        if error is None:
            close(begun, UNSET)
        else:
            close_failed(begun, error)

    async def __aenter__(self) -> Step:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, traceback)

    def _mine(self) -> Step | None:
        """Take the step to be left: this maker may be open in several threads at once."""
        if len(self._open) > 1:
            here = current.get()
            for position, begun in enumerate(self._open):
                if begun is here:
                    return self._open.pop(position)
        return self._open.pop() if self._open else None
