"""The trace page, in a browser."""

from __future__ import annotations

import json
import re
import time

from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import Watched
from tests.browser.service import Sent, Service, Trace
from tests.client import ROOT
from tests.counts import counted

SECOND = 10**9


def open_trace(page: Page, service: Service, project: str, trace: Trace) -> None:
    page.goto(f"{service.url}/p/{project}/traces/{trace.id}")
    expect(page.locator("#live")).to_have_attribute("data-state", "on")
    # The script has taken the tree over from the server.
    expect(page.locator("#tree")).to_have_attribute("style", re.compile("padding"))


def names(page: Page) -> list[str]:
    return page.locator("#tree .row a").all_inner_texts()


def chosen(page: Page) -> str:
    return page.locator("#tree [aria-selected=true] a").inner_text()


def shop(service: Service, project: str) -> tuple[Trace, list[Sent]]:
    """A chain of six steps, two levels deep, which fails in `lookup`."""
    root = Sent("answer", took=1_000, failed="no such order")
    search = Sent("search", root, at=10, took=100, kind="retriever")
    embed = Sent("embed", search, at=20, took=40, kind="embedding")
    resolve = Sent("resolve", root, at=200, took=500, kind="agent", failed="no such order")
    lookup = Sent("lookup", resolve, at=300, took=100, kind="tool", failed="no such order")
    draft = Sent("draft", root, at=750, took=200, kind="llm")
    spans = [root, search, embed, resolve, lookup, draft]
    trace = service.send(Trace(start=time.time_ns() - 5 * SECOND), *spans, project=project)
    return trace, spans


def test_the_head_says_what_happened_before_any_number(page: Page, service: Service, project: str) -> None:
    trace, _ = shop(service, project)
    open_trace(page, service, project, trace)
    expect(page.locator("h1")).to_have_text("answer failed in lookup")
    assert page.locator(".facts dd:first-of-type").all_inner_texts()[:2] == ["1.00 s", "6"]


def test_s11_a_failed_trace_opens_at_its_cause_with_the_exception_first(
    page: Page, service: Service, project: str
) -> None:
    trace, _ = shop(service, project)
    open_trace(page, service, project, trace)
    assert chosen(page) == "lookup"
    expect(page.locator("#step .oops")).to_contain_text("ShopError: no such order")
    expect(page.locator("#step .oops .stack")).to_contain_text("File shop.py, line 7")
    assert page.locator(".row .own").count() == 1
    assert page.locator(".row .below").count() == 2


def test_s11_the_page_opens_at_the_step_that_the_head_names_and_e_goes_through_all_causes(
    page: Page, service: Service, project: str
) -> None:
    root = Sent("answer", took=1_000, failed="gave up")
    first = Sent("try the cache", root, at=10, took=50, kind="tool", failed="not there")
    second = Sent("ask", root, at=100, took=500, kind="agent", failed="no such order")
    third = Sent("look up", second, at=200, took=100, kind="tool", failed="no such order")
    late = Sent("tidy", root, at=900, took=10)
    trace = Trace(start=time.time_ns() - 5 * SECOND)
    service.send(trace, root, first, second, third, late, project=project)
    open_trace(page, service, project, trace)
    expect(page.locator("h1")).to_have_text("answer failed in look up")
    expect(page.locator("#head .wrong")).to_have_text("✕ look up ShopError: no such order and 1 more")
    expect(page.locator(".facts .bad")).to_have_text("2 failed")
    expect(page.locator(".facts .bad")).to_have_attribute("title", re.compile("2 steps failed and.* 2 steps above"))
    assert chosen(page) == "look up"
    page.locator("#tree").get_by_role("link", name="tidy").click()
    page.keyboard.press("e")
    assert chosen(page) == "try the cache"
    # The ring is around the step that was gone to, not the one that was clicked.
    expect(page.get_by_role("tree")).to_be_focused()
    expect(page.locator("#error-at")).to_have_text("Error 1 of 2")
    page.get_by_role("link", name="failed in look up").click()
    assert chosen(page) == "look up"
    page.get_by_role("button", name="2 failed").click()
    assert chosen(page) == "try the cache"
    page.locator("#head .wrong a").click()
    assert chosen(page) == "look up"
    expect(page.locator("#error-at")).to_be_empty()


def test_s12_the_tree_is_walked_with_the_keyboard(page: Page, service: Service, project: str) -> None:
    trace, spans = shop(service, project)
    page.goto(f"{service.url}/p/{project}/traces/{trace.id}?span={spans[0].id}")
    expect(page.locator("#step h2")).to_contain_text("answer")
    tree = page.get_by_role("tree")
    tree.focus()
    for key, expected in [
        ("ArrowDown", "search"),
        ("ArrowRight", "embed"),
        ("ArrowLeft", "search"),
        ("End", "draft"),
        ("Home", "answer"),
        ("e", "lookup"),
        ("e", "lookup"),
        ("ArrowUp", "resolve"),
    ]:
        tree.press(key)
        expect(page.locator("#tree [aria-selected=true] a"), key).to_have_text(expected)
    expect(page.locator("#step h2")).to_contain_text("resolve")
    assert page.url.endswith(f"span={spans[3].id}")
    tree.press("ArrowLeft")
    assert names(page) == ["answer", "search", "embed", "resolve", "draft"]
    tree.press("[")
    assert names(page) == ["answer"]
    tree.press("]")
    assert len(names(page)) == 6
    tree.press("2")
    assert names(page) == ["answer", "search", "resolve", "draft"]
    expect(tree).to_have_attribute("aria-activedescendant", f"s-{spans[0].id}")


def test_what_is_asked_while_the_tree_is_still_read_happens_when_it_is_there(
    page: Page, service: Service, project: str
) -> None:
    trace, spans = shop(service, project)
    # More steps than a page brings itself: their tree is asked for.
    notes = [Sent(f"note {n}", spans[5], at=751 + n, took=1) for n in range(100)]
    service.send(trace, *notes, project=project)
    held: list[Route] = []
    asked = re.compile(r"/skeleton($|\?)")
    page.route(asked, lambda route: held.append(route))
    page.goto(f"{service.url}/p/{project}/traces/{trace.id}?span={spans[0].id}", wait_until="domcontentloaded")
    tree = page.get_by_role("tree")
    page.get_by_role("treeitem", name="resolve").click()
    tree.press("ArrowDown")
    tree.press("End")
    assert chosen(page) == "answer"
    for route in held:
        route.continue_()
    expect(page.locator("#step h2")).to_contain_text("note 99")
    assert chosen(page) == "note 99"
    assert page.url.endswith(f"span={notes[-1].id}")


def test_a_row_drawn_anew_under_the_pointer_is_chosen_all_the_same(page: Page, service: Service, project: str) -> None:
    trace, spans = shop(service, project)
    open_trace(page, service, project, trace)
    page.get_by_role("treeitem", name="embed").hover()
    page.mouse.down()
    page.locator(f"#s-{spans[2].id}").evaluate("row => row.replaceWith(row.cloneNode(true))")
    page.mouse.up()
    expect(page.locator("#step h2")).to_contain_text("embed")


def test_s15_the_address_of_a_step_opens_that_step(page: Page, service: Service, project: str) -> None:
    trace, spans = shop(service, project)
    page.goto(f"{service.url}/traces/{trace.id}?span={spans[2].id}")
    expect(page.locator("#step h2")).to_contain_text("embed")
    assert chosen(page) == "embed"
    assert page.url == f"{service.url}/p/{project}/traces/{trace.id}?span={spans[2].id}"
    page.get_by_role("link", name="Next step").click()
    expect(page.locator("#step h2")).to_contain_text("resolve")
    assert chosen(page) == "resolve"


def test_server_and_script_draw_the_same_rows(page: Page, service: Service, project: str) -> None:
    root = Sent("answer", took=9_123.457, kind="agent", failed="broken")
    tokens: dict[str, str | int | float | bool] = {
        "gen_ai.request.model": "gpt-5-mini",
        "gen_ai.usage.input_tokens": 12_345,
        "gen_ai.usage.output_tokens": 7,
        "gen_ai.response.time_to_first_chunk": 0.4,
    }
    spans = [
        root,
        Sent("plan", root, at=1, took=2_000, kind="llm", attributes=tokens),
        Sent("<b>& \u202e name", root, at=3_000, took=0.000_5, kind="tool", failed="broken"),
        Sent("", root, at=3_100, took=0.7, kind="retriever"),
        Sent("x" * 500, root, at=9_000, took=100, kind="embedding", attributes=tokens),
        Sent("lost", Sent("never sent"), at=50, took=10, kind="reranker"),
        late := Sent("left early", root, at=8_000, took=100),
        Sent("stayed", late, at=8_010, took=500, kind="llm", attributes=tokens),
        *(Sent("fetch", root, at=8_600 + number * 7, took=3 + number * 1.5, kind="tool") for number in range(9)),
    ]
    spans[-2].failed = "lost"
    at = spans[2]
    for level in range(16):
        at = Sent(f"level {level}", at, at=3_000, took=200 - level, kind="evaluator")
        spans.append(at)
    trace = service.send(Trace(start=time.time_ns() - 60 * SECOND), *spans, project=project)
    page.goto(f"{service.url}/p/{project}/traces/{trace.id}?span={root.id}")
    expect(page.locator("#tree")).to_have_attribute("style", "padding-top: 0px; padding-bottom: 0px;")

    difference = page.evaluate("""async () => {
      const html = await (await fetch(location.href)).text();
      const page = new DOMParser().parseFromString(html, "text/html");
      const sent = [...page.querySelectorAll("#tree .row")];
      const drawn = [...document.querySelectorAll("#tree .row")];
      if (sent.length !== drawn.length) return `${sent.length} rows sent, ${drawn.length} drawn`;
      const at = sent.findIndex((row, place) => !row.isEqualNode(drawn[place]));
      return at < 0 ? "" : `${sent[at].outerHTML}\\n${drawn[at].outerHTML}`;
    }""")

    # Nine steps alike stand in one row, and the parent that never came has a row.
    assert page.locator("#tree .row").count() == len(spans) - 8 + 1
    assert difference == ""


def test_s2_s3_a_huge_trace_keeps_few_rows_in_the_page_and_all_within_reach(
    page: Page, service: Service, project: str
) -> None:
    size = counted(5_000, 50_000)
    trace, root = Trace(start=time.time_ns() - 3_600 * SECOND), Sent("crawl", took=size)
    service.send(trace, root, project=project)
    for begin in range(1, size, 2_500):
        some = [Sent(f"fetch {number}", root, at=number, took=1) for number in range(begin, min(size, begin + 2_500))]
        service.send(trace, *some, project=project)
    open_trace(page, service, project, trace)
    expect(page.locator("#count")).to_have_text(f"{size:,} steps")
    assert page.locator(".row").count() < 300

    page.get_by_role("tree").press("End")

    assert chosen(page) == f"fetch {size - 1}"
    expect(page.locator("#step h2")).to_contain_text(f"fetch {size - 1}")
    page.evaluate("document.getElementById('scroll').scrollTop = 28 * 2000")
    expect(page.get_by_text("fetch 2000", exact=True)).to_be_visible()
    assert page.locator(".row").count() < 300


def test_s4_an_output_of_20_mb_shows_its_head_and_exact_size_and_is_copied_and_fetched_whole(
    page: Page, service: Service, project: str
) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    text = "All work and no play. " * 910_000
    root = Sent("write", attributes={"output.value": text, "input.value": "go"})
    trace = service.send(Trace(), root, project=project)
    open_trace(page, service, project, trace)
    output = page.locator("[data-part=output]")
    expect(output).to_contain_text("The first part of 20.0 MB (20,020,000 bytes).")
    assert len(page.content()) < 200_000

    link = output.get_by_role("link", name="Download")
    place = "link => [link.offsetLeft, link.offsetTop]"
    download_at = link.evaluate(place)
    output.get_by_role("button", name="Copy all").click()
    expect(output.locator("[data-done=copied]")).to_be_attached()
    assert link.evaluate(place) == download_at, "nothing moves under the pointer"
    assert page.evaluate("navigator.clipboard.readText().then(text => text.length)") == len(text)
    with page.expect_download() as download:
        link.click()

    assert download.value.path().read_text() == text
    assert download.value.suggested_filename == f"{root.id}-output.txt"


def test_s17_a_conversation_reads_as_chat_with_each_result_in_its_call(
    page: Page, service: Service, project: str
) -> None:
    call = {"type": "tool_call", "id": "c1", "name": "lookup", "arguments": {"order": "A-2291"}}
    result = {"type": "tool_call_response", "id": "c1", "response": "no such order"}
    said = [
        {"role": "system", "parts": [{"type": "text", "content": "You help."}]},
        {"role": "user", "parts": [{"type": "text", "content": "Where is it?"}]},
        {"role": "assistant", "parts": [call]},
        {"role": "tool", "parts": [result]},
    ]
    answer = [{"role": "assistant", "parts": [{"type": "text", "content": "Not found."}], "finish_reason": "stop"}]
    root = Sent(
        "draft",
        kind="llm",
        attributes={
            "gen_ai.operation.name": "chat",
            "gen_ai.input.messages": json.dumps(said),
            "gen_ai.output.messages": json.dumps(answer),
        },
    )
    trace = service.send(Trace(), root, project=project)
    open_trace(page, service, project, trace)
    asked = page.locator("[data-part=input] .v-rendered")
    assert asked.locator(".who").all_inner_texts() == ["system", "user", "assistant"]
    expect(asked.locator(".call .result")).to_contain_text("no such order")
    expect(page.locator("[data-part=output] .v-rendered")).to_contain_text("Not found.")

    page.locator("[data-part=input]").get_by_role("button", name="Raw").click()

    expect(page.locator("[data-part=input] .v-raw")).to_have_text(json.dumps(said))
    expect(asked).to_be_hidden()
    page.reload()
    expect(page.locator("[data-part=input] .v-raw")).to_be_visible()


def test_a_step_that_cannot_be_fetched_says_so_and_can_be_asked_for_again(
    page: Page, service: Service, project: str, watched: Watched
) -> None:
    watched.allowed = ("ERR_FAILED", "Failed to fetch", "503")
    trace, spans = shop(service, project)
    open_trace(page, service, project, trace)
    refused = f"**/steps/{spans[1].id}"
    page.route(refused, lambda route: route.abort())
    page.get_by_role("treeitem", name="search").click()
    expect(page.locator("#step")).to_contain_text("This step could not be fetched.")
    page.unroute(refused)
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("#step h2")).to_contain_text("search")

    refused = f"**/steps/{spans[2].id}"
    problem = "<div class='problem'>The database is away.</div>"
    headers = {"HX-Retarget": "#problem", "HX-Reswap": "innerHTML"}
    page.route(refused, lambda route: route.fulfill(status=503, headers=headers, body=problem))
    page.get_by_role("treeitem", name="embed").click()
    expect(page.get_by_role("alert")).to_contain_text("The database is away.")
    page.unroute(refused)
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("#step h2")).to_contain_text("embed")
    expect(page.get_by_role("alert")).to_be_empty()


def test_without_script_the_trace_reads_and_its_steps_open(page: Page, service: Service, project: str) -> None:
    _, spans = shop(service, project)
    assert page.context.browser is not None
    plain = page.context.browser.new_page(java_script_enabled=False)
    plain.goto(f"{service.url}/p/{project}/traces")
    plain.get_by_role("link", name="answer").click()
    assert plain.locator("#tree .row a").all_inner_texts() == [span.name for span in spans]
    plain.locator("#tree .row a", has_text="embed").click()
    expect(plain.locator("#step h2")).to_contain_text("embed")
    plain.close()


def test_figures_read_the_same_from_server_and_script(page: Page, service: Service, project: str) -> None:
    from tracer.pages.words import ago
    from tracer.units import format_cost, format_count, format_duration

    trace = service.send(Trace(), Sent("answer"), project=project)
    open_trace(page, service, project, trace)
    numbers = sorted({step * 10**power + more for power in range(16) for step in (1, 5, 9) for more in (-1, 0, 1, 4)})
    numbers = [number for number in numbers if number >= 0]
    # The module itself: what is given out is bundled with others.
    modules = ROOT / "web" / "static"
    page.route("**/static/itself/*.js", lambda route: route.fulfill(path=modules / route.request.url.split("/")[-1]))
    written = page.evaluate(
        """async ([address, numbers]) => {
          const { duration, cost, count, ago } = await import(address);
          const now = 1.8e12;
          return numbers.map(n => [duration(n), cost(n), count(n), n < 1e12 ? ago(now - n, now) : ""]);
        }""",
        ["/static/itself/format.js", numbers],
    )
    now = 1_800_000_000_000 * 10**6
    for number, (duration, cost, count, age) in zip(numbers, written, strict=True):
        assert duration == format_duration(number)
        assert cost == format_cost(number)
        assert count == format_count(number)
        if number < 10**12:
            assert age == ago(now - number * 10**6, now)


def test_s5_a_step_is_outlined_at_once_however_long_its_text_takes(page: Page, service: Service, project: str) -> None:
    trace, spans = shop(service, project)
    open_trace(page, service, project, trace)
    held: list[Route] = []
    page.route(f"**/steps/{spans[5].id}", lambda route: held.append(route))
    page.get_by_role("treeitem", name="draft").click()
    assert chosen(page) == "draft"
    expect(page.locator("#step .outline")).to_contain_text("draft")
    held[0].continue_()
    expect(page.locator("#step .outline")).to_have_count(0)
    expect(page.locator("#step h2")).to_contain_text("draft")


def test_s6_a_row_says_kind_name_model_duration_tokens_cost_and_state(
    page: Page, service: Service, project: str
) -> None:
    attributes: dict[str, str | int | float | bool] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "gpt-4o-mini",
        "gen_ai.usage.input_tokens": 1_000_000,
        "gen_ai.usage.output_tokens": 0,
    }
    root = Sent("draft", took=1_500, kind="llm", failed="cut off", attributes=attributes)
    trace = service.send(Trace(start=time.time_ns() - 5 * SECOND), root, project=project)
    open_trace(page, service, project, trace)
    row = page.locator("#tree .row")
    assert row.locator(".k").get_attribute("title") == "model call"
    assert row.locator(".model").inner_text() == "gpt-4o-mini"
    assert row.locator(".r").all_inner_texts() == ["1.50 s", "1,000,000", "$0.1500"]
    assert row.locator(".own").get_attribute("title") == "this step failed"

    for name, cell in (("Tokens", ".tokens"), ("Model", ".model")):
        page.get_by_text("Columns").click()
        page.get_by_label(name, exact=True).uncheck()
        expect(row.locator(cell)).to_be_hidden()
        page.keyboard.press("Escape")
    page.reload()
    expect(row.locator(".usd")).to_be_visible()
    expect(row.locator(".tokens")).to_be_hidden()
    expect(row.locator(".model")).to_be_hidden()
    page.get_by_text("Columns").click()
    page.get_by_label("Tokens", exact=True).check()
    expect(row.locator(".tokens")).to_be_visible()
