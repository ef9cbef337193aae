"""The user's own prices, by keyboard, and computing stored costs anew."""

from __future__ import annotations

import time
from collections.abc import Callable

from playwright.sync_api import Page, expect

from tests.browser.service import Sent, Service, Trace


def test_a_price_is_given_by_keyboard_and_stored_costs_follow(page: Page, new_service: Callable[..., Service]) -> None:
    service = new_service()
    call = Sent(
        "call",
        kind="llm",
        attributes={"gen_ai.request.model": "house-1", "gen_ai.usage.input_tokens": 2_000_000},
    )
    trace = service.send(Trace(start=time.time_ns() - 10**9), call)
    page.goto(f"{service.url}/traces/{trace.id}")
    page.get_by_role("link", name="Settings").press("Enter")
    page.get_by_role("link", name="Prices").focus()
    page.keyboard.press("Enter")
    page.get_by_role("link", name="house-1").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_label("Model")).to_have_value("house-1")
    page.get_by_label("Input", exact=True).focus()
    page.keyboard.type("2.5")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status").first).to_contain_text("Saved.")
    expect(page.get_by_role("row", name="house-1")).to_contain_text("$2.50")

    page.get_by_role("button", name="Compute stored costs anew").press("Enter")
    expect(page.locator("#recompute")).to_contain_text("The cost of 1 call was computed.")
    page.goto(f"{service.url}/traces/{trace.id}")
    expect(page.locator("#main")).to_contain_text("$5.00")

    page.goto(f"{service.url}/settings/prices?edit=0")
    page.get_by_label("Model").fill("a-rather-long-name-for-a-model/" * 6)
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status").first).to_contain_text("Saved.")
    for width in (360, 800, 1280):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
