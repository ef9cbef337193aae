"""Two traces side by side, in a browser."""

from __future__ import annotations

import re
import time

from playwright.sync_api import Page, expect

from tests.browser.service import Sent, Service, Trace
from tests.browser.test_reading import call, said
from tests.browser.test_trace import open_trace

SECOND = 10**9


def run(service: Service, project: str, ago: int, text: str, *extra: str, took: float = 100) -> tuple[Trace, Sent]:
    """A run of one chain: a model call that is asked `text`, then tools of these names."""
    root = Sent("answer", took=1_000)
    draft = Sent("draft", root, at=10, took=took, kind="llm", attributes=call([said("user", text)]))
    tools = [Sent(name, root, at=300 + 10 * number, kind="tool") for number, name in enumerate(extra)]
    trace = service.send(Trace(start=time.time_ns() - ago * SECOND), root, draft, *tools, project=project)
    return trace, draft


def lines(page: Page) -> list[str]:
    return [" ".join(text.split()) for text in page.locator("#lines .name").all_inner_texts()]


def test_s29_one_key_compares_a_trace_with_the_run_before(page: Page, service: Service, project: str) -> None:
    run(service, project, 900, "Too old")
    before, _ = run(service, project, 600, "Where is my red order?", "look", "send")
    service.send(Trace(start=time.time_ns() - 400 * SECOND), Sent("another chain"), project=project)
    now, draft = run(service, project, 300, "Where is my blue order?", "look", "check", took=350)
    open_trace(page, service, project, now)
    page.locator("#tree").get_by_text("draft", exact=True).click()
    page.keyboard.press("p")
    expect(page.locator("#sum")).to_have_text("1 changed, 1 new, 1 gone")
    assert f"a={before.id}&b={now.id}&span={draft.id}" in page.url
    assert lines(page)[0] == "C answer"
    assert [re.sub(r" (changed|new|gone) ", " ", line) for line in lines(page)[1:]] == [
        "≠ L draft", "T look", "− T send", "+ T check",
    ]  # fmt: skip
    expect(page.locator("#lines [aria-selected=true] .by")).to_have_text("+250 ms")
    expect(page.locator("#pair del").first).to_have_text("red")
    expect(page.locator("#pair ins").first).to_have_text("blue")

    address = page.url
    page.goto("about:blank")
    page.goto(address)
    expect(page.locator("#pair ins").first).to_have_text("blue")
    page.keyboard.press("n")
    expect(page.locator("#pair")).to_contain_text("only the earlier trace has this step")
    page.keyboard.press("o")
    expect(page.locator("#lines .row")).to_have_count(4)
    page.get_by_role("tree").focus()
    page.keyboard.press("End")
    expect(page.locator("#pair")).to_contain_text("the earlier trace has no such step")
    assert "only=1" in page.url
    page.keyboard.press("x")
    expect(page.locator("#pair")).to_contain_text("only the earlier trace has this step")
    # Without a step in the address it opens at the first that differs, be it in its texts alone.
    page.goto(f"{service.url}/p/{project}/compare?a={before.id}&b={now.id}")
    expect(page.locator("#lines [aria-selected=true]")).to_contain_text("draft")
    expect(page.locator("#pair ins").first).to_have_text("blue")
    assert "span=" not in page.url


def test_s29_a_run_that_still_goes_on_is_compared_as_it_grows(page: Page, service: Service, project: str) -> None:
    before, _ = run(service, project, 600, "Where is it?", "look", "send")
    trace, root = Trace(start=time.time_ns() - 5 * SECOND), Sent("answer", took=None)
    attributes = call([said("user", "Where is it?")])
    draft = Sent("draft", root, at=10, took=None, kind="llm", attributes=attributes)
    service.send(trace, root, draft, project=project)
    page.goto(f"{service.url}/p/{project}/compare?a={before.id}&b={trace.id}&span={draft.id}")
    expect(page.locator("#live")).to_have_attribute("data-state", "on")
    expect(page.locator("#sum")).to_have_text("2 not reached yet")
    expect(page.locator("#lines .now")).to_have_count(2)
    page.evaluate("window.stillHere = true")

    draft.took = 400
    look = Sent("look", root, at=600, kind="tool")
    service.send(trace, draft, look, project=project)

    expect(page.locator("#sum")).to_have_text("1 not reached yet")
    expect(page.locator("#lines [aria-selected=true]")).to_contain_text("draft")
    expect(page.locator("#lines [aria-selected=true] .by")).to_have_text("+300 ms")
    expect(page.locator("#pair .deltas")).to_contain_text("+300 ms")
    root.took = 3_000
    service.send(trace, root, project=project)
    expect(page.locator("#sum")).to_have_text("1 gone")
    expect(page.locator("#head")).to_contain_text("now answer")
    expect(page.locator("#head .facts")).to_contain_text("3.00 s")
    assert page.evaluate("window.stillHere")


def test_s29_any_other_trace_can_be_chosen(page: Page, service: Service, project: str) -> None:
    service.send(Trace(start=time.time_ns() - 400 * SECOND), Sent("another chain", took=500), project=project)
    now, _ = run(service, project, 300, "Hello")
    open_trace(page, service, project, now)
    page.keyboard.press("p")
    expect(page.get_by_text("No earlier run of answer is stored")).to_be_visible()
    page.get_by_role("link", name="another chain").click()
    expect(page.locator("#sum")).to_have_text("1 changed, 1 new")
    expect(page.locator(".facts dd.small").first).to_contain_text("+500 ms")


def test_s29_a_long_comparison_draws_only_what_is_seen(page: Page, service: Service, project: str) -> None:
    for ago, extra in ((600, "a"), (300, "b")):
        root = Sent("crawl", took=10_000)
        steps = [Sent(f"step {number % 7}", root, at=number, took=1 + number % 5) for number in range(3_000)]
        last = service.send(
            Trace(start=time.time_ns() - ago * SECOND), root, *steps, Sent(extra, root, at=9_000), project=project
        )
    page.goto(f"{service.url}/p/{project}/compare?a=previous&b={last.id}")
    expect(page.locator("#sum")).to_have_text("1 new, 1 gone")
    expect(page.locator("#count")).to_have_text("3,003 steps")
    assert page.locator("#lines .row").count() < 300
    page.keyboard.press("n")
    expect(page.locator("#lines [aria-selected=true]")).to_be_in_viewport()
