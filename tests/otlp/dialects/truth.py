"""What a recorded run truly did, as single statements about what the readers make of its spans."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from tests.otlp.dialects.spans import Scenario, said
from tracer.otlp.dialects import read_content, read_facts
from tracer.otlp.dialects.reading import Content, Facts

CARRIED = ("span", "log_events")
TOKENS = {
    "input": "input",
    "output": "output",
    "cached_input": "cached_input",
    "cache_creation": "cache_write",
    "reasoning": "reasoning",
}


class Statement(NamedTuple):
    """One fact: where, which field, what is true, what was read."""

    span_id: str
    field: str
    wanted: Any
    got: Any
    holds: bool


def statements(run: Scenario) -> Iterator[Statement]:
    """All that the run's truth says about its spans, as far as the client put it on the wire."""
    read = {
        identity: (read_facts(span, run.logs.get(identity, [])), read_content(span, run.logs.get(identity, [])))
        for identity, span in run.spans.items()
    }
    for trace in run.truth["traces"]:
        for wanted in trace["spans"]:
            if wanted["kind"] and wanted["kind_marker"]:
                kind = read[wanted["span_id"]][0].kind.name
                yield Statement(wanted["span_id"], "kind", wanted["kind"], kind, kind == wanted["kind"])
    for call in run.truth["llm_calls"]:
        if call.get("span_id") in read and not call.get("no_llm_span"):
            yield from _call(call, *read[call["span_id"]])
    for tool in run.truth.get("tool_runs") or []:
        if tool.get("span_id") in read and read[tool["span_id"]][0].kind.name == "tool":
            got = read[tool["span_id"]][1].tool
            yield Statement(tool["span_id"], "tool run", tool["name"], got, bool(got) and got["name"] == tool["name"])
    for search in run.truth.get("retrievals") or []:
        if search.get("span_id") in read and all(search.get("documents_in_span") or [False]):
            got = _squeezed(json.dumps(read[search["span_id"]][1].documents, ensure_ascii=False))
            for document in search["documents"]:
                wanted = _squeezed(document["text"])
                yield Statement(search["span_id"], "document", wanted, got, wanted in got)
    yield from _session(run, [facts for facts, _ in read.values()])


def _call(call: dict[str, Any], facts: Facts, content: Content) -> Iterator[Statement]:
    def state(field: str, wanted: Any, got: Any, holds: bool) -> Statement:
        return Statement(call["span_id"], field, wanted, got, holds)

    carried = call.get("carried_by_span") or {}
    output = call["output"] if isinstance(call.get("output"), dict) else {}
    embedding = "vectors" in output or "embedding" in (call.get("api") or "")
    kind = "embedding" if embedding else "llm"
    yield state("kind", kind, facts.kind.name, facts.kind.name == kind)
    if carried.get("request_model") or carried.get("response_model"):
        models = [call[key] for key in ("request_model", "response_model") if call.get(key)]
        yield state("model", models, facts.model, any((facts.model or "").endswith(model) for model in models))
    for theirs, ours in TOKENS.items():
        wanted = (call.get("usage") or {}).get(theirs)
        if wanted is not None and (carried.get("usage") or {}).get(theirs):
            got = getattr(facts.usage, ours) if facts.usage else None
            yield state(f"{ours} tokens", wanted, got, (got or 0) == wanted)
    if carried.get("ttft_hint"):
        yield state("time to first token", "a time", facts.time_to_first_token, facts.time_to_first_token is not None)
    if embedding:
        return
    heard = content.input_messages or []
    for message, how in zip(call.get("input_messages") or [], carried.get("input_texts") or [], strict=False):
        if how in CARRIED and message.get("text"):
            yield _heard(state, message, heard)
    answers = content.output_messages or []
    if carried.get("output_text") in CARRIED and output.get("text"):
        got = _squeezed(" ".join(said(message) for message in answers))
        wanted = _squeezed(output["text"])
        yield state("output text", wanted, got, wanted in got or _same_json(output["text"], got))
    parts = [part for message in answers for part in message["parts"]]
    if carried.get("output_tool_call_names") in CARRIED:
        for wanted in output.get("tool_calls") or []:
            got = [part for part in parts if part["type"] == "tool_call" and part["name"] == wanted["name"]]
            yield state("tool call", wanted, got, any(part["arguments"] == wanted["arguments"] for part in got))
            if carried.get("output_tool_call_ids") in CARRIED and wanted.get("id"):
                yield state("tool call id", wanted["id"], got, any(part.get("id") == wanted["id"] for part in got))
    if carried.get("reasoning_text") in CARRIED and output.get("reasoning"):
        got = _squeezed(" ".join(part["content"] for part in parts if part["type"] == "reasoning"))
        yield state("reasoning", output["reasoning"], got, _squeezed(output["reasoning"]) in got)


def _heard(state: Any, message: dict[str, Any], heard: list[dict[str, Any]]) -> Statement:
    wanted, role = _squeezed(message["text"]), message.get("role")
    if role == "tool":
        found = [part["response"] for one in heard for part in one["parts"] if part["type"] == "tool_call_response"]
        texts = [item if isinstance(item, str) else json.dumps(item, ensure_ascii=False) for item in found]
        got: Any = _squeezed(" ".join([*texts, *(said(one) for one in heard)]))
        holds = wanted in got or any(_same_json(message["text"], text) for text in texts)
        return state("tool result", wanted, got, holds)
    same = [one for one in heard if wanted in _squeezed(said(one))]
    roles = ["system" if one["role"] == "developer" else one["role"] for one in same]
    return state("input text", (role, wanted), [(one["role"], said(one)) for one in heard], role in roles)


def _session(run: Scenario, facts: list[Facts]) -> Iterator[Statement]:
    session = run.truth.get("session") or {}
    carried = session.get("carried") or {}
    for field in ("session_id", "user_id"):
        if session.get(field) and carried.get(field):
            got = {getattr(one, field) for one in facts}
            yield Statement("", field, session[field], got, session[field] in got)
    if session.get("tags") and all(carried.get("tags") or [False]):
        tags = {tag for one in facts for tag in one.tags}
        yield Statement("", "tags", session["tags"], tags, set(session["tags"]) <= tags)


def _squeezed(text: str) -> str:
    return re.sub(r"\s+", " ", text or "").strip()


def _same_json(one: str, other: str) -> bool:
    try:
        return bool(json.loads(one) == json.loads(other))
    except ValueError:
        return False
