"""A trace that grows while its page is open, in a browser."""

from __future__ import annotations

import time

from playwright.sync_api import Page, expect

from tests.browser.service import Sent, Service, Trace
from tests.browser.test_trace import chosen, names, open_trace
from tests.client import wait_until

SECOND = 10**9


def test_s21_the_tree_grows_without_a_reload_and_settles_when_the_trace_ends(
    page: Page, service: Service, project: str
) -> None:
    trace, root = Trace(), Sent("answer", took=None, attributes={"input.value": "Where is it?"})
    service.send(trace, root, project=project)
    open_trace(page, service, project, trace)
    page.evaluate("window.stillHere = true")
    expect(page.locator("#head")).to_contain_text("running")
    first = page.locator("#tree .row .took").inner_text()
    expect(page.locator("#tree .row .took")).not_to_have_text(first)

    child = Sent("draft", root, at=100, took=None, kind="llm")
    service.send(trace, child, project=project)
    expect(page.locator("#tree .row a")).to_have_text(["answer", "draft"])
    child.took = root.took = 2_000
    service.send(trace, child, root, project=project)

    expect(page.locator("#head")).to_contain_text("finished")
    expect(page.locator("#tree .row .took")).to_have_text(["2.00 s", "2.00 s"])
    expect(page.locator("#count")).to_have_text("2 steps")
    assert page.evaluate("window.stillHere")


def test_s21_selection_folds_and_scroll_outlive_an_update(page: Page, service: Service, project: str) -> None:
    trace, root = Trace(start=time.time_ns() - 60 * SECOND), Sent("answer", took=None)
    branches = [Sent(f"branch {number}", root, at=number * 100, took=90) for number in range(40)]
    leaves = [Sent(f"leaf {number}", branches[number], at=number * 100, took=80) for number in range(40)]
    service.send(trace, root, *branches, *leaves, project=project)
    open_trace(page, service, project, trace)
    page.locator(".row", has_text="branch 2").first.locator(".fold").click()
    expect(page.get_by_text("leaf 2", exact=True)).to_have_count(0)
    page.evaluate("document.getElementById('scroll').scrollTop = 400")
    page.get_by_role("treeitem", name="leaf 15").click()
    expect(page.locator("#step h2")).to_contain_text("leaf 15")
    top = page.evaluate("document.getElementById('scroll').scrollTop")

    service.send(trace, Sent("earlier", root, at=1, took=5), project=project)

    expect(page.locator("#count")).to_have_text("82 steps")
    assert chosen(page) == "leaf 15"
    assert page.url.endswith(f"span={leaves[15].id}")
    # A row came in above what is seen: the page moves by that row, so that what is seen stays.
    assert page.evaluate("document.getElementById('scroll').scrollTop") == top + 28
    page.evaluate("document.getElementById('scroll').scrollTop = 0")
    expect(page.get_by_text("earlier", exact=True)).to_be_visible()
    assert "leaf 2" not in names(page)


def test_s22_a_step_that_never_ends_is_running_then_abandoned_and_never_absent(
    page: Page, service: Service, project: str
) -> None:
    page.clock.install()
    trace, root = Trace(), Sent("answer", took=None)
    child = Sent("draft", root, at=1, took=None, kind="llm")
    service.send(trace, root, child, project=project)
    open_trace(page, service, project, trace)
    expect(page.locator("#tree .now")).to_have_count(2)
    expect(page.locator("h1 .verdict")).to_contain_text("running")

    service.silence(trace, minutes=9)
    page.clock.run_for(31_000)  # the page looks again by itself
    expect(page.locator("#tree .now")).to_have_count(2)
    service.silence(trace, minutes=1)

    def looked_again() -> bool:
        page.clock.run_for(31_000)
        return page.locator("#tree .lost").count() == 2

    wait_until(looked_again, "both steps are abandoned")
    expect(page.locator("#tree .lost").first).to_have_attribute("title", "stopped reporting")
    expect(page.locator("h1 .verdict")).to_have_text("stopped reporting")
    expect(page.locator("#step")).to_contain_text("This step started and was never heard of again.")
    assert names(page) == ["answer", "draft"]
    page.goto(f"{service.url}/p/{project}/traces")
    expect(page.locator(f"#t-{trace.id} .t-state")).to_contain_text("stopped reporting")


def test_s23_the_output_of_a_running_step_grows_in_its_pane(page: Page, service: Service, project: str) -> None:
    trace = Trace()
    root = Sent("draft", took=None, kind="llm", attributes={"stepscope.output.partial": "It left our"})
    service.send(trace, root, project=project)
    open_trace(page, service, project, trace)
    expect(page.locator("#step [data-part=output]")).to_contain_text("It left our")

    expect(page.locator("#tree .wait")).to_have_count(0)
    root.seq, root.attributes["stepscope.output.partial"] = 2, "It left our workshop"
    root.attributes["gen_ai.response.time_to_first_chunk"] = 0.02
    service.send(trace, root, project=project)

    expect(page.locator("#step [data-part=output]")).to_contain_text("It left our workshop")
    # The darker head of its bar: the time until the first token came.
    expect(page.locator("#tree .wait")).to_have_count(1)
    expect(page.locator("#step .line").first).to_contain_text("first token 20 ms")


def test_the_share_of_a_step_is_that_of_the_whole_trace_once_it_has_ended(
    page: Page, service: Service, project: str
) -> None:
    trace, root = Trace(start=time.time_ns() - 10 * SECOND), Sent("answer", took=None)
    child = Sent("draft", root, at=0, took=1_000)
    service.send(trace, root, child, project=project)
    open_trace(page, service, project, trace)
    page.get_by_role("treeitem", name="draft").click()
    expect(page.locator("#step h2")).to_contain_text("draft")
    expect(page.locator("#step .line")).not_to_contain_text("of the trace")

    root.took = 10_000
    service.send(trace, root, project=project)

    expect(page.locator("#step .line")).to_contain_text("10 % of the trace")


def test_s20_steps_without_their_parent_stand_under_a_place_kept_for_it_until_it_arrives(
    page: Page, service: Service, project: str
) -> None:
    trace, root = Trace(start=time.time_ns() - 5 * SECOND), Sent("answer", took=100)
    late = Sent("late", root, at=1, took=50)
    lost = [Sent("found", late, at=2, took=10), Sent("found too", late, at=20, took=5)]
    service.send(trace, root, *lost, project=project)
    open_trace(page, service, project, trace)
    place = page.locator(f"#s-{late.id}")
    assert names(page) == ["answer", "missing parent", "found", "found too"]
    expect(place).to_have_attribute("aria-level", "1")
    expect(page.locator("#count")).to_have_text("3 steps")
    page.get_by_role("treeitem", name="found too").click()
    page.locator("#step").get_by_role("link", name=late.id).click()
    expect(page.locator("#step")).to_contain_text("has not arrived")
    expect(page.locator(".with-below")).to_contain_text("below it 2 steps")

    service.send(trace, late, project=project)

    expect(page.locator("#tree .row a")).to_have_text(["answer", "late", "found", "found too"])
    expect(page.get_by_role("treeitem", name="found too")).to_have_attribute("aria-level", "3")
    # What was chosen is the step that came.
    assert chosen(page) == "late"
    expect(page.locator("#step h2")).to_contain_text("late")
