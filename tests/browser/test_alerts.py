"""An alert made, tried out, seen to fire and muted, by keyboard."""

from __future__ import annotations

import time

from playwright.sync_api import Page, expect

from tests.browser.conftest import Watched
from tests.browser.service import Sent, Service, Trace
from tests.client import wait_until
from tests.test_alerts import receiving


def test_an_alert_is_made_tried_fires_and_is_muted_by_keyboard(
    page: Page, service: Service, project: str, watched: Watched
) -> None:
    watched.allowed = ("status of 400",)
    service.send(Trace(start=time.time_ns() - 10**9), Sent("answer", failed="no such order"), project=project)
    service.post("/api/v1/views", {"project": project, "name": "Failed", "q": "status:error"})
    with receiving() as hook:
        page.goto(f"{service.url}/p/{project}/traces")
        page.keyboard.press("g")
        page.keyboard.press("a")
        expect(page.get_by_text("There is no alert yet.")).to_be_visible()
        page.get_by_label("Name", exact=True).fill("Too many fail")
        page.get_by_label("Threshold").fill("many")
        page.get_by_label("Webhook").fill(hook.url)
        page.keyboard.press("Enter")
        expect(page.locator(".wrong")).to_contain_text("This takes a number")
        expect(page.get_by_label("Threshold")).to_be_focused()
        page.keyboard.press("Control+A")
        page.keyboard.type("0")
        page.keyboard.press("Enter")
        expect(page.get_by_role("status").first).to_contain_text("Saved")
        wait_until(lambda: hook.got, "the webhook hears of it")
        page.get_by_role("button", name="Test Too many fail").press("Enter")
        expect(page.get_by_role("status").first).to_contain_text("answered the test: HTTP 204")
        expect(page.get_by_role("row", name="Too many fail").first).to_contain_text("Firing")
        expect(page.get_by_role("region", name="History")).to_contain_text("Firing")
        page.get_by_text("Mute Too many fail").press("Enter")
        page.keyboard.press("Tab")
        expect(page.get_by_label("Send nothing")).to_be_focused()
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        expect(page.get_by_role("row", name="Too many fail").first).to_contain_text("muted until")
        page.get_by_text("Delete Too many fail").press("Enter")
        page.get_by_role("button", name="Delete for good").press("Enter")
        expect(page.get_by_text("There is no alert yet.")).to_be_visible()
