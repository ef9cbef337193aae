"""A current OpenTelemetry span becomes our parent. OpenTelemetry is never imported here, only found."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from . import _guard
from ._context import Origin

if TYPE_CHECKING:
    from ._steps import Step

MODULE = "opentelemetry.trace"

adopted: dict[int, int] = {}
"""OpenTelemetry's traces that began inside a step of ours, and the trace of that step; `stepscope.otel` fills it."""


def choose(own: Step | Origin | None) -> tuple[Step | Origin | None, int]:
    """Return the nearest parent, and the id of the OpenTelemetry span that is current (0: none).

    A span that was already current when our own step started lies around that step, so our step is nearer; one that
    was started since, in the same trace, lies inside it.
    """
    try:
        module = sys.modules.get(MODULE)
        if module is None:
            return own, 0
        current = module.get_current_span()
        # A span of our private provider tells the program's own tracers of the span around it, and us of itself.
        private = getattr(current, "stepscope_ids", None)
        if private is not None:
            trace, span = private
        else:
            found = current.get_span_context()
            if not found.is_valid:
                return own, 0
            trace, span = int(found.trace_id), int(found.span_id)
            trace = adopted.get(trace, trace)
        if own is None or isinstance(own, Origin):
            return Origin(trace, span), span
        if span != own.around_span and trace == own.trace_number:
            return Origin(trace, span), span
        return own, span
    except Exception:
        _guard.failed("asking OpenTelemetry for its current span")
        return own, 0
