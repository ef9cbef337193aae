"""The demo fills a real service, runs a chain live, and leaves nothing behind."""

import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from examples.demo import Service, free_port, open_browser, stop
from examples.samples import LATEST, SPEED, SPREAD, Taken, lay_out
from examples.script.base import Json
from examples.wire import count_in, list_in, part_of, text_in

ROOT = Path(__file__).resolve().parents[1]
SECOND = 10**9


def span(trace: str, start: int, end: int, session: str = "", first_token: float | None = None) -> Taken:
    attributes: list[Json] = []
    if session:
        attributes.append({"key": "session.id", "value": {"stringValue": session}})
    if first_token is not None:
        key = "gen_ai.response.time_to_first_chunk"
        attributes.append({"key": key, "value": {"doubleValue": first_token}})
    content: dict[str, Json] = {
        "traceId": trace,
        "spanId": f"{start:016x}",
        "startTimeUnixNano": str(start),
        "endTimeUnixNano": str(end),
        "attributes": attributes,
        "events": [{"name": "noted", "timeUnixNano": str(start)}],
    }
    return Taken({}, {}, content)


def test_samples_are_stretched_to_human_pace() -> None:
    root, child = span("a", 1000, 1400), span("a", 1100, 1200, first_token=0.01)

    lay_out([child, root], now=10**18)

    start = root.time("startTimeUnixNano")
    assert root.time("endTimeUnixNano") == start + 400 * SPEED
    assert child.time("startTimeUnixNano") == start + 100 * SPEED
    assert child.attribute("gen_ai.response.time_to_first_chunk")["doubleValue"] == pytest.approx(0.01 * SPEED)
    assert text_in(list_in(child.span, "events")[0], "timeUnixNano") == str(start + 100 * SPEED)


def test_samples_lie_in_the_past_and_keep_their_order() -> None:
    now = 10**18
    spans = [span(f"{n}", n * SECOND, (n + 2) * SECOND) for n in range(20)]

    groups = lay_out(spans, now)

    starts = [members[0].time("startTimeUnixNano") for members in groups]
    assert starts == sorted(starts)
    assert starts[0] > now - (SPREAD + LATEST + 2 * SPEED) * SECOND
    assert max(taken.time("endTimeUnixNano") for taken in spans) == now - LATEST * SECOND


def test_the_turns_of_a_conversation_stay_together() -> None:
    turns = [span("a", 0, 10, session="s"), span("b", 20, 30, session="s")]
    other = span("c", 5, 40)

    groups = lay_out([*turns, other], now=10**18)

    assert [len(members) for members in groups] == [2, 1]
    assert turns[1].time("startTimeUnixNano") - turns[0].time("startTimeUnixNano") == 20 * SPEED


def test_a_taken_port_is_given_up_for_a_free_one(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        wanted = taken.getsockname()[1]

        port = free_port(wanted)

    assert port not in (0, wanted)
    assert f"port {wanted} is taken" in capsys.readouterr().out


@pytest.mark.parametrize(("screen", "opened"), [("DISPLAY", True), ("BROWSER", True), ("NOTHING", False)])
@pytest.mark.skipif(sys.platform in ("darwin", "win32"), reason="there is always a screen there")
def test_a_browser_is_opened_only_where_there_is_a_screen(
    monkeypatch: pytest.MonkeyPatch, screen: str, opened: bool
) -> None:
    pages: list[str] = []
    monkeypatch.setattr("webbrowser.open", pages.append)
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(screen, ":0")

    open_browser("http://127.0.0.1/traces/1")
    for thread in threading.enumerate():
        if thread.name == "browser":
            thread.join(10)

    assert pages == (["http://127.0.0.1/traces/1"] if opened else [])


@dataclass
class Ended:
    """A demo that is over."""

    code: int
    out: str
    err: str


@contextmanager
def demo(*options: str) -> Iterator[subprocess.Popen[str]]:
    """Start a demo; it is dead afterwards, whatever happens."""
    command = [sys.executable, "-W", "error", "-m", "examples.demo", "--no-browser", "--port", "0", *options]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
        process.communicate(timeout=30)


def finish(process: subprocess.Popen[str]) -> Ended:
    out, err = process.communicate(timeout=90)
    return Ended(process.returncode, out, err)


@dataclass
class Played:
    """A demo that was played once, and the data it kept."""

    ended: Ended
    data: Path


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    data = tmp_path_factory.mktemp("demo")
    with demo("--once", "--speed", "20", "--data", str(data)) as process:
        return Played(finish(process), data)


def traces(service: Service) -> list[Json]:
    with urllib.request.urlopen(f"{service.url}/api/v1/traces?limit=200&project=bicycle-shop") as answer:
        return list_in(json.load(answer), "items")


@pytest.fixture(scope="module")
def service(played: Played) -> Iterator[Service]:
    """A service on the data that the demo left."""
    service = Service(free_port(0), played.data)
    try:
        service.wait_until_ready()
        yield service
    finally:
        stop(service.process)


def test_the_demo_says_what_it_does_and_ends_well(played: Played) -> None:
    ended = played.ended

    assert ended.code == 0, ended.err
    assert ended.err == ""
    assert "service   ready after" in ended.out
    assert re.search(r"^Open http://127\.0\.0\.1:\d+$", ended.out, re.MULTILINE)
    assert re.search(r"watch it grow: http://127\.0\.0\.1:\d+/traces/[0-9a-f]{32}$", ended.out, re.MULTILINE)


def test_the_demo_leaves_a_day_of_traces_of_every_chain_with_failures_among_them(service: Service) -> None:
    found = traces(service)
    names = [text_in(trace, "name") for trace in found]
    states = {text_in(trace, "status") for trace in found}
    starts = [datetime.fromisoformat(text_in(trace, "start_time")[:19] + "+00:00") for trace in found]
    failed = [trace for trace in found if text_in(trace, "status") == "error"]

    assert 30 <= len(found) <= 45
    assert set(names) == {"answer_question", "research", "publish", "chat_turn", "ask_the_books"}
    assert states == {"ok", "error"}
    assert 4 <= len(failed) <= 8
    assert max(starts) - min(starts) > timedelta(hours=18)
    assert max(starts) <= datetime.now(UTC)


def test_the_demos_traces_have_users_sessions_tokens_and_human_durations(service: Service) -> None:
    found = traces(service)
    answered = [trace for trace in found if text_in(trace, "name") == "research" and "sample" in list_in(trace, "tags")]

    assert {"mara", "lucia"} <= {text_in(trace, "user_id") for trace in found}
    assert len({text_in(trace, "session_id") for trace in found} - {""}) == 2
    assert all((count_in(part_of(trace, "tokens"), "total") or 0) > 500 for trace in answered)
    for trace in answered:
        duration = trace.get("duration_ms") if isinstance(trace, dict) else None
        assert isinstance(duration, int | float)
        assert 4_000 < duration < 60_000


def test_the_live_chain_is_stored_whole(played: Played, service: Service) -> None:
    shown = re.search(r"/traces/([0-9a-f]{32})", played.ended.out)
    assert shown
    with urllib.request.urlopen(f"{service.url}/api/v1/traces/{shown[1]}") as answer:
        trace: Json = json.load(answer)
    spans = list_in(trace, "spans")

    assert "sample" not in list_in(trace, "tags")
    assert len(spans) == 14
    assert {text_in(step, "status") for step in spans} == {"ok", "error"}


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_everything_cleanly_while_a_chain_runs(played: Played, ending: signal.Signals) -> None:
    with demo("--data", str(played.data)) as process:
        assert process.stdout is not None
        lines: list[str] = []
        for line in process.stdout:
            lines.append(line)
            if "watch it grow" in line:
                break
        address = re.search(r"http://127\.0\.0\.1:(\d+)/traces/", lines[-1])
        assert address, lines
        process.send_signal(ending)
        begun = time.monotonic()
        ended = finish(process)

    assert ended.code == 0
    assert ended.err == ""
    assert time.monotonic() - begun < 20
    assert any("none are added" in line for line in lines)
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", int(address[1]))) != 0


def test_a_demo_that_cannot_begin_says_why_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")

    with demo("--data", str(tmp_path / "file")) as process:
        ended = finish(process)

    assert ended.code == 1
    assert "cannot be made" in ended.err
    assert "Traceback" not in ended.err


def test_a_service_that_does_not_start_is_told_with_its_last_words(tmp_path: Path) -> None:
    (tmp_path / "stepscope.db").mkdir()

    with demo("--data", str(tmp_path)) as process:
        ended = finish(process)

    assert ended.code == 1
    assert "The service ended at its start" in ended.err
    assert "Its last words were" in ended.err
