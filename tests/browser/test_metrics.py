"""Metrics drawn in a browser: from a point to its traces, zoom, a picture, and nothing asked of anybody else."""

from __future__ import annotations

import time
from datetime import datetime
from urllib.parse import parse_qs, urlsplit

from playwright.sync_api import Page, expect

from tests.browser.service import Sent, Service, Trace

HOUR = 3_600 * 10**9


def begin_of(address: str) -> float:
    """The `from` of an address, in seconds."""
    [begin] = parse_qs(urlsplit(address).query)["from"]
    return datetime.fromisoformat(begin).timestamp()


def test_charts_are_drawn_zoomed_kept_and_lead_to_the_traces_behind_a_point(
    page: Page, service: Service, project: str
) -> None:
    now = time.time_ns() // HOUR * HOUR
    for ago in (2, 3, 3, 5):
        service.send(Trace(start=now - ago * HOUR), Sent(f"ask {ago}", took=2_000), project=project)
    page.goto(f"{service.url}/p/{project}/traces")
    page.keyboard.press("g")
    page.keyboard.press("e")
    expect(page.locator(".spark")).to_have_count(3)
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page.locator(".chip")).to_have_count(2)
    expect(page.locator("#charts")).to_have_attribute("data-drawn", "true")
    page.keyboard.press("g")
    page.keyboard.press("m")
    expect(page.locator(".chip")).to_have_count(0)
    charts = page.locator("#charts")
    expect(charts).to_have_attribute("data-drawn", "true")
    expect(page.locator("#plot-count .bars .point")).to_have_count(3)
    expect(page.locator(".modebar")).to_have_count(0)
    assert page.evaluate("document.styleSheets.length") == page.locator("link[rel=stylesheet]").count()

    line = page.locator("#plot-latency .lines path").first
    light = line.evaluate("one => getComputedStyle(one).stroke")
    page.emulate_media(color_scheme="dark")
    expect(line).not_to_have_css("stroke", light)

    box = page.locator("#plot-errors .nsewdrag").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 40)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.9, box["y"] + 60, steps=4)
    page.mouse.up()
    expect(page.locator("#zoomed")).to_be_visible()
    expect(page.locator("#zoomed .when")).to_contain_text("UTC")
    href = page.locator("[data-zoom-here]").get_attribute("href") or ""
    assert "from=" in href
    page.keyboard.press("Escape")
    expect(page.locator("#zoomed")).to_be_hidden()
    page.context.add_cookies([{"name": "stepscope_zone", "value": "Asia%2FTokyo", "url": service.url}])
    page.reload()
    expect(charts).to_have_attribute("data-drawn", "true")
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 40)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.9, box["y"] + 60, steps=4)
    page.mouse.up()
    expect(page.locator("#zoomed .when")).to_contain_text("JST")
    again = page.locator("[data-zoom-here]").get_attribute("href") or ""
    assert abs(begin_of(again) - begin_of(href)) < 60, "the same time, whatever the clocks show"
    page.get_by_role("button", name="Local times").press("Enter")
    expect(page.get_by_role("button", name="UTC: show times of")).to_be_visible()
    expect(charts).to_have_attribute("data-drawn", "true")

    with page.expect_download() as download:
        page.get_by_role("button", name="PNG of Latency").click()
    assert download.value.suggested_filename == "stepscope-latency.png"

    page.locator("#plot-count .bars .point").nth(1).hover(force=True)
    page.mouse.down()
    page.mouse.up()
    expect(page.locator("#traces tr")).to_have_count(2)
    expect(page.locator("#traces")).to_contain_text("ask 3")
    page.locator(".chip").click()
    expect(page.locator("#traces tr")).to_have_count(4)
    page.go_back()
    page.go_back()
    expect(charts).to_have_attribute("data-drawn", "true")
    for width in (360, 800):
        page.set_viewport_size({"width": width, "height": 800})
        page.wait_for_function("width => document.documentElement.scrollWidth <= width", arg=width)
