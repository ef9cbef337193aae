"""The handle of a step: what a program can say about the work it does."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from typing import Final

from . import _guard, _otel
from ._context import Around, Origin, around, current, name_text, tag_texts
from ._context import finder as _finder
from ._errors import Failure, take_failure
from ._fields import Fields
from ._sinks import Sink
from ._values import label, take

KINDS: Final = frozenset(
    "chain agent llm tool retriever embedding reranker guardrail evaluator prompt other".split()  # noqa: SIM905
)
"""What a step can do."""

_modules = sys.modules


LEAST: Final = 700
"""Bytes that a step is counted with when nothing was set."""


class _Unset:
    __slots__ = ()


UNSET: Final = _Unset()
"""Says that a step was given no input or output."""


def known_kind(kind: object) -> str:
    """Return the kind as we write it; one we don't know becomes `other`, with a warning."""
    if isinstance(kind, str):
        if kind in KINDS:
            return kind
        if kind.strip().lower() in KINDS:
            return kind.strip().lower()
    known = ", ".join(sorted(KINDS))
    _guard.warn("kind", f"stepscope: no step is of kind {label(kind)[:100]!r}; it is kept as 'other'. Kinds: {known}.")
    return "other"


class Step(Fields):
    """One step of a chain while it runs. Everything that is set is kept as it is at that moment; nothing here raises.

    with stepscope.step("draft", kind="llm") as s:
        s.model = "small-1"
        s.tokens(input=12, output=3)
    """

    __slots__ = (
        "_adrift",
        "_around",
        "_chunks",
        "_end",
        "_events",
        "_extra",
        "_failure",
        "_input",
        "_kind",
        "_metadata",
        "_name",
        "_noticed",
        "_offset",
        "_output",
        "_parent",
        "_previous",
        "_sent_at",
        "_seq",
        "_sink",
        "_size",
        "_span",
        "_start",
        "_tags",
        "_trace",
        "around_run",
        "around_span",
    )

    def __init__(
        self,
        sink: Sink,
        name: str,
        kind: str,
        start_time: int | None = None,
        parent_step: Step | Origin | None = None,
    ) -> None:
        """Start a step below `parent_step`, else below what is current here.

        `start_time`: nanoseconds since 1970, for records of the past.
        """
        own = current.get() if parent_step is None else parent_step
        parent = own
        self.around_span = 0
        self.around_run: Step | None = None
        if _finder.find is not None:
            self.around_run = run = _finder.find()
            # What was running already when our own step started lies around it; what started since lies inside.
            if run is not None and parent_step is None and not (isinstance(own, Step) and own.around_run is run):
                parent = run
        if _otel.MODULE in _modules:
            parent, self.around_span = _otel.choose(parent)
        if parent is None:
            self._trace = sink.bits(128)
            self._parent = 0
        elif isinstance(parent, Step):
            self._trace = parent._trace
            self._parent = parent._span
        else:
            self._trace, self._parent = parent
        now = sink.clock()
        if start_time is not None:
            # Children take the offset from their parent: a tree recorded late keeps its own time.
            self._offset = start_time - now
        elif isinstance(own, Step):
            self._offset = own._offset
        else:
            self._offset = sink.wall() - now
        self._start = now + self._offset
        self._end = 0
        self._span = sink.bits(64)
        self._sink = sink
        self._name = name
        self._kind = kind
        self._previous = own
        self._around = around.get()
        self._input: object = UNSET
        self._output: object = UNSET
        self._failure: Failure | None = None
        self._extra: dict[str, object] | None = None
        self._metadata: dict[str, object] | None = None
        self._tags: tuple[str, ...] = ()
        self._events: list[tuple[int, str, object]] | None = None
        self._chunks: list[str] | None = None
        self._noticed = True  # until the sink hears of the step: what is set before needs no notice of its own
        self._adrift = False
        self._seq = 0
        self._sent_at = 0.0
        self._size = LEAST

    def __repr__(self) -> str:
        return f"<Step {self._name!r} {self.span_id} of trace {self.trace_id}>"

    # --- who it is -------------------------------------------------------------------------------------------------

    @property
    def trace_id(self) -> str:
        """The trace's id: 32 lower-case hex digits."""
        return f"{self._trace:032x}"

    @property
    def span_id(self) -> str:
        """The step's own id: 16 lower-case hex digits."""
        return f"{self._span:016x}"

    @property
    def parent_id(self) -> str | None:
        """The id of the step, or of another library's span, that this one stands below."""
        return f"{self._parent:016x}" if self._parent else None

    @property
    def url(self) -> str:
        """The address of this step in the dashboard; empty where nothing is recorded."""
        endpoint = self._sink.endpoint
        return f"{endpoint}/traces/{self.trace_id}?span={self.span_id}" if endpoint else ""

    @property
    def name(self) -> str:
        """What the step is called."""
        return self._name

    @name.setter
    def name(self, name: str) -> None:
        self._name = label(name)
        self._changed()

    @property
    def kind(self) -> str:
        """What the step does: one of the eleven kinds."""
        return self._kind

    @kind.setter
    def kind(self, kind: str) -> None:
        self._kind = known_kind(kind)
        self._changed()

    # --- what went in and out --------------------------------------------------------------------------------------

    @property
    def input(self) -> object:
        """What went in, as it was when it was set; None where nothing was."""
        return None if self._input is UNSET else self._input

    @input.setter
    def input(self, value: object) -> None:
        self._input = self._held(value)
        self._changed()

    @property
    def output(self) -> object:
        """What came out, as it was when it was set; None where nothing was."""
        return None if self._output is UNSET else self._output

    @output.setter
    def output(self, value: object) -> None:
        self._output = self._held(value)
        self._changed()

    @property
    def metadata(self) -> dict[str, object]:
        """Facts about the step that the dashboard can search: `s.metadata["plan"] = "pro"`."""
        if self._metadata is None:
            self._metadata = {}
        return self._metadata

    @metadata.setter
    def metadata(self, values: Mapping[str, object]) -> None:
        try:
            self._metadata = dict(values)
        except Exception:
            _guard.failed("setting a step's metadata")
        self._changed()

    @property
    def tags(self) -> tuple[str, ...]:
        """The step's own tags."""
        return self._tags

    @tags.setter
    def tags(self, names: Iterable[str] | str) -> None:
        try:
            self._tags = tag_texts(names)
        except Exception:
            _guard.failed("setting a step's tags")
        self._changed()

    @property
    def session(self) -> str | None:
        """The conversation that the step belongs to."""
        return None if self._around is None else self._around.session

    @session.setter
    def session(self, session_id: object) -> None:
        try:
            self._around = (self._around or Around())._replace(session=name_text(session_id))
        except Exception:
            _guard.failed("setting a step's session")
        self._changed()

    @property
    def user(self) -> str | None:
        """The end user for whom the step runs."""
        return None if self._around is None else self._around.user

    @user.setter
    def user(self, user_id: object) -> None:
        try:
            self._around = (self._around or Around())._replace(user=name_text(user_id))
        except Exception:
            _guard.failed("setting a step's user")
        self._changed()

    def set(self, key: str, value: object) -> None:
        """Set any other attribute, by its OpenTelemetry name."""
        try:
            if self._extra is None:
                self._extra = {}
            self._extra[label(key)] = self._held(value)
        except Exception:
            _guard.failed("setting an attribute")
        self._changed()

    def get(self, key: str) -> object:
        """Return what `set` was given for a name, as it was then; None where nothing was."""
        return None if self._extra is None else self._extra.get(key)

    def event(self, name: str, **attributes: object) -> None:
        """Note something that happened at this instant."""
        try:
            if self._events is None:
                self._events = []
            self._events.append((self._sink.clock() + self._offset, label(name), self._held(attributes)))
        except Exception:
            _guard.failed("noting an event")
        self._changed()

    def fail(self, reason: BaseException | str) -> None:
        """Mark the step as failed, for an error that the program handles itself."""
        try:
            if isinstance(reason, BaseException):
                self._failure = take_failure(reason)
            else:
                self._failure = Failure(type="", message=label(reason))
            self._size += 2000
        except Exception:
            _guard.failed("marking a step as failed")
        self._changed()

    def score(self, name: str, value: bool | float | str, *, comment: str | None = None, source: str = "code") -> None:
        """Score this step: `s.score("grounded", 0.8, source="model")`."""
        from ._scores import score

        score(name, value, trace_id=self.trace_id, span_id=self.span_id, comment=comment, source=source)

    # --- growing output ----------------------------------------------------------------------------------------------

    def stream(self, chunk: str | None) -> None:
        """Add to the output while it is being made: the dashboard shows it growing. None is taken as no text."""
        try:
            if not chunk:
                return
            if self._chunks is None:
                self._chunks = []
                if self._kind == "llm":
                    self.first_token()
            text = label(chunk)
            self._chunks.append(text)
            if not self._end:
                self._size += len(text) + 60
        except Exception:
            _guard.failed("adding to a step's output")
        self._changed()

    def first_token(self) -> None:
        """Note that the model's first output came now; in an `llm` step `stream` does it by itself."""
        key = "gen_ai.response.time_to_first_chunk"
        if self.get(key) is None:
            self.set(key, (self._sink.clock() + self._offset - self._start) / 1e9)

    # --- the rest --------------------------------------------------------------------------------------------------

    @property
    def ended(self) -> bool:
        """Whether the step has ended; what is set after that is not kept."""
        return self._end != 0

    def end(self, error: BaseException | str | None = None) -> None:
        """End a step that `start_step` began; a second call does nothing."""
        if self._end:
            return
        try:
            if error is not None:
                self.fail(error)
            self._metadata = None if self._metadata is None else _snapshot(self._metadata)
            end = self._sink.clock() + self._offset
            self._end = end if end > self._start else self._start
            self._sink.finish(self)
        except Exception:
            _guard.failed("ending a step")

    @property
    def trace_number(self) -> int:
        """The trace's id as a number."""
        return self._trace

    @property
    def span_number(self) -> int:
        """The step's own id as a number."""
        return self._span

    def _held(self, value: object) -> object:
        held, size = take(value)
        if not self._end:
            self._size += size
        return held

    def _changed(self) -> None:
        if not self._noticed and not self._end:
            self._sink.notice(self)

    def _enter(self) -> None:
        """Make the step the current one here, and say that it started."""
        current.set(self)
        self._sink.begin(self)

    def _leave(self) -> None:
        """Make what was current before the step current again, if the step still is."""
        if current.get() is self:
            before = self._previous
            # Steps that were left while a later one was current must not come back.
            while isinstance(before, Step) and before._adrift:
                before = before._previous
            current.set(before)
        else:
            self._adrift = True


def _snapshot(values: dict[str, object]) -> dict[str, object]:
    taken, _ = take(values)
    return taken if isinstance(taken, dict) else {}


def current_step() -> Step | None:
    """Return the step that is running here, or None: `stepscope.current_step()`."""
    step = current.get()
    return step if isinstance(step, Step) else None


def current_trace_url() -> str | None:
    """Return the dashboard's address of the trace that is running here, or None where none is."""
    step = current_step()
    if step is None or not step.url:
        return None
    return step.url.partition("?")[0]


__all__ = ["KINDS", "UNSET", "Origin", "Step", "current_step", "current_trace_url", "known_kind"]
