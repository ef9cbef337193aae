"""How long and how much a project keeps of what came: by age, by tag, and by size."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from tracer.errors import BadRequest
from tracer.otlp.text import clean
from tracer.store.sql import Sql
from tracer.units import DAY, parse_bytes

LONGEST_DAYS = 36_500
SMALLEST_SIZE, LARGEST_SIZE = 10**6, 2**60
MOST_TAGS, TAG_LIMIT = 50, 200
FOR_EVER = "for ever"
ROOM = 20
"""What goes for its size makes room for a twentieth more, so that it need not go on all the time."""

COLUMNS = "retention_days, retention_tags, max_size"


@dataclass(frozen=True, slots=True)
class TagDays:
    """How long a trace with a tag is kept, whatever the project's other days are."""

    tag: str
    days: int | None
    """None: for ever."""


@dataclass(frozen=True, slots=True)
class Keeping:
    """What a project keeps. Of several tags that a trace has, the one that keeps it longest counts."""

    days: int | None = None
    tags: tuple[TagDays, ...] = ()
    max_size: int | None = None
    """Bytes; beyond that the oldest traces go, those that a tag keeps for ever last."""

    @property
    def kept_tags(self) -> tuple[str, ...]:
        """The tags whose traces are kept for ever."""
        return tuple(one.tag for one in self.tags if one.days is None)

    def longest(self) -> int | None:
        """The days after which nothing is kept, whatever its tags are; None when anything may be."""
        if self.days is None or self.kept_tags:
            return None
        return max([self.days, *(one.days for one in self.tags if one.days is not None)])

    def by_age(self) -> Iterator[str | None]:
        """The rules by which traces go for their age: each tag's, and last (None) that for traces without one."""
        yield from (one.tag for one in self.tags if one.days is not None)
        if self.days is not None:
            yield None

    def rule(self, tag: str | None, now: int) -> tuple[int, tuple[str, ...]] | None:
        """Before which start a rule's traces go, and which tags spare one; None when there is no such rule."""
        days = self.days if tag is None else next((one.days for one in self.tags if one.tag == tag), None)
        if days is None:
            return None
        return now - days * DAY, tuple(one.tag for one in self.tags if one.days is None or one.days > days)


EVERYTHING = Keeping()


def keeping_of_row(row: Any) -> Keeping:
    """The rules in a row of `project_rules`, as `tags_as_json` and the columns have them."""
    tags = tuple(TagDays(tag, days) for tag, days in json.loads(row.retention_tags))
    return Keeping(row.retention_days, tags, row.max_size)


def keeping_in(sql: Sql, project_id: int) -> Keeping:
    """What one project keeps."""
    rows = sql.rows(f"SELECT {COLUMNS} FROM project_rules WHERE project_id = ?", [project_id])
    return keeping_of_row(rows[0]) if rows else EVERYTHING


def keeping_everywhere(sql: Sql, project_id: int | None = None) -> dict[int, Keeping]:
    """What each project keeps that does not keep everything, or one project alone, by its row number."""
    of_one = "" if project_id is None else "project_id = ? AND "
    rows = sql.rows(
        f"SELECT project_id, {COLUMNS} FROM project_rules WHERE {of_one}"
        "(retention_days IS NOT NULL OR retention_tags <> '[]' OR max_size IS NOT NULL) ORDER BY project_id",
        [] if project_id is None else [project_id],
    )
    return {row.project_id: keeping_of_row(row) for row in rows}


def with_room(max_size: int) -> int:
    """Down to how many bytes traces go, once there are more than `max_size`."""
    return max_size - max_size // ROOM


def tags_as_json(tags: Iterable[TagDays]) -> str:
    """The tags with their days as the database keeps them."""
    return json.dumps([[one.tag, one.days] for one in tags], ensure_ascii=False)


def check_keeping(given: Keeping) -> Keeping:
    """The rules, cleaned; raises BadRequest, naming the field, for what cannot be used."""
    _check_days(given.days, "retention_days")
    if len(given.tags) > MOST_TAGS:
        raise BadRequest(f"There may be {MOST_TAGS} tags at most.", field="retention_tags")
    tags = tuple(TagDays(clean(one.tag).strip(), one.days) for one in given.tags)
    for one in tags:
        if not 0 < len(one.tag) <= TAG_LIMIT:
            raise BadRequest(f"A tag has 1 to {TAG_LIMIT} characters.", field="retention_tags")
        _check_days(one.days, "retention_tags")
    if len({one.tag for one in tags}) < len(tags):
        raise BadRequest("A tag is named more than once.", field="retention_tags")
    if given.max_size is not None and not SMALLEST_SIZE <= given.max_size <= LARGEST_SIZE:
        raise BadRequest("A size is 1 MB or more.", field="max_size")
    return Keeping(given.days, tags, given.max_size)


def _check_days(days: int | None, field: str) -> None:
    if days is not None and not 1 <= days <= LONGEST_DAYS:
        raise BadRequest(f"Days are 1 to {LONGEST_DAYS}.", field=field)


def read_days(text: str, *, field: str) -> int | None:
    """Days as people write them; None for nothing. Raises BadRequest."""
    text = text.strip()
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 9):
        raise BadRequest(f"This takes a whole number of days, up to {LONGEST_DAYS}.", field=field)
    return int(text)


def read_tag_days(text: str) -> Iterator[TagDays]:
    """Tags as people write them, one a line: `debug: 3`, `golden: for ever`. Raises BadRequest."""
    for line in text.splitlines():
        if line.strip():
            tag, colon, days = line.rpartition(":")
            words = re.sub(r"\s*days?$", "", days.strip().lower())
            if not colon or not tag.strip() or not words:
                raise BadRequest(f"Each line takes a tag, a colon, and days or: {FOR_EVER}.", field="retention_tags")
            for_ever = words.replace(" ", "") == FOR_EVER.replace(" ", "")
            yield TagDays(tag.strip(), None if for_ever else read_days(words, field="retention_tags"))


def write_tag_days(tags: Iterable[TagDays]) -> str:
    """The lines that `read_tag_days` reads."""
    return "\n".join(f"{one.tag}: {FOR_EVER if one.days is None else one.days}" for one in tags)


def read_size(text: str) -> int | None:
    """A size as people write it; None for nothing. Raises BadRequest."""
    if not text.strip():
        return None
    try:
        return parse_bytes(text)
    except ValueError:
        raise BadRequest("This takes a size such as 10GB or 512MiB.", field="max_size") from None


def write_size(size: int) -> str:
    """The shortest text that `read_size` reads as this size."""
    for power, unit in ((12, "TB"), (9, "GB"), (6, "MB")):
        if size % 10 ** (power - 3) == 0 and size >= 10**power:
            return f"{size / 10**power:.3f}".rstrip("0").rstrip(".") + unit
    return str(size)
