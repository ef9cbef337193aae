"""Steps that come faster than they can be written out: none is lost, and none is changed on the way."""

from __future__ import annotations

import logging
import marshal
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import stepscope
from stepscope import _config, _delivery, _encode, _overflow, _runtime, testing
from stepscope._steps import Step
from tests.counts import counted
from tests.sdk.sink import Reply, Sink
from tests.sdk.test_processes import SOURCE, ok, run

CALLS = counted(6_000, 100_000)
MEMORY = CALLS * 640
"""A quarter of what the calls need: as 64 MB are to 100,000 of them."""

TIGHT = """
import json, stepscope, sys

stepscope.init(memory={memory})

@stepscope.step
def work(value):
    return value

kind = {kind!r}
for n in range({calls}):
    text = str(n).zfill(8) * 128
    work(text if kind == "text" else {{f"part {{i}}": text[i * 128 : i * 128 + 128] for i in range(8)}})
status = stepscope.status()
assert status.recorded == {calls} and status.dropped == 0, status
print(json.dumps(list(status)))
stepscope.flush(60)
print(json.dumps(list(stepscope.status())))
"""


@pytest.mark.serial
@pytest.mark.parametrize("kind", ["text", "dict"])
def test_a_tight_loop_loses_nothing(sink, tmp_path, kind):
    seen = subprocess.run(
        [sys.executable, "-W", "error", "-c", TIGHT.format(kind=kind, calls=CALLS, memory=MEMORY)],
        env={**os.environ, "PYTHONPATH": SOURCE, "STEPSCOPE_ENDPOINT": sink.url, "STEPSCOPE_SPOOL": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=110,
    )

    assert (seen.returncode, seen.stderr) == (0, "")
    ids = {span["spanId"] for request in sink.accepted() for span in request.spans if span["endTimeUnixNano"] != "0"}
    assert len(ids) == CALLS


@pytest.mark.serial
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize("kind", ["text", "dict"])
def test_r72_a_forked_child_in_a_tight_loop_loses_nothing_while_the_server_is_away(sink, tmp_path, kind):
    url = sink.url
    sink.close()
    code = f"""
import os
exec({TIGHT.split("for n in")[0].format(kind=kind, memory=MEMORY)!r})
work("before")
pid = os.fork()
if pid:
    assert os.waitpid(pid, 0)[1] == 0
    stepscope.shutdown()
else:
    exec({"for n in" + TIGHT.split("for n in", 1)[1].format(calls=CALLS)!r})
    stepscope.shutdown(30)
    os._exit(0)
"""
    seen = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": SOURCE, "STEPSCOPE_ENDPOINT": url, "STEPSCOPE_SPOOL": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert seen.returncode == 0, seen.stderr

    late = Sink(int(url.rpartition(":")[2]))
    try:
        stepscope.init(endpoint=url, spool=str(tmp_path))
        with stepscope.step("later"):
            pass
        assert stepscope.flush(60), stepscope.status()
        finals = [span["spanId"] for request in late.accepted() for span in request.spans]
        assert len(set(finals)) >= CALLS + 2
    finally:
        stepscope.shutdown()
        late.close()


@pytest.fixture
def starved(monkeypatch):
    """Let the delivery thread get nowhere until the test says so."""
    go = threading.Event()
    work = _delivery.Delivery.work

    def never_its_turn(self: _delivery.Delivery, stopped: Callable[[], bool]) -> None:
        while not go.wait(0.01):
            if stopped():
                return
        work(self, stopped)

    monkeypatch.setattr(_delivery.Delivery, "work", never_its_turn)
    yield go
    go.set()


def record(numbers: Iterable[int]) -> None:
    for number in numbers:
        with stepscope.step("work") as s:
            s.output = str(number).zfill(10) * 100


def outputs(sink: Sink) -> list[int]:
    return [int(span.attributes["output.value"][:10]) for span in sink.finals()]


def held() -> int:
    exporter = _runtime.exporter
    assert exporter is not None
    return exporter._bytes_held()


def test_where_the_delivery_thread_never_gets_its_turn_the_callers_thread_makes_room(sink, tmp_path, starved):
    stepscope.init(endpoint=sink.url, spool=str(tmp_path), memory=1_000_000)
    highest = 0
    for number in range(5_000):
        record([number])
        highest = max(highest, held())

    assert highest < 1_010_000
    assert stepscope.status().waiting == stepscope.status().recorded == 5_000
    starved.set()
    assert stepscope.flush(30), stepscope.status()
    assert outputs(sink) == list(range(5_000))


def test_what_the_callers_thread_puts_aside_goes_into_few_files(sink, tmp_path, starved, monkeypatch):
    monkeypatch.setattr(_overflow, "FILES", 4)
    stepscope.init(endpoint=sink.url, spool=str(tmp_path), memory=1_000_000)
    record(range(7_000))  # four times what four threads' turns put aside

    assert stepscope.status().dropped == 0
    starved.set()
    assert stepscope.flush(30), stepscope.status()
    assert outputs(sink) == list(range(7_000))


def test_a_file_that_could_not_be_added_to_keeps_what_is_in_it(sink, tmp_path, starved, monkeypatch):
    stepscope.init(endpoint=sink.url, spool=str(tmp_path), memory=1_000_000)
    write, times = os.write, 0

    def failing(handle: int, data: Any) -> int:
        nonlocal times
        times += 1
        if times % 3 == 0:
            write(handle, data[: len(data) // 2])
            raise OSError(5, "Input/output error")
        return write(handle, data)

    monkeypatch.setattr(_overflow, "AGAIN", 0.0)
    monkeypatch.setattr(_overflow.os, "write", failing)
    record(range(3_000))
    monkeypatch.undo()
    dropped = stepscope.status().dropped
    starved.set()

    assert times > 6
    assert stepscope.flush(30), stepscope.status()
    assert len(outputs(sink)) == len(set(outputs(sink))) == 3_000 - dropped
    assert stepscope.status().delivered == 3_000 - dropped


@pytest.mark.parametrize("chunk", [_overflow.CHUNK, 1], ids=["added to the last file", "a new file"])
def test_an_interrupt_at_any_moment_of_putting_aside_loses_no_file_and_doubles_none(chunk, monkeypatch):
    """Before each line of `put` but `try:` and those that move the file: there an interrupt comes before or after."""
    monkeypatch.setattr(_overflow, "CHUNK", chunk)
    code = _overflow.Overflow.put.__code__
    source = Path(code.co_filename).read_text().splitlines()
    interrupted = 0

    with testing.capture() as steps:
        record(range(6))
    recorded = list(steps._steps)
    for at in range(1_000):
        aside = _overflow.Overflow(nameless, _encode.span_bytes)
        assert aside.put(recorded[:3], 1 << 20)
        left, where = at, 0

        def each_line(frame: Any, event: str, _: object) -> Any:
            nonlocal left, where
            if frame.f_code is not code:
                return None
            line = source[frame.f_lineno - 1]
            if event == "line" and "_chunks.extend" not in line and line.strip() != "try:":
                left -= 1
                where = frame.f_lineno
                if left < 0:
                    raise KeyboardInterrupt
            return each_line

        sys.settrace(each_line)
        try:
            aside.put(recorded[3:], 1 << 20)
        except KeyboardInterrupt:
            interrupted += 1
        finally:
            sys.settrace(None)
        if left >= 0:
            break
        handles = [one.handle for one in aside._chunks]
        assert len(set(handles)) == len(handles), (at, where)
        taken = list(iter(aside.take, None))
        spans = [one._span for one in taken if isinstance(one, Step)]
        assert spans in ([one._span for one in recorded[:3]], [one._span for one in recorded]), (at, where)
    assert interrupted > 20


def test_what_was_moved_to_disk_is_not_held_in_memory_for_being_shown_while_it_runs(sink, tmp_path, starved):
    stepscope.init(endpoint=sink.url, spool=str(tmp_path), memory=1_000_000)
    exporter = _runtime.exporter
    assert exporter is not None
    with stepscope.step("outer") as outer:
        record(range(3_000))
        waiting = set(map(id, exporter.ended))
        unknown = [step for step in exporter.notices if step._end and id(step) not in waiting]
        running = [step for step in exporter.notices if not step._end]
        assert not unknown
        assert running == [outer]
        starved.set()
        sink.wait(lambda: any(span.running and span.name == "outer" for span in sink.versions()))


def test_many_threads_make_room_at_once_and_none_loses_or_doubles_a_step(sink, tmp_path, starved):
    stepscope.init(endpoint=sink.url, spool=str(tmp_path), memory=400_000)
    threads = [threading.Thread(target=record, args=(range(start, start + 600),)) for start in range(0, 4_800, 600)]
    for thread in threads:
        thread.start()
    starved.set()
    for thread in threads:
        thread.join()

    assert stepscope.flush(30), stepscope.status()
    assert stepscope.status()[:4] == (4_800, 4_800, 0, 0)
    assert sorted(outputs(sink)) == list(range(4_800))


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="this system has no such signal")
def test_a_signal_handler_records_in_the_midst_of_making_room(sink, tmp_path, starved, monkeypatch):
    stepscope.init(endpoint=sink.url, spool=str(tmp_path), memory=400_000)
    dumps = marshal.dumps
    times = iter(range(3))

    def interrupted(value: Any) -> bytes:
        if next(times, None) is not None:
            signal.raise_signal(signal.SIGUSR1)
        return dumps(value)

    before = signal.signal(signal.SIGUSR1, lambda *about: record(range(10_000, 10_500)))
    try:
        monkeypatch.setattr(_overflow.marshal, "dumps", interrupted)
        record(range(300))
        monkeypatch.undo()
    finally:
        signal.signal(signal.SIGUSR1, before)
    starved.set()

    assert stepscope.flush(30), stepscope.status()
    assert stepscope.status().dropped == 0
    assert set(outputs(sink)) == {*range(300), *range(10_000, 10_500)}


def test_a_redaction_hook_that_records_steps_itself_makes_no_endless_round(sink, tmp_path, starved):
    def redact(key: str, text: str) -> str:
        with stepscope.step("seen"):
            pass
        return text

    stepscope.init(endpoint=sink.url, spool=str(tmp_path), memory=100_000, redact=redact)
    trace = "1" * 32
    for number in range(400):  # scores are written out by whoever puts them aside
        stepscope.score(f"s{number}", "good " * 30, trace_id=trace)

    assert stepscope.status().dropped == 0
    stepscope.shutdown(0.1)


def test_on_a_full_disk_what_memory_cannot_hold_is_dropped_and_counted_and_the_disk_is_not_tried_each_time(
    sink, tmp_path, starved, monkeypatch, caplog
):
    tries: list[int] = []

    def full(handle: int, data: object) -> int:
        tries.append(handle)
        raise OSError(28, "No space left on device")

    stepscope.init(endpoint=sink.url, spool=str(tmp_path), memory=1_000_000)
    monkeypatch.setattr(_overflow.os, "write", full)
    with caplog.at_level(logging.WARNING, "stepscope"):
        record(range(2_000))
    monkeypatch.undo()
    dropped = stepscope.status().dropped
    starved.set()

    assert stepscope.flush(30), stepscope.status()
    assert 0 < dropped < 2_000
    assert outputs(sink) == list(range(2_000 - dropped))
    assert 1 <= len(tries) < 20
    assert caplog.text.count("further steps are dropped") == caplog.text.count("No space left") == 1


def test_what_the_disk_may_hold_is_a_bound_for_making_room_too(sink, tmp_path, starved, monkeypatch):
    monkeypatch.setattr(_config, "DEFAULT_DISK", 6_000_000)
    stepscope.init(endpoint=sink.url, spool=str(tmp_path), memory=1_000_000)
    record(range(8_000))
    status = stepscope.status()
    starved.set()

    assert status.on_disk > 1_000
    assert status.dropped > 1_000
    assert stepscope.flush(30), stepscope.status()
    assert len(outputs(sink)) == 8_000 - status.dropped


SOAK = """
import sys, time, stepscope
from stepscope import _config

calls, _config.DEFAULT_DISK = {calls}, {disk}

@stepscope.step
def work(value):
    return value

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096

for n in range(200):
    work(str(n).zfill(8) * 128)
time.sleep(0.5)
before = most = resident()
for n in range(calls):
    work(str(n).zfill(8) * (512 if n % 2 else 128))
    if n % 500 == 0:
        most = max(most, resident())
status = stepscope.status()
assert status.recorded == calls + 200 == status.waiting + status.dropped, status
print(most - before, status.dropped)
"""


@pytest.mark.serial
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_r70_however_long_the_server_is_dead_memory_stays_within_its_bound(sink, tmp_path):
    sink.close()
    calls, disk = counted(16_000, 10_000_000), counted(16_000_000, _config.DEFAULT_DISK)
    begun = time.monotonic()
    done = run(SOAK.format(calls=calls, disk=disk), sink, timeout=1500.0, STEPSCOPE_SPOOL=str(tmp_path))
    minutes = (time.monotonic() - begun) // 60

    assert done.returncode == 0, done.stderr
    grown, dropped = map(int, done.stdout.split())
    assert grown < _config.DEFAULT_MEMORY
    assert dropped > calls // 10
    assert 1 <= done.stderr.count("further steps are dropped") <= 1 + minutes


def test_with_little_memory_and_a_slow_server_nothing_is_lost_and_memory_stays_within_its_bound(sink, tmp_path):
    sink.reply = lambda number, request: Reply(delay=0.3 if number == 0 else 0.0)
    stepscope.init(endpoint=sink.url, spool=str(tmp_path), memory=4_000_000)

    for number in range(3_000):
        with stepscope.step("work") as s:
            s.output = str(number).zfill(10) * 100
        if number % 100 == 0:
            at_most(2_000_000)

    assert stepscope.flush(30), stepscope.status()
    assert stepscope.status().dropped == 0
    assert sorted(int(span.attributes["output.value"][:10]) for span in sink.finals()) == list(range(3_000))


def test_steps_that_were_put_aside_are_as_they_were(sink, tmp_path, monkeypatch):
    seen: list[int] = []
    put = _overflow.Overflow.put
    monkeypatch.setattr(
        _overflow.Overflow, "put", lambda self, steps, room: seen.append(len(steps)) or put(self, steps, room)
    )
    sink.reply = lambda number, request: Reply(delay=0.2 if number == 0 else 0.0)
    stepscope.init(endpoint=sink.url, spool=str(tmp_path), memory=400_000)
    with stepscope.context(session="s-1", user="mara", tags=["a"], metadata={"plan": "pro"}, release="7"):
        for number in range(120):
            try:
                with stepscope.step(f"work {number}", kind="llm") as s:
                    s.input = {"n": number, "list": [1, 2.5, None, {"x": b"\x00\xff"}]}
                    s.messages = [{"role": "user", "content": "Hé\ud800llo"}]
                    s.tokens(input=number)
                    s.event("noted", place="here")
                    s.stream("so ")
                    s.stream("far")
                    if number % 10 == 0:
                        raise ValueError("no")
            except ValueError:
                pass

    assert stepscope.flush(20), stepscope.status()
    assert sum(seen) > 20
    finals = {span.name: span for span in sink.finals()}
    assert len(finals) == 120
    for number in range(120):
        span = finals[f"work {number}"]
        assert span.read("input")["n"] == number
        assert span.attributes["output.value"] == "so far"
        assert span.attributes["gen_ai.usage.input_tokens"] == number
        assert (span.attributes["session.id"], span.attributes["user.id"]) == ("s-1", "mara")
        assert [event["name"] for event in span.events] == ["noted"] + ["exception"] * (number % 10 == 0)
        assert span.status["code"] == (2 if number % 10 == 0 else 1)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=8,
    )
)
def test_a_step_put_aside_and_taken_back_is_written_the_same(value):
    with testing.capture() as steps:
        for _ in range(2):
            with stepscope.step("work") as s:
                s.input = value
                s.metadata["value"] = value
    given_steps = list(steps._steps)
    expected = [_encode.span_bytes(step) for step in given_steps]
    overflow = _overflow.Overflow(nameless, _encode.span_bytes)
    assert overflow.put(given_steps, 1 << 30)
    taken = [overflow.take(), overflow.take()]

    assert [one.span if isinstance(one, _overflow.Out) else _encode.span_bytes(one) for one in taken if one] == expected
    assert overflow.take() is None


def nameless() -> int:
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def at_most(size: int) -> None:
    """Wait until no more than `size` bytes wait in memory."""
    exporter = _runtime.exporter
    deadline = time.monotonic() + 20
    while exporter is not None and exporter._bytes_held() > size:
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_where_nothing_may_be_on_disk_steps_wait_in_memory_and_are_refused_beyond_it(sink, caplog):
    sink.close()
    stepscope.init(endpoint=sink.url, spool=False, memory=200_000)
    with caplog.at_level(logging.WARNING, "stepscope"):
        for _ in range(400):
            with stepscope.step("work") as s:
                s.output = "x" * 1000

    status = stepscope.status()
    assert status.recorded == 400
    assert 0 < status.dropped < 400
    assert "further steps are dropped" in caplog.text


def test_a_disk_without_room_loses_nothing_that_memory_can_hold(sink, tmp_path, monkeypatch):
    def full(handle: int, data: object) -> int:
        raise OSError(28, "No space left on device")

    sink.reply = lambda number, request: Reply(delay=0.2 if number == 0 else 0.0)
    stepscope.init(endpoint=sink.url, spool=str(tmp_path), memory=2_000_000)
    monkeypatch.setattr(_overflow.os, "write", full)
    for _ in range(500):
        with stepscope.step("work") as s:
            s.output = "x" * 1000
    monkeypatch.undo()

    assert stepscope.flush(20), stepscope.status()
    assert len(sink.finals()) == 500


def test_nothing_of_what_was_put_aside_has_a_name_on_disk(sink, tmp_path):
    sink.reply = lambda number, request: Reply(delay=0.5 if number == 0 else 0.0)
    stepscope.init(endpoint=sink.url, spool=str(tmp_path), memory=400_000)
    with stepscope.step("first"):
        pass
    sink.wait(lambda: len(sink.requests) == 1)
    for _ in range(300):
        with stepscope.step("work") as s:
            s.output = "api_key secret " * 100
        at_most(200_000)

    def named() -> list[Path]:
        return [path for path in tmp_path.rglob("*") if path.suffix == ".tmp"]

    sink.wait(lambda: not named())  # where the system has no nameless files, a name is there for a moment
    assert stepscope.flush(20)
    assert len(sink.finals()) == 301


def test_r71_what_a_tight_loop_leaves_when_its_script_ends_goes_out_with_the_next(sink, tmp_path):
    code = """
import stepscope
for _ in range(8000):
    with stepscope.step("work") as s:
        s.output = "x" * 1000
"""
    ok(run(code, sink, STEPSCOPE_SPOOL=str(tmp_path)))
    stepscope.init(endpoint=sink.url, spool=str(tmp_path))
    with stepscope.step("next"):
        pass

    assert stepscope.flush(20), stepscope.status()
    assert len({span["spanId"] for request in sink.accepted() for span in request.spans}) == 8_001
