"""Times as people and assistants write them."""

from __future__ import annotations

import time

from tracer.errors import BadRequest
from tracer.units import parse_length, parse_rfc3339, rfc3339


def moment(text: str | None, name: str) -> str | None:
    """A time as RFC 3339 out of `2026-11-22T14:00Z`, `2026-11-22`, or how long ago it was: `2h`, `30d`.

    Raises BadRequest, naming the parameter, for anything else.
    """
    if text is None:
        return None
    try:
        return rfc3339(time.time_ns() - parse_length(text))
    except ValueError:
        pass
    try:
        return rfc3339(parse_rfc3339(text))
    except (ValueError, OverflowError):
        raise BadRequest(
            f"{name} {text[:60]!r}: write a time as 2026-11-22T14:00Z or 2026-11-22, or how long ago as 2h or 30d.",
            field=name,
        ) from None
