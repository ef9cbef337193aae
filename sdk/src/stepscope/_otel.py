"""A current OpenTelemetry span becomes our parent. OpenTelemetry is never imported here, only found."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from . import _guard
from ._context import Origin

if TYPE_CHECKING:
    from ._steps import Step

MODULE = "opentelemetry.trace"


def choose(own: Step | Origin | None) -> tuple[Step | Origin | None, int]:
    """Return the nearest parent, and the id of the OpenTelemetry span that is current (0: none).

    A span that was already current when our own step started lies around that step, so our step is nearer; one that
    was started since, in the same trace, lies inside it.
    """
    try:
        module = sys.modules.get(MODULE)
        if module is None:
            return own, 0
        found = module.get_current_span().get_span_context()
        if not found.is_valid:
            return own, 0
        trace, span = int(found.trace_id), int(found.span_id)
        if own is None or isinstance(own, Origin):
            return Origin(trace, span), span
        if span != own.around_span and trace == own.trace_number:
            return Origin(trace, span), span
        return own, span
    except Exception:
        _guard.failed("asking OpenTelemetry for its current span")
        return own, 0
