"""The chain's wiring beside a run, in a browser."""

from __future__ import annotations

import json
import time

from playwright.sync_api import Page, expect

from tests.browser.service import AnyValue, Sent, Service, Trace

SECOND = 10**9


def run(service: Service, project: str, ago: int, *names: str, failed: str = "") -> Trace:
    root = Sent("answer", took=1_000)
    plan = Sent("plan", root, at=10, took=900, kind="agent")
    steps = [
        Sent(name, plan, at=20 + 10 * at, kind="tool", failed="no" if name == failed else "")
        for at, name in enumerate(names)
    ]
    return service.send(Trace(start=time.time_ns() - ago * SECOND), root, plan, *steps, project=project)


def test_s32_steps_never_reached_are_greyed_and_repeated_ones_are_cycled_through(
    page: Page, service: Service, project: str
) -> None:
    run(service, project, 900, "look", "send", "thank")
    run(service, project, 600, "look", "send")
    trace = run(service, project, 300, "look", "look", "look", "ask")
    page.goto(f"{service.url}/p/{project}/traces/{trace.id}?view=wiring")
    wiring = page.locator("#wiring")
    expect(wiring.locator(".box")).to_have_count(6)
    expect(wiring.locator(".box.unreached")).to_have_count(2)
    expect(wiring.get_by_role("button", name="send, tool, not reached in this run, in 2 of 2")).to_be_visible()
    expect(wiring.get_by_role("button", name="thank, tool, not reached in this run, in 1 of 2")).to_be_visible()
    expect(wiring.get_by_role("button", name="ask, tool, 1 step in this run, in 0 of 2")).to_contain_text("new")
    assert wiring.locator(".wire").count() == 5
    expect(wiring.locator(".calls")).to_have_text(["×3"])

    look = wiring.get_by_role("button", name="look")
    expect(look).to_contain_text("×3")
    look.click()
    expect(look).to_contain_text("1 of 3")
    expect(page.locator("#step h2")).to_contain_text("look")
    first = page.url
    look.press("Enter")
    expect(look).to_contain_text("2 of 3")
    assert page.url != first
    expect(look).to_be_focused()
    look.press("ArrowUp")
    expect(wiring.get_by_role("button", name="plan")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#step h2")).to_contain_text("plan")
    assert "view=wiring" in page.url


def test_s32_the_first_run_of_a_chain_shows_itself(page: Page, service: Service, project: str) -> None:
    trace = run(service, project, 300, "look", "send", failed="send")
    page.set_viewport_size({"width": 400, "height": 800})
    page.goto(f"{service.url}/p/{project}/traces/{trace.id}")
    page.get_by_role("tab", name="Wiring").click()
    wiring = page.locator("#wiring")
    expect(wiring).to_contain_text("the only run of this chain so far")
    expect(wiring.locator(".box.failed")).to_have_count(1)
    assert wiring.locator(".box").evaluate_all(
        "boxes => boxes.every(box => box.getBoundingClientRect().right <= innerWidth)"
    )


def test_s32_declared_steps_stand_beside_the_run_with_their_parameters(
    page: Page, service: Service, project: str
) -> None:
    structure = {
        "steps": [{"name": "rank", "kind": "reranker", "parameters": {"top": 5}}],
        "calls": [["answer", "rank"]],
    }
    tools = [
        {"type": "function", "function": {"name": name, "parameters": {"properties": {"order": {"type": "string"}}}}}
        for name in ("look", "refund")
    ]
    asked: dict[str, AnyValue] = {
        "gen_ai.request.model": "gpt-4o-mini",
        "gen_ai.request.temperature": 0.2,
        "gen_ai.tool.definitions": json.dumps(tools),
    }
    root = Sent("answer", took=1_000, kind="agent", attributes={"stepscope.structure": json.dumps(structure)})
    spans = [
        root,
        Sent("choose", root, at=10, kind="llm", attributes=asked),
        Sent("execute_tool look", root, at=30, kind="tool"),
    ]
    trace = service.send(Trace(start=time.time_ns() - 300 * SECOND), *spans, project=project)
    page.goto(f"{service.url}/p/{project}/traces/{trace.id}?view=wiring")
    wiring = page.locator("#wiring")
    expect(wiring.locator(".box")).to_have_count(5)
    expect(wiring.locator(".box.unreached .named")).to_have_text(["rank", "refund"])
    expect(wiring.get_by_role("button", name="refund, tool, not reached in this run; order: string")).to_contain_text(
        "declared, not reached"
    )
    expect(wiring.get_by_role("button", name="rank, reranker, not reached in this run; top: 5")).to_be_visible()
    expect(wiring.get_by_role("button", name="choose, model call")).to_have_attribute(
        "aria-label", "choose, model call, 1 step in this run; model: gpt-4o-mini, temperature: 0.2"
    )
    # The tool's own step is the declared one.
    expect(wiring.get_by_role("button", name="look")).to_have_count(1)
    assert wiring.locator(".wire").count() == 4
    assert wiring.locator(".wire.unreached").count() == 2
