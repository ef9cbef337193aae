"""The time of a trace in a browser: windows, the map, idle stretches, the critical path, where it went."""

from __future__ import annotations

import time

from playwright.sync_api import Page, expect

from tests.browser.conftest import Watched
from tests.browser.service import Sent, Service, Trace
from tests.browser.test_trace import chosen, names, open_trace

SECOND = 10**9


def day(service: Service, project: str) -> tuple[Trace, list[Sent]]:
    """A chain that works for two seconds at the start and at the end, and waits 96 between."""
    root = Sent("day", took=100_000, kind="agent")
    wake = Sent("wake", root, took=2_000, kind="tool")
    fast = Sent("fast", root, at=500, took=300, kind="tool")
    sleep = Sent("sleep", root, at=98_000, took=2_000, kind="llm")
    dream = Sent("dream", sleep, at=98_500, took=1_000, kind="tool")
    spans = [root, wake, fast, sleep, dream]
    return service.send(Trace(start=time.time_ns() - 200 * SECOND), *spans, project=project), spans


def ticks(page: Page) -> list[str]:
    return page.locator(".ticks span").all_inner_texts()


def bar(page: Page, name: str) -> tuple[float, float]:
    found = page.locator(".row", has_text=name).locator(".bar")
    return float((found.get_attribute("x") or "")[:-1]), float((found.get_attribute("width") or "")[:-1])


def test_s24_the_wheel_zooms_at_the_pointer_and_nought_shows_all(page: Page, service: Service, project: str) -> None:
    trace, _ = day(service, project)
    open_trace(page, service, project, trace)
    assert ticks(page) == ["0", "25.00 s", "50.00 s", "1 min 15 s"]
    lane = page.locator(".row", has_text="day").locator("svg.lane").bounding_box()
    assert lane is not None
    page.mouse.move(lane["x"] + lane["width"] * 0.5, lane["y"] + 14)
    page.keyboard.down("Control")
    page.mouse.wheel(0, -250)
    page.keyboard.up("Control")
    expect(page.locator("#whole")).to_be_visible()
    # What was under the pointer still is: the middle stays the middle.
    begin = float(ticks(page)[0].split()[0])
    assert 20 < begin < 50
    assert "t=" in page.url
    page.keyboard.press("0")
    assert ticks(page)[1] == "25.00 s"
    expect(page.locator("#whole")).to_be_hidden()


def test_s24_dragging_over_a_stretch_shows_it_and_a_double_click_fits_a_step(
    page: Page, service: Service, project: str
) -> None:
    trace, _ = day(service, project)
    open_trace(page, service, project, trace)
    before = chosen(page)
    box = page.locator("#map").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 10)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.75, box["y"] + 10, steps=5)
    expect(page.locator("#pick")).to_be_visible()
    page.mouse.up()
    expect(page.locator("#pick")).to_be_hidden()
    # The map shows what of the time is seen: all else is shaded.
    shaded = page.locator(".shade").evaluate_all("all => all.map(one => Math.round(parseFloat(one.style.width)))")
    assert shaded == [50, 25]
    assert 49 < float(ticks(page)[0].split()[0]) < 51
    assert chosen(page) == before
    page.locator(".row", has_text="sleep").locator("svg.lane").dblclick(position={"x": 20, "y": 14})
    assert bar(page, "sleep")[1] > 90
    page.keyboard.press("-")
    assert 40 < bar(page, "sleep")[1] < 55


def test_s24_s42_s43_on_a_phone_the_page_is_used_by_touch(
    page: Page, service: Service, project: str, watched: Watched
) -> None:
    trace, _ = day(service, project)
    assert page.context.browser is not None
    phone = page.context.browser.new_context(
        viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True, reduced_motion="reduce"
    )
    watched.watch(phone)
    touched = phone.new_page()
    open_trace(touched, service, project, trace)
    touched.get_by_role("treeitem", name="sleep").tap()
    expect(touched.locator("#step h2")).to_contain_text("sleep")
    lane = touched.locator(".row", has_text="sleep").locator("svg.lane").bounding_box()
    assert lane is not None
    fingers = phone.new_cdp_session(touched)
    middle, height = lane["x"] + lane["width"] * 0.9, lane["y"] + 14
    for kind, apart in (("touchStart", 6), ("touchMove", 12), ("touchMove", 24), ("touchMove", 36), ("touchEnd", 0)):
        points = [{"x": middle + side * apart, "y": height, "id": at} for at, side in enumerate((-1, 1))]
        fingers.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points if apart else []})
    # Two fingers zoom at the place between them.
    expect(touched.locator("#whole")).to_be_visible()
    assert float(ticks(touched)[0].split(" min ")[0].split()[0]) > 0
    touched.locator("#whole").tap()
    expect(touched.locator("#whole")).to_be_hidden()
    # What keys do elsewhere is within reach without a keyboard.
    touched.get_by_text("More", exact=True).tap()
    touched.get_by_role("button", name="Score the trace").tap()
    dialog = touched.get_by_role("dialog", name="Score")
    expect(dialog).to_contain_text("the whole of day")
    box = dialog.bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 360
    dialog.get_by_role("button", name="Cancel").tap()
    for reading in ("Tree", "Transcript", "Icicle", "Where did it go", "Wiring"):
        touched.get_by_role("tab", name=reading, exact=True).tap()
        assert touched.evaluate("document.documentElement.scrollWidth") <= 360, reading
    slow = "document.getAnimations().filter(one => one.effect.getComputedTiming().duration > 1).length"
    assert touched.evaluate(slow) == 0
    # Kinds are told by a letter and a word, not by colour alone.
    touched.get_by_role("tab", name="Tree", exact=True).tap()
    kinds = touched.locator("#tree .k")
    assert kinds.all_inner_texts() == ["A", "T", "T", "L", "T"]
    assert kinds.first.get_attribute("title") == "agent"
    phone.close()
    # A laptop's page at 200 %.
    page.set_viewport_size({"width": 640, "height": 400})
    open_trace(page, service, project, trace)
    assert page.evaluate("document.documentElement.scrollWidth") <= 640
    page.get_by_role("treeitem", name="dream").click()
    expect(page.locator("#step h2")).to_contain_text("dream")


def test_s25_idle_time_is_pressed_when_asked_for_and_the_axis_shows_where(
    page: Page, service: Service, project: str
) -> None:
    trace, _ = day(service, project)
    open_trace(page, service, project, trace)
    offer = page.locator("#idle")
    expect(offer).to_have_class("offered")
    expect(page.locator(".gap")).to_have_count(0)
    assert bar(page, "wake")[1] < 3
    page.keyboard.press("i")
    expect(offer).to_have_attribute("aria-pressed", "true")
    expect(page.locator(".gap")).to_have_attribute("title", "1 min 36 s in which no step was at work")
    assert bar(page, "wake")[1] > 40
    assert "press=1" in page.url
    page.reload()
    expect(page.locator(".gap")).to_have_count(1)


def test_s26_the_critical_path_is_marked_also_on_what_is_folded(page: Page, service: Service, project: str) -> None:
    trace, _ = day(service, project)
    open_trace(page, service, project, trace)
    expect(page.locator(".crit")).to_have_count(0)
    page.keyboard.press("c")
    marked = page.locator(".row:has(.crit) .name a")
    assert marked.all_inner_texts() == ["day", "wake", "sleep", "dream"]
    page.keyboard.press("1")
    assert names(page) == ["day"]
    assert page.locator(".crit").first.get_attribute("width") == "100.00%"
    page.keyboard.press("c")
    expect(page.locator(".crit")).to_have_count(0)


def test_s28_the_table_sums_up_by_step_and_narrows_the_tree(page: Page, service: Service, project: str) -> None:
    trace, _ = day(service, project)
    open_trace(page, service, project, trace)
    page.get_by_role("tab", name="Where did it go").click()
    table = page.locator("#where table").first
    first = table.locator("tbody tr").first
    assert first.locator("th, td").all_inner_texts()[:3] == ["Aday", "1", "1 min 40 s"]
    expect(first.locator(".self")).to_contain_text("96 %")
    table.get_by_role("button", name="Count").click()
    expect(table.locator("[aria-sort=descending]")).to_have_text("Count")
    path = page.locator("#where table").last
    expect(path.locator("tr").first).to_contain_text("day")
    expect(path.locator("tr").first).to_contain_text("96 %")
    table.get_by_role("button", name="dream").click()
    assert names(page) == ["day", "sleep", "dream"]
    assert chosen(page) == "dream"
    expect(page.locator("#find")).to_have_value("=dream")
