"""Pages that are open while what they show is deleted."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from tests.browser.conftest import Watched
from tests.browser.service import Service, Trace
from tests.browser.test_trace import open_trace, shop
from tests.client import Client


def delete(service: Service, project: str, trace: Trace) -> None:
    with Client(service.url) as client:
        answer = client.delete(f"/api/v1/traces/{trace.id}", params={"project": project})
        assert answer.status_code == 200, answer.text


def test_an_open_trace_says_that_it_was_deleted_and_stays_to_be_read(
    page: Page, service: Service, project: str, watched: Watched
) -> None:
    watched.allowed = ("404",)
    trace, _ = shop(service, project)
    open_trace(page, service, project, trace)
    delete(service, project, trace)
    expect(page.locator("#problem")).to_contain_text("was deleted at")
    expect(page.locator("#tree .row")).to_have_count(6)


def test_an_open_list_loses_the_row(page: Page, service: Service, project: str) -> None:
    trace, _ = shop(service, project)
    page.goto(f"{service.url}/p/{project}/traces")
    expect(page.locator("#live")).to_have_attribute("data-state", "on")
    row = page.locator("#traces").get_by_role("link", name="answer")
    expect(row).to_have_count(1)
    delete(service, project, trace)
    expect(row).to_have_count(0)
