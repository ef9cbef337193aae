"""The settings in a real browser: keys."""

from __future__ import annotations

from collections.abc import Callable
from urllib.error import HTTPError

import pytest
from playwright.sync_api import Page, expect

from tests.browser.service import Sent, Service, Trace


def test_a_key_is_made_by_keyboard_lets_an_app_in_and_is_revoked(
    page: Page, new_service: Callable[..., Service]
) -> None:
    service = new_service()
    service.send(Trace(), Sent("first"), project="shop")
    page.goto(service.url)
    page.get_by_role("link", name="Settings").press("Enter")
    expect(page.get_by_text("There is no key yet.")).to_be_visible()
    page.get_by_label("Name").fill("web app")
    page.get_by_label("Project").fill("shop")
    page.get_by_label("It may").select_option("ingest")
    page.get_by_label("Name").press("Enter")
    secret = page.locator("#secret").inner_text()
    assert secret.startswith("ssi_")
    row = page.get_by_role("row", name="web app")
    expect(row).to_contain_text("never")

    trace = Trace()
    service.post("/v1/traces", trace.otlp([Sent("by key")]), headers={"x-api-key": secret})
    page.goto(f"{service.url}/settings/keys")
    expect(row).to_contain_text("just now")
    assert secret not in page.content()
    row.get_by_text("Revoke").first.press("Enter")
    row.get_by_role("button", name="Revoke for good").click()
    expect(page.get_by_role("status").first).to_contain_text("Revoked.")
    with pytest.raises(HTTPError, match="401"):
        service.post("/v1/traces", trace.otlp([Sent("late")]), headers={"x-api-key": secret})
    for width in (360, 800, 1280):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
