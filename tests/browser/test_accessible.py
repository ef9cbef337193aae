"""What axe finds on each page: no violation that is serious or worse, light and dark."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Watched
from tests.browser.service import Sent, Service, Trace
from tests.needs import missing
from tools.node import NodeMissing, find_node

LINT = Path(__file__).resolve().parents[2] / "web" / "lint"
SECOND = 10**9
RUN = """async () => (await axe.run(document, {resultTypes: ["violations"]})).violations
  .filter(one => ["serious", "critical"].includes(one.impact))
  .map(one => `${one.id}: ${one.nodes.slice(0, 4).map(node => node.target.join(" ")).join(", ")}`)"""


@pytest.fixture(scope="module")
def axe() -> str:
    """axe's source."""
    try:
        find_node(may_install=True).install(LINT)
    except NodeMissing as problem:
        missing(f"axe: {problem}")
    return (LINT / "node_modules" / "axe-core" / "axe.min.js").read_text()


def test_axe_finds_no_serious_violation_on_any_page(
    page: Page, service: Service, project: str, axe: str, watched: Watched
) -> None:
    watched.allowed = ("status of 400",)
    said = {"session.id": "talk", "user.id": "mara", "input.value": "Is it open?", "output.value": "Yes."}
    now = time.time_ns()
    traces = []
    for ago in (900, 60):
        root = Sent("answer", took=900, attributes=dict(said))
        call = Sent("call", parent=root, at=10, kind="llm", attributes={"gen_ai.request.model": "gpt-4o-mini"})
        broken = Sent("look_up", parent=root, at=30, kind="tool", failed="no such order")
        traces.append(service.send(Trace(start=now - ago * SECOND), root, call, broken, project=project))
        given = {"trace_id": traces[-1].id, "project": project, "name": "helpful", "value": ago / 1000}
        service.post("/api/v1/scores", {**given, "source": "user"})
    home = f"/p/{project}"
    view = service.post("/api/v1/views", {"project": project, "name": "Failed", "q": "status:error"})
    limit = {"view_id": view["id"], "name": "Any", "measure": "count", "threshold": 9, "window_minutes": 5}
    service.post("/api/v1/alerts", {**limit, "url": "http://127.0.0.1:9/"})
    pages = {
        f"{home}/traces": "#facets li",
        f"{home}/traces?q=stats:error": "#q-problem",
        f"{home}/traces?peek={traces[0].id}": "#peek h2",
        f"{home}/traces/{traces[0].id}": "#tree .row",
        f"{home}/sessions": "th a",
        f"{home}/sessions/talk": ".turn",
        f"{home}/users": "th a",
        f"{home}/users/mara": "th a",
        f"{home}/steps": ".spark",
        f"{home}/metrics": "#charts[data-drawn]",
        f"{home}/alerts": "#form select",
        f"{home}/scores": ".spread-of",
        f"{home}/compare?a={traces[0].id}&b={traces[1].id}": ".row",
        "/settings/prices": "h1",
        "/projects": "tbody th a",
        f"/start?project={project}-new": ".welcome",
        f"/projects/{project}": "#delete",
    }
    page.set_viewport_size({"width": 1400, "height": 900})
    found: list[str] = []
    # In the dark only contrast can differ: the pages with most colours tell.
    dark = {
        address: sign
        for address, sign in pages.items()
        if not re.search("stats|user|peek|compare|prices|projects|start|sessions$", address)
    }
    schemes: tuple[tuple[Literal["light", "dark"], dict[str, str]], ...] = (("light", pages), ("dark", dark))
    for scheme, some in schemes:
        page.emulate_media(color_scheme=scheme)
        for address, sign in some.items():
            page.goto(service.url + address)
            expect(page.locator(sign).first).to_be_visible()
            page.evaluate(axe)
            found += [f"{scheme} {address.replace(project, '…')} {one}" for one in page.evaluate(RUN)]
    assert not found, "\n".join(found)
