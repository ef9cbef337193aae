"""A trace read as a conversation, in a browser."""

from __future__ import annotations

import time

from playwright.sync_api import Page, expect

from tests.browser.service import Sent, Service, Trace
from tests.browser.test_reading import call, said

SECOND = 10**9


def talk(service: Service, project: str) -> tuple[Trace, list[Sent]]:
    """A run with a sub-agent that calls a model twice; the second call goes on with the first."""
    root = Sent("answer", took=9_000, kind="agent", attributes={"input.value": "Where is it?", "output.value": "Here."})
    helper = Sent("helper", root, at=100, took=4_000, kind="agent",
                  attributes={"input.value": "Find the order", "output.value": "It is found"})  # fmt: skip
    asked = [said("system", "Be brief"), said("user", "Which order?")]
    first = Sent("think", helper, at=200, took=500, kind="llm", attributes=call(asked, "The red one"))
    more = [*asked, said("assistant", "The red one"), said("user", "Are you sure?")]
    second = Sent("think again", helper, at=900, took=500, kind="llm", attributes=call(more, "Quite sure"))
    tool = Sent("send", root, at=6_000, took=10, kind="tool", failed="no stamps", attributes={"input.value": "letter"})
    spans = [root, helper, first, second, tool]
    return service.send(Trace(start=time.time_ns() - 60 * SECOND), *spans, project=project), spans


def turns(page: Page) -> list[str]:
    return page.locator("#transcript .turned").evaluate_all("all => all.map(one => one.ariaLabel)")


def test_s34_the_run_is_read_from_the_top_to_the_bottom(page: Page, service: Service, project: str) -> None:
    trace, spans = talk(service, project)
    page.goto(f"{service.url}/p/{project}/traces/{trace.id}?view=transcript&span={spans[0].id}")
    transcript = page.locator("#transcript")
    expect(transcript).to_contain_text("Quite sure")
    assert turns(page) == ["answer", "helper", "think", "think again", "End of helper", "send", "End of answer"]
    # What a call before had already is not said again.
    assert transcript.inner_text().count("Which order?") == 1
    again = page.get_by_role("article", name="think again")
    expect(again).to_contain_text("Are you sure?")
    expect(page.get_by_role("article", name="send")).to_contain_text("ShopError: no stamps")

    again.locator("a").first.click()
    expect(page.locator("#step h2")).to_contain_text("think again")
    expect(again).to_have_attribute("aria-current", "true")
    page.keyboard.press("t")
    expect(page.locator("#tree [aria-selected=true]")).to_contain_text("think again")

    page.goto(f"{service.url}/p/{project}/traces/{trace.id}?view=transcript&span={spans[4].id}")
    expect(page.get_by_role("article", name="send")).to_be_in_viewport()
    expect(page.get_by_role("article", name="send")).to_contain_text("no stamps")


def test_s34_a_folded_agent_shows_its_first_input_and_its_last_output(
    page: Page, service: Service, project: str
) -> None:
    trace, _ = talk(service, project)
    page.goto(f"{service.url}/p/{project}/traces/{trace.id}?view=transcript")
    helper = page.get_by_role("article", name="helper", exact=True)
    expect(helper).to_contain_text("Find the order")
    expect(helper).not_to_contain_text("It is found")
    page.get_by_role("button", name="Fold helper").click()
    expect(helper).to_contain_text("It is found")
    expect(helper).to_contain_text("2 steps inside")
    assert turns(page) == ["answer", "helper", "send", "End of answer"]
    page.keyboard.press("T")
    expect(page.locator("#tree .row")).to_have_count(3)
    page.keyboard.press("r")
    page.keyboard.press("/")
    page.keyboard.type("quite sure")
    expect(page.locator("#found")).to_have_text("1 found")
    page.keyboard.press("Enter")
    expect(page.get_by_role("article", name="think again")).to_have_attribute("aria-current", "true")
    assert "view=transcript" in page.url


def test_s34_a_long_run_draws_and_fetches_what_is_seen_and_shows_where_on_the_map(
    page: Page, service: Service, project: str
) -> None:
    root = Sent("crawl", took=20_000)
    steps = [
        Sent(f"step {number}", root, at=number * 10, kind="tool", attributes={"output.value": f"came out {number}"})
        for number in range(1_500)
    ]
    trace = service.send(Trace(start=time.time_ns() - 60 * SECOND), root, *steps, project=project)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/transcript?" in request.url else None)
    page.goto(f"{service.url}/p/{project}/traces/{trace.id}?view=transcript")
    transcript = page.locator("#transcript")
    expect(transcript).to_contain_text("came out 3")
    assert page.locator(".turned").count() < 60
    transcript.focus()
    page.keyboard.press("End")
    expect(page.get_by_role("article", name="step 1499", exact=True)).to_contain_text("came out 1499")
    assert page.locator(".turned").count() < 60
    assert len(asked) < 20
    left = float(page.locator("#at").evaluate("mark => parseFloat(mark.style.left)"))
    assert 70 < left < 101
    box = page.locator("#map").bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + box["width"] * 0.25, box["y"] + 10)
    expect(page.get_by_role("article", name="step 500", exact=True)).to_contain_text("came out 500")
