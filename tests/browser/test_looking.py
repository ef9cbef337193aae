"""Looking around in a trace: search, runs of steps alike, the list one came from, copying, keys."""

from __future__ import annotations

import json
import time
from typing import Any

from playwright.sync_api import Page, expect

from tests.browser.service import Sent, Service, Trace
from tests.browser.test_reading import call, said
from tests.browser.test_trace import chosen, names, open_trace, shop

SECOND = 10**9


def kitchen(service: Service, project: str) -> tuple[Trace, list[Sent]]:
    """A chain in which a word stands in a prompt, in an error and in a name."""
    root = Sent("answer", took=1_000)
    look = Sent("look", root, at=10, took=100, kind="retriever")
    plan = Sent("plan", look, at=20, took=40, kind="llm", attributes=call([said("user", "A Saffron bun, please")]))
    bake = Sent("bake", root, at=200, took=100, kind="tool", failed="no saffron left")
    serve = Sent("serve saffron", root, at=400, took=100)
    rest = Sent("rest", root, at=600, took=100, attributes={"note": json.dumps({"deep": ["none of it"]})})
    spans = [root, look, plan, bake, serve, rest]
    return service.send(Trace(start=time.time_ns() - 5 * SECOND), *spans, project=project), spans


def expect_highlighted(page: Page, text: str) -> None:
    """The pane's text may still be on its way."""
    marked = "text => [...(CSS.highlights.get('found') ?? [])].some(range => range.toString() === text)"
    page.wait_for_function(marked, arg=text)


def test_s14_search_finds_a_text_wherever_it_stands_and_keeps_what_lies_above_it(
    page: Page, service: Service, project: str
) -> None:
    trace, spans = kitchen(service, project)
    page.goto(f"{service.url}/p/{project}/traces/{trace.id}?span={spans[0].id}")
    expect(page.locator("#live")).to_have_attribute("data-state", "on")
    page.keyboard.press("/")
    page.keyboard.type("saffron")
    expect(page.locator("#found")).to_have_text("3 found")
    assert names(page) == ["answer", "look", "plan", "bake", "serve saffron"]

    page.keyboard.press("Enter")
    expect(page.locator("#found")).to_have_text("1 of 3")
    assert chosen(page) == "plan"
    expect(page.locator("#step h2")).to_contain_text("plan")
    expect_highlighted(page, "Saffron")
    page.keyboard.press("Enter")
    expect(page.locator("#step .oops")).to_be_visible()
    expect_highlighted(page, "saffron")
    page.keyboard.press("Shift+Enter")
    assert chosen(page) == "plan"

    page.keyboard.press("Escape")
    assert len(names(page)) == 6
    assert page.evaluate("CSS.highlights.get('found')?.size ?? 0") == 0
    assert chosen(page) == "plan"


def test_s15_the_address_brings_the_search_and_the_reading_back(page: Page, service: Service, project: str) -> None:
    trace, spans = kitchen(service, project)
    page.goto(
        f"{service.url}/p/{project}/traces/{trace.id}?span={spans[3].id}&q=saffron&view=tree&t=100000-300000&path=1"
    )
    expect(page.locator("#found")).to_have_text("2 of 3")
    expect(page.locator("#find")).to_have_value("saffron")
    expect(page.get_by_role("tab", name="Tree", exact=True)).to_have_attribute("aria-selected", "true")
    page.keyboard.press("t")
    expect(page.locator("#whole")).to_be_visible()
    expect(page.locator("#critical")).to_have_attribute("aria-pressed", "true")
    assert page.locator(".ticks span").first.inner_text() == "100 ms"


def test_s33_many_neighbours_alike_are_one_row_until_it_is_opened(page: Page, service: Service, project: str) -> None:
    root = Sent("crawl", took=1_000)
    alike = [
        Sent("fetch", root, at=number * 10, took=number + 1, failed="lost" if number == 3 else "")
        for number in range(8)
    ]
    trace = service.send(
        Trace(start=time.time_ns() - 5 * SECOND), root, *alike, Sent("end", root, at=500), project=project
    )
    open_trace(page, service, project, trace)
    row = page.locator(".row", has_text="×8")
    expect(row).to_contain_text("1 ms · 4 ms · 8 ms")
    expect(row).to_contain_text("1 failed")
    expect(row.locator(".took")).to_have_text("≤ 8 ms")
    assert names(page) == ["crawl", "fetch", "end"]
    # It went on after the failure: it opens at its top, and the head says what failed.
    assert chosen(page) == "crawl"
    expect(page.locator("#head .wrong")).to_have_text("✕ fetch ShopError: lost")
    page.keyboard.press("e")
    expect(page.locator("#error-at")).to_have_text("The only error")
    assert chosen(page) == "fetch"
    assert len(names(page)) == 10
    page.get_by_role("tree").focus()
    page.keyboard.press("ArrowLeft")
    assert names(page) == ["crawl", "fetch", "end"]
    page.keyboard.press("ArrowRight")
    assert len(names(page)) == 10
    page.locator(".times").click()
    assert len(names(page)) == 3


def test_s33_neighbours_alike_gather_while_the_run_goes_on(page: Page, service: Service, project: str) -> None:
    trace, root = Trace(start=time.time_ns() - 5 * SECOND), Sent("crawl", took=None)
    fetched = [Sent("fetch", root, at=number * 10, took=5) for number in range(7)]
    service.send(trace, root, *fetched, project=project)
    open_trace(page, service, project, trace)
    row = page.locator(".row", has=page.locator(".times"))
    expect(row.locator(".times")).to_have_text("×7")
    late = Sent("fetch", root, at=200, took=None)
    service.send(trace, late, project=project)
    expect(row.locator(".times")).to_have_text("×8")
    expect(row.locator(".now")).to_have_count(1)
    assert names(page) == ["crawl", "fetch"]
    # Opened, it stays open while more come; what is looked at one by one is not gathered under the reader's eyes.
    row.locator(".times").click()
    expect(page.locator("#tree .row")).to_have_count(9)
    tools = [Sent("read", root, at=300 + number, took=1) for number in range(5)]
    service.send(trace, *tools, project=project)
    expect(page.locator("#tree .row")).to_have_count(14)
    late.took, late.failed = 20, "lost"
    service.send(trace, late, Sent("read", root, at=310, took=1), project=project)
    expect(page.locator("#tree .row")).to_have_count(15)
    page.locator(".times").first.click()
    expect(page.locator(".row", has_text="×8")).to_contain_text("5 ms · 5 ms · 20 ms · 1 failed")


def test_s8_the_pane_says_what_a_step_cost_with_all_below_it_and_what_lacks(
    page: Page, service: Service, project: str
) -> None:
    asked = [said("user", "Hi")]
    priced = call(asked, **{"gen_ai.request.model": "gpt-4o-mini", "gen_ai.usage.input_tokens": 1_000_000})
    unpriced = call(asked, **{"gen_ai.request.model": "my-own", "gen_ai.usage.input_tokens": 10})
    root = Sent("answer", took=100)
    spans = [
        root,
        Sent("draft", root, at=1, kind="llm", attributes=priced),
        Sent("judge", root, at=50, took=200, kind="llm", attributes=unpriced),
    ]
    trace = service.send(Trace(start=time.time_ns() - SECOND), *spans, project=project)
    open_trace(page, service, project, trace)
    line = page.locator(".with-below")
    expect(line).to_contain_text("3 steps")
    expect(line).to_contain_text("until the last of them ended 250 ms")
    expect(line).to_contain_text("tokens 1,000,010")
    expect(line).to_contain_text("cost $0.1500")
    expect(line).to_contain_text("no price for judge")
    expect(page.locator("#tree .row .usd").first).to_have_text("$0.1500+")
    line.get_by_role("link", name="judge").click()
    assert chosen(page) == "judge"


def test_s13_j_and_k_walk_through_the_list_that_the_reader_came_from(
    page: Page, service: Service, project: str
) -> None:
    begin = time.time_ns() - 600 * SECOND
    for number in range(53):
        service.send(Trace(start=begin + number * SECOND), Sent(f"trace {number}"), project=project)
    page.goto(f"{service.url}/p/{project}/traces")
    page.get_by_role("link", name="trace 4", exact=True).click()
    expect(page.locator("h1")).to_contain_text("trace 4")
    expect(page.locator("#place")).to_have_text("49 of 50+")
    page.keyboard.press("T")
    for key, name in [("j", "trace 3"), ("j", "trace 2"), ("k", "trace 3"), ("j", "trace 2"), ("j", "trace 1")]:
        page.keyboard.press(key)
        expect(page.locator("h1")).to_contain_text(name)
    expect(page.get_by_role("tab", name="Tree", exact=True)).to_have_attribute("aria-selected", "true")
    page.keyboard.press("j")
    expect(page.locator("h1")).to_contain_text("trace 0")
    page.keyboard.press("j")
    expect(page.locator("#place")).to_have_text("the last of the list")


def test_s19_a_message_a_step_and_all_below_it_and_a_command_can_be_copied(
    page: Page, service: Service, project: str
) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    trace, spans = kitchen(service, project)
    page.goto(f"{service.url}/p/{project}/traces/{trace.id}?span={spans[2].id}")
    expect(page.locator("#live")).to_have_attribute("data-state", "on")

    def copied() -> str:
        expect(page.locator("[data-done=copied]").first).to_be_attached()
        # The button says so for a while; the next copy need not wait for its end.
        page.evaluate("for (const one of document.querySelectorAll('[data-done]')) delete one.dataset.done")
        return str(page.evaluate("navigator.clipboard.readText()"))

    page.locator("[data-part=input] .msg").hover()
    page.locator("[data-part=input] .msg .copy").click()
    assert copied() == "A Saffron bun, please"
    page.locator("[data-part=output] [data-copy-url]").click()
    assert json.loads(copied())[0]["parts"][0]["content"] == "Yes."
    page.keyboard.press("Y")
    assert json.loads(copied())[0]["parts"][0]["content"] == "A Saffron bun, please"
    page.locator("#step footer .copy").click()
    assert copied() == spans[2].id
    page.locator("#head .copy").click()
    assert copied() == trace.id
    page.keyboard.press("u")
    assert copied() == f"curl -s '{service.url}/api/v1/traces/{trace.id}/spans/{spans[2].id}'"
    page.keyboard.press("U")
    fetched: dict[str, Any] = {}
    exec(copied(), fetched)
    assert (fetched["step"].span_id, fetched["step"].name) == (spans[2].id, "plan")
    page.goto(f"{service.url}/p/{project}/traces/{trace.id}?span={spans[1].id}")
    page.get_by_role("button", name="as Markdown").click()
    text = copied()
    assert "## look" in text
    assert "### plan" in text
    assert "A Saffron bun, please" in text
    assert "bake" not in text


def test_s12_digits_unfold_to_a_level(page: Page, service: Service, project: str) -> None:
    trace, _ = shop(service, project)
    open_trace(page, service, project, trace)
    page.keyboard.press("1")
    assert names(page) == ["answer"]
    page.keyboard.press("2")
    assert names(page) == ["answer", "search", "resolve", "draft"]
    page.keyboard.press("3")
    assert len(names(page)) == 6


def test_s41_the_keys_are_listed_and_every_action_is_found_by_its_name(
    page: Page, service: Service, project: str
) -> None:
    trace, _ = shop(service, project)
    open_trace(page, service, project, trace)
    page.keyboard.press("?")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Go to the next error")
    assert dialog.locator("dt kbd").count() > 30
    assert all(dialog.locator("kbd").all_inner_texts())  # no blank caps
    assert dialog.locator("h3").all_inner_texts()[:3] == ["Steps", "Search", "Folding"]
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()

    page.keyboard.press("Control+k")
    page.keyboard.type("fold every")
    expect(dialog.get_by_role("option")).to_have_text(["Fold everything[", "Unfold everything]"])
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    expect(dialog).to_be_hidden()
    assert names(page) == ["answer"]
