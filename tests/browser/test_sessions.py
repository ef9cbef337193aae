"""Getting about: from page to page by keyboard, and reading a conversation while it goes on."""

from __future__ import annotations

import time

from playwright.sync_api import Page, expect

from tests.browser.service import Sent, Service, Trace

SECOND = 10**9


def say(service: Service, project: str, question: str, answer: str, *, ago: float) -> Trace:
    """One turn of a conversation, so many seconds ago."""
    attributes = {"session.id": "talk", "user.id": "mara", "input.value": question, "output.value": answer}
    trace = Trace(start=time.time_ns() - int(ago * SECOND))
    return service.send(trace, Sent("turn", attributes=dict(attributes)), project=project)


def test_a_conversation_is_reached_and_read_by_keyboard_and_grows(page: Page, service: Service, project: str) -> None:
    first = say(service, project, "Is it open?", "From nine o'clock. " * 60 + "Until six.", ago=300)
    say(service, project, "On Sundays too?", "No.", ago=20)
    page.goto(f"{service.url}/p/{project}/traces")
    expect(page.locator("#live")).to_have_attribute("data-state", "on")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_contain_text("Go to Sessions")
    page.keyboard.press("Escape")
    page.keyboard.press("g")
    page.keyboard.press("s")
    expect(page.get_by_role("row", name="Is it open?")).to_contain_text("2")
    expect(page.locator("#live")).to_have_attribute("data-state", "on")

    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("Is it open?")
    expect(page.locator(".turn").first).to_contain_text("Until six.")
    expect(page.locator(".pause")).to_contain_text("4 min 40 s later")
    expect(page.locator("#live")).to_have_attribute("data-state", "on")
    page.evaluate("window.stillHere = true")

    say(service, project, "And at night?", "We sleep.", ago=1)
    expect(page.locator(".turn")).to_have_count(3)
    expect(page.locator(".turn").last).to_contain_text("We sleep.")
    expect(page.locator(".totals")).to_contain_text("3")
    assert page.evaluate("window.stillHere")
    for width in (360, 800, 1280):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width

    page.locator(".turn-of").first.press("Enter")
    expect(page.locator("#head h1")).to_contain_text("turn")
    assert page.url == f"{service.url}/p/{project}/traces/{first.id}"
    page.go_back()
    expect(page.locator("h1")).to_have_text("Is it open?")
    page.get_by_role("link", name="mara").first.click()
    expect(page.get_by_role("heading", name="Sessions")).to_be_visible()
    page.keyboard.press("g")
    page.keyboard.press("t")
    expect(page.locator("#traces tr")).to_have_count(3)
