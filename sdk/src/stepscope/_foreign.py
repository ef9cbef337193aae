"""OpenTelemetry's spans on our way out: what `stepscope.otel` records beside our own steps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from ._masks import Masks
from ._steps import Step
from ._values import label


class Ids(Protocol):
    """What names a span."""

    @property
    def trace_id(self) -> int: ...

    @property
    def span_id(self) -> int: ...


class Read(Protocol):
    """What is read of OpenTelemetry's spans, while they run and afterwards."""

    @property
    def name(self) -> str: ...

    @property
    def start_time(self) -> int | None: ...

    @property
    def attributes(self) -> Mapping[str, object] | None: ...

    @property
    def events(self) -> Iterable[object]: ...

    @property
    def links(self) -> Iterable[object]: ...


class Foreign(Step):
    """One span of OpenTelemetry's: it goes the same way as our steps."""

    __slots__ = ("read", "scope")

    def __init__(self, read: Read, ids: Ids, trace: int, parent: int, scope: tuple[str, str]) -> None:
        """`trace` and `parent` are where the span stands among our steps."""
        self.read = read
        self.scope = scope
        self._trace = trace
        self._span = ids.span_id
        self._parent = parent
        self._start = read.start_time or 0
        self._end = 0
        self._name = label(read.name)
        self._kind = "other"
        self._noticed = False
        self._sent_at = 0.0
        self._seq = 0
        self._size = 1000
        self._failure = None

    def over(self, read: Read, end: int) -> None:
        """Note that the span has ended."""
        self.read = read
        self._end = max(end, self._start, 1)
        size = 1000
        for value in (read.attributes or {}).values():
            size += 200 + (len(value) * 2 if isinstance(value, (str, bytes, tuple)) else 0)
        self._size = size + 1000 * len(list(read.events))


def foreign_text(step: Foreign, redact: object, masks: Masks | None) -> str:
    """Write a span as OTLP/JSON: with its own ids, attributes, events, links and status."""
    from ._encode import Adder

    if not step._end:
        step._seq += 1
    read = step.read
    parts: list[str] = []
    add = Adder(parts, redact if callable(redact) else None, masks)
    if not step._end:
        add.value("stepscope.seq", step._seq)
    _facts(add, read.attributes)
    events: list[str] = []
    for event in list(read.events):
        inner: list[str] = []
        _facts(Adder(inner, add.redact, masks), getattr(event, "attributes", None))
        events.append(
            f'{{"timeUnixNano":"{getattr(event, "timestamp", 0)}","name":{add.quoted(getattr(event, "name", ""))},'
            f'"attributes":[{",".join(inner)}]}}'
        )
    links: list[str] = []
    for link in list(read.links):
        inner = []
        _facts(Adder(inner, add.redact, masks), getattr(link, "attributes", None))
        ids: object = getattr(link, "context", None)
        trace, span = getattr(ids, "trace_id", 0), getattr(ids, "span_id", 0)
        links.append(f'{{"traceId":"{trace:032x}","spanId":"{span:016x}","attributes":[{",".join(inner)}]}}')
    kind: object = getattr(getattr(read, "kind", None), "value", 0)
    status: object = getattr(read, "status", None)
    code: object = getattr(getattr(status, "status_code", None), "value", 0)
    said: object = getattr(status, "description", None)
    message = f',"message":{add.quoted(add.hidden("exception.message", said))}' if isinstance(said, str) else ""
    parent = f'"parentSpanId":"{step._parent:016x}",' if step._parent else ""
    return (
        f'{{"traceId":"{step._trace:032x}","spanId":"{step._span:016x}",{parent}"name":{add.quoted(read.name)},'
        f'"kind":{kind + 1 if isinstance(kind, int) else 1},"startTimeUnixNano":"{step._start}",'
        f'"endTimeUnixNano":"{step._end}","attributes":[{",".join(parts)}]'
        + (f',"events":[{",".join(events)}]' if events else "")
        + (f',"links":[{",".join(links)}]' if links else "")
        + (f',"status":{{"code":{code}{message}}}' if step._end else "")
        + "}"
    )


class _Adds(Protocol):
    def value(self, key: str, value: object) -> None: ...


def _facts(add: _Adds, attributes: Mapping[str, object] | None) -> None:
    for key, value in list((attributes or {}).items()):
        add.value(str(key), list(value) if isinstance(value, tuple) else value)
