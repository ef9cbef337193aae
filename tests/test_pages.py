"""The pages as text: what they say, what they escape, and that nothing stored can break them."""

from __future__ import annotations

import gzip
import json
import re
from html import unescape
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from fastapi import Request
from hypothesis import given
from hypothesis import strategies as st

from tests import make
from tests.client import Client
from tests.make import START
from tracer.otlp.dialects.reading import Content, Usage
from tracer.pages import reading, words
from tracer.pages.addresses import url
from tracer.pages.json_view import json_tree
from tracer.pages.sign_in import safe_next
from tracer.pages.skeletons import SkeletonCache
from tracer.pages.trace import MOST_AT_ONCE
from tracer.pages.tree_rows import FIRST_ROWS, first_rows, skeleton
from tracer.pages.wrong import Wrong, wrong_in
from tracer.queries.outline import CHILD_ERROR, NO_PRICE, STATUSES, SUMMED, Outline
from tracer.queries.rows import Partial, SpanRow, Step, TraceRow
from tracer.resources import early_script, resource_dir
from tracer.units import DAY, HOUR, MINUTE, SECOND, Nanos, NanoUsd, UnixNanos

PAYLOADS = Path(__file__).parent / "payloads"
HOSTILE = "<script>alert(1)</script><b onclick='x'>{{7*7}}"
HTMX = {"HX-Request": "true", "HX-Request-Type": "partial"}

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40) | st.just(HOSTILE),
    lambda below: st.lists(below, max_size=6) | st.dictionaries(st.text(max_size=12) | st.just(HOSTILE), below),
    max_leaves=30,
)


def asked(base_path: str = "") -> Request:
    """A request as it reaches a route."""
    return Request({"type": "http", "root_path": base_path, "headers": []})


def row(depth: int = 0, **more: Any) -> SpanRow:
    base: dict[str, Any] = {
        "trace_id": "ab" * 16,
        "span_id": make.new_span_id(),
        "parent_id": None,
        "depth": depth,
        "orphan": False,
        "child_count": 0,
        "name": "step",
        "kind": "chain",
        "status": "ok",
        "status_message": None,
        "start_time": UnixNanos(START),
        "end_time": None,
        "duration": Nanos(SECOND),
        "model": None,
        "provider": None,
        "usage": None,
        "cost": None,
        "input_cost": None,
        "output_cost": None,
        "cost_source": None,
        "time_to_first_token": None,
        "service": None,
        "dialect": "otel",
    }
    return SpanRow(**{**base, **more})


def step(content: Content, **more: Any) -> Step:
    base: dict[str, Any] = {
        "row": row(),
        "content": content,
        "session_id": None,
        "user_id": None,
        "environment": None,
        "release": None,
        "tags": (),
        "metadata": {},
        "events": (),
        "links": (),
        "resource": {},
        "scope": {},
        "attributes": {},
        "partial_output": None,
        "otlp_kind": 0,
        "flags": (),
    }
    return Step(**{**base, **more})


def trace(**more: Any) -> TraceRow:
    """A trace's row, of which only the named fields matter."""
    base = {"status": "ok", "failed_in": None, "error_count": 0, "trace_id": "ab" * 16, "version": 1, "received": 1}
    return cast(TraceRow, SimpleNamespace(**{**base, **more}))


# What pages say


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ({"status": "error", "failed_in": "lookup_order"}, "failed in lookup_order"),
        ({"status": "error"}, "failed"),
        ({"status": "running"}, "running"),
        ({"status": "abandoned"}, "stopped reporting"),
        ({"status": "ok"}, "finished"),
        ({"status": "unset", "error_count": 2}, "finished, 2 steps failed"),
    ],
)
def test_a_trace_is_summed_up_in_words(state: dict[str, Any], said: str) -> None:
    found = words.verdict(trace(**state))
    assert f"{found.words} {found.place or ''}".strip() == said


def test_where_it_is_known_the_steps_that_only_carry_an_error_are_not_counted() -> None:
    assert words.verdict(trace(error_count=3), 1).words == "finished, 1 step failed"


@pytest.mark.parametrize(
    ("age", "said"),
    [
        (0, "just now"),
        (-30 * SECOND, "just now"),
        (59 * SECOND, "59 s ago"),
        (60 * SECOND, "1 min ago"),
        (HOUR - 1, "59 min ago"),
        (HOUR, "1 h ago"),
        (2 * DAY, "2 d ago"),
        (8 * DAY, "2025-11-16"),
        (-2 * MINUTE, "2025-11-24"),
    ],
)
def test_a_moment_is_told_by_its_age_while_that_says_more_than_its_date(age: int, said: str) -> None:
    assert words.ago(START - age, START) == said


def test_a_name_is_never_empty_and_never_endless() -> None:
    assert words.name_of(" \n") == "(unnamed)"
    assert words.name_of("x" * 5_000) == "x" * 199 + "…"


def test_an_unknown_price_is_said_and_never_shown_as_nothing() -> None:
    usage = Usage(input=10, output=2)
    assert words.step_cost("llm", usage, None) == "no price"
    assert words.step_cost("tool", None, None) == ""
    assert words.step_cost("llm", usage, NanoUsd(0)) == "$0"
    assert words.trace_cost(None, 12, None) == "no price"
    assert words.trace_cost(NanoUsd(2_400_000), 12, Partial(("no price",), 1)) == "$0.0024+"


def test_addresses_are_quoted_and_know_the_base_path() -> None:
    assert url(asked("/scope/"), "/p/{slug}/traces", {"after": "a b", "no": None}, slug="x/../y?") == (
        "/scope/p/x%2F..%2Fy%3F/traces?after=a+b"
    )


@pytest.mark.parametrize(
    "wanted",
    ["//evil.example", "/\\evil.example", "https://evil.example", "javascript:alert(1)", "/a\r\nb", "", "/ü", "evil"],
)
def test_r60_signing_in_never_leads_to_another_site(wanted: str) -> None:
    assert safe_next(asked(), wanted) == "/"


def test_signing_in_leads_back_to_the_page_that_asked_for_it() -> None:
    assert safe_next(asked(), "/traces/ab?span=cd") == "/traces/ab?span=cd"
    assert safe_next(asked("/scope"), "/scope/p/x/traces") == "/scope/p/x/traces"
    assert safe_next(asked("/scope"), "/elsewhere") == "/scope/"


# Content


@given(json_values)
def test_r55_json_of_any_shape_is_drawn_as_text(value: object) -> None:
    html = str(json_tree(value))
    assert set(re.findall(r"</?(\w+)", html)) <= {"div", "span", "bdi", "details", "summary"}
    assert html.count("<details") == html.count("</details>")
    assert html.count("<div") == html.count("</div>")


def test_r30_json_nested_without_end_is_drawn_down_to_a_level_and_says_so() -> None:
    value: object = "bottom"
    for _ in range(50_000):
        value = [value]
    html = str(json_tree(value))
    assert len(html) < 20_000
    assert "inside, in the raw view" in html


def test_json_with_too_much_in_it_says_how_much_is_left() -> None:
    html = str(json_tree(list(range(1_000)), max_nodes=101))
    assert "at least 900 more" in html


@given(json_values, json_values, json_values)
def test_no_content_of_any_shape_breaks_the_page_of_its_step(first: Any, second: Any, third: Any) -> None:
    messages = [
        {"role": first, "parts": second},
        {"role": "user", "parts": [third, {"type": "text", "content": first}]},
    ]
    content = Content(
        input_messages=messages,
        output_messages=[{"parts": [{"type": "tool_call", "id": first, "arguments": second}]}],
        tool={"name": first, "arguments": second, "result": third},
        documents=[{"id": first, "score": second, "content": third, "metadata": second}],
        prompt={"name": first, "version": second, "template": third, "variables": first},
    )
    one = step(content, attributes={"value": first})
    assert reading.input_side(one)
    assert reading.output_side(one)
    assert reading.prompt(one)
    assert reading.documents(one)[0]


def test_a_result_is_shown_in_the_call_that_asked_for_it() -> None:
    call = {"type": "tool_call", "id": "c1", "name": "lookup", "arguments": '{"order": 7}'}
    result = {"type": "tool_call_response", "id": "c1", "response": "found"}
    views = reading.chat([{"role": "assistant", "parts": [call]}, {"role": "tool", "parts": [result]}])
    assert [view.role for view in views] == ["assistant"]
    (part,) = views[0].parts
    assert part.result is not None
    assert part.result.text is not None
    assert part.result.text.head == "found"


def test_a_result_that_nobody_asked_for_stands_alone() -> None:
    result = {"type": "tool_call_response", "id": "c9", "response": "found"}
    (view,) = reading.chat([{"role": "tool", "parts": [result]}])
    assert view.parts[0].kind == "result"


def test_a_long_conversation_shows_its_first_and_its_newest_messages_and_says_what_it_leaves_out() -> None:
    said = [{"role": "user", "parts": [{"type": "text", "content": str(number)}]} for number in range(300)]
    one = step(Content(input_messages=said))
    side = reading.input_side(one)
    assert side is not None
    heads = [view.parts[0].text.head for view in side.messages if view.parts[0].text]
    assert (heads[0], heads[1], heads[-1], len(heads), side.skipped) == ("0", "221", "299", 80, 220)
    whole = reading.input_side(one, whole=True)
    assert whole is not None
    assert len(whole.messages) == 300


# The tree's rows


def grown(*steps: dict[str, Any]) -> Outline:
    """An outline of steps in tree order; `depth` is all that a step has to say."""
    size = len(steps)
    depth = [int(one.get("depth", 0)) for one in steps]
    end = [next((at for at in range(row + 1, size) if depth[at] <= depth[row]), size) for row in range(size)]
    children = [sum(1 for at in range(row + 1, end[row]) if depth[at] == depth[row] + 1) for row in range(size)]
    start = [int(one.get("start", 0)) for one in steps]
    duration = [int(one.get("duration", SECOND)) for one in steps]
    ends = [begin + max(0, took) for begin, took in zip(start, duration, strict=True)]
    return Outline(
        first=START,
        ids=[bytes.fromhex(make.new_span_id()) for _ in steps],
        depth=depth,
        end=end,
        children=children,
        start=start,
        duration=duration,
        reach=[max(ends[row : end[row]]) for row in range(size)],
        name=[str(one.get("name", "step")) for one in steps],
        kind=[int(one.get("kind", 1)) for one in steps],
        status=[STATUSES.index(str(one.get("status", "ok"))) for one in steps],
        model=[None] * size,
        tokens=[int(one.get("tokens", -1)) for one in steps],
        cost=[int(one.get("cost", -1)) for one in steps],
        first_token=[-1] * size,
        flags=[int(one.get("flags", 0)) for one in steps],
    )


NOW = UnixNanos(START)


def test_the_page_brings_the_first_rows_with_their_place_among_their_siblings() -> None:
    rows = grown({}, {"depth": 1}, {"depth": 2}, {"depth": 1}, {})
    views = first_rows(rows, selected=2, now=NOW)
    assert [(view.level, view.position, view.siblings) for view in views] == [
        (1, 1, 2),
        (2, 1, 2),
        (3, 1, 1),
        (2, 2, 2),
        (1, 2, 2),
    ]
    assert [view.selected for view in views] == [False, False, True, False, False]


def test_a_large_trace_sends_few_rows_and_all_of_them_as_columns() -> None:
    rows = grown({}, *({"depth": 1, "name": f"{number % 2}"} for number in range(999)))
    assert len(first_rows(rows, selected=None, now=NOW)) == FIRST_ROWS
    columns = skeleton(trace(), rows)
    assert len(cast(str, columns["ids"])) == 16 * 1_000
    assert columns["names"] == ["step", "0", "1"]
    assert len(json.dumps(columns, separators=(",", ":"), default=list)) < 60 * 1_000


def test_s33_more_than_five_neighbours_alike_stand_in_one_row_that_sums_them_up() -> None:
    lengths = [30, 10, 20, 60, 50, 40, 70]
    alike = [
        {"depth": 1, "name": "fetch", "duration": took * 10**6, "tokens": 5, "flags": 2 if took == 20 else 0}
        for took in lengths
    ]
    rows = grown({"name": "root"}, *alike, {"depth": 1, "name": "end"})
    _, many, end = first_rows(rows, selected=None, now=NOW)
    assert (many.times, many.folds, many.folded, many.mark) == (7, True, True, "below")
    assert (many.duration, many.model, many.tokens) == ("≤ 70 ms", "10 ms · 40 ms · 70 ms · 1 failed", "35")
    assert (many.position, end.position, end.siblings) == (1, 8, 8)
    opened = first_rows(rows, selected=4, now=NOW)
    assert [(view.times, view.folded) for view in opened[1:4]] == [(7, False), (0, False), (0, False)]
    assert len(first_rows(grown({}, *alike[:5]), selected=None, now=NOW)) == 6


def test_s8_a_figure_that_lacks_a_part_is_marked_and_says_why() -> None:
    (view,) = first_rows(grown({"tokens": 12, "cost": 2_400_000, "flags": SUMMED | NO_PRICE}), selected=None, now=NOW)
    assert (view.tokens, view.cost, view.figures) == ("12", "$0.0024+", "rolled")
    assert view.lacks == "partial: there are calls without a price in it"


def test_s9_a_call_without_a_price_says_so() -> None:
    (view,) = first_rows(grown({"kind": 3, "tokens": 12, "flags": NO_PRICE}), selected=None, now=NOW)
    assert view.cost == "no price"


def test_s7_a_step_that_its_children_outlive_shows_how_far_they_went() -> None:
    rows = grown({"duration": SECOND}, {"depth": 1, "start": SECOND // 2, "duration": 2 * SECOND})
    parent, child = first_rows(rows, selected=None, now=NOW)
    assert (parent.duration, parent.width, parent.tail_x, parent.tail) == ("1.00 s", "40.00%", "40.00%", "60.00%")
    assert child.tail == ""


@pytest.mark.parametrize(
    ("state", "mark"),
    [
        ({"status": "error"}, "own"),
        ({"status": "error", "flags": CHILD_ERROR}, "through"),
        ({"flags": CHILD_ERROR}, "below"),
        ({"status": "running", "flags": CHILD_ERROR}, "running"),
        ({}, ""),
    ],
)
def test_s10_a_step_that_failed_by_itself_is_marked_apart_from_those_above_it(state: dict[str, Any], mark: str) -> None:
    (view,) = first_rows(grown(state), selected=None, now=NOW)
    assert view.mark == mark


def test_s11_the_head_counts_causes_and_names_the_step_to_look_at_first() -> None:
    rows = grown(
        {"status": "error", "flags": CHILD_ERROR},
        {"depth": 1, "status": "error", "start": 1, "name": "cache"},
        {"depth": 1, "flags": CHILD_ERROR, "start": 2},
        {"depth": 2, "status": "error", "start": 3, "name": "look up"},
    )
    ids = [span_id.hex() for span_id in rows.ids]
    assert wrong_in(trace(status="error"), rows) == Wrong(own=2, above=1, span_id=ids[3], name="look up")
    assert wrong_in(trace(status="running"), rows) == Wrong(own=2, above=1, span_id=ids[1], name="cache")
    assert wrong_in(trace(), grown({}, {"depth": 1})) is None


@given(st.lists(st.tuples(st.integers(0, 2**62), st.integers(0, 2**62)), min_size=1, max_size=20))
def test_r36_every_bar_lies_within_its_lane(times: list[tuple[int, int]]) -> None:
    rows = grown(*({"start": begin, "duration": took, "name": str(took)} for begin, took in times))
    for view in first_rows(rows, selected=None, now=NOW):
        x, width = float(view.x[:-1]), float(view.width[:-1])
        assert x >= 0
        assert 0 < width <= 100
        assert x + width <= 100.001


def test_skeletons_are_kept_up_to_a_size_the_newest_of_them() -> None:
    cache = SkeletonCache(most=1_000)
    one, other = trace(received=1), trace(received=2)
    rows = grown(*({"name": "x"} for _ in range(20)))
    made = cache.make(one, rows)
    assert cache.find(one) is made
    assert cache.find(trace(received=1, version=2)) is None
    for number in range(3, 9):
        cache.make(trace(received=number), rows)
    assert cache.find(one) is None
    assert cache.find(other) is None
    assert cache.find(trace(received=8)) is not None


# Over HTTP


def test_every_step_of_every_recorded_client_opens(client: Client) -> None:
    for file in sorted(PAYLOADS.rglob("*.otlp.pb")):
        kind = "/v1/logs" if ".logs." in file.name else "/v1/traces"
        body = file.read_bytes()
        assert client.ingest(
            gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body, json=False, path=kind
        ).is_success
    opened = 0
    for summary in client.traces(limit=1000):
        page = client.get(f"/p/{client.project}/traces/{summary['trace_id']}")
        assert page.status_code == 200, (summary["name"], page.text[:300])
        spans = client.read(f"/api/v1/traces/{summary['trace_id']}", project=client.project, bodies="false")["spans"]
        for span in spans:
            answer = client.get(
                f"/p/{client.project}/traces/{summary['trace_id']}/steps/{span['span_id']}", headers=HTMX
            )
            assert answer.status_code == 200, (summary["name"], span["name"], answer.text[:300])
            opened += 1
    assert opened > 200


def test_the_list_and_the_head_come_alone_when_htmx_asks_for_them(client: Client) -> None:
    span = make.span("answer")
    client.store(span)
    for address, first in ((f"/p/{client.project}/traces", "list"), (f"/traces/{span['traceId']}", "head")):
        block = client.get(address, headers=HTMX, follow_redirects=True)
        assert re.match(rf'<(section|div) [^>]*\bid="{first}"', block.text), block.text[:100]
        assert "<html" not in block.text
        assert "HX-Request" in block.headers["vary"]
        assert "<html" in client.get(address, follow_redirects=True).text


@pytest.mark.parametrize(("steps", "brought"), [(MOST_AT_ONCE, True), (MOST_AT_ONCE + 1, False)])
def test_a_small_trace_s_page_brings_the_tree_that_its_script_draws_from(
    client: Client, steps: int, brought: bool
) -> None:
    first = make.span(HOSTILE)
    spans = [first, *(make.span(HOSTILE, trace=first["traceId"], parent=first["spanId"]) for _ in range(steps - 1))]
    client.store(*spans)
    address = f"/p/{client.project}/traces/{first['traceId']}"
    text = client.get(address).text
    found = re.search(r'data-whole="([^"]*)"', text)
    assert (found is not None) == brought
    assert (f'as="fetch" crossorigin="anonymous" href="{address}/skeleton"' in text) != brought
    if found is not None:
        assert json.loads(unescape(found[1])) == client.get(f"{address}/skeleton").json()


def test_the_skeleton_is_not_sent_again_while_the_trace_is_as_it_was(client: Client) -> None:
    span = make.span("answer")
    client.store(span)
    address = f"/p/{client.project}/traces/{span['traceId']}/skeleton"
    columns = client.get(address).json()
    assert columns["ids"] == span["spanId"]
    assert client.get(address, params={"unless": columns["version"]}).status_code == 204

    client.store(make.span("child", trace=span["traceId"], parent=span["spanId"]))

    assert len(client.get(address, params={"unless": columns["version"]}).json()["ids"]) == 32


def test_r61_static_files_are_looked_up_by_name_and_never_by_path(client: Client) -> None:
    page = client.get(f"/p/{client.project}/traces").text
    found = re.search(r'href="(/static/(\w+)/)app\.css[,"]', page)
    assert found is not None
    style = client.get(f"{found[1]}app.css")
    assert style.headers["content-type"] == "text/css; charset=utf-8"
    assert "immutable" in style.headers["cache-control"]
    assert "immutable" not in client.get("/static/0000/app.css").headers["cache-control"]
    for name in ("../pyproject.toml", "..%2f..%2fpyproject.toml", "%2e%2e/templates/base.html", "nothing.js", ""):
        assert client.get(found[1] + name, follow_redirects=True).status_code == 404, name


def test_a_side_of_a_step_is_sent_as_text_that_no_browser_runs(client: Client) -> None:
    span = make.span("page", having={"output.value": HOSTILE})
    client.store(span)
    address = f"/p/{client.project}/traces/{span['traceId']}/steps/{span['spanId']}"
    answer = client.get(f"{address}/output")
    assert answer.text == HOSTILE
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in answer.headers["content-security-policy"]
    assert (
        client.get(f"{address}/output", params={"download": "true"})
        .headers["content-disposition"]
        .startswith("attachment")
    )
    assert client.get(f"{address}/input").status_code == 404
    assert client.get(f"{address}/attributes").status_code == 422


def test_pages_hold_no_inline_script_or_style(client: Client) -> None:
    span = make.span(HOSTILE, having={"input.value": HOSTILE, "output.value": HOSTILE})
    client.store(span)
    for address in (f"/p/{client.project}/traces", f"/traces/{span['traceId']}", "/p/nobody/traces"):
        text = client.get(address, follow_redirects=True).text
        assert re.findall(r"<script(?![^>]*\bsrc=)[^>]*>(.*?)</script", text, re.DOTALL) == [early_script()]
        bare = re.sub(r'="[^"]*"', "=", text)
        assert not re.search(r"<[^>]*\s(style|on\w+)=", bare)
        assert "<style" not in text


def test_templates_hold_no_inline_script_or_style() -> None:
    for file in (resource_dir("web") / "templates").rglob("*.html"):
        text = file.read_text()
        assert not re.search(r"<script(?![^>]*\bsrc=)|<style|<[^>]*\s(style|on\w+)=|hx-on|\bjs:|javascript:", text), (
            file
        )


def test_our_scripts_stay_small() -> None:
    # Each as it travels where nothing is bundled, which is smaller; plotly is loaded only where a chart is.
    found = (resource_dir("web") / "static").rglob("*.js")
    scripts = [file for file in found if "plotly" not in file.name and file.parent.name != "built"]
    assert len(scripts) > 20
    assert sum(len(gzip.compress(file.read_bytes())) for file in scripts) < 100 * 1_024


def test_a_page_is_packed_for_whoever_can_unpack_it(client: Client) -> None:
    client.store(make.span("answer"))
    address = f"/p/{client.project}/traces"
    packed, plain = (client.get(address, headers={"accept-encoding": one}) for one in ("gzip", "identity"))
    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert int(packed.headers["content-length"]) < int(plain.headers["content-length"]) / 3
    assert all("Accept-Encoding" in answer.headers["vary"] for answer in (packed, plain))
