"""Every page: no complaint from the browser, hostile content inert, colours, errors, sign-in."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from playwright.sync_api import Dialog, Page, Route, expect

from tests.browser.conftest import Watched
from tests.browser.service import AnyValue, Sent, Service, Trace
from tests.counts import counted

HOSTILE = (
    "<img src=x onerror=alert(1)><script>alert(2)</script>\"'><svg onload=alert(3)> {{7*7}} "
    '<a hx-get="/stolen" hx-trigger="load">x</a> javascript:alert(4) \u202egnp.exe </textarea></title></style>'
)


def test_hostile_content_is_shown_as_text_everywhere(page: Page, service: Service) -> None:
    dialogs: list[str] = []

    def opened(dialog: Dialog) -> None:
        dialogs.append(dialog.message)
        dialog.dismiss()

    page.on("dialog", opened)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    attributes: dict[str, AnyValue] = {
        "input.value": HOSTILE,
        "output.value": HOSTILE,
        "session.id": HOSTILE,
        "user.id": HOSTILE,
        "gen_ai.request.model": HOSTILE,
        "gen_ai.provider.name": HOSTILE,
        "llm.prompt_template.template": HOSTILE,
        HOSTILE: HOSTILE,
    }
    root = Sent(HOSTILE, kind="llm", failed=HOSTILE, attributes=attributes)
    trace = service.send(Trace(), root, project=HOSTILE.replace("\u202e", ""))
    page.goto(f"{service.url}/traces/{trace.id}")
    expect(page.locator("#live")).to_have_attribute("data-state", "on")
    expect(page.locator("#step h2")).to_contain_text("<script>alert(2)</script>")
    for summary in page.locator("#step .more summary").all():
        summary.click()
    elements = "#main img, #main script, #main [onerror], #main [onload], #main [hx-get], #main a[href^=javascript]"
    assert page.locator(elements).count() == 0
    page.locator("#crumbs a").first.click()
    expect(page.locator("#traces th a")).to_contain_text("<img src=x onerror=alert(1)>")
    assert page.locator(elements).count() == 0
    assert dialogs == []
    assert not [url for url in asked if "stolen" in url or url.endswith("/x")]


def test_a_page_that_does_not_exist_says_so(page: Page, service: Service, watched: Watched) -> None:
    watched.allowed = ("404",)
    answer = page.goto(f"{service.url}/p/nobody-has-this/traces")
    assert answer is not None
    assert answer.status == 404
    expect(page.locator("main")).to_contain_text("There is no project 'nobody-has-this'")
    page.get_by_role("link", name="To the traces").click()
    expect(page.locator("#list")).to_be_visible()


def test_the_colours_can_be_changed_and_stay_changed(page: Page, service: Service) -> None:
    service.send(Trace(), Sent("answer"), project="colours")
    page.emulate_media(color_scheme="light")
    page.goto(f"{service.url}/p/colours/traces")
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    button = page.get_by_role("button", name="Colours")
    button.click()
    assert page.evaluate(ground) == light
    button.click()
    dark = page.evaluate(ground)
    assert dark != light
    page.reload()
    assert page.evaluate(ground) == dark
    page.get_by_role("button", name="Colours: dark").click()
    assert page.evaluate(ground) == light


@pytest.mark.parametrize("width", [360, 800, 1280, 2400])
def test_no_page_scrolls_sideways(page: Page, service: Service, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    root = Sent("a_rather_long_name_for_a_step_" * 5, took=3_000, attributes={"input.value": "word " * 400 + "x" * 900})
    child = Sent("lookup", root, at=100, took=50, kind="tool", failed="no such order " * 30)
    trace = service.send(Trace(start=time.time_ns() - 10**10), root, child, project="widths")
    for address in (f"/traces/{trace.id}", f"/traces/{trace.id}?span={root.id}", "/p/widths/traces"):
        page.goto(service.url + address)
        expect(page.locator("#live")).to_have_attribute("data-state", "on")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, address


def test_the_page_finds_the_stream_again_after_the_server_was_away(
    page: Page, new_service: Callable[..., Service], watched: Watched
) -> None:
    watched.allowed = ("htmx:sse:error", "ERR_CONNECTION_REFUSED", "ERR_INCOMPLETE_CHUNKED_ENCODING", "htmx:error")
    service = new_service()
    service.send(Trace(start=time.time_ns() - 10**9), Sent("before"))
    page.goto(f"{service.url}/p/shop/traces")
    expect(page.locator("#live")).to_have_attribute("data-state", "on")

    service.restart()
    service.send(Trace(), Sent("after"))

    expect(page.locator("#traces th a").first).to_have_text("after")
    expect(page.locator("#live")).to_have_attribute("data-state", "on")


class OtherPage(ThreadingHTTPServer):
    """A web server of somebody else, with one page."""

    html = ""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), OtherAnswer)
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()


class OtherAnswer(BaseHTTPRequestHandler):
    """Gives the page for whatever is asked."""

    def do_GET(self) -> None:
        """Answer one request."""
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        html = self.server.html if isinstance(self.server, OtherPage) else ""
        self.wfile.write(b"<!doctype html><link rel=icon href=data:,>" + html.encode())

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def other() -> Iterator[OtherPage]:
    """A page of another origin."""
    with OtherPage() as running:
        yield running
        running.shutdown()


def test_s16_s45_everything_works_below_a_base_path_and_a_trace_in_the_frame_of_another_page(
    page: Page, new_service: Callable[..., Service], watched: Watched, other: OtherPage
) -> None:
    watched.allowed = ("asked http://localhost", "frame-ancestors")
    service = new_service("--base-path", "/tools/scope", "--embed-origins", f"http://localhost:{other.server_port}")
    assert service.url.endswith("/tools/scope")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{service.url}/")
    expect(page.locator("#snippet-python-2")).to_contain_text(service.url)
    expect(page.locator("#live")).to_have_attribute("data-state", "on")
    trace, root = Trace(), Sent("answer", took=None)
    service.send(trace, root)
    page.locator("#traces").get_by_role("link", name="answer").click()
    expect(page.locator("#live")).to_have_attribute("data-state", "on")

    service.send(trace, Sent("draft", root))

    page.get_by_role("treeitem", name="draft").click()
    expect(page.locator("#step h2")).to_contain_text("draft")
    page.get_by_text("More", exact=True).click()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download as JSON").click()
    assert trace.id in download.value.path().read_text()
    page.goto(f"{service.url}/traces/{trace.id}?span={root.id}&view=tree")
    expect(page.get_by_role("tab", name="Tree", exact=True)).to_have_attribute("aria-selected", "true")
    assert not [address for address in asked if not address.startswith(service.url)]

    link = service.post("/api/v1/shares", {"trace_id": trace.id})["url"]
    other.html = f"<iframe src='{link}' width='900' height='500'></iframe>"
    frame = page.frame_locator("iframe")
    page.goto(f"http://localhost:{other.server_port}/")
    expect(frame.locator("h1")).to_contain_text("answer")
    frame.get_by_role("treeitem", name="draft").click()
    expect(frame.locator("#step h2")).to_contain_text("draft")
    with page.expect_event("console", lambda message: "frame-ancestors" in message.text):
        page.goto(f"http://127.0.0.1:{other.server_port}/")


def test_a_tab_that_opens_hidden_takes_no_connection_until_it_is_looked_at(page: Page, service: Service) -> None:
    service.send(Trace(), Sent("answer"), project="hidden")
    page.add_init_script("Object.defineProperty(document, 'hidden', {get: () => !window.looked, configurable: true})")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{service.url}/p/hidden/traces", wait_until="load")
    page.evaluate("new Promise(done => setTimeout(done))")
    assert not [address for address in asked if address.endswith("/live")]

    page.evaluate("window.looked = true; document.dispatchEvent(new Event('visibilitychange'))")

    expect(page.locator("#live")).to_have_attribute("data-state", "on")


AWAY = """
Object.defineProperty(document, 'hidden', {get: () => window.away === true, configurable: true});
document.addEventListener('ready', () => setTimeout(() => {
  if (location.search.includes('order')) return;
  window.away = true;
  document.dispatchEvent(new Event('visibilitychange'));
}), true);
"""
"""Whoever opens the next tab leaves the one before, which has its stream by then."""


def test_open_tabs_leave_another_its_connections_and_ask_nothing(page: Page, service: Service, project: str) -> None:
    service.send(Trace(), Sent("before"), project=project)
    address = f"{service.url}/p/{project}/traces"
    context = page.context
    context.add_init_script(AWAY)
    # A browser has six connections for all of them.
    others = [context.new_page() for _ in range(counted(6, 12))]
    for number, other in enumerate(others):
        other.goto(f"{service.url}/start" if number else address, wait_until="commit")
    page.goto(f"{address}?order=start_time")
    expect(page.locator("#live")).to_have_attribute("data-state", "on")
    for other in others:
        other.wait_for_function("window.away === true")
    asked: list[str] = []
    for other in others:
        other.on("request", lambda request: asked.append(request.url))
    service.send(Trace(), Sent("after"), project=project)
    expect(page.locator("#traces tr")).to_have_count(2)
    assert asked == []
    others[0].evaluate("window.away = false; document.dispatchEvent(new Event('visibilitychange'))")
    expect(others[0].locator("#traces tr")).to_have_count(2)


def test_beyond_loopback_a_page_is_read_only_after_signing_in(
    page: Page, new_service: Callable[..., Service], watched: Watched
) -> None:
    # 127.0.0.2 is this machine, and still not one of the names under which the server takes everybody for its owner.
    watched.allowed = ("401",)
    service = new_service(host="127.0.0.2")
    page.goto(next(line for line in service.said if "/join/" in line))
    page.get_by_label("E-mail").fill("ada@example.com")
    page.get_by_label("Password").fill("a long enough one")
    page.get_by_label("Password").press("Enter")
    page.wait_for_url(f"{service.url}/")
    page.goto(f"{service.url}/settings/keys")
    page.get_by_label("Name").fill("app")
    page.get_by_label("Project").fill("default")
    page.get_by_label("It may").select_option("ingest")
    page.get_by_role("button", name="Make the key").click()
    key = page.locator("#secret").inner_text()
    page.get_by_role("button", name="Sign out").click()
    trace, root = Trace(), Sent("secret")
    service.post("/v1/traces", trace.otlp([root]), headers={"Authorization": f"Bearer {key}"})

    page.goto(f"{service.url}/traces/{trace.id}?span={root.id}")

    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    assert "secret" not in page.content()
    page.get_by_label("E-mail").fill("ada@example.com")
    page.get_by_label("Password").fill("a wrong one, but long")
    page.get_by_label("Password").press("Enter")
    expect(page.get_by_role("alert").filter(has_text="The address or the password is wrong.")).to_be_visible()
    expect(page.get_by_label("Password")).to_be_focused()
    page.get_by_label("Password").fill("a long enough one")
    page.get_by_label("Password").press("Enter")
    expect(page.locator("#step h2")).to_contain_text("secret")
    assert page.url == f"{service.url}/p/default/traces/{trace.id}?span={root.id}"
    expect(page.locator("#live")).to_have_attribute("data-state", "on")
    cookie = page.context.cookies()[0]
    assert cookie["httpOnly"]
    assert cookie["sameSite"] == "Lax"
    page.get_by_role("button", name="Sign out").click()
    page.goto(f"{service.url}/p/default/traces")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


def test_what_is_pressed_and_chosen_before_the_scripts_are_there_is_not_lost(
    page: Page, service: Service, project: str
) -> None:
    trace = service.send(Trace(), Sent("answer"), project=project)
    held: list[Route] = []
    page.route(re.compile(r"/(page|list)\.js$"), lambda route: held.append(route))
    page.goto(f"{service.url}/p/{project}/traces", wait_until="commit")
    expect(page.locator("#traces tr")).to_have_count(1)
    page.keyboard.press("?")
    page.locator(f"#t-{trace.id} .t-pick input").check()
    page.get_by_text("Columns").click()
    page.get_by_label("Tags", exact=True).check()
    expect(page.locator(".keylist")).to_have_count(0)
    for route in held:
        route.continue_()
    expect(page.locator(".keylist")).to_be_visible()
    expect(page.locator("#chosen")).to_contain_text("1 trace chosen")
    assert {"with-tags", "with-took"} <= set((page.locator("#main").get_attribute("class") or "").split())
