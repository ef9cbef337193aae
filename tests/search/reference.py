"""Searching once more, slow and obvious: over the answers of the REST interface, one trace after the other."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator
from typing import Any as Json

from tracer.search.documents import Side
from tracer.search.query import meets
from tracer.search.tree import All, Any, Child, Compares, Is, Node, Not, Pattern, Says, Step
from tracer.units import parse_rfc3339

STEP_FIELDS = ("kind", "model", "provider", "tool", "service", "attr")
COMPARE = {">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le, "=": operator.eq}


class Reference:
    """Everything that a project holds: traces with their spans, and the scores."""

    def __init__(self, traces: list[dict[str, Json]], scores: list[dict[str, Json]]) -> None:
        self.traces = traces
        self.scores = scores
        self._said: dict[tuple[str, str], list[tuple[Side, str]]] = {}
        for trace in traces:
            seen: set[tuple[Side, str]] = set()
            for span in sorted(trace["spans"], key=lambda one: (parse_rfc3339(one["start_time"]), one["span_id"])):
                new = [one for one in texts(span) if one not in seen]
                seen.update(new)
                self._said[trace["trace_id"], span["span_id"]] = new

    def found(self, node: Node) -> set[str]:
        """The ids of the traces that meet a search."""
        return {trace["trace_id"] for trace in self.traces if self._trace(node, trace)}

    def found_spans(self, node: Node) -> set[tuple[str, str]]:
        """The (trace id, span id) of the spans that meet a search among spans."""
        return {
            (trace["trace_id"], span["span_id"])
            for trace in self.traces
            for span in trace["spans"]
            if self._span(node, span, trace)
        }

    def _trace(self, node: Node, trace: dict[str, Json]) -> bool:
        match node:
            case Not():
                return not self._trace(node.of, trace)
            case Any():
                return any(self._trace(one, trace) for one in node.of)
            case All() if any(isinstance(one, Child) for one in node.of):
                bound = [one for one in node.of if isinstance(one, Child) or asks_for_step(one)]
                rest = [one for one in node.of if one not in bound]
                return all(self._trace(one, trace) for one in rest) and any(
                    all(self._span(one, span, trace) for one in bound) for span in trace["spans"]
                )
            case All():
                return all(self._trace(one, trace) for one in node.of)
            case Step():
                return any(self._span(node.of, span, trace) for span in trace["spans"])
            case Child():
                return any(self._span(node, span, trace) for span in trace["spans"])
            case Says():
                return any(
                    side in node.sides and any(meets(text, reading) for reading in node.term.readings)
                    for span in trace["spans"]
                    for side, text in texts(span)
                )
            case Is(field="has" | "is") if any(one.exact in ("model", "root") for one in node.any):
                return any(
                    any(self._span(Is(node.field, (one,)), span, trace) for span in trace["spans"])
                    if one.exact in ("model", "root")
                    else self._trace(Is(node.field, (one,)), trace)
                    for one in node.any
                )
            case Is() | Compares() if node.field in STEP_FIELDS:
                return any(self._span(node, span, trace) for span in trace["spans"])
        if isinstance(node, Compares):
            return compares(node, self._trace_values(node, trace))
        match node.field:
            case "score":
                return any(scored(node, one["value"]) for one in trace["scores"] if one["name"] == node.key)
            case "metadata":
                return any(is_value(node, one) for one in under(trace["metadata"], node.key))
            case "tag":
                return any(pattern_in(node, tag) for tag in trace["tags"])
            case "is":
                return pattern_in(node, trace["status"])
            case "has":
                had = {
                    "score": trace["scores"],
                    "error": trace["error_count"],
                    "cost": trace["cost_usd"] is not None,
                    "tokens": total(trace) is not None,
                    "session": trace["session_id"] is not None,
                    "user": trace["user_id"] is not None,
                    "tag": trace["tags"],
                    "metadata": trace["metadata"],
                    "note": trace["note"] is not None,
                }
                return any(had[one.exact or ""] for one in node.any)
            case name:
                return pattern_in(node, trace[OF_TRACE.get(name, name)])

    def _trace_values(self, node: Compares, trace: dict[str, Json]) -> Iterable[Json]:
        match node.field:
            case "ttft":
                times = [one["time_to_first_token_ms"] for one in trace["spans"] if one["kind"] == "llm"]
                return [max((one * 1e6 for one in times if one is not None), default=None)]
            case "latency":
                return [None if trace["duration_ms"] is None else trace["duration_ms"] * 1e6]
            case "tokens":
                return [total(trace)]
            case "cost":
                return [None if trace["cost_usd"] is None else trace["cost_usd"] * 1e9]
            case "spans":
                return [trace["span_count"]]
            case "errors":
                return [trace["error_count"]]
            case "score":
                return [one["value"] for one in trace["scores"] if one["name"] == node.key]
            case _:
                return under(trace["metadata"], node.key)

    def _span(self, node: Node, span: dict[str, Json], trace: dict[str, Json]) -> bool:
        match node:
            case Not():
                return not self._span(node.of, span, trace)
            case Any():
                return any(self._span(one, span, trace) for one in node.of)
            case All():
                return all(self._span(one, span, trace) for one in node.of)
            case Step():
                return self._span(node.of, span, trace)
            case Child():
                return any(
                    one["parent_id"] == span["span_id"] and self._span(node.of, one, trace) for one in trace["spans"]
                )
            case Says():
                return any(
                    side in node.sides and any(meets(text, reading) for reading in node.term.readings)
                    for side, text in self._said[span["trace_id"], span["span_id"]]
                )
        scores = [
            one for one in self.scores if (one["trace_id"], one["span_id"]) == (span["trace_id"], span["span_id"])
        ]
        if isinstance(node, Compares):
            return compares(node, self._span_values(node, span, scores))
        match node.field:
            case "score":
                return any(scored(node, one["value"]) for one in scores if one["name"] == node.key)
            case "metadata":
                return any(is_value(node, one) for one in under(span["metadata"], node.key))
            case "attr":
                return any(is_value(node, one) for one in attributes(span, node.key))
            case "tag":
                return any(pattern_in(node, tag) for tag in span["tags"])
            case "tool":
                return span["kind"] == "tool" and (
                    pattern_in(node, span["name"])
                    or (span["name"].startswith("execute_tool ") and pattern_in(node, span["name"][13:]))
                )
            case "is":
                return any(
                    span["parent_id"] is None if one.exact == "root" else span["status"] == one.exact
                    for one in node.any
                )
            case "project":
                return pattern_in(node, trace["project"])
            case "has":
                had = {
                    "score": scores,
                    "error": span["status"] == "error",
                    "cost": span["cost_usd"] is not None,
                    "tokens": total(span) is not None,
                    "model": span["model"] is not None,
                    "session": span["session_id"] is not None,
                    "user": span["user_id"] is not None,
                    "tag": span["tags"],
                    "metadata": span["metadata"],
                }
                return any(had[one.exact or ""] for one in node.any)
            case name:
                return pattern_in(node, span[OF_TRACE.get(name, name)])

    def _span_values(self, node: Compares, span: dict[str, Json], scores: list[dict[str, Json]]) -> Iterable[Json]:
        match node.field:
            case "ttft":
                found = span["time_to_first_token_ms"]
                return [None if found is None else found * 1e6]
            case "latency":
                return [None if span["duration_ms"] is None else span["duration_ms"] * 1e6]
            case "tokens":
                return [total(span)]
            case "cost":
                return [None if span["cost_usd"] is None else span["cost_usd"] * 1e9]
            case "score":
                return [one["value"] for one in scores if one["name"] == node.key]
            case "attr":
                return attributes(span, node.key)
            case _:
                return under(span["metadata"], node.key)


OF_TRACE = {"user": "user_id", "session": "session_id"}


def asks_for_step(node: Node) -> bool:
    match node:
        case Any() | All():
            return all(asks_for_step(one) for one in node.of)
        case Is(field="has" | "is"):
            return all(one.exact in ("model", "root") for one in node.any)
        case Is() | Compares():
            return node.field in STEP_FIELDS
        case _:
            return False


def texts(span: dict[str, Json]) -> list[tuple[Side, str]]:
    found = [(Side.NAME, span["name"])]
    given = span["tool"]["arguments"] if span["tool"] else (span["input"] or {}).get("value")
    got = span["tool"]["result"] if span["tool"] else (span["output"] or {}).get("value")
    found += [
        (side, text) for side, text in ((Side.INPUT, given), (Side.OUTPUT, got)) if isinstance(text, str) and text
    ]
    found += [(Side.ERROR, span["status_message"])] if span["status_message"] else []
    for event in span["events"]:
        if event["name"] == "exception":
            found.append((Side.ERROR, event["attributes"].get("exception.message", "")))
    return found


def attributes(span: dict[str, Json], key: str) -> list[Json]:
    return [*under(span["attributes"], key), *under(span["resource"], key)]


def under(values: Json, key: str) -> Iterator[Json]:
    """What stands under a key, its dots taken as parts of keys or as steps inside, in every way."""
    if not isinstance(values, dict):
        return
    if key in values:
        yield from values[key] if isinstance(values[key], list) else [values[key]]
    for place, letter in enumerate(key):
        if letter == "." and key[:place] in values:
            yield from under(values[key[:place]], key[place + 1 :])


def total(one: dict[str, Json]) -> int | None:
    return None if one["tokens"] is None else one["tokens"]["total"]


def compares(node: Compares, values: Iterable[Json]) -> bool:
    for value in values:
        if node.field != "score" and isinstance(value, bool):
            continue
        if isinstance(value, str):
            try:
                value = float(value)
            except ValueError:
                continue
        if value is None or isinstance(value, (dict, list)):
            continue
        if node.field in ("latency", "ttft", "cost"):
            value = round(value)
        if COMPARE[node.operator](value, node.amount):
            return True
    return False


def pattern_in(node: Is, text: str | None) -> bool:
    return text is not None and any(fits(one, text) for one in node.any)


def fits(pattern: Pattern, text: str) -> bool:
    """Try every way to lay the parts."""
    first, *rest = pattern.parts
    if not rest:
        return text == first
    places = {len(first)} if text.startswith(first) else set()
    for part in rest:
        places = {end for place in places for end in ends(text, part, place)}
        if part == "" or part is not rest[-1]:
            continue
    return bool(places) and (rest[-1] == "" or (text.endswith(rest[-1]) and len(text) in places))


def ends(text: str, part: str, start: int) -> Iterator[int]:
    for place in range(start, len(text) - len(part) + 1):
        if text[place : place + len(part)] == part:
            yield place + len(part)


def is_value(node: Is, value: Json) -> bool:
    if isinstance(value, (dict, list)):
        return False
    if value is None or isinstance(value, bool):
        return pattern_in(node, {None: "null", True: "true", False: "false"}[value])
    if isinstance(value, str):
        return pattern_in(node, value)
    for one in node.any:
        try:
            if one.exact is not None and float(one.exact) == value:
                return True
        except ValueError:
            pass
        if fits(one, str(value)):
            return True
    return False


def scored(node: Is, value: Json) -> bool:
    for one in node.any:
        word = (one.exact or "").lower()
        if word in ("true", "false") and not isinstance(value, str):
            if float(value) == (1 if word == "true" else 0):
                return True
        elif is_value(Is(node.field, (one,)), float(value) if isinstance(value, bool) else value):
            return True
    return False
