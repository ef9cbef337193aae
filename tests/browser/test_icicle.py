"""A trace as an icicle, in a browser."""

from __future__ import annotations

import time

from playwright.sync_api import Page, expect

from tests.browser.service import Sent, Service, Trace
from tests.browser.test_trace import open_trace

SECOND = 10**9


def spent(service: Service, project: str) -> tuple[Trace, list[Sent]]:
    """A chain whose longest branch is not the one that took the most tokens."""

    def call(name: str, parent: Sent, at: float, took: float, tokens: int) -> Sent:
        usage = {"gen_ai.request.model": "gpt-4o-mini", "gen_ai.usage.input_tokens": tokens}
        return Sent(name, parent, at=at, took=took, kind="llm", attributes={**usage})

    root = Sent("answer", took=1_000)
    long = Sent("wait", root, took=750)
    short = Sent("think", root, at=750, took=200)
    spans = [root, long, call("ask", long, 0, 100, 100), short, call("write", short, 760, 100, 900)]
    alike = [Sent("fetch", long, at=200 + number, took=1) for number in range(8)]
    return service.send(Trace(start=time.time_ns() - 5 * SECOND), *spans, *alike, project=project), spans


def share(page: Page, name: str) -> float:
    cell = page.locator(f"#icicle .cell[aria-label^='{name}']")
    return round(float((cell.get_attribute("width") or "")[:-1]), 1)


def test_s27_steps_are_as_wide_as_their_share_of_time_tokens_or_cost(
    page: Page, service: Service, project: str
) -> None:
    trace, spans = spent(service, project)
    page.goto(f"{service.url}/p/{project}/traces/{trace.id}?view=icicle&span={spans[0].id}")
    assert (share(page, "answer"), share(page, "wait"), share(page, "think")) == (100, 75, 20)
    page.get_by_role("button", name="Tokens", exact=True).click()
    assert (share(page, "answer"), share(page, "wait"), share(page, "think")) == (100, 10, 90)
    assert "by=tokens" in page.url
    page.reload()
    assert share(page, "think") == 90
    page.keyboard.press("b")
    expect(page.get_by_role("button", name="Cost", exact=True)).to_have_attribute("aria-pressed", "true")
    assert share(page, "think") == 90


def test_s27_the_icicle_shares_the_chosen_step_and_the_folds_and_zooms(
    page: Page, service: Service, project: str
) -> None:
    trace, spans = spent(service, project)
    page.goto(f"{service.url}/p/{project}/traces/{trace.id}?view=icicle&span={spans[0].id}")
    think = page.locator("#icicle .cell[aria-label^='think']")
    think.click()
    expect(page.locator("#step h2")).to_contain_text("think")
    expect(think).to_have_attribute("aria-selected", "true")
    page.locator(".icicle-host").focus()
    page.keyboard.press("Enter")
    assert share(page, "think") == 100
    assert f"zoom={spans[3].id}" in page.url
    page.reload()
    assert share(page, "write") == 50
    page.locator(".icicle-host").focus()
    page.keyboard.press("Escape")
    assert share(page, "think") == 20
    # The chosen step lies beside the zoom: the page goes out to where both are seen.
    page.keyboard.press("Enter")
    page.keyboard.press("Home")
    expect(page.locator("#icicle .cell[aria-label^='wait']")).to_be_visible()
    page.keyboard.press("[")
    expect(page.locator("#icicle .cell")).to_have_count(1)
    page.keyboard.press("T")
    expect(page.locator("#tree .row")).to_have_count(1)


def test_s27_a_large_trace_draws_what_can_be_seen_and_says_what_is_too_thin(
    page: Page, service: Service, project: str
) -> None:
    root = Sent("crawl", took=10_000)
    steps = [Sent(f"step {number}", root, at=number * 5, took=4) for number in range(2_000)]
    long = Sent("wait", root, at=9_999, took=900)
    trace = service.send(Trace(start=time.time_ns() - 60 * SECOND), root, *steps, long, project=project)
    open_trace(page, service, project, trace)
    page.keyboard.press("I")
    expect(page.locator("#icicle .cell")).to_have_count(2)
    expect(page.locator("#icicle .dust title")).to_have_text("2,000 steps too thin to draw: zoom in to see them")
    page.locator("#icicle .dust").click(position={"x": 20, "y": 10})
    expect(page.locator("#step h2")).to_contain_text("step 0")
    page.get_by_role("button", name="Tokens", exact=True).click()
    expect(page.locator("#icicle")).to_contain_text("No step of this trace said how many tokens it took.")
