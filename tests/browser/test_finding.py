"""The list as a tool: searching, mistyping and recovering, looking at a trace beside it, working on many."""

from __future__ import annotations

import re
import time
from urllib.parse import urlsplit

from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import Watched
from tests.browser.service import Sent, Service, Trace
from tests.client import wait_until

SECOND = 10**9
SEARCHED_AFTER_MS = 300
"""What is typed is searched after so long, as `finder.js` has it."""

MARKED = "[...CSS.highlights.get('found') ?? []].map(range => range.toString())"


def fill(service: Service, project: str) -> list[Trace]:
    """Three traces: of mara, which answered; of tom, which failed; of mara, slow."""
    now = time.time_ns()
    return [
        service.send(
            Trace(start=now - (30 - number) * SECOND),
            Sent(name, took=took, failed=failed, attributes={"user.id": user, "input.value": f"{name} it"}),
            project=project,
        )
        for number, (name, user, took, failed) in enumerate(
            (("answer", "mara", 10, ""), ("refund", "tom", 20, "no such order"), ("report", "mara", 9_000, ""))
        )
    ]


def names(page: Page) -> list[str]:
    return page.locator("#traces th a").all_inner_texts()


def test_a_search_is_typed_mistyped_shared_and_taken_back(
    page: Page, service: Service, project: str, watched: Watched
) -> None:
    watched.allowed = ("status of 400",)
    fill(service, project)
    page.goto(f"{service.url}/p/{project}/traces")
    page.keyboard.press("/")
    page.keyboard.type("us")
    expect(page.get_by_role("option")).to_have_count(1)
    page.keyboard.press("Tab")
    expect(page.locator("#q")).to_have_value("user:")
    expect(page.get_by_role("option").first).to_contain_text("mara")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.locator("#q")).to_have_value("user:mara ")
    expect(page.locator("#traces tr")).to_have_count(2)
    assert page.url.endswith("?q=user%3Amara")
    page.keyboard.press("Escape")
    page.keyboard.press("Enter")
    page.keyboard.type("latncy>2s")
    expect(page.locator("#q-problem")).to_contain_text("did you mean latency")
    expect(page.locator("#q")).to_have_attribute("aria-invalid", "true")
    assert names(page) == ["report", "answer"]
    page.keyboard.press("Control+Shift+ArrowLeft")
    page.locator("#q").fill("user:mara latency>2s")
    expect(page.locator("#traces tr")).to_have_count(1)
    expect(page.locator("#q-problem")).to_be_empty()

    service.send(Trace(), Sent("report", took=5_000, attributes={"user.id": "mara"}), project=project)
    expect(page.locator("#traces tr")).to_have_count(2)
    service.send(Trace(), Sent("other", took=5_000), project=project)
    page.reload()
    expect(page.locator("#traces tr")).to_have_count(2)
    expect(page.locator("#q")).to_have_value("user:mara latency>2s")
    page.locator("th.t-took").first.click(position={"x": 3, "y": 3})  # beside the word
    expect(page.locator("th.t-took[aria-sort=descending]")).to_be_visible()
    assert names(page) == ["report", "report"]
    expect(page.locator("#traces tr").first).to_contain_text("9.00 s")
    page.go_back()
    expect(page.locator("#traces tr").first).to_contain_text("5.00 s")
    page.goto(f"{service.url}/p/{project}/traces?q=stats:error")
    expect(page.locator("#q-problem")).to_contain_text("did you mean status")
    page.locator("#q").fill("status:error")
    expect(page.locator("#traces th a")).to_have_text(["refund"])
    page.locator("#q").fill("refund -nowhere")
    expect(page.locator("#list")).to_have_attribute("data-said", re.compile("refund"))
    assert page.evaluate(MARKED) == ["refund", "refund"]
    page.locator("#traces").get_by_role("link", name="refund").click()
    expect(page.locator("#found")).to_have_text("1 of 1")
    assert "refund it" in page.locator("#step").inner_text()
    page.keyboard.press("Escape")


def test_a_completion_taken_before_the_next_are_there_replaces_all_that_was_typed(
    page: Page, service: Service, project: str
) -> None:
    fill(service, project)
    held: list[Route] = []
    page.goto(f"{service.url}/p/{project}/traces")
    page.route(re.compile(r"/completions.*[?&]q=us[&$]"), lambda route: held.append(route))
    page.keyboard.press("/")
    page.keyboard.type("u")
    expect(page.get_by_role("option").first).to_contain_text("user:")
    page.keyboard.type("s")
    expect(page.locator("#q")).to_have_value("us")
    page.keyboard.press("Tab")
    expect(page.locator("#q")).to_have_value("user:")
    page.wait_for_timeout(2 * SEARCHED_AFTER_MS)
    # Half a term is no search: its value would be said to be missing before one can type it.
    assert "user" not in urlsplit(page.url).query
    for route in held:
        route.abort()


def test_escape_before_the_completions_are_there_leaves_them_away_and_stays_in_the_box(
    page: Page, service: Service, project: str
) -> None:
    fill(service, project)
    held: list[Route] = []
    page.goto(f"{service.url}/p/{project}/traces")
    page.route(re.compile(r"/completions.*[?&]q=us[&$]"), lambda route: held.append(route))
    page.keyboard.press("/")
    page.keyboard.type("u")
    expect(page.get_by_role("option").first).to_contain_text("user:")
    page.keyboard.press("Escape")
    page.keyboard.type("s")
    wait_until(lambda: held or page.wait_for_timeout(20), "completions are asked for")
    page.keyboard.press("Escape")
    expect(page.locator("#q")).to_be_focused()
    for route in held:
        with page.expect_response(route.request.url):
            route.continue_()
    page.wait_for_function("() => new Promise(done => requestAnimationFrame(() => setTimeout(() => done(true))))")
    expect(page.locator("#completions")).to_be_hidden()
    page.keyboard.press("Escape")
    expect(page.locator("#q")).not_to_be_focused()


def test_a_trace_is_looked_at_beside_the_list_and_many_are_worked_on_by_keyboard(
    page: Page, service: Service, project: str
) -> None:
    first = fill(service, project)
    page.goto(f"{service.url}/p/{project}/traces")
    expect(page.locator("#live")).to_have_attribute("data-state", "on")
    page.keyboard.press("j")
    page.keyboard.press("p")
    expect(page.locator("#peek")).to_contain_text("report it")
    page.keyboard.press("j")
    expect(page.locator("#peek")).to_contain_text("no such order")
    page.keyboard.press("x")
    page.keyboard.press("j")
    page.keyboard.press("x")
    expect(page.locator("#chosen")).to_contain_text("2 traces chosen")
    # New rows take nothing away.
    service.send(Trace(), Sent("late"), project=project)
    expect(page.locator("#traces th a").first).to_have_text("late")
    expect(page.locator(".t-pick input:checked")).to_have_count(2)
    expect(page.locator("#traces").get_by_role("link", name="answer")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("#peek")).to_be_hidden()

    page.get_by_role("button", name="Tag").click()
    page.get_by_role("textbox", name="Tags").fill("golden, night")
    page.keyboard.press("Enter")
    expect(page.locator("#bulk")).to_be_hidden()
    page.get_by_text("Columns").click()
    page.get_by_label("Tags", exact=True).check()
    expect(page.locator(f"#t-{first[1].id} .t-tags")).to_contain_text("golden")
    page.get_by_role("button", name="Compare").click()
    expect(page.locator("h1").first).to_be_visible()
    assert "/compare?" in page.url
    page.go_back()

    expect(page.locator("#live")).to_have_attribute("data-state", "on")
    page.locator(f"#t-{first[0].id} .t-pick input").check()
    page.get_by_role("button", name="Delete").click()
    page.locator("#bulk").get_by_role("button", name="Delete").click()
    expect(page.locator("#traces th a")).to_have_text(["late", "report", "refund"])
    expect(page.locator("#chosen")).to_be_hidden()
    expect(page.locator(f"#t-{first[1].id} .t-tags")).to_contain_text("golden")

    page.keyboard.press(".")
    expect(page.locator("#pause")).to_have_attribute("aria-pressed", "true")
    page.wait_for_timeout(400)  # what the deletion set off is over
    service.send(Trace(), Sent("later"), project=project)
    page.wait_for_timeout(400)
    expect(page.locator("#traces tr")).to_have_count(3)
    page.keyboard.press(".")
    expect(page.locator("#traces tr")).to_have_count(4)
    for width in (360, 800):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_counts_and_the_histogram_edit_the_search_and_views_keep_it(page: Page, service: Service, project: str) -> None:
    fill(service, project)
    hour = 3_600 * SECOND
    root = Sent("ancient")
    ancient = service.send(Trace(start=time.time_ns() - 30 * hour), root, project=project)
    page.set_viewport_size({"width": 1400, "height": 900})
    page.goto(f"{service.url}/p/{project}/traces")
    facets = page.locator("#facets")
    expect(facets).to_contain_text("Status")
    expect(page.locator("#live")).to_have_attribute("data-state", "on")

    # A choice while the rows of before are still asked for, with more news before its own answer.
    asked: list[Route] = []
    lists = re.compile(r"/traces(\?|$)")
    page.route(lists, lambda route: asked.append(route))
    page.evaluate("heard = 0; document.getElementById('live').addEventListener('traces', () => heard++)")
    service.send(ancient, Sent("more", parent=root), project=project)
    wait_until(lambda: page.evaluate("heard") and asked, "the rows are asked for again")
    before = len(asked)
    facets.get_by_role("link", name="tom", exact=True).click()
    wait_until(lambda: page.evaluate("heard") and len(asked) > before, "the chosen ones are asked for at once")
    service.send(ancient, Sent("and more", parent=root), project=project)
    wait_until(lambda: page.evaluate("heard") > 1, "the page knows of the news")
    assert "user" in asked[-1].request.url
    asked[-1].continue_()
    expect(page.locator("#traces th a")).to_have_text(["refund"])
    wait_until(lambda: page.evaluate("heard") and len(asked) > before + 1, "what came meanwhile is asked for after it")
    assert asked[-1].request.url == asked[-2].request.url
    asked[-1].continue_()
    page.unroute(lists)
    expect(page.locator("#q")).to_have_value("user:tom")
    expect(facets.locator(".is-only .facet-only")).to_have_text("tom")
    facets.get_by_role("link", name="tom", exact=True).click()
    expect(page.locator("#traces tr")).to_have_count(4)
    facets.get_by_role("link", name="Without mara").click(force=True)
    expect(page.locator("#q")).to_have_value("-user:mara")
    expect(page.locator("#traces th a")).to_have_text(["refund", "ancient"])

    page.get_by_text("Views", exact=True).click()
    page.get_by_role("button", name="Save this search").click()
    page.get_by_role("textbox", name="Name").fill("Not mara")
    page.keyboard.press("Enter")
    expect(page.locator("#bulk")).to_be_hidden()
    page.goto(f"{service.url}/p/{project}/traces")
    page.get_by_text("Views", exact=True).click()
    page.get_by_role("link", name="Not mara").click()
    expect(page.locator("#q")).to_have_value("-user:mara")

    bars = page.locator(".bars")
    box = bars.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 2, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 20, steps=3)
    page.mouse.up()
    expect(page.locator("#traces th a")).to_have_text(["ancient"])
    assert "from=" in page.url
    page.locator(".chip").click()
    expect(page.locator("#traces tr")).to_have_count(2)

    # On a phone the panel would hide what was found by it.
    page.set_viewport_size({"width": 400, "height": 800})
    expect(facets).to_be_hidden()
    page.get_by_role("button", name="Filters").click()
    facets.get_by_role("link", name="refund", exact=True).click()
    expect(page.locator("#traces th a")).to_have_text(["refund"])
    expect(facets).to_be_hidden()
    expect(page.get_by_role("button", name="Filters")).to_be_focused()
