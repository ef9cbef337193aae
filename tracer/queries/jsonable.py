"""OTLP values as strict JSON that every reader can hold."""

from __future__ import annotations

import base64
import math
from typing import Any

from tracer.otlp.records import AnyValue

SAFE_INTEGER = 2**53
"""Beyond this, JavaScript rounds: such integers travel as text, as in OTLP/JSON."""


def jsonable(value: AnyValue) -> Any:
    """A value for a JSON answer: bytes as {"bytesValue": base64}, NaN and infinities and huge integers as text."""
    if isinstance(value, dict):
        return {key: jsonable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [jsonable(item) for item in value]
    if isinstance(value, bytes):
        return {"bytesValue": base64.b64encode(value).decode()}
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > SAFE_INTEGER:
        return str(value)
    return value
