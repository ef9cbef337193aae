"""`traces`, `trace` and `tail`: the same from a database and from its server, plain in pipes, and never dangerous."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from tests import make
from tests.client import ROOT, Client, Guarded, Service, clean_environment, on_one_database, wait_until
from tests.search.test_rest import caught_up
from tests.terminal.conftest import Place, command
from tracer.pages.digest import BYTES_PER_TOKEN
from tracer.search.tree import Says
from tracer.sources.remote import RemoteSource
from tracer.sources.source import Ask
from tracer.terminal.commands import COMMANDS
from tracer.terminal.lists import Follow, table_of
from tracer.terminal.tree import tree_lines

EVIL = "\x1b]0;owned\x07\x1b[2Jname\r\nnext\u202eline\x9b31m"


def failing_chain(client: Client, *, extra: int = 0) -> str:
    """A chain of four steps whose tool failed, and as many more as wanted; returns its id."""
    trace = make.new_trace_id()
    root = make.span("answer", trace=trace, status=2, having={"input.value": "Where is it?"})
    call = make.model_call("draft") | {"traceId": trace, "parentSpanId": root["spanId"]}
    call["startTimeUnixNano"] = str(make.START + 1)
    raised = make.event("exception", {"exception.type": "WarehouseDown", "exception.message": "no answer " * 40})
    tool = make.span(
        "look_up",
        trace=trace,
        parent=root["spanId"],
        status=2,
        start=make.START + 2,
        having={"openinference.span.kind": "TOOL", "input.value": "A-17 " * 2_000},
        events=[raised],
    )
    tool["status"]["message"] = "WarehouseDown: no answer"
    more = [
        make.span(
            f"step {number}",
            trace=trace,
            parent=root["spanId"],
            having={"output.value": f"said {number} " * 50},
            start=make.START + 3,
        )
        for number in range(extra)
    ]
    client.store(root, call, tool, make.span("inner", trace=trace, parent=call["spanId"]), *more)
    return trace


def test_traces_are_lines_with_tabs_in_a_pipe_and_objects_as_json(place: Place) -> None:
    client = place.client
    client.store(
        make.span("older"), make.span("newer", start=make.START + make.SECOND, end=make.START + 3 * make.SECOND)
    )
    head, newer, older = (line.split("\t") for line in place.said("traces").splitlines())
    assert (head[2], newer[2], older[2]) == ("name", "newer", "older")
    assert newer[3] == "2.00 s"
    assert [json.loads(line) for line in place.said("traces", "--json").splitlines()] == client.traces()
    assert place.said("traces", "--order", "start_time", "--limit", "1").splitlines()[1].split("\t")[2] == "older"
    assert "newer" not in place.said("traces", "--to", "2025-11-24T16:00:00.5Z")
    assert place.said("traces", "--from", "1h") == ""
    wait_until(lambda: caught_up(client), "the index has caught up")
    assert len(place.said("traces", "older").splitlines()) == 2


def test_words_that_were_searched_for_are_marked_and_shown_around(client: Client) -> None:
    said: dict[str, make.Value] = {"input.value": "x " * 30 + "where is the Refund?", "output.value": "here"}
    client.store(make.span("refund desk", having=said))
    traces = client.read("/api/v1/traces", project=client.project)["items"]
    shown = io.StringIO()
    terminal = Console(width=200, file=shown, force_terminal=True, color_system="standard")
    terminal.print(table_of(traces, 200, [Says("refund")]))
    assert [one.lower() for one in re.findall(r"\x1b\[[\d;]*30;43m([^\x1b]*)\x1b", shown.getvalue())] == ["refund"] * 2
    assert "where is the" in shown.getvalue()


@pytest.mark.parametrize("width", [60, 80, 120, 200])
@on_one_database
def test_a_table_fits_the_terminal_with_every_id_whole(client: Client, width: int) -> None:
    client.store(make.model_call("a name that is longer than a narrow terminal has room for, by far"), make.span("b"))
    traces = client.traces()
    terminal = Console(width=width, file=io.StringIO())
    terminal.print(table_of(traces, width))
    assert isinstance(terminal.file, io.StringIO)
    lines = terminal.file.getvalue().splitlines()
    assert len(lines) == 3
    assert all(len(line) <= width for line in lines)
    assert all(trace["trace_id"] in line for trace, line in zip(traces, lines[1:], strict=True))
    assert ("tokens" in lines[0]) == (width > 100)


def test_a_trace_is_a_tree_with_its_errors(place: Place) -> None:
    trace = failing_chain(place.client)
    lines = place.said("trace", f"http://127.0.0.1:1/p/x/traces/{trace}?span=1").splitlines()
    assert lines[0] == "answer  ✗ error"
    assert "4 steps, 2 failed" in lines[1]
    assert trace in lines[2]
    assert [line[:14].rstrip() for line in lines[5:]] == [
        "├─ · draft  ll",
        "│  └─ · inner",
        "└─ ✗ look_up",
        "     Warehouse",
    ]
    assert any("gpt-4o-mini" in line and "17 tokens" in line for line in lines)
    assert json.loads(place.said("trace", trace, "--json")) == place.client.trace(trace)


def test_markdown_is_the_same_from_everywhere_and_of_one_step(place: Place) -> None:
    client = place.client
    trace = failing_chain(client)
    told = client.get(f"/api/v1/traces/{trace}/markdown", params={"project": client.project})
    assert told.headers["content-type"] == "text/markdown; charset=utf-8"
    assert place.said("trace", trace, "--markdown") == told.text
    assert "A-17" in told.text
    draft = next(span["span_id"] for span in client.trace(trace)["spans"] if span["name"] == "draft")
    part = place.said("trace", trace, "--step", draft)
    assert "inner" in part
    assert "look_up" not in part
    assert place("trace", trace, "--step", "ab" * 8).exit_code == 1


@pytest.mark.parametrize("budget", [200, 700, 3_000])
def test_a_budget_is_kept_the_cause_comes_first_and_what_was_cut_is_said(place: Place, budget: int) -> None:
    trace = failing_chain(place.client, extra=150)
    text = place.said("trace", trace, "--budget", str(budget))
    assert len(text.encode()) <= budget * BYTES_PER_TOKEN
    assert "It failed in answer › look_up" in text
    assert f"Cut to stay within {budget:,} tokens" in text
    if budget > 200:
        assert text.index("WarehouseDown: no answer") < text.index("## draft" if "## draft" in text else "Cut to stay")
    if budget == 3_000:
        assert "characters left out" in text
        assert "Where is it?" in text


def test_without_need_nothing_is_cut(place: Place) -> None:
    trace = failing_chain(place.client)
    text = place.said("trace", trace, "--budget", "20000")
    assert "Cut to stay" not in text
    assert "A-17 " * 2_000 in text


def test_messages_of_a_conversation_are_told_once(client: Client) -> None:
    trace = make.new_trace_id()
    first = {"role": "user", "parts": [{"type": "text", "content": "What does the rare bird eat?"}]}
    then = {"role": "assistant", "parts": [{"type": "text", "content": "Seeds."}]}
    for number, messages in enumerate(([first], [first, then])):
        call = make.model_call(having={"gen_ai.input.messages": json.dumps(messages)})
        client.store(call | {"traceId": trace, "startTimeUnixNano": str(make.START + number)})
    text = client.get(f"/api/v1/traces/{trace}/markdown?budget=2000").text
    assert text.count("What does the rare bird eat?") == 1
    assert "1 message that an earlier step had too" in text


def test_two_traces_are_told_apart(place: Place) -> None:
    client = place.client
    one, other = (failing_chain(client) for _ in range(2))
    extra = make.span("only here", trace=other, parent=client.trace(other)["spans"][0]["span_id"])
    client.store(extra)
    text = place.said("trace", one, "--against", other)
    assert "only in the second: only here" in text
    assert "| steps | 4 | 5 | different" in text
    assert "only in the first" not in text


def test_names_from_outside_cannot_steer_the_terminal(place: Place) -> None:
    trace = make.new_trace_id()
    bad = make.span(EVIL, trace=trace, status=2, having={"session.id": EVIL, "tag.tags": [EVIL]})
    bad["status"]["message"] = EVIL
    place.client.store(bad)
    for arguments in (("traces",), ("trace", trace), ("traces", "--json"), ("trace", trace, "--json")):
        said = place.said(*arguments)
        assert not set(said) & set("\x1b\x07\r\x9b")
    assert "\u202e" not in place.said("traces") + place.said("trace", trace)


def test_following_shows_each_trace_when_it_comes_and_when_it_ends(client: Client, service: Service) -> None:
    source = RemoteSource(service.url)
    follow = Follow(source, Ask(project=client.project))
    running = make.span("slow", end=0, having={"stepscope.seq": 1})
    client.store(running, make.span("quick"))
    assert {(one["name"], one["status"]) for one in follow.look()} == {("slow", "running"), ("quick", "unset")}
    assert list(follow.look()) == []
    client.store(*(make.span(f"new {number}", start=make.START + 1 + number) for number in range(150)))
    assert [one["name"] for one in follow.look()] == [f"new {number}" for number in range(150)]
    client.store(running | {"endTimeUnixNano": str(make.START + 5)})
    assert [(one["name"], one["status"]) for one in follow.look()] == [("slow", "unset")]
    source.close()


@on_one_database
def test_what_goes_wrong_is_one_sentence(client: Client, service: Service, guarded: Guarded) -> None:
    there = ("--url", service.url)
    for arguments, code, words in (
        (("trace", "0f0e" * 8, *there), 1, "There is no trace"),
        (("trace", "nonsense", *there), 2, "32 hex digits"),
        (("traces", "--from", "soon", *there), 2, "--from"),
        (("traces", '"open', *there), 1, "never closed"),
        (("traces", "--url", "http://127.0.0.1:1"), 1, "No answer at http://127.0.0.1:1"),
        (("traces", "--url", "ftp://x"), 2, "no http:// or https:// address"),
        (("traces", "--url", service.url, "--data", "x"), 2, "one of them"),
        (("traces", "--data", "/none/such"), 1, "There is no database at"),
        (("traces", "--url", guarded.service.url), 1, "STEPSCOPE_API_KEY"),
    ):
        done = command(*arguments)
        assert done.exit_code == code, (arguments, done.output)
        assert done.stdout == ""
        assert done.stderr.startswith("stepscope: ")
        assert len(done.stderr.splitlines()) == 1
        assert words in done.stderr
    assert command("traces", STEPSCOPE_ENDPOINT=guarded.service.url, STEPSCOPE_API_KEY=guarded.token).exit_code == 0


def test_a_list_starts_without_loading_what_it_does_not_need() -> None:
    code = (
        "import sys, contextlib\nsys.argv = ['stepscope', 'traces', '--help']\nfrom tracer.entry import main\n"
        "with contextlib.suppress(SystemExit): main()\n"
        "print(sorted({'sqlalchemy', 'fastapi', 'pydantic', 'alembic', 'rich'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=clean_environment(), capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"
    assert "List traces" in done.stdout


def test_the_lines_of_a_tree_join() -> None:
    def span(name: str, parent: str | None) -> dict[str, object]:
        empty = dict.fromkeys(("model", "duration_ms", "tokens", "cost_usd", "status_message"))
        return {"span_id": name, "parent_id": parent, "name": name, "kind": "other", "status": "ok", **empty}

    spans = [span("a", None), span("b", "a"), span("c", "b"), span("d", "a"), span("e", "d"), span("f", "nobody")]
    drawn = [line.plain.partition("✓")[0] for line in tree_lines(spans)]
    assert drawn == ["", "├─ ", "│  └─ ", "└─ ", "   └─ ", ""]


def test_every_command_is_described_and_has_help() -> None:
    docs = Path(__file__).parents[2] / "docs"
    told = "".join((docs / name).read_text("utf-8") for name in ("terminal.md", "assistants.md"))
    for one in COMMANDS:
        assert f"stepscope {one.name}" in told
        help = command(str(one.name), "--help")
        assert help.exit_code == 0
        assert "--url" in help.stdout
        for option in one.params:
            assert option.param_type_name == "argument" or getattr(option, "help", None), (one.name, option.name)
