"""The servers and workers that programs live in: each delivers every step, without a word about us in its settings."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from pathlib import Path

import pytest

from tests.sdk.libraries import library, need
from tests.sdk.sink import Sink, waited_for
from tests.sdk.test_processes import SOURCE

billiard = library("billiard")
celery = library("celery")
gunicorn = library("gunicorn")

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


def environment(sink: Sink, folder: Path) -> dict[str, str]:
    keep = {name: value for name, value in os.environ.items() if not name.startswith(("STEPSCOPE", "PYTEST", "OTEL"))}
    return {
        **keep,
        "PYTHONPATH": f"{SOURCE}{os.pathsep}{folder}",
        "STEPSCOPE_SPOOL": "0",
        "STEPSCOPE_ENDPOINT": sink.url,
    }


def script(sink: Sink, folder: Path, code: str) -> str:
    path = folder / "program.py"
    path.write_text(code)
    done = subprocess.run(
        [sys.executable, path], env=environment(sink, folder), capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def tasks(sink: Sink) -> Counter[int]:
    """How often each task's step came; every one has its inner step below it."""
    finals = sink.finals()
    outer = {span.span_id: span for span in finals if span.name == "task"}
    assert Counter(span.parent_id for span in finals if span.name == "inner") == Counter(list(outer))
    return Counter(span.read("input")["n"] for span in outer.values())


TASKS = """
import stepscope

@stepscope.step
def task(n):
    with stepscope.step("inner", kind="tool") as s:
        s.output = "x" * 1000
    return n * n
"""


def test_a_script_of_twenty_lines_delivers_every_step(sink, tmp_path):
    said = script(
        sink,
        tmp_path,
        """import stepscope

PRICES = {"tea": 3, "cake": 4}


@stepscope.step(kind="tool")
def price(item):
    return PRICES[item]


@stepscope.step
def order(items):
    with stepscope.step("add up", kind="chain") as s:
        s.output = total = sum(price(item) for item in items)
    return total


with stepscope.session("guest-1"):
    print(order(["tea", "cake"]))
print(stepscope.current_trace_url())
""",
    )

    assert said == "7\nNone\n"
    assert [span.name for span in sorted(sink.finals(), key=lambda span: span.start)] == [
        "order", "add up", "price", "price",
    ]  # fmt: skip
    assert {span.attributes["session.id"] for span in sink.finals()} == {"guest-1"}


PREFORK = (
    TASKS
    + """
import os, signal, sys

told = []
signal.signal(signal.SIGTERM, lambda *about: told.append("to end"))

def serve(read, answered):
    # A worker: takes tasks until it is told to end, finishes the one at hand, and leaves as programs leave.
    while not told:
        line = os.read(read, 8)
        if not line:
            break
        task(int(line))
        os.write(answered, b".")
    sys.exit(0)

task(-1)  # before the workers: the delivery thread runs when they are forked
read, write = os.pipe()
heard, answered = os.pipe()
workers = []
for _ in range(3):
    pid = os.fork()
    if not pid:
        os.close(write)
        serve(read, answered)
    workers.append(pid)
for n in range(60):
    os.write(write, str(n).zfill(8).encode())
    if n % 20 == 19:
        os.read(heard, 1)
        os.kill(workers.pop(), signal.SIGTERM)  # one is told to end in the midst of it
        pid = os.fork()
        if not pid:
            os.close(write)
            serve(read, answered)
        workers.insert(0, pid)
os.close(write)
while True:
    try:
        assert os.wait()[1] == 0
    except ChildProcessError:
        break
"""
)


def test_r72_a_worker_that_forks_its_children_delivers_every_task_of_each(sink, tmp_path):
    script(sink, tmp_path, PREFORK)

    assert tasks(sink) == Counter([-1, *range(60)])
    assert len({span.resource["process.pid"] for span in sink.finals()}) > 2


def test_r72_celerys_pool_delivers_every_task_also_of_children_that_are_replaced(sink, tmp_path):
    need("billiard", billiard)
    script(
        sink,
        tmp_path,
        TASKS
        + """
from billiard import pool as pools
from billiard.pool import Pool

pools.GUARANTEE_MESSAGE_CONSUMPTION_RETRY_LIMIT = 10  # of its own accord it now and then waits half a minute

def main():
    task(-1)
    pool = Pool(2, maxtasksperchild=7)
    assert pool.map(task, range(40), chunksize=1) == [n * n for n in range(40)]
    pool.close()
    pool.join()

if __name__ == "__main__":
    main()
""",
    )

    assert tasks(sink) == Counter([-1, *range(40)])
    assert len({span.resource["process.pid"] for span in sink.finals()}) > 3


CELERY = (
    TASKS
    + """
import os
from billiard import pool as pools
from celery import Celery, signals

pools.GUARANTEE_MESSAGE_CONSUMPTION_RETRY_LIMIT = 10
app = Celery("shop", broker="memory://")
app.conf.broker_transport_options = {"polling_interval": 0.01}

@app.task(name="square")
def square(n):
    assert task(n) == n * n
    open(os.path.join("done", str(n)), "w").close()

@signals.worker_ready.connect
def ready(**about):
    for n in range(40):
        square.delay(n)

task(-1)  # while the application is loaded, in the parent
"""
)


@pytest.mark.soak  # a whole worker takes ten seconds to end; its pool alone is tried above
def test_r72_a_celery_worker_delivers_every_task_also_of_children_that_are_replaced(sink, tmp_path):
    need("celery", celery)
    (tmp_path / "program.py").write_text(CELERY)
    (tmp_path / "done").mkdir()
    options = ("--pool=prefork", "--concurrency=2", "--max-tasks-per-child=7", "--loglevel=error")
    fewer = ("--without-gossip", "--without-mingle", "--without-heartbeat")
    worker = subprocess.Popen(
        [sys.executable, "-m", "celery", "--quiet", "--app=program", "worker", *options, *fewer],
        env=environment(sink, tmp_path), cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        waited_for(lambda: worker.poll() is not None or len(list((tmp_path / "done").iterdir())) == 40, 90)
        worker.send_signal(signal.SIGTERM)  # right after the last task: it has not been delivered yet
        said, _ = worker.communicate(timeout=60)
    finally:
        worker.kill()

    assert worker.returncode == 0, said
    assert "Traceback" not in said, said
    assert tasks(sink) == Counter([-1, *range(40)])
    assert len({span.resource["process.pid"] for span in sink.finals()}) > 5


APP = (
    TASKS
    + """
task(-1)  # while the application is loaded: in the parent, where it is preloaded

def app(environ, start_response):
    body = str(task(int(environ["PATH_INFO"][1:]))).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""
)


@pytest.mark.parametrize("options", [("--preload",), ("--threads=4", "--max-requests=10")])
def test_r72_a_gunicorn_app_delivers_every_request(sink, tmp_path, options):
    need("gunicorn", gunicorn)
    (tmp_path / "program.py").write_text(APP)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    command = [sys.executable, "-m", "gunicorn", "--workers=2", f"--bind=127.0.0.1:{port}", "--log-level=warning"]
    server = subprocess.Popen(
        [*command, "--worker-tmp-dir", str(tmp_path), *options, "program:app"],
        env=environment(sink, tmp_path), cwd=tmp_path, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        for n in range(40):
            assert ask(f"http://127.0.0.1:{port}/{n}") == n * n
        server.send_signal(signal.SIGTERM)
        _, said = server.communicate(timeout=30)
    finally:
        server.kill()

    assert (server.returncode, said) == (0, "")
    found = tasks(sink)
    loaded = found.pop(-1)
    assert found == Counter(range(40))
    assert loaded == 1 if "--preload" in options else loaded >= 2


def ask(address: str) -> int:
    """Ask until the server is up, or its worker replaced."""
    deadline = time.monotonic() + 30
    while True:
        try:
            with urllib.request.urlopen(address, timeout=10) as answer:
                return int(json.load(answer))
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.05)
