"""Searches as conditions of SQL, as far as columns tell: on a trace `t`, and on a step `s` of it.

Every condition is true or false, never unknown, so that its opposite is `NOT`. What comes from a search is a parameter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any as AnyValue

from tracer.otlp.dialects.reading import Kind
from tracer.search.fields import ABANDONED
from tracer.search.tree import All, Any, Child, Compares, Is, Leaf, Node, Not, Pattern, Says, Step
from tracer.store.models import Status
from tracer.units import MINUTE

TOOL_SPAN = "execute_tool "
"""What GenAI's conventions put before a tool's name in the name of its span."""


@dataclass(frozen=True, slots=True)
class Moment:
    """When it is asked, in Unix nanoseconds, and after how many silent minutes nothing runs any more."""

    now: int
    abandoned_after: int
    sqlite: bool

    @property
    def silent_since(self) -> int:
        """A trace that runs and changed after this lives."""
        return self.now - self.abandoned_after * MINUTE


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition and its parameters."""

    sql: str
    parameters: tuple[AnyValue, ...] = ()

    def opposite(self) -> Condition:
        """What is met where this is not."""
        return Condition(f"NOT ({self.sql})", self.parameters)


TRUE, FALSE = Condition("1 = 1"), Condition("1 = 0")


def joined(word: str, conditions: Iterable[Condition]) -> Condition:
    """Conditions with AND or OR between them."""
    found = list(conditions)
    if not found:
        return TRUE if word == "AND" else FALSE
    if len(found) == 1:
        return found[0]
    sql = f" {word} ".join(f"({one.sql})" for one in found)
    return Condition(sql, tuple(value for one in found for value in one.parameters))


def trace_condition(node: Node, moment: Moment) -> Condition | None:
    """What a tree of `for_traces` asks, when columns tell all of it; else None."""
    match node:
        case Step():
            inside = step_condition(node.of, moment)
            if inside is None:
                return None
            return Condition(
                f"EXISTS (SELECT 1 FROM span s WHERE s.trace_pk = t.id AND ({inside.sql}))", inside.parameters
            )
        case Says() | Child():
            return None
        case Is() | Compares():
            return _of_trace(node, moment)
        case _:
            return _composed(node, moment, trace_condition)


def step_condition(node: Node, moment: Moment) -> Condition | None:
    """What a tree of `for_steps` asks of a step, when columns tell all of it; else None."""
    match node:
        case Says() | Child() | Step():
            return None
        case Is() | Compares():
            return _of_step(node, moment)
        case _:
            return _composed(node, moment, step_condition)


def _composed(
    node: Not | All | Any, moment: Moment, compiled: Callable[[Node, Moment], Condition | None]
) -> Condition | None:
    if isinstance(node, Not):
        inside = compiled(node.of, moment)
        return None if inside is None else inside.opposite()
    parts: list[Condition] = []
    for one in node.of:
        part = compiled(one, moment)
        if part is None:
            return None
        parts.append(part)
    return joined("AND" if isinstance(node, All) else "OR", parts)


_LIVE = "t.running_count > 0 AND t.changed_at > ?"
_OWN_NAME = (
    "coalesce((SELECT a.name FROM annotation a WHERE a.trace_id = t.trace_id AND a.project_id = t.project_id), t.name)"
)
_SLOWEST = "(SELECT max(s.time_to_first_token) FROM span s WHERE s.trace_pk = t.id AND s.kind IN (3, 6) AND s.kind = 3)"
_TRACE_COLUMNS = {
    "name": _OWN_NAME,
    "user": "t.user_id",
    "session": "t.session_id",
    "environment": "t.environment",
    "release": "t.release",
    "cost": "t.cost",
    "spans": "t.span_count",
    "errors": "t.error_count",
    "ttft": _SLOWEST,
}
_STEP_COLUMNS = {
    "name": "s.name",
    "model": "s.model",
    "provider": "s.provider",
    "service": "s.service",
    "user": "s.user_id",
    "session": "s.session_id",
    "environment": "s.environment",
    "release": "s.release",
    "cost": "s.cost",
    "ttft": "s.time_to_first_token",
}
_ANNOTATED = (
    "EXISTS (SELECT 1 FROM annotation a WHERE a.trace_id = t.trace_id AND a.project_id = t.project_id "
    "AND {} IS NOT NULL)"
)
_SCORED = "EXISTS (SELECT 1 FROM score c WHERE c.trace_id = t.trace_id AND c.project_id = t.project_id{})"


def _tokens(alias: str) -> str:
    return (
        f"coalesce({alias}.total_tokens, CASE WHEN {alias}.input_tokens IS NOT NULL OR {alias}.output_tokens "
        f"IS NOT NULL THEN CAST(coalesce({alias}.input_tokens, 0) AS NUMERIC) + coalesce({alias}.output_tokens, 0) END)"
    )


def _of_trace(leaf: Is | Compares, moment: Moment) -> Condition | None:
    name = leaf.field
    if isinstance(leaf, Compares):
        if name == "latency":
            return _compared(_trace_length(moment), leaf)
        if name == "tokens":
            return _compared(Condition(_tokens("t")), leaf)
        return _compared(Condition(_TRACE_COLUMNS[name]), leaf) if name in _TRACE_COLUMNS else None
    if name in ("status", "is"):
        return joined("OR", (_trace_status(one, moment) for one in _choices(leaf)))
    if name == "has":
        has = {
            "score": _SCORED.format(""),
            "error": "t.error_count > 0",
            "cost": "t.cost IS NOT NULL",
            "tokens": f"{_tokens('t')} IS NOT NULL",
            "session": "t.session_id IS NOT NULL",
            "user": "t.user_id IS NOT NULL",
            "tag": f"t.tags <> '[]' OR {_ANNOTATED.format('a.tags')}",
            "metadata": "t.metadata <> '{}'",
            "note": _ANNOTATED.format("a.note"),
        }
        return joined("OR", (Condition(has[one]) for one in _choices(leaf)))
    if name == "project":
        return _of_project(leaf, moment)
    return matched(_TRACE_COLUMNS[name], leaf.any, moment) if name in _TRACE_COLUMNS else None


def _of_step(leaf: Is | Compares, moment: Moment) -> Condition | None:
    name = leaf.field
    if isinstance(leaf, Compares):
        if name == "latency":
            return _compared(_step_length(moment), leaf)
        if name == "tokens":
            return _compared(Condition(_tokens("s")), leaf)
        return _compared(Condition(_STEP_COLUMNS[name]), leaf) if name in _STEP_COLUMNS else None
    if name in ("status", "is"):
        return joined("OR", (_step_status(one, moment) for one in _choices(leaf)))
    if name == "kind":
        return joined("OR", (Condition(f"s.kind = {int(Kind[one])}") for one in _choices(leaf)))
    if name == "has":
        has = {
            "score": _SCORED.format(" AND c.span_id = s.span_id"),
            "error": f"s.status = {int(Status.error)}",
            "cost": "s.cost IS NOT NULL",
            "tokens": f"{_tokens('s')} IS NOT NULL",
            "model": "s.model IS NOT NULL",
            "session": "s.session_id IS NOT NULL",
            "user": "s.user_id IS NOT NULL",
            "tag": "s.tags IS NOT NULL",
            "metadata": "s.metadata IS NOT NULL",
        }
        return joined("OR", (Condition(has[one]) for one in _choices(leaf)))
    if name == "tool":
        called = (*leaf.any, *(Pattern((TOOL_SPAN + one.parts[0], *one.parts[1:])) for one in leaf.any))
        return joined("AND", [Condition(f"s.kind = {int(Kind.tool)}"), matched("s.name", called, moment)])
    if name == "project":
        return _of_project(leaf, moment)
    return matched(_STEP_COLUMNS[name], leaf.any, moment) if name in _STEP_COLUMNS else None


def _of_project(leaf: Is, moment: Moment) -> Condition:
    named = matched("p.name", leaf.any, moment)
    return Condition(f"EXISTS (SELECT 1 FROM project p WHERE p.id = t.project_id AND {named.sql})", named.parameters)


def _choices(leaf: Is) -> list[str]:
    return [one.exact or "" for one in leaf.any]


def live(moment: Moment) -> Condition:
    """The trace is being written to."""
    return Condition(_LIVE, (moment.silent_since,))


def _trace_status(word: str, moment: Moment) -> Condition:
    if word == Status.running.name:
        return live(moment)
    code = int(Status.running if word == ABANDONED else Status[word])
    return joined("AND", [Condition(f"t.status = {code}"), live(moment).opposite()])


def _step_status(word: str, moment: Moment) -> Condition:
    if word == "root":
        return Condition("s.parent_id IS NULL")
    if word not in (Status.running.name, ABANDONED):
        return Condition(f"s.status = {int(Status[word])}")
    alive = live(moment)
    return joined(
        "AND", [Condition(f"s.status = {int(Status.running)}"), alive if word != ABANDONED else alive.opposite()]
    )


def _trace_length(moment: Moment) -> Condition:
    """A trace's duration as people see it now; NULL when there is none."""
    most = "max" if moment.sqlite else "greatest"
    return Condition(
        f"CASE WHEN {_LIVE} THEN {most}(0, ? - t.start_time) WHEN t.end_time IS NULL THEN NULL "
        f"ELSE {most}(0, t.end_time - t.start_time) END",
        (moment.silent_since, moment.now),
    )


def _step_length(moment: Moment) -> Condition:
    most = "max" if moment.sqlite else "greatest"
    return Condition(
        f"CASE WHEN s.status = {int(Status.running)} THEN (CASE WHEN {_LIVE} THEN {most}(0, ? - s.start_time) END) "
        f"WHEN s.end_time IS NULL THEN NULL ELSE {most}(0, s.end_time - s.start_time) END",
        (moment.silent_since, moment.now),
    )


def _compared(value: Condition, leaf: Compares) -> Condition:
    """A comparison that is not met by what is unknown."""
    return Condition(f"coalesce({value.sql} {leaf.operator} ?, 1 = 0)", (*value.parameters, leaf.amount))


def matched(column: str, patterns: Iterable[Pattern], moment: Moment) -> Condition:
    """A text is of one of these forms; one that is not there is of none."""
    same = [one.exact for one in patterns if one.exact is not None]
    parts = [Condition(f"{column} IN ({', '.join('?' * len(same))})", tuple(same))] if same else []
    parts += [_like(column, one, moment) for one in patterns if one.exact is None]
    met = joined("OR", parts)
    return Condition(f"({column} IS NOT NULL AND ({met.sql}))", met.parameters)


def _like(column: str, pattern: Pattern, moment: Moment) -> Condition:
    if moment.sqlite:
        parts = ("".join(f"[{one}]" if one in "*?[" else one for one in part) for part in pattern.parts)
        return Condition(f"{column} GLOB ?", ("*".join(parts),))
    parts = ("".join(f"\\{one}" if one in "\\%_" else one for one in part) for part in pattern.parts)
    return Condition(f"{column} LIKE ?", ("%".join(parts),))


def is_column(leaf: Leaf) -> bool:
    """Whether a column of the trace or the step tells of a leaf."""
    return not isinstance(leaf, Says) and leaf.field not in ("tag", "metadata", "score", "attr")
