"""What a run says of its chain beside what it did: tools offered to it, parameters, a structure that it declares."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, or_, select

from tracer.otlp.dialects import values
from tracer.otlp.dialects.reading import Kind
from tracer.queries.rows import Step, TraceRow
from tracer.queries.steps import steps_of
from tracer.store.models import span

STRUCTURE = "stepscope.structure"
"""An attribute of any step: `{"steps": [{"name", "kind", "parameters"}], "calls": [["name", "name"]]}`, as JSON."""
LOOKED_AT = 2_000
"""Model calls, agents and roots among which the first of each name is read."""
MOST_READ = 24
MOST = 120
MOST_PARAMETERS = 16
MOST_TEXT = 60

Key = tuple[str, str]
"""A step's name and kind."""


@dataclass(slots=True)
class Declared:
    """A step that the chain may take: what it is given, and who may call it."""

    name: str
    kind: str
    parameters: dict[str, str] = field(default_factory=dict)
    callers: set[Key] = field(default_factory=set)


def declared(conn: Connection, *, trace: TraceRow) -> list[Declared]:
    """The steps that a run declares, in the order in which it does; the work is bounded whatever the run's size."""
    found: dict[Key, Declared] = {}
    names: dict[str, Key] = {}
    for step in steps_of(conn, trace=trace, span_ids=_speaking(conn, trace, names)):
        own: Key = (step.row.name, step.row.kind)
        said = {"model": step.row.model, **step.content.parameters}
        parameters = {key: str(value)[:MOST_TEXT] for key, value in said.items() if value is not None}
        if parameters:
            _add(found, own, parameters)
        caller = own if step.row.kind == Kind.agent.name else names.get(step.row.parent_id or "", own)
        for tool in step.content.tools:
            if isinstance(tool.get("name"), str):
                _add(found, (tool["name"], Kind.tool.name), dict(_arguments(tool.get("schema"))), caller)
        _structure(found, step)
    return list(found.values())


def _speaking(conn: Connection, trace: TraceRow, names: dict[str, Key]) -> list[bytes]:
    """The roots, and the first agent or model call of each name; `names` gets every step's that was looked at."""
    of_it = span.c.trace_pk == trace.received
    told = or_(span.c.parent_id.is_(None), span.c.kind.in_((int(Kind.agent), int(Kind.llm))))
    columns = (span.c.span_id, span.c.name, span.c.kind)
    first: dict[Key, bytes] = {}
    for row in conn.execute(select(*columns).where(of_it, told).order_by(span.c.start_time).limit(LOOKED_AT)):
        key = (row.name, Kind(row.kind).name)
        names[bytes(row.span_id).hex()] = key
        first.setdefault(key, bytes(row.span_id))
    return list(first.values())[:MOST_READ]


def _add(found: dict[Key, Declared], key: Key, parameters: Mapping[str, str], caller: Key | None = None) -> None:
    if key not in found:
        if len(found) >= MOST:
            return
        found[key] = Declared(*key)
    for name, value in list(parameters.items())[:MOST_PARAMETERS]:
        found[key].parameters.setdefault(name, value)
    if caller is not None and caller != key:
        found[key].callers.add(caller)


def _arguments(schema: object) -> Iterator[tuple[str, str]]:
    """The arguments of a tool, with their types, from its JSON schema."""
    properties = schema.get("properties") if isinstance(schema, Mapping) else None
    for name, told in properties.items() if isinstance(properties, Mapping) else ():
        yield str(name)[:MOST_TEXT], str(told.get("type") or "any")[:MOST_TEXT] if isinstance(told, Mapping) else "any"


def _structure(found: dict[Key, Declared], step: Step) -> None:
    sent: Any = step.attributes.get(STRUCTURE)
    if isinstance(sent, str):
        sent = values.parse(sent)
    if not isinstance(sent, Mapping):
        return
    kinds: dict[str, Key] = {step.row.name: (step.row.name, step.row.kind)}
    for one in _listed(sent, "steps"):
        name = one.get("name") if isinstance(one, Mapping) else one
        if not isinstance(name, str) or not name:
            continue
        kind = one.get("kind") if isinstance(one, Mapping) else None
        kinds[name] = (name, kind if kind in Kind.__members__ else Kind.other.name)
        given = one.get("parameters") if isinstance(one, Mapping) else None
        told = given.items() if isinstance(given, Mapping) else ()
        _add(found, kinds[name], {str(key)[:MOST_TEXT]: str(value)[:MOST_TEXT] for key, value in told})
    for call in _listed(sent, "calls"):
        if isinstance(call, list) and len(call) == 2 and all(isinstance(end, str) and end in kinds for end in call):
            _add(found, kinds[call[1]], {}, kinds[call[0]])


def _listed(sent: Mapping[str, Any], key: str) -> list[Any]:
    value = sent.get(key)
    return value[: MOST * 4] if isinstance(value, list) else []
