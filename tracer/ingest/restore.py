"""Reads the lines of our own export, and puts back what people added to their traces."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from tracer.errors import BadPayload
from tracer.ingest.apply import Changes
from tracer.ingest.people import NewScore, Patch, put_score, restore_note
from tracer.ingest.prepare import project_name
from tracer.ingest.tombstones import DELETED, deleted_among
from tracer.otlp.decode import Rejections, decode_logs, decode_traces
from tracer.otlp.records import Flag, LogRecord, SpanRecord
from tracer.otlp.text import clean
from tracer.store.projects import ProjectIds
from tracer.store.sql import Sql
from tracer.units import UnixNanos, parse_rfc3339

MOST_TAGS = 100
_LINE = re.compile(rb"\S[^\n]*")
"""What is in a line. Millions of empty ones are passed over without being made."""

_TRACE_ID = re.compile(r"[0-9a-f]{32}")
_SPAN_ID = re.compile(r"[0-9a-f]{16}")
_FLAGS = {(flag.name or "").lower(): flag for flag in Flag}


class _Score(msgspec.Struct, frozen=True):
    id: str
    name: str
    value: bool | float | str
    source: Literal["user", "reviewer", "code", "model"]
    created_at: str
    updated_at: str
    span_id: str | None = None
    comment: str | None = None
    author: str | None = None


class _Added(msgspec.Struct, frozen=True):
    name: str | None = None
    tags: list[str] = []
    note: str | None = None
    scores: list[_Score] = []


class _Span(msgspec.Struct, frozen=True):
    span_id: str
    flags: list[str] = []


class _Line(msgspec.Struct, frozen=True):
    project: str
    trace_id: str
    otlp: msgspec.Raw
    otlp_logs: msgspec.Raw = msgspec.Raw(b"null")
    spans: list[_Span] = []
    added: _Added | None = None


_decoder = msgspec.json.Decoder(_Line)


@dataclass(frozen=True, slots=True)
class TimedScore:
    """A score from elsewhere with its times, Unix nanoseconds."""

    score: NewScore
    created_at: UnixNanos
    updated_at: UnixNanos


@dataclass(frozen=True, slots=True)
class Added:
    """What people and programs added to one trace."""

    project: str
    trace_id: bytes
    patch: Patch
    scores: Sequence[TimedScore]


@dataclass(slots=True)
class Restored:
    """What some lines hold: records by project, and what was added."""

    spans: dict[str, list[SpanRecord]] = field(default_factory=dict)
    logs: list[tuple[str, LogRecord]] = field(default_factory=list)
    added: list[Added] = field(default_factory=list)
    traces: set[tuple[str, str]] = field(default_factory=set)
    rejected: Rejections = field(default_factory=Rejections)

    @property
    def projects(self) -> set[str]:
        """The names of the projects that anything of it goes to."""
        return {project for project, _ in self.traces}


def read_lines(body: bytes, *, project: str | None = None, author: str | None = None) -> Restored:
    """Read lines of our own export. `project` overrules the lines' own, `author` whoever the scores are from.

    Raises BadPayload, with the number of the line, for one that is none.
    """
    found = Restored()
    for line in _LINE.finditer(body):
        try:
            _read_line(_decoder.decode(line[0]), found, project, author)
        except (msgspec.MsgspecError, ValueError, OverflowError, RecursionError) as problem:
            raise BadPayload(f"Line {_number(line)} is not of an export of ours: {problem}.") from None
        except BadPayload as problem:
            raise BadPayload(f"Line {_number(line)}: {problem.message}") from None
    return found


def _number(line: re.Match[bytes]) -> int:
    return line.string.count(b"\n", 0, line.start()) + 1


def _read_line(line: _Line, found: Restored, asked: str | None, author: str | None) -> None:
    name = project_name(clean(asked or line.project))
    if not name or _TRACE_ID.fullmatch(line.trace_id) is None:
        raise ValueError("its project or trace_id cannot be")
    traces = decode_traces(bytes(line.otlp), json=True)
    found.rejected.reasons.update(traces.rejected.reasons)
    flags = {bytes.fromhex(span.span_id): span.flags for span in line.spans if span.flags}
    for record in traces.spans:
        for word in flags.get(record.span_id, ()):
            record.flags |= _FLAGS.get(word, Flag.NONE)
    found.spans.setdefault(name, []).extend(traces.spans)
    found.traces.add((name, line.trace_id))
    if bytes(line.otlp_logs) != b"null":
        logs = decode_logs(bytes(line.otlp_logs), json=True)
        found.rejected.reasons.update(logs.rejected.reasons)
        found.logs += [(name, log) for log in logs.logs]
    if line.added is not None:
        found.added.append(_added(line.added, name, bytes.fromhex(line.trace_id), author))


def _added(given: _Added, project: str, trace_id: bytes, author: str | None) -> Added:
    patch = Patch(
        clean(given.name)[:200] if given.name else None,
        tuple(clean(tag).strip()[:200] for tag in given.tags[:MOST_TAGS] if tag.strip()),
        clean(given.note)[:20_000] if given.note else None,
    )
    return Added(project, trace_id, patch, [_score(one, trace_id, author) for one in given.scores])


def _score(one: _Score, trace_id: bytes, author: str | None) -> TimedScore:
    if one.span_id is not None and _SPAN_ID.fullmatch(one.span_id) is None:
        raise ValueError("a score's span_id cannot be")
    if not one.name.strip() or not one.id.strip():
        raise ValueError("a score has no name or no id")
    value = one.value
    new = NewScore(
        trace_id=trace_id,
        span_id=None if one.span_id is None else bytes.fromhex(one.span_id),
        name=clean(one.name)[:200],
        value=clean(value)[:1_000] if isinstance(value, str) else value,
        comment=clean(one.comment)[:20_000] if one.comment else None,
        source=one.source,
        author=clean(one.author or "") if author is None else author,
        id=clean(one.id)[:200],
    )
    return TimedScore(new, parse_rfc3339(one.created_at), parse_rfc3339(one.updated_at))


def put_back(sql: Sql, added: Sequence[Added], *, now: int) -> tuple[Changes, Rejections]:
    """Write what was added to some traces, which may not be there yet; that of deleted ones is refused and counted."""
    ids = ProjectIds().resolve(sql, [one.project for one in added], now)
    deleted = deleted_among(sql, [(ids[one.project], one.trace_id) for one in added])
    changes, rejected = Changes(at=now), Rejections()
    for one in added:
        project_id = ids[one.project]
        if (project_id, one.trace_id) in deleted:
            rejected.reasons[DELETED] += 1
            continue
        done = [
            restore_note(sql, one.trace_id, one.patch, project_id=project_id, now=now),
            *(
                put_score(
                    sql,
                    timed.score,
                    project_id=project_id,
                    now=now,
                    created_at=timed.created_at,
                    updated_at=timed.updated_at,
                )
                for timed in one.scores
            ),
        ]
        for change in done:
            for project, traces in change.traces.items():
                changes.traces.setdefault(project, set()).update(traces)
    return changes, rejected
