"""Hostile content is shown as what it is: it becomes no element, no handler, no address that does something."""

from __future__ import annotations

import html
from collections.abc import Iterator
from html.parser import HTMLParser
from urllib.parse import quote

import pytest

from tests.client import ROOT, Client, Service, on_one_database
from tests.hostile import PAYLOADS, TEMPLATES, everywhere, request_of

TAGS = {
    *("html", "head", "meta", "title", "script", "noscript", "link", "body", "template", "hx-partial"),
    *("header", "footer", "nav", "main", "section", "article", "aside", "div", "span", "search", "menu", "dialog"),
    *(
        "a",
        "p",
        "b",
        "i",
        "em",
        "strong",
        "s",
        "small",
        "code",
        "pre",
        "kbd",
        "samp",
        "var",
        "time",
        "abbr",
        "bdi",
        "bdo",
    ),
    *("h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "li", "dl", "dt", "dd", "mark", "del", "ins", "hr", "br", "wbr"),
    *(
        "table",
        "caption",
        "colgroup",
        "col",
        "thead",
        "tbody",
        "tfoot",
        "tr",
        "th",
        "td",
        "img",
        "figure",
        "figcaption",
    ),
    *("form", "input", "button", "label", "select", "option", "optgroup", "datalist", "textarea", "output", "progress"),
    *("details", "summary", "fieldset", "legend", "blockquote", "sup", "sub"),
    *("svg", "g", "path", "circle", "rect", "line", "text", "polyline", "polygon", "ellipse", "defs", "use", "symbol"),
}
"""Every element that a page of ours may have."""

ADDRESSES = {
    *("src", "href", "action", "formaction", "data", "poster", "xlink:href", "srcset", "background", "cite", "ping"),
    *("hx-get", "hx-post", "hx-put", "hx-patch", "hx-delete", "hx-sse:connect", "manifest"),
}
EARLY = (ROOT / "web" / "static" / "early.js").read_text("utf-8")
"""The one script that may stand in a page."""

PICTURES = ("data:image/png", "data:image/jpeg", "data:image/gif", "data:image/webp")


class Page(HTMLParser):
    """Notes what in a page could do something."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.wrong: list[str] = []
        self._script = False

    def handle_data(self, data: str) -> None:
        if self._script and data != EARLY:
            self.wrong.append("a script of its own")
        self._script = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        if tag not in TAGS:
            self.wrong.append(f"<{tag}>")
        self._script = tag == "script" and not attrs
        if tag == "script" and attrs and not (named.get("src") or "").startswith("/static/"):
            self.wrong.append("a script of its own")
        if tag == "meta" and "http-equiv" in named:
            self.wrong.append("a meta that does something")
        for name, value in named.items():
            if name.startswith(("on", "hx-on", "data-hx-")) or name in ("style", "srcdoc"):
                self.wrong.append(f"{tag} {name}={value!r}")
            if name in ADDRESSES and not self._is_ours(tag, (value or "").strip()):
                self.wrong.append(f"{tag} {name}={value!r}")

    @staticmethod
    def _is_ours(tag: str, value: str) -> bool:
        if tag == "img" and value.startswith(
            ("data:image/png", "data:image/jpeg", "data:image/gif", "data:image/webp")
        ):
            return True
        return (value.startswith(("/", "#", "?")) and not value.startswith("//")) or value == ""


def pages_of(client: Client, trace: str, spans: list[str], slug: str, text: str) -> Iterator[tuple[str, str]]:
    """Every page on which a trace is shown."""
    base = f"/p/{slug}/traces/{trace}"
    addresses = [f"/p/{slug}/traces", base, f"{base}/transcript?turns={','.join(one + 'b' for one in spans)}"]
    addresses += [f"{base}/steps/{one}" for one in spans]
    addresses += [f"{base}/steps/{one}?whole=true" for one in spans[:1]]
    addresses += [f"/p/{slug}/sessions", f"/p/{slug}/sessions/{quote(text, safe='')}"]
    addresses += [f"/p/{slug}/traces?q={quote(text, safe='')}", f"/p/{slug}/compare?a={trace}&b={trace}"]
    for address in addresses:
        answer = client.get(address, follow_redirects=True)
        assert answer.status_code < 500, address
        assert answer.headers["content-type"].startswith("text/html"), address
        yield address, answer.text


def stored(client: Client, text: str) -> tuple[str, list[str]]:
    """A trace that says a text everywhere, also in what people add: its id, and those of its steps."""
    spans = everywhere(text)
    answer = client.ingest(request_of(text, spans))
    assert answer.status_code == 200, answer.text
    trace = spans[0]["traceId"]
    score = {"trace_id": trace, "name": text[:200], "value": text, "comment": text}
    assert client.post("/api/v1/scores", json=score, headers={"x-stepscope-project": client.project}).status_code == 200
    added = {"name": text[:200], "note": text, "tags": [text[:200]]}
    assert client.patch(f"/api/v1/traces/{trace}", json=added, params={"project": client.project}).status_code == 200
    return trace, [one["spanId"] for one in spans]


@on_one_database
@pytest.mark.parametrize("text", PAYLOADS)
def test_R55_no_text_becomes_anything_but_text(client: Client, text: str) -> None:
    trace, spans = stored(client, text)
    slug = client.read("/api/v1/projects")["items"]
    mine = next(one["slug"] for one in slug if one["name"] == client.project)
    seen = 0
    for address, page in pages_of(client, trace, spans, mine, text):
        read = Page()
        read.feed(page)
        read.close()
        assert read.wrong == [], address
        seen += ("pwned=1" if "pwned" in text else "evil.example") in page
    assert seen >= 4
    for path in (f"/api/v1/traces/{trace}", f"/api/v1/traces/{trace}/spans", "/api/v1/scores", "/api/v1/projects"):
        answer = client.get(path)
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["x-content-type-options"] == "nosniff"


@on_one_database
@pytest.mark.parametrize("text", ["<img src=x onerror=window.pwned=1>", '"><script>window.pwned=1</script>'])
def test_R55_a_projects_name_is_text_too(service: Service, text: str) -> None:
    with Client(service.url) as plain, Client(service.url, project=f"{text} {plain.project}") as client:
        spans = everywhere("x")
        named = {"x-stepscope-project": quote(client.project)}
        assert client.post("/v1/traces", json=request_of("x", spans), headers=named).status_code == 200
        for path in ("/settings/keys", "/settings/people", "/settings/privacy", "/settings/audit", "/"):
            read = Page()
            read.feed(client.get(path, follow_redirects=True).text)
            assert read.wrong == [], path
        client.delete(f"/api/v1/traces/{spans[0]['traceId']}")


@on_one_database
@pytest.mark.parametrize("text", TEMPLATES)
def test_R57_what_looks_like_a_template_stays_as_it_is(client: Client, text: str) -> None:
    trace, spans = stored(client, text)
    mine = next(one["slug"] for one in client.read("/api/v1/projects")["items"] if one["name"] == client.project)
    for address, page in pages_of(client, trace, spans, mine, text):
        if "/compare" not in address and "sessions" not in address:
            assert text in html.unescape(page), address
    assert client.trace(trace)["name"] == text
