"""A chain's wiring, from its other last runs."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests import make
from tests.client import Client
from tests.make import SECOND, START, Message
from tracer.queries import wiring as wiring_module


def run(client: Client, number: int, *names: str, name: str = "answer") -> Message:
    """A run: a root, a step below it, and below that steps of these names."""
    begin = START + number * SECOND
    root = make.span(name, start=begin)
    plan = make.span("plan", trace=root["traceId"], parent=root["spanId"], start=begin + 1)
    steps = [
        make.span(one, trace=root["traceId"], parent=plan["spanId"], start=begin + 10 + at)
        for at, one in enumerate(names)
    ]
    client.store(root, plan, *steps)
    return root


def wiring(client: Client, root: Message) -> dict[str, Any]:
    found: dict[str, Any] = client.get(f"/p/{client.project}/traces/{root['traceId']}/wiring").json()
    return found


def test_s32_the_wiring_is_what_the_other_runs_of_the_chain_show(client: Client) -> None:
    run(client, 1, "look", "look", "send")
    run(client, 2, "look")
    run(client, 3, "other", name="another chain")
    now = run(client, 4, "new")
    found = wiring(client, now)
    assert (found["runs"], found["cut"], found["left"]) == (2, 0, 0)
    assert {node["name"]: (node["depth"], node["runs"], node["steps"]) for node in found["nodes"]} == {
        "answer": (0, 2, 2),
        "plan": (1, 2, 2),
        "look": (2, 2, 3),
        "send": (2, 1, 1),
    }
    names = [node["name"] for node in found["nodes"]]
    assert {(names[above], names[below]): calls for above, below, calls in found["edges"]} == {
        ("answer", "plan"): 2,
        ("plan", "look"): 3,
        ("plan", "send"): 1,
    }


def test_s32_the_work_is_bounded_and_what_was_left_out_is_said(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(4):
        run(client, number, *(f"step {one}" for one in range(6)))
    now = run(client, 9)
    monkeypatch.setattr(wiring_module, "RUNS", 3)
    assert wiring(client, now)["runs"] == 3
    monkeypatch.setattr(wiring_module, "MOST_STEPS", 12)
    monkeypatch.setattr(wiring_module, "MOST_NODES", 5)
    found = wiring(client, now)
    assert (found["runs"], found["cut"], len(found["nodes"])) == (2, 1, 5)
    assert found["left"] > 0
    assert all(max(edge[:2]) < 5 for edge in found["edges"])


def test_s32_steps_that_are_each_others_parent_have_a_level_too(client: Client) -> None:
    root = make.span("answer")
    one = make.span("one", trace=root["traceId"])
    other = make.span("other", trace=root["traceId"], parent=one["spanId"])
    client.store(root, one | {"parentSpanId": other["spanId"]}, other)
    now = run(client, 1)
    assert {node["name"] for node in wiring(client, now)["nodes"]} == {"answer", "one", "other"}


def test_s32_what_a_run_declares_is_read_whatever_it_looks_like(client: Client) -> None:
    tools = [{"name": "look", "parameters": {"properties": {"id": {"type": "string"}, "any": 1}}}, {"name": 7}, "x"]
    structure = {
        "steps": [{"name": "rank", "kind": "no such kind"}, "plain", 7],
        "calls": [["plain", "rank"], [1], "no"],
    }
    root = make.span("answer", having={"stepscope.structure": json.dumps(structure)})
    trace = root["traceId"]
    having: dict[str, make.Value] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "gpt-4o-mini",
        "gen_ai.tool.definitions": json.dumps(tools),
    }
    call = make.span("choose", trace=trace, parent=root["spanId"], start=START + 1, having=having)
    other = make.span("odd", trace=trace, start=START + 2, having={"stepscope.structure": "[1, {"})
    client.store(root, call, other)
    found = client.get(f"/p/{client.project}/traces/{trace}/wiring").json()["declared"]
    assert {one["name"]: (one["kind"], one["parameters"], one["callers"]) for one in found} == {
        "rank": ("other", [], [["plain", "other"]]),
        "plain": ("other", [], []),
        "choose": ("llm", ["model: gpt-4o-mini"], []),
        "look": ("tool", ["id: string", "any: any"], [["answer", "other"]]),
        "7": ("tool", [], [["answer", "other"]]),
        "x": ("tool", [], [["answer", "other"]]),
    }
