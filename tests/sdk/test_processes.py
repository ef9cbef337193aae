"""Life and death of processes: exit, fork, workers, and what an import brings along."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

import stepscope
from tests.sdk.sink import Reply, Sink

SOURCE = str(Path(stepscope.__file__).parents[1])


def run(
    code: str,
    sink: Sink | None,
    *,
    flags: tuple[str, ...] = (),
    folder: Path | None = None,
    timeout: float = 60.0,
    **environment: str,
) -> subprocess.CompletedProcess[str]:
    """Run a script of its own, warnings as errors, and wait for its end."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("STEPSCOPE", "PYTEST", "OTEL"))}
    env |= {"PYTHONPATH": SOURCE, "STEPSCOPE_SPOOL": "0", **environment}
    if sink is not None:
        env["STEPSCOPE_ENDPOINT"] = sink.url
    return subprocess.run(
        [sys.executable, "-W", "error", *flags, "-c", code],
        env=env, cwd=folder, capture_output=True, text=True, timeout=timeout,
    )  # fmt: skip


def ok(done: subprocess.CompletedProcess[str]) -> str:
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout


TWENTY_LINES = """
import stepscope

@stepscope.step
def work(n):
    return n

for n in range(300):
    work(n)
"""


def test_r71_a_script_that_just_ends_delivers_every_step(sink):
    ok(run(TWENTY_LINES, sink))

    assert len(sink.finals()) == 300


@pytest.mark.parametrize(
    "ending",
    [
        "import sys; sys.exit(0)",
        "raise SystemExit",
        "import threading; t = threading.Thread(target=work, args=(1,)); t.start()",
        "import atexit; atexit.register(work, 1)",
    ],
)
def test_r71_whatever_way_a_script_ends_its_steps_are_delivered(sink, ending):
    ok(run(TWENTY_LINES + ending, sink))

    assert len(sink.finals()) >= 300


def test_r71_a_script_that_fails_delivers_what_it_did_and_its_error(sink):
    done = run(TWENTY_LINES + "\nwith stepscope.step('last'):\n    1 / 0", sink)

    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stderr
    assert "stepscope" not in done.stderr.replace("stepscope.step('last')", "")
    assert sink.spans()["last"].events[0]["attributes"]["exception.type"] == "ZeroDivisionError"
    assert len(sink.finals()) == 301


def test_r71_a_server_that_never_answers_holds_the_exit_up_for_two_seconds_at_most(sink):
    sink.reply = lambda number, request: Reply(delay=60)
    began = time.monotonic()
    done = run(TWENTY_LINES, sink)

    assert time.monotonic() - began < 5
    assert done.returncode == 0
    assert "300 steps were dropped at the end of the program" in done.stderr


def test_r71_without_a_server_the_exit_is_not_held_up(sink):
    sink.close()
    began = time.monotonic()
    done = run(TWENTY_LINES, sink)

    assert time.monotonic() - began < 5
    assert done.returncode == 0
    assert "Connection refused" in done.stderr


def test_an_import_brings_nothing_but_the_standard_library_and_no_thread(sink):
    code = """
import sys, threading
before = set(sys.modules)
import stepscope
heavy = {"http.client", "ssl", "asyncio", "logging", "inspect", "urllib.request", "opentelemetry", "dataclasses"}
assert not heavy & (set(sys.modules) - before), heavy & set(sys.modules)
assert threading.active_count() == 1
with stepscope.step("work"):
    pass
assert stepscope.flush(10)
mine = {name.partition(".")[0] for name in set(sys.modules) - before}
assert mine - {"stepscope"} <= sys.stdlib_module_names, mine
"""
    ok(run(code, sink, flags=("-S",)))

    assert len(sink.finals()) == 1


FORK = """
import os, stepscope, sys, threading

@stepscope.step
def work(name):
    with stepscope.step(name):
        pass

work("before")
with stepscope.step("root"):
    pid = os.fork()
    if pid == 0:
        work("child")
        assert stepscope.flush(10), stepscope.status()
        os._exit(0)
    work("parent")
assert os.waitpid(pid, 0)[1] == 0
work("after")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_r72_a_forked_child_sends_its_own_steps_once_and_nothing_of_the_parent(sink):
    ok(run(FORK, sink))

    finals = sink.finals()
    ids = [span.span_id for span in finals]
    assert len(ids) == len(set(ids))
    assert sorted(span.name for span in finals) == [
        "after", "before", "child", "parent", "root", "work", "work", "work", "work",
    ]  # fmt: skip
    spans = sink.spans()
    by_id = {span.span_id: span for span in finals}
    assert by_id[spans["child"].parent_id].parent_id == spans["root"].span_id
    assert spans["child"].resource["process.pid"] != spans["parent"].resource["process.pid"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_r72_a_child_that_leaves_the_parents_block_does_not_send_the_parents_step(sink):
    code = """
import os, stepscope
with stepscope.step("root"):
    pid = os.fork()
if pid == 0:
    with stepscope.step("child"):
        pass
    stepscope.flush(10)
    os._exit(0)
os.waitpid(pid, 0)
"""
    ok(run(code, sink))

    assert sorted(span.name for span in sink.finals()) == ["child", "root"]
    assert sink.spans()["child"].parent_id is None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_r72_a_fork_in_the_midst_of_deliveries_loses_nothing_and_doubles_nothing(sink):
    code = """
import os, stepscope, threading

@stepscope.step
def work(n):
    return "x" * 500

stop = threading.Event()
def busy():
    while not stop.wait(0.0002):  # deliveries under way all the time, but never more than memory may hold
        work(0)

threading.Thread(target=busy).start()
good = True
for n in range(5):
    pid = os.fork()
    if pid == 0:
        for n in range(20):
            with stepscope.step("child"):
                pass
        os._exit(0 if stepscope.flush(20) else 1)
    good = os.waitpid(pid, 0)[1] == 0 and good
stop.set()
assert good and stepscope.flush(30)
"""
    if sys.version_info >= (3, 12):
        code = "import warnings; warnings.simplefilter('ignore', DeprecationWarning)\n" + code
    ok(run(code, sink))

    finals = sink.finals()
    assert len({span.span_id for span in finals}) == len(finals)
    assert sum(span.name == "child" for span in finals) == 100


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_r72_multiprocessing_workers_deliver_without_being_asked(sink, tmp_path, method):
    script = tmp_path / "pool.py"
    script.write_text(
        f"""
import multiprocessing, stepscope

@stepscope.step
def work(n):
    return n * n

def main():
    work(-1)
    context = multiprocessing.get_context({method!r})
    process = context.Process(target=work, args=(100,))
    process.start()
    process.join()
    with context.Pool(2) as pool:
        assert pool.map(work, range(20)) == [n * n for n in range(20)]
        pool.close()
        pool.join()

if __name__ == "__main__":
    main()
"""
    )
    env = {name: value for name, value in os.environ.items() if not name.startswith(("STEPSCOPE", "PYTEST"))}
    env |= {"PYTHONPATH": SOURCE, "STEPSCOPE_SPOOL": "0", "STEPSCOPE_ENDPOINT": sink.url}
    done = subprocess.run([sys.executable, script], env=env, capture_output=True, text=True, timeout=60)

    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(span.read("input")["n"] for span in sink.finals()) == [-1, *range(20), 100]


def test_r77_a_child_that_ends_by_os_exit_delivers_when_asked(sink):
    ok(run(TWENTY_LINES + "\nimport os\nassert stepscope.flush(10)\nos._exit(0)", sink))

    assert len(sink.finals()) == 300


def test_r71_a_step_made_while_the_interpreter_shuts_down_harms_nothing(sink):
    code = """
import stepscope

class Late:
    def __del__(self):
        with stepscope.step("late"):
            pass

keep = Late()
keep.self = keep
with stepscope.step("work"):
    pass
"""
    ok(run(code, sink))

    assert "work" in sink.spans()


def test_a_signal_handler_that_records_cannot_lock_up(sink):
    code = """
import signal, stepscope

@stepscope.step
def work():
    pass

work()
signal.signal(signal.SIGALRM, lambda *_: work())
signal.setitimer(signal.ITIMER_REAL, 0.001, 0.0005)
for _ in range(3000):
    work()
signal.setitimer(signal.ITIMER_REAL, 0)
assert stepscope.flush(20)
status = stepscope.status()
assert status.recorded == status.delivered >= 3000, status
print(status.recorded)
"""
    assert int(ok(run(code, sink))) == len({span.span_id for span in sink.finals()})
