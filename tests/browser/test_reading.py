"""What the pane of a step shows of its texts, in a browser."""

from __future__ import annotations

import base64
import json
import struct

from playwright.sync_api import Page, expect

from tests.browser.service import AnyValue, Sent, Service, Trace
from tests.browser.test_trace import open_trace

# A picture of one pixel.
PIXEL = base64.b64encode(
    base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==")
).decode()

# A hundredth of a second of nothing, as a WAV file.
SILENCE = base64.b64encode(
    b"RIFF" + struct.pack("<I", 116) + b"WAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 1, 8000, 8000, 1, 8)
    + b"data" + struct.pack("<I", 80) + b"\x80" * 80
).decode()  # fmt: skip


def said(role: str, *parts: str | dict[str, object]) -> dict[str, object]:
    return {
        "role": role,
        "parts": [{"type": "text", "content": one} if isinstance(one, str) else one for one in parts],
    }


def call(asked: list[dict[str, object]], answered: str = "Yes.", /, **more: AnyValue) -> dict[str, AnyValue]:
    return {
        "gen_ai.operation.name": "chat",
        "gen_ai.input.messages": json.dumps(asked),
        "gen_ai.output.messages": json.dumps([said("assistant", answered)]),
        **more,
    }


def test_s17_markdown_is_rendered_and_fetches_nothing(page: Page, service: Service, project: str) -> None:
    text = (
        "# Rules\n\n1. Be **kind**\n\n```python\ndef f(): return 1\n```\n\n"
        "![cat](https://elsewhere.example/cat.png) [out](https://elsewhere.example/) [in](/sign-out) "
        "[bad](javascript:alert(1)) <b onclick=alert(2)>x</b>"
    )
    root = Sent("draft", kind="llm", attributes=call([said("system", text)]))
    trace = service.send(Trace(), root, project=project)
    open_trace(page, service, project, trace)
    shown = page.locator("[data-part=input] .md")
    expect(shown.locator("strong")).to_have_text("kind")
    expect(shown.locator("pre .h-k").first).to_have_text("def")
    assert shown.locator("img, b, h1").count() == 0
    assert shown.locator("a").evaluate_all("links => links.map(link => link.href)") == ["https://elsewhere.example/"]
    expect(shown).to_contain_text("[cat] https://elsewhere.example/cat.png")
    expect(shown).to_contain_text("<b onclick=alert(2)>x</b>")


def test_s17_an_image_a_sound_and_a_file_in_a_message_are_there_and_one_from_elsewhere_is_named(
    page: Page, service: Service, project: str
) -> None:
    own: dict[str, object] = {"type": "blob", "mime_type": "image/png", "content": PIXEL}
    other: dict[str, object] = {"type": "uri", "uri": "https://elsewhere.example/cat.png"}
    svg = base64.b64encode(b"<svg/>").decode()
    drawing: dict[str, object] = {"type": "blob", "mime_type": "image/svg+xml", "content": svg}
    sound: dict[str, object] = {"type": "blob", "mime_type": "audio/wav", "content": SILENCE}
    letter: dict[str, object] = {"type": "blob", "mime_type": "application/pdf", "content": PIXEL}
    root = Sent("look", kind="llm", attributes=call([said("user", "See", own, other, drawing, sound, letter)]))
    trace = service.send(Trace(), root, project=project)
    open_trace(page, service, project, trace)
    image = page.locator("[data-part=input] img")
    expect(image).to_have_count(1)
    assert image.evaluate("image => image.decode().then(() => image.naturalWidth)") == 1
    expect(page.locator("[data-part=input] .media")).to_have_count(5)
    page.wait_for_function("document.querySelector('[data-part=input] audio').duration > 0.009")
    with page.expect_download() as download:
        page.locator(".media", has_text="application/pdf").get_by_role("link", name="Download").click()
    assert download.value.suggested_filename == "message.pdf"
    assert download.value.path().read_bytes() == base64.b64decode(PIXEL)


def test_s18_raw_is_what_was_sent_to_the_byte_and_the_choice_is_kept_for_the_kind(
    page: Page, service: Service, project: str
) -> None:
    text = "**Bold**  \n\ttab, trailing \u202e and  spaces \n\n"
    first = Sent("write", kind="tool", attributes={"output.value": text})
    other = Sent("write again", first, kind="tool", at=1, took=1, attributes={"output.value": "*also*: **this**"})
    trace = service.send(Trace(), first, other, project=project)
    open_trace(page, service, project, trace)
    output = page.locator("[data-part=output]")
    expect(output.locator("strong")).to_have_text("Bold")
    output.get_by_role("button", name="Raw").click()
    assert output.locator(".v-raw bdi").evaluate("raw => raw.textContent") == text
    page.get_by_role("treeitem", name="write again").click()
    expect(page.locator("#step h2")).to_contain_text("write again")
    expect(output.locator(".v-raw")).to_be_visible()


def test_s19_selecting_text_in_an_open_block_never_folds_it(page: Page, service: Service, project: str) -> None:
    attributes = call([said("user", {"type": "reasoning", "content": "A long chain of thoughts"}, "Hi")])
    trace = service.send(Trace(), Sent("draft", kind="llm", attributes=attributes), project=project)
    open_trace(page, service, project, trace)
    thought = page.locator("details.thought")
    page.locator("[data-part=input]").get_by_role("button", name="JSON").click()
    page.locator("[data-part=input]").get_by_role("button", name="Rendered").click()
    branch = page.locator(".part.more", has_text="Attributes").locator("details").first
    branch.locator("summary").first.click()
    for block, text in ((thought, thought.locator("bdi").first), (branch, branch.locator(".json .str").first)):
        expect(block).to_have_attribute("open", "")
        text.scroll_into_view_if_needed()
        box = text.bounding_box()
        assert box is not None
        middle = box["y"] + min(8, box["height"] / 2)
        page.mouse.move(box["x"] + 2, middle)
        page.mouse.down()
        page.mouse.move(box["x"] + 60, middle, steps=4)
        page.mouse.up()
        assert len(page.evaluate("String(getSelection())")) > 3
        text.dblclick(position={"x": 10, "y": 6})
        expect(block).to_have_attribute("open", "")


def test_s30_between_two_calls_the_pane_shows_what_was_added(page: Page, service: Service, project: str) -> None:
    begin = [said("system", "You help."), said("user", "Where is it?")]
    root = Sent("answer", took=100, kind="agent")
    plan = Sent("plan", root, at=1, took=10, kind="llm", attributes=call(begin, "Let me see."))
    more = [*begin, said("assistant", "Let me see."), said("user", "And now?")]
    draft = Sent("draft", root, at=20, took=10, kind="llm", attributes=call(more))
    trace = service.send(Trace(), root, plan, draft, project=project)
    page.goto(f"{service.url}/p/{project}/traces/{trace.id}?span={draft.id}")
    shown = page.locator("[data-part=input] .msg:visible .said")
    assert shown.all_inner_texts() == ["Let me see.", "And now?"]
    expect(page.locator(".before")).to_contain_text("system + 1 more, which plan had already")
    expect(page.get_by_role("button", name="Added since call 1 of 2 (plan)")).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="Show all").click()
    assert shown.all_inner_texts() == ["You help.", "Where is it?", "Let me see.", "And now?"]
    page.get_by_role("treeitem", name="plan").click()
    expect(page.locator("#step h2")).to_contain_text("plan")
    expect(page.get_by_role("button", name="Added since")).to_have_count(0)


def test_s31_template_and_variables_are_marked_in_the_text(page: Page, service: Service, project: str) -> None:
    template: dict[str, AnyValue] = {
        "llm.prompt_template.template": "Where is {order}? It is {day}.",
        "llm.prompt_template.variables": json.dumps({"order": "A-2291", "day": "Tuesday"}),
    }
    asked = [said("user", "Where is A-2291? It is Tuesday, not B-A-22910.")]
    root = Sent("draft", kind="llm", attributes=call(asked) | template)
    trace = service.send(Trace(), root, project=project)
    open_trace(page, service, project, trace)
    assert page.locator("[data-part=prompt] mark").all_inner_texts() == ["{order}", "{day}"]
    marks = page.locator("[data-part=input] mark")
    assert marks.all_inner_texts() == ["A-2291", "Tuesday"]
    assert marks.evaluate_all("marks => marks.map(mark => mark.title)") == ["order", "day"]


def test_the_cost_of_a_call_is_added_up_line_by_line(page: Page, service: Service, project: str) -> None:
    attributes = call(
        [said("user", "Hi")],
        **{
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "gpt-4o-mini",
            "gen_ai.usage.input_tokens": 1_000_000,
            "gen_ai.usage.output_tokens": 500_000,
        },
    )
    trace = service.send(Trace(), Sent("draft", kind="llm", attributes=attributes), project=project)
    open_trace(page, service, project, trace)
    lines = page.locator("[data-part=tokens] tr").all_inner_texts()
    assert [line.split() for line in lines] == [
        ["input", "1,000,000", "×", "$0.1500", "/", "M", "$0.1500"],
        ["output", "500,000", "×", "$0.6000", "/", "M", "$0.3000"],
        ["total", "1,500,000", "$0.4500"],
    ]


def test_documents_show_their_scores_and_embeddings_their_texts(page: Page, service: Service, project: str) -> None:
    find = Sent(
        "find",
        took=20,
        kind="retriever",
        attributes={
            "openinference.span.kind": "RETRIEVER",
            "retrieval.documents.0.document.id": "doc-12",
            "retrieval.documents.0.document.content": "Three days.",
            "retrieval.documents.0.document.score": 0.83,
        },
    )
    embed = Sent(
        "embed",
        find,
        at=1,
        kind="embedding",
        attributes={
            "openinference.span.kind": "EMBEDDING",
            "embedding.embeddings.0.embedding.text": "how long",
            "embedding.embeddings.0.embedding.vector": "[0.1, 0.2, 0.3]",
        },
    )
    trace = service.send(Trace(), find, embed, project=project)
    open_trace(page, service, project, trace)
    expect(page.locator("[data-part=documents] li")).to_contain_text("0.830")
    assert page.locator(".score rect").last.get_attribute("width") == "83.0%"
    page.get_by_role("treeitem", name="embed").click()
    expect(page.locator(".vectors li")).to_contain_text("how long")
    expect(page.locator(".vectors")).not_to_contain_text("0.2")
