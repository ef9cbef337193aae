"""The time that a page is about: one of the usual lengths until now, or from one moment to another."""

from __future__ import annotations

from dataclasses import dataclass

from tracer.errors import BadRequest
from tracer.units import DAY, HOUR, UnixNanos, parse_rfc3339, rfc3339
from tracer.zone import with_zone

LENGTHS: dict[str, tuple[int, str]] = {
    "1h": (HOUR, "Last hour"),
    "6h": (6 * HOUR, "6 hours"),
    "24h": (DAY, "24 hours"),
    "7d": (7 * DAY, "7 days"),
    "30d": (30 * DAY, "30 days"),
    "90d": (90 * DAY, "90 days"),
}
"""The usual lengths: as addresses have them, in nanoseconds, and in words."""


@dataclass(frozen=True, slots=True)
class Range:
    """From `since` on and before `until`; `word` is its name when it is one of the usual lengths, else empty."""

    since: UnixNanos
    until: UnixNanos
    word: str

    @property
    def length(self) -> int:
        """In nanoseconds."""
        return self.until - self.since

    @property
    def query(self) -> dict[str, str | None]:
        """The part of an address that says it."""
        if self.word:
            return {"range": self.word}
        return {"from": rfc3339(self.since), "to": rfc3339(self.until)}

    @property
    def before(self) -> Range:
        """The time of the same length before it."""
        return Range(UnixNanos(self.since - self.length), self.since, "")


def read_range(word: str | None, since: str | None, until: str | None, *, now: UnixNanos, usual: str = "24h") -> Range:
    """Read what an address says: `from` and `to`, else one of the usual lengths.

    Raises BadRequest for what is none, and for a time that is empty.
    """
    if since or until:
        end = read_moment(until, "to") or now
        begin = read_moment(since, "from")
        if begin is None:
            begin = UnixNanos(end - LENGTHS[usual][0])
        if begin >= end:
            raise BadRequest("`from` has to lie before `to`.", field="from")
        return Range(begin, end, "")
    word = word or usual
    if word not in LENGTHS:
        raise BadRequest(f"{word[:20]!r} is no range: use one of {', '.join(LENGTHS)}.", field="range")
    return Range(UnixNanos(now - LENGTHS[word][0]), now, word)


def read_moment(text: str | None, field: str) -> UnixNanos | None:
    """Read a moment of an address; without a time zone it is of the reader's. Raises BadRequest for anything else."""
    if not text:
        return None
    try:
        return parse_rfc3339(with_zone(text))
    except (ValueError, OverflowError):
        raise BadRequest(f"{text[:60]!r} is no time: write it as 2026-11-22T14:00Z.", field=field) from None
