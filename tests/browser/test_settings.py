"""The settings in a real browser: people, keys, rules for private data."""

from __future__ import annotations

from collections.abc import Callable
from urllib.error import HTTPError

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import Watched
from tests.browser.service import Sent, Service, Trace


def test_the_first_administrator_invites_somebody_who_sees_one_project(
    page: Page, browser: Browser, new_service: Callable[..., Service]
) -> None:
    service = new_service(host="127.0.0.2")
    page.goto(next(line for line in service.said if "/join/" in line))
    page.get_by_label("E-mail").fill("root@example.com")
    page.get_by_label("Password").fill("a long enough one")
    page.get_by_role("button", name="Make the account").press("Enter")
    page.wait_for_url(f"{service.url}/")
    page.goto(f"{service.url}/start")
    page.get_by_label("Its traces go to the project").fill("shop")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Make one and fill it in").press("Enter")
    key = page.locator("#start-key").inner_text()
    expect(page.locator("#snippet-python-2")).to_contain_text(f'project="shop", api_key="{key}"')
    page.locator("#way-python").press("ArrowRight")
    expect(page.locator("#snippet-openai-2")).to_contain_text("stepscope.instrument()")
    expect(page.locator("#live")).to_have_attribute("data-state", "on")
    service.post("/v1/traces", Trace().otlp([Sent("first")]), headers={"x-api-key": key})
    expect(page.locator("#arrived h2")).to_have_text("first")

    page.goto(f"{service.url}/settings/people")
    page.get_by_label("E-mail").fill("ada@example.com")
    page.get_by_label("Where").select_option("shop")
    page.get_by_role("button", name="Make a link").press("Enter")
    link = page.locator("#link").inner_text()
    for width in (360, 800, 1280):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    elsewhere = browser.new_context()
    theirs = elsewhere.new_page()
    theirs.goto(link)
    theirs.get_by_label("Password").fill("another long one")
    theirs.get_by_role("button", name="Join").press("Enter")
    expect(theirs.locator("#traces").get_by_role("link", name="first")).to_be_visible()
    theirs.get_by_role("link", name="Settings").click()
    expect(theirs.get_by_role("heading", name="Projects")).to_be_visible()
    expect(theirs.get_by_role("link", name="Settings of")).to_have_count(0)
    expect(theirs.get_by_role("navigation", name="Settings").get_by_role("link")).to_have_count(2)

    page.reload()
    page.goto(f"{service.url}/settings/people")
    page.get_by_role("row", name="ada@example.com").get_by_text("Remove").first.press("Enter")
    page.get_by_role("button", name="Remove the account").click()
    expect(page.get_by_role("status").first).to_contain_text("The account is gone")
    theirs.reload()
    expect(theirs.get_by_role("heading", name="Sign in")).to_be_visible()
    elsewhere.close()


def test_a_key_is_made_by_keyboard_lets_an_app_in_and_is_revoked(
    page: Page, new_service: Callable[..., Service]
) -> None:
    service = new_service()
    service.send(Trace(), Sent("first"), project="shop")
    page.goto(service.url)
    page.get_by_role("link", name="Settings", exact=True).press("Enter")
    page.get_by_role("link", name="Keys", exact=True).press("Enter")
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


def test_rules_are_tried_and_saved_and_a_user_is_erased_with_a_receipt(
    page: Page, new_service: Callable[..., Service]
) -> None:
    service = new_service()
    service.send(Trace(), Sent("hers", attributes={"user.id": "ada"}), project="shop")
    service.send(Trace(), Sent("his", attributes={"user.id": "bob"}), project="shop")
    page.goto(f"{service.url}/settings/privacy")
    page.get_by_label("E-mail addresses").check()
    page.get_by_label("Your own patterns").fill("order: ORD-\\d+")
    page.get_by_label("A text").fill("ada@example.com asks for ORD-7")
    page.get_by_role("button", name="Only try").press("Enter")
    expect(page.get_by_role("status", name="What is stored of it")).to_have_text(
        "[masked e-mail] asks for [masked order]"
    )
    page.get_by_role("button", name="Save the rules").press("Enter")
    expect(page.get_by_role("status").first).to_contain_text("Saved.")
    masked = service.send(Trace(), Sent("of ada@example.com", attributes={"user.id": "eve"}), project="shop")
    page.get_by_label("Its id").fill("ada")
    page.get_by_role("button", name="Erase for good").press("Enter")
    expect(page.locator("#erase").get_by_role("status")).to_contain_text("Erased: 1 trace, 1 step. Receipt")
    for width in (360, 800, 1280):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.goto(f"{service.url}/p/shop/traces")
    expect(page.locator("#traces").get_by_role("link", name="his")).to_be_visible()
    expect(page.locator("#traces").get_by_role("link", name="hers")).to_have_count(0)
    page.goto(f"{service.url}/traces/{masked.id}")
    expect(page.locator("#main")).to_contain_text("of [masked e-mail]")


def test_a_project_is_renamed_becomes_part_of_another_and_goes_by_keyboard(
    page: Page, service: Service, project: str, watched: Watched
) -> None:
    watched.allowed = ("status of 400",)
    for name in (project, f"{project}-old"):
        service.send(Trace(), Sent(f"of {name}"), project=name)
    page.goto(f"{service.url}/p/{project}-old/traces")
    page.get_by_title("Change the project").press("Enter")
    page.get_by_role("link", name="All projects").press("Enter")
    page.keyboard.press("j")
    expect(page.locator("tbody th a").first).to_be_focused()
    page.get_by_role("link", name=f"Settings of {project}-old").press("Enter")
    page.get_by_label("Name", exact=True).fill("The old one")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="The old one")).to_be_visible()
    page.get_by_label("The other project").select_option(project)
    page.get_by_label("Write The old one").first.fill("the old one")
    page.keyboard.press("Enter")
    expect(page.locator("#merge-wrong")).to_contain_text("Write the project's name")
    expect(page.locator("#merge-confirm")).to_be_focused()
    page.keyboard.press("Control+A")
    page.keyboard.type("The old one")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status").first).to_contain_text(
        f"The old one is part of {project}: 1 trace, 1 step moved."
    )
    page.get_by_role("status").first.get_by_role("link").press("Enter")
    expect(page.locator("#traces tr")).to_have_count(2)
    page.goto(f"{service.url}/projects/{project}")
    page.locator("#delete-confirm").fill(project)
    page.keyboard.press("Enter")
    expect(page.get_by_role("status").first).to_contain_text(f"Deleted {project}: 2 traces, 2 steps.")
