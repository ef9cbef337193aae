"""OpenTelemetry's instrumentations beside our steps, in one tree, without touching the program's own OpenTelemetry.

    from openinference.instrumentation.openai import OpenAIInstrumentor
    import stepscope.otel

    OpenAIInstrumentor().instrument(tracer_provider=stepscope.otel.tracer_provider())

Needs `opentelemetry-sdk`. What the program exports elsewhere keeps exactly the ids and parents that it has without us.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from opentelemetry import context as context_api
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace import Span as SdkSpan
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.util.types import Attributes, AttributeValue

from . import _guard, _otel, _runtime
from ._context import current
from ._foreign import Foreign
from ._sinks import NOWHERE
from ._steps import Step

__all__ = ["StepscopeSpanProcessor", "join", "tracer_provider"]

_LIMIT = 100_000
"""Spans and traces that are known at once."""

_private: PrivateProvider | None = None
_joined: list[object] = []


def tracer_provider() -> PrivateProvider:
    """Return the provider to give to instrumentations: their spans are sent with our steps, and nowhere else.

    OpenAIInstrumentor().instrument(tracer_provider=stepscope.otel.tracer_provider())
    """
    global _private
    if _private is None:
        _private = PrivateProvider()
    return _private


def join() -> bool:
    """Send the spans of the program's own provider too; what it exports elsewhere stays as it is.

    `stepscope.init(otel="join")` does it. Where the program has set no provider, ours becomes the global one. Returns
    False where the program's provider takes no processor.
    """
    found = trace.get_tracer_provider()
    if isinstance(found, trace.ProxyTracerProvider):
        trace.set_tracer_provider(TracerProvider(sampler=ALWAYS_ON))
        found = trace.get_tracer_provider()
    if any(found is known for known in _joined):
        return True
    add = getattr(found, "add_span_processor", None)
    if not callable(add):
        _guard.warn("otel", f"stepscope: {type(found).__name__} takes no span processor; its spans are not recorded.")
        return False
    add(StepscopeSpanProcessor())
    _joined.append(found)
    return True


class StepscopeSpanProcessor(SpanProcessor):
    """Sends a provider's spans with our steps: `provider.add_span_processor(StepscopeSpanProcessor())`."""

    def __init__(self) -> None:
        self._open: dict[tuple[int, int], Foreign] = {}

    def on_start(self, span: SdkSpan, parent_context: Context | None = None) -> None:
        """Find the span's place among our steps, and show it."""
        try:
            sink = _runtime.sink or _runtime.start()
            ids = span.get_span_context()
            if sink is NOWHERE or ids is None or not ids.trace_flags.sampled or len(self._open) > _LIMIT:
                return
            parent = span.parent.span_id if span.parent is not None else 0
            here = trace.get_current_span().get_span_context().span_id
            told = trace.get_current_span(parent_context).get_span_context().span_id
            nearest = _otel.choose(current.get())[0] if told == here else None
            if isinstance(nearest, Step):
                # It began inside that parent, and this span inside it.
                parent = nearest.span_number
                _adopt(ids.trace_id, nearest.trace_number)
            elif nearest is not None:
                parent = nearest.span
                _adopt(ids.trace_id, nearest.trace)
            scope = span.instrumentation_scope
            known = _otel.adopted.get(ids.trace_id, ids.trace_id)
            name = (scope.name, scope.version or "") if scope is not None else ("", "")
            foreign = Foreign(span, ids, known, parent, name)
            self._open[ids.trace_id, ids.span_id] = foreign
            sink.begin(foreign)
        except Exception:
            _guard.failed("taking a span of OpenTelemetry's")

    def on_end(self, span: ReadableSpan) -> None:
        """Send the span."""
        try:
            ids = span.get_span_context()
            foreign = None if ids is None else self._open.pop((ids.trace_id, ids.span_id), None)
            if foreign is not None:
                foreign.over(span, span.end_time or 0)
                (_runtime.sink or _runtime.start()).finish(foreign)
        except Exception:
            _guard.failed("taking a span of OpenTelemetry's")

    def shutdown(self) -> None:
        """Deliver what waits."""
        self.force_flush()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Deliver what waits, within a time."""
        exporter = _runtime.exporter
        return True if exporter is None else exporter.flush(timeout_millis / 1000)


def _adopt(theirs: int, ours: int) -> None:
    if theirs != ours:
        if len(_otel.adopted) > _LIMIT:
            _otel.adopted.clear()
        _otel.adopted[theirs] = ours


class PrivateProvider(trace.TracerProvider):
    """A provider whose spans only we see."""

    def __init__(self) -> None:
        self._provider = TracerProvider(sampler=ALWAYS_ON, resource=Resource({}), shutdown_on_exit=False)
        self._provider.add_span_processor(StepscopeSpanProcessor())

    def get_tracer(
        self,
        instrumenting_module_name: str,
        instrumenting_library_version: str | None = None,
        schema_url: str | None = None,
        attributes: Attributes = None,
    ) -> trace.Tracer:
        """Return a tracer of a library's."""
        inner = self._provider.get_tracer(
            instrumenting_module_name, instrumenting_library_version, schema_url, attributes
        )
        return PrivateTracer(inner)

    def add_span_processor(self, processor: SpanProcessor) -> None:
        """Let another processor see the private spans."""
        self._provider.add_span_processor(processor)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Deliver what waits, within a time."""
        return self._provider.force_flush(timeout_millis)

    def shutdown(self) -> None:
        """Deliver what waits; the provider goes on."""
        self._provider.force_flush()


class PrivateTracer(trace.Tracer):
    """Starts spans below the nearest step or private span."""

    def __init__(self, inner: trace.Tracer) -> None:
        self._inner = inner

    def start_span(
        self,
        name: str,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Attributes = None,
        links: Sequence[Link] | None = (),
        start_time: int | None = None,
        record_exception: bool = True,
        set_status_on_exception: bool = True,
    ) -> trace.Span:
        """Start a span; it is not current."""
        around = trace.get_current_span(context)
        outside = around.get_span_context()
        parent: SpanContext | None = None
        try:
            parent = _parent(around, context)
        except Exception:
            _guard.failed("finding a span's place")
        # Their parent, as we see it, in a context that nobody else gets.
        inside = NonRecordingSpan(parent) if parent is not None else trace.INVALID_SPAN
        within = trace.set_span_in_context(inside, context_api.get_current() if context is None else context)
        span = self._inner.start_span(
            name, within, kind, attributes, links, start_time, record_exception, set_status_on_exception
        )
        return PrivateSpan(span, outside)

    @contextmanager
    def start_as_current_span(  # pyrefly: ignore[bad-override]  (its own decorator is private)
        self,
        name: str,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Attributes = None,
        links: Sequence[Link] | None = (),
        start_time: int | None = None,
        record_exception: bool = True,
        set_status_on_exception: bool = True,
        end_on_exit: bool = True,
    ) -> Iterator[trace.Span]:
        """Start a span, and make it the current one inside the block."""
        span = self.start_span(
            name, context, kind, attributes, links, start_time, record_exception, set_status_on_exception
        )
        with trace.use_span(span, end_on_exit, record_exception, set_status_on_exception):
            yield span


def _parent(around: trace.Span, context: Context | None) -> SpanContext | None:
    if context is None:
        nearest, _ = _otel.choose(current.get())
        if nearest is None:
            return None
        ids = (nearest.trace_number, nearest.span_number) if isinstance(nearest, Step) else tuple(nearest)
    else:
        ids = getattr(around, "stepscope_ids", None)
        if ids is None:
            found = around.get_span_context()
            return found if found.is_valid else None
    return SpanContext(ids[0], ids[1], is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))


class PrivateSpan(trace.Span):
    """A span that tells everybody else of the span around it: their spans keep the parents they have without us."""

    def __init__(self, inner: trace.Span, outside: SpanContext) -> None:
        self._inner = inner
        self._outside = outside
        ids = inner.get_span_context()
        self.stepscope_ids: tuple[int, int] | None = (ids.trace_id, ids.span_id) if ids.is_valid else None

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)

    def end(self, end_time: int | None = None) -> None:
        """End the span."""
        self._inner.end(end_time)

    def get_span_context(self) -> SpanContext:
        """Return the ids of the program's own span around this one; `stepscope_ids` are this one's."""
        return self._outside

    def set_attributes(self, attributes: Mapping[str, AttributeValue]) -> None:
        """Set attributes."""
        self._inner.set_attributes(attributes)

    def set_attribute(self, key: str, value: AttributeValue) -> None:
        """Set an attribute."""
        self._inner.set_attribute(key, value)

    def add_event(self, name: str, attributes: Attributes = None, timestamp: int | None = None) -> None:
        """Note an event."""
        self._inner.add_event(name, attributes, timestamp)

    def add_link(self, context: SpanContext, attributes: Attributes = None) -> None:
        """Link another span."""
        self._inner.add_link(context, attributes)

    def update_name(self, name: str) -> None:
        """Change the name."""
        self._inner.update_name(name)

    def is_recording(self) -> bool:
        """Whether the span has not ended."""
        return self._inner.is_recording()

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        """Set the status."""
        self._inner.set_status(status, description)

    def record_exception(
        self,
        exception: BaseException,
        attributes: Attributes = None,
        timestamp: int | None = None,
        escaped: bool = False,
    ) -> None:
        """Note an exception."""
        self._inner.record_exception(exception, attributes, timestamp, escaped)
