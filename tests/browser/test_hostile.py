"""Pages full of what would take them over, in a real browser: nothing runs, and nobody else is asked for anything."""

from __future__ import annotations

from playwright.sync_api import Dialog, Page, expect

from tests.browser.service import Service
from tests.client import ROOT
from tests.hostile import PAYLOADS, everywhere, request_of

EARLY = (ROOT / "web" / "static" / "early.js").read_text("utf-8")
"""The one script that stands in a page."""

HANDLERS = """
[...document.querySelectorAll("*")].flatMap((one) => one.getAttributeNames()).filter((name) => name.startsWith("on"))
"""


def test_R55_R56_nothing_that_was_said_runs_in_the_browser(page: Page, service: Service, project: str) -> None:
    slug = project.lower()
    text = "\n".join(PAYLOADS)
    spans = everywhere(text)
    for said, sent in ((text, spans), *((payload, everywhere(payload)) for payload in PAYLOADS[::3])):
        service.post("/v1/traces", request_of(said, sent), headers={"x-stepscope-project": slug})
    dialogs: list[str] = []

    def refuse(dialog: Dialog) -> None:
        dialogs.append(dialog.message)
        dialog.dismiss()

    page.on("dialog", refuse)
    trace = f"/p/{slug}/traces/{spans[0]['traceId']}"
    addresses = [f"/p/{slug}/traces", f"/p/{slug}/sessions", *(f"{trace}?span={one['spanId']}" for one in spans)]
    addresses += [f"{trace}?view={view}" for view in ("transcript", "wiring", "tree")]
    for address in addresses:
        page.goto(service.url + address)
        expect(page.locator("#main").first).to_contain_text("window.pwned")
        assert page.evaluate("window.pwned") is None, address
        assert page.locator("script:not([src])").all_text_contents() == [EARLY], address
        assert page.locator("iframe, object, embed, base").count() == 0, address
        assert page.evaluate(HANDLERS) == [], address
    assert dialogs == []
