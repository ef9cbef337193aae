"""Scores, tags and notes from the keyboard, on the trace page."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from tests.browser.conftest import Watched
from tests.browser.service import Service
from tests.browser.test_trace import open_trace, shop


def test_s38_a_step_and_the_trace_are_scored_from_the_keyboard(page: Page, service: Service, project: str) -> None:
    trace, _ = shop(service, project)
    open_trace(page, service, project, trace)
    page.get_by_role("tree").press("s")
    dialog = page.get_by_role("dialog", name="Score")
    expect(dialog).to_contain_text("For lookup")
    page.keyboard.type("helpful")
    page.keyboard.press("Tab")
    page.keyboard.type("no")
    page.keyboard.press("Enter")
    expect(dialog).to_be_hidden()
    scores = page.locator("[data-part=scores] li")
    expect(scores).to_have_count(1)
    expect(scores).to_contain_text("helpful no by a reviewer")
    expect(page.locator("#head .scored")).to_have_text("helpful no")
    # The name of the last score is there already; a number, a comment.
    page.get_by_role("tree").press("S")
    expect(dialog).to_contain_text("For the whole of answer")
    page.keyboard.type("0.75")
    dialog.get_by_label("Comment").fill("Better than last week.")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#head .scored")).to_have_text("helpful 0.375 ×2")
    page.get_by_role("treeitem", name="answer").click()
    expect(scores).to_contain_text("Better than last week.")
    page.get_by_role("button", name="Take the score helpful away").click()
    expect(scores).to_have_count(0)
    expect(page.locator("#head .scored")).to_have_text("helpful no")


def test_s38_tags_a_name_and_a_note_are_kept_and_can_be_taken_back(page: Page, service: Service, project: str) -> None:
    trace, _ = shop(service, project)
    open_trace(page, service, project, trace)
    page.get_by_role("tree").press("a")
    dialog = page.get_by_role("dialog", name="Tags, name and note")
    page.keyboard.type("golden, to review")
    dialog.get_by_label("Note").fill("Look at\nthe lookup.")
    dialog.get_by_label("Name").fill("A <b>bold</b> refund")
    page.keyboard.press("Enter")
    expect(dialog).to_be_hidden()
    expect(page.locator("h1")).to_contain_text("A <b>bold</b> refund failed in lookup")
    expect(page.locator("#head .sub")).to_contain_text("tags golden, to review")
    expect(page.locator("#head .note")).to_have_text("Look at\nthe lookup.")
    page.reload()
    page.get_by_role("tree").press("a")
    expect(dialog.get_by_label("Tags")).to_have_value("golden, to review")
    dialog.get_by_label("Tags").fill("")
    dialog.get_by_label("Name").fill("")
    dialog.get_by_label("Note").fill("")
    dialog.get_by_role("button", name="Keep").click()
    expect(page.locator("h1")).to_contain_text("answer failed in lookup")
    expect(page.locator("#head .note")).to_have_count(0)


def test_a_score_that_is_refused_says_why_and_loses_nothing(
    page: Page, service: Service, project: str, watched: Watched
) -> None:
    watched.allowed = ("Failed to load resource",)
    trace, _ = shop(service, project)
    open_trace(page, service, project, trace)
    page.get_by_role("tree").press("s")
    dialog = page.get_by_role("dialog", name="Score")
    dialog.get_by_label("Name").fill("x")
    dialog.get_by_role("textbox", name="Value").fill("1")
    dialog.get_by_label("Comment").fill("Kept.")
    page.route("**/api/v1/scores", lambda route: route.abort())
    dialog.get_by_role("button", name="Score").click()
    expect(dialog.get_by_role("alert")).to_contain_text("The server is away: nothing was kept.")
    page.unroute("**/api/v1/scores")
    expect(dialog.get_by_label("Comment")).to_have_value("Kept.")
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()


def test_a_read_only_link_is_made_followed_and_taken_back(page: Page, service: Service, project: str) -> None:
    trace, _ = shop(service, project)
    open_trace(page, service, project, trace)
    page.get_by_role("tree").press("l")
    dialog = page.get_by_role("dialog", name="Share this trace")
    dialog.get_by_label("The link ends after").select_option("a day")
    dialog.get_by_role("button", name="Make a link").click()
    address = dialog.get_by_label("The link", exact=True)
    expect(address).to_have_value(re.compile(r"^http://127\.0\.0\.1:\d+/shared/[\w-]{43}$"))
    expect(dialog.get_by_role("listitem")).to_have_count(1)
    link = address.input_value()
    page.goto(link)
    expect(page.locator("h1")).to_contain_text("answer failed in lookup")
    page.get_by_role("tree").press("l")
    dialog.get_by_role("button", name="Take back").click()
    expect(dialog.get_by_role("listitem")).to_have_count(0)
    answer = page.request.get(link)
    assert answer.status == 404
    assert "expired or was taken back" in answer.text()
