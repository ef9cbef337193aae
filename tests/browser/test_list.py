"""The list of traces, in a browser."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable

from playwright.sync_api import Page, expect

from tests.browser.conftest import Watched
from tests.browser.service import Sent, Service, Trace
from tests.client import wait_until

MARK = "window.stillHere = true"
"""Set in a page, and gone when the page is loaded anew."""

SECOND = 10**9


def rows(page: Page) -> list[str]:
    return page.locator("#traces th a").all_inner_texts()


def fill(service: Service, project: str, count: int) -> None:
    begin = time.time_ns() - 3_600 * SECOND
    for number in range(count):
        service.send(Trace(start=begin + number * SECOND), Sent(f"trace {number}"), project=project)


def test_a_new_trace_comes_to_the_top_of_the_list_without_a_reload(page: Page, service: Service, project: str) -> None:
    service.send(Trace(start=time.time_ns() - SECOND), Sent("first"), project=project)
    page.goto(f"{service.url}/p/{project}/traces")
    expect(page.locator("#live")).to_have_attribute("data-state", "on")
    page.evaluate(MARK)

    service.send(Trace(), Sent("second"), project=project)

    expect(page.locator("#traces th a").first).to_have_text("second")
    assert rows(page) == ["second", "first"]
    assert page.evaluate("window.stillHere")


def test_a_row_says_what_became_of_its_trace_and_changes_as_it_ends(page: Page, service: Service, project: str) -> None:
    trace, root = Trace(), Sent("answer", took=None)
    service.send(trace, root, project=project)
    page.goto(f"{service.url}/p/{project}/traces")
    row = page.locator(f"#t-{trace.id}")
    expect(row).to_contain_text("running")
    expect(row.locator(".clock")).to_be_visible()

    root.took, root.failed = 2_000, "no such order"
    service.send(trace, root, project=project)

    expect(row.locator(".t-state")).to_contain_text("✕ failed")
    expect(row).to_contain_text("2.00 s")


def test_new_rows_wait_behind_a_note_for_a_reader_who_has_scrolled(page: Page, service: Service, project: str) -> None:
    fill(service, project, 50)
    page.goto(f"{service.url}/p/{project}/traces")
    expect(page.locator("#live")).to_have_attribute("data-state", "on")
    page.mouse.move(600, 400)
    page.mouse.wheel(0, 400)
    wait_until(lambda: page.evaluate("scrollY") > 300, "the page has scrolled")
    before, place = rows(page), page.evaluate("scrollY")

    service.send(Trace(), Sent("late"), project=project)

    expect(page.locator("#newer")).to_have_text("1 new trace")
    assert rows(page) == before
    assert page.evaluate("scrollY") == place
    page.locator("#newer").click()
    expect(page.locator("#traces th a").first).to_have_text("late")
    expect(page.locator("#newer")).to_have_count(0)


def test_focus_and_selected_text_outlive_an_update(page: Page, service: Service, project: str) -> None:
    fill(service, project, 3)
    page.goto(f"{service.url}/p/{project}/traces")
    expect(page.locator("#live")).to_have_attribute("data-state", "on")
    page.locator("#traces").get_by_role("link", name="trace 1").focus()
    page.evaluate("getSelection().selectAllChildren(document.querySelector('#traces th a bdi'))")

    service.send(Trace(), Sent("more"), project=project)

    expect(page.locator("#traces th a").first).to_have_text("more")
    expect(page.locator("#traces").get_by_role("link", name="trace 1")).to_be_focused()
    assert page.evaluate("String(getSelection())") == "trace 2"


def test_updates_leave_no_litter_in_the_page(page: Page, service: Service, project: str) -> None:
    fill(service, project, 1)
    page.goto(f"{service.url}/p/{project}/traces")
    expect(page.locator("#live")).to_have_attribute("data-state", "on")
    expect(page.locator("#facets li").first).to_be_visible()
    count = "document.querySelectorAll('main, main > *').values().map(one => one.childNodes.length).toArray()"
    before = page.evaluate(count)
    for number in range(4):
        service.send(Trace(), Sent(f"extra {number}"), project=project)
        expect(page.locator("#traces th a").first).to_have_text(f"extra {number}")
    assert page.evaluate(count) == before


def test_older_traces_are_one_link_away(page: Page, service: Service, project: str) -> None:
    fill(service, project, 60)
    page.goto(f"{service.url}/p/{project}/traces")
    assert rows(page)[0] == "trace 59"
    assert len(rows(page)) == 50

    page.get_by_role("link", name="Older", exact=True).click()

    expect(page.locator("#traces th a").first).to_have_text("trace 9")
    assert len(rows(page)) == 10
    page.get_by_role("link", name="Newest", exact=True).click()
    expect(page.locator("#traces th a").first).to_have_text("trace 59")


def test_a_click_anywhere_in_a_row_opens_its_trace(page: Page, service: Service, project: str) -> None:
    trace = service.send(Trace(), Sent("answer"), project=project)
    page.goto(f"{service.url}/p/{project}/traces")
    page.locator(f"#t-{trace.id} .t-took").click()
    expect(page.locator("h1")).to_contain_text("answer")
    assert page.url == f"{service.url}/p/{project}/traces/{trace.id}"


def test_another_project_is_two_clicks_away(page: Page, service: Service, project: str) -> None:
    service.send(Trace(), Sent("here"), project=project)
    service.send(Trace(), Sent("there"), project=f"{project}-b")
    page.goto(f"{service.url}/p/{project}/traces")
    page.locator("#crumbs summary").click()
    page.get_by_role("link", name=f"{project}-b").click()
    expect(page.locator("#traces th a")).to_have_text("there")


def test_an_empty_server_shows_a_snippet_and_turns_into_the_list_without_a_reload(
    page: Page, new_service: Callable[..., Service]
) -> None:
    service = new_service()
    page.goto(service.url)
    expect(page.get_by_text("Waiting for your first span")).to_be_visible()
    expect(page.locator("#live")).to_have_attribute("data-state", "on")
    snippet = page.locator("#snippet-python-2").inner_text()
    assert service.url in snippet
    page.evaluate(MARK)

    # The snippet as someone would paste it into a file.
    subprocess.run([sys.executable, "-c", snippet], check=True, timeout=60, capture_output=True)

    expect(page.locator("#traces th a")).to_have_text("answer")
    expect(page.locator("#crumbs")).to_contain_text("default")
    assert page.evaluate("window.stillHere")
    expect(page.locator("#peek h2")).to_have_text("answer")
    assert page.url.startswith(f"{service.url}/p/default/traces?peek=")
    page.reload()
    expect(page.locator("#traces th a")).to_have_text("answer")


def test_the_shell_snippet_works_when_pasted(page: Page, new_service: Callable[..., Service]) -> None:
    service = new_service()
    page.goto(service.url)
    page.locator("#way-python").focus()
    page.keyboard.press("ArrowLeft")
    expect(page.get_by_role("radio", name="Only a shell")).to_be_checked()
    snippet = page.locator("#snippet-curl-1").inner_text()

    subprocess.run(["bash", "-c", f"export NO_PROXY=127.0.0.1\n{snippet}"], check=True, timeout=60, capture_output=True)

    expect(page.locator("#traces th a")).to_have_text("hello")
    expect(page.locator("#peek h2")).to_have_text("hello")


def test_copying_a_snippet_puts_it_on_the_clipboard(
    page: Page, new_service: Callable[..., Service], watched: Watched
) -> None:
    watched.allowed = ("404",)  # the list of the samples hears of their deletion before it is left
    service = new_service()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto(service.url)
    page.locator("[data-copy-from='#snippet-python-1']").click()
    read = "navigator.clipboard.readText()"
    wait_until(lambda: page.evaluate(read) == "pip install stepscope", "the snippet is on the clipboard")

    page.get_by_role("button", name="Show sample traces").press("Enter")
    expect(page.locator("#traces tr").nth(5)).to_be_visible()
    page.get_by_role("button", name="Remove the samples").press("Enter")
    expect(page.get_by_text("Waiting for your first span")).to_be_visible()
