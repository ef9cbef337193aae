"""`python -m stepscope doctor`, and the pytest plugin, as people run them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sdk.sink import Reply
from tests.sdk.test_processes import SOURCE


def run(tmp_path: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if not name.startswith(("STEPSCOPE", "PYTEST", "OTEL"))}
    env |= {"PYTHONPATH": SOURCE, "XDG_STATE_HOME": str(tmp_path), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", **environment}
    command = [sys.executable, "-m", *arguments]
    return subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=60)


def test_the_doctor_finds_nothing_wrong_where_nothing_is(sink, tmp_path):
    done = run(
        tmp_path, "stepscope", "doctor", STEPSCOPE_ENDPOINT=sink.url, STEPSCOPE_API_KEY="hush", STEPSCOPE_PROJECT="p"
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert "all is well" in done.stdout
    assert "hush" not in done.stdout
    assert sink.accepted()[0].headers["authorization"] == "Bearer hush"
    assert sink.accepted()[0].spans == []


def test_the_doctor_says_that_nobody_answers_and_what_waits(sink, tmp_path):
    url = sink.url
    sink.close()
    code = "import stepscope\nfor _ in range(7):\n    with stepscope.step('x'): pass\n"
    env = {**os.environ, "PYTHONPATH": SOURCE, "XDG_STATE_HOME": str(tmp_path), "STEPSCOPE_ENDPOINT": url}
    env.pop("PYTEST_CURRENT_TEST", None)
    subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, timeout=60, check=True)
    done = run(tmp_path, "stepscope", "doctor", STEPSCOPE_ENDPOINT=url)

    assert done.returncode == 1
    assert f"nobody answers at {url}" in done.stdout
    assert "7 steps (" in done.stdout


@pytest.mark.parametrize(
    ("status", "hint"), [(401, "is the API key right?"), (404, "is the endpoint right?"), (503, "it answered 503")]
)
def test_the_doctor_says_why_a_server_takes_no_steps(sink, tmp_path, status, hint):
    sink.reply = lambda number, request: Reply(status)
    done = run(tmp_path, "stepscope", "doctor", STEPSCOPE_ENDPOINT=sink.url)

    assert done.returncode == 1
    assert hint in done.stdout


def test_the_doctor_says_that_recording_is_off_or_its_address_wrong(tmp_path):
    assert "STEPSCOPE_DISABLED is set" in run(tmp_path, "stepscope", "doctor", STEPSCOPE_DISABLED="1").stdout
    wrong = run(tmp_path, "stepscope", "doctor", STEPSCOPE_ENDPOINT="ftp://x")
    assert wrong.returncode == 1
    assert "is not an http:// or https:// address" in wrong.stdout


def test_another_word_is_met_with_the_usage(tmp_path):
    done = run(tmp_path, "stepscope", "surgeon")

    assert (done.returncode, done.stdout) == (2, "")
    assert "usage" in done.stderr


TESTS = """
import pytest, stepscope

@stepscope.step
def answer(question):
    return question.upper()

def test_good():
    assert answer("hi") == "HI"

@pytest.mark.slow
def test_bad():
    assert answer("hi") == "hi"

@pytest.mark.stepscope
def test_marked():
    answer("marked")

def test_held(stepscope_steps):
    answer("held")
    assert stepscope_steps.one("answer").input == {"question": "held"}
"""


def pytest_run(tmp_path: Path, *options: str, **environment: str) -> str:
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["stepscope.pytest_plugin"]\n')
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers =\n    slow: takes long\n")
    (tmp_path / "test_it.py").write_text(TESTS)
    done = run(tmp_path, "pytest", "-q", "-p", "no:cacheprovider", *options, **environment)
    assert "1 failed, 3 passed" in done.stdout, done.stdout + done.stderr
    return done.stdout


def test_each_test_is_a_trace_and_a_failed_one_names_its_address(sink, tmp_path):
    shown = pytest_run(tmp_path, "--stepscope", STEPSCOPE_ENDPOINT=sink.url)

    spans = sink.spans()
    good, bad = spans["test_it.py::test_good"], spans["test_it.py::test_bad"]
    assert (good.status["code"], bad.status["code"]) == (1, 2)
    assert bad.attributes["tag.tags"] == ["test", "slow"]
    below = [span.parent_id for span in sink.finals() if span.name == "answer"]
    assert {good.span_id, bad.span_id} <= set(below)
    assert len(below) == 3
    assert f"{sink.url}/traces/{bad.trace_id}" in shown


def test_a_marked_test_is_recorded_where_an_endpoint_is_set_and_nothing_without(sink, tmp_path):
    pytest_run(tmp_path, STEPSCOPE_ENDPOINT=sink.url)
    assert "test_it.py::test_marked" in sink.spans()
    assert "test_it.py::test_good" not in sink.spans()
    seen = len(sink.accepted())

    assert "Stepscope" not in pytest_run(tmp_path)
    assert len(sink.accepted()) == seen
