"""The tags by which a page asks for its modules."""

from __future__ import annotations

import re

import pytest

from tests.client import ROOT, Client, on_one_database
from tracer.pages.static import imported

FOLDER = ROOT / "web" / "static"
SCRIPTS = sorted(path.name for path in FOLDER.glob("*.js"))


@pytest.mark.parametrize("name", SCRIPTS)
def test_all_that_a_module_needs_is_found(name: str) -> None:
    found = set(imported(name))
    for one in {name, *found}:
        needed = re.findall(r'(?<!import\()"\./([\w-]+\.js)"', (FOLDER / one).read_text("utf-8"))
        assert found >= set(needed) - {name}, one
    assert found <= set(SCRIPTS)


@on_one_database
def test_a_page_asks_for_every_module_at_once_and_each_is_there(client: Client) -> None:
    html = client.get("/prices", follow_redirects=True).text
    head = html.partition("</head>")[0]
    asked = re.findall(r'(?:href|src)="([^"]+\.js)"', head)
    assert {"page.js", *imported("page.js")} <= {address.rpartition("/")[2] for address in asked}
    for address in asked:
        answer = client.get(address)
        assert (answer.status_code, answer.headers["cache-control"]) == (200, "public, max-age=31536000, immutable")
