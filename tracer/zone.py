"""The time zone in which a page writes its moments: UTC, or the reader's own, which their browser names in a cookie."""

from __future__ import annotations

import re
from contextvars import ContextVar
from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo

COOKIE = "stepscope_zone"
NAME_LIMIT = 64
SECOND = 1_000_000_000
_NAIVE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?")

_zone: ContextVar[tzinfo] = ContextVar("zone", default=UTC)


def use_zone(name: str | None) -> None:
    """Write moments in a zone, by the IANA's name, for the rest of the request; in UTC where there is none of it."""
    found: tzinfo = UTC
    if name and name != "UTC" and len(name) <= NAME_LIMIT:
        try:
            found = ZoneInfo(name)
        except (KeyError, ValueError, OSError):  # a path, nonsense, or a machine without the database of zones
            found = UTC
    _zone.set(found)


def zone_name() -> str:
    """The zone's name of the IANA's."""
    zone = _zone.get()
    return zone.key if isinstance(zone, ZoneInfo) else "UTC"


def zone_label(instant: int | None = None) -> str:
    """What people call the zone at an instant (Unix nanoseconds), or now: `UTC`, `CET`, `UTC+03`."""
    when = datetime.now(UTC) if instant is None else _utc(instant)
    label = when.astimezone(_zone.get()).tzname() or "UTC"
    return f"UTC{label}" if label[:1] in "+-" else label


def local_text(instant: int) -> str:
    """An instant (Unix nanoseconds) as the zone's clocks show it, to the millisecond: `2026-11-22T14:03:11.482`."""
    there = _utc(instant).astimezone(_zone.get())
    return f"{there:%Y-%m-%dT%H:%M:%S}.{instant % SECOND // 1_000_000:03}"


def with_zone(text: str) -> str:
    """A time as a reader types it, with the zone's offset where it names none."""
    if _NAIVE.fullmatch(text) is None or _zone.get() is UTC:
        return text
    try:
        return datetime.fromisoformat(text).replace(tzinfo=_zone.get()).isoformat()
    except ValueError:
        return text


def _utc(instant: int) -> datetime:
    """The instant to the second; the last that a calendar can say for one beyond it."""
    try:
        return datetime.fromtimestamp(instant // SECOND, UTC)
    except (OverflowError, ValueError, OSError):
        return datetime.max.replace(tzinfo=UTC, microsecond=0)
