"""The README's examples run, every public name is documented, and types say what they should."""

from __future__ import annotations

import inspect
import re
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import stepscope
from stepscope import testing
from tests.sdk.libraries import library, need
from tests.sdk.test_processes import ok, run

otel = library("stepscope.otel")

SDK = Path(__file__).parents[2] / "sdk"
FENCED = re.compile(r"```python\n(.*?)```", re.DOTALL)
EXAMPLES = FENCED.findall((SDK / "README.md").read_text("utf-8"))
REFERENCE = "".join(FENCED.findall((SDK.parent / "docs" / "sdk.md").read_text("utf-8")))


def test_every_example_of_the_readme_runs_and_is_recorded(sink, monkeypatch, tmp_path):
    monkeypatch.setenv("STEPSCOPE_ENDPOINT", sink.url)
    monkeypatch.chdir(tmp_path)
    space: dict[str, object] = {"__name__": "readme"}
    for example in EXAMPLES:
        code = example.replace("http://127.0.0.1:4747", sink.url)
        exec(compile(code, "README.md", "exec"), space)
    assert stepscope.flush(10), stepscope.status()

    assert len(EXAMPLES) >= 8
    assert {"answer", "look up an order", "search the manual", "draft"} <= set(sink.spans())
    assert stepscope.status().dropped == 0


def test_every_example_of_the_reference_runs_and_is_recorded(sink, tmp_path):
    need("opentelemetry-sdk", otel)
    (tmp_path / "reference.py").write_text(REFERENCE.replace("http://127.0.0.1:4747", sink.url))
    ok(run("import runpy; runpy.run_path('reference.py')", sink, folder=tmp_path))

    finals = sink.spans()
    assert {"answer", "look it up", "ask the stock", "upload", "over there", "theirs", "the app's own"} <= set(finals)
    assert finals["draft an answer"].attributes["gen_ai.request.seed"] == 7
    assert [request.path for request in sink.accepted()].count("/api/v1/scores") == 2
    assert finals["theirs"].parent_id == finals["mine"].span_id


PUBLIC: dict[str, list[str]] = {
    "stepscope": stepscope.__all__,
    "stepscope.testing": testing.__all__,
    "stepscope.otel": [] if otel is None else otel.__all__,
}


@pytest.mark.parametrize(("module", "name"), [(module, name) for module, names in PUBLIC.items() for name in names])
def test_each_public_name_is_documented_and_has_an_example_that_runs(module, name):
    if not name.startswith("__"):
        assert inspect.getdoc(getattr(import_module(module), name))
    assert re.search(rf"\b{name}\b", REFERENCE), "not in docs/sdk.md"


def test_all_is_what_there_is():
    public = {
        name for name, value in vars(stepscope).items() if not name.startswith("_") and not inspect.ismodule(value)
    }
    assert public - {"annotations"} == set(stepscope.__all__) - {"__version__"}


INNER = {"trace_number", "span_number"}
"""What modules of ours ask a handle for, ids as numbers."""


def test_each_attribute_of_a_handle_is_documented_and_has_an_example():
    examples = REFERENCE + "".join(EXAMPLES)
    for kind in (stepscope.Step, testing.CapturedSteps):
        for name, value in inspect.getmembers(kind):
            if not name.startswith("_") and (callable(value) or isinstance(value, property)) and name not in INNER:
                assert inspect.getdoc(value), name
                assert re.search(rf"\.{name}\b", examples), f"{name} is in no example"


TYPED = """
from collections.abc import AsyncIterator, Iterator
from typing import assert_type
import stepscope
from stepscope import testing

@stepscope.step
def plain(a: int, *, b: str = "") -> float: return 1.0
@stepscope.step(kind="tool")
async def later(a: int) -> str: return ""
@stepscope.step(name="x")
def many() -> Iterator[int]: yield 1
@stepscope.step("y")
async def stream() -> AsyncIterator[int]: yield 1

class Shop:
    @stepscope.step
    def sell(self, article: str) -> bytes: return b""

async def main() -> None:
    assert_type(plain(1, b="x"), float)
    assert_type(await later(1), str)
    assert_type(many(), Iterator[int])
    assert_type(stream(), AsyncIterator[int])
    assert_type(Shop().sell("bell"), bytes)
    assert_type(stepscope.propagate(plain)(1), float)
    with stepscope.step("block", kind="llm") as s:
        assert_type(s, stepscope.Step)
        assert_type(s.trace_id, str)
        s.tokens(input=1, output=2)
    async with stepscope.step("block") as t:
        assert_type(t, stepscope.Step)
    assert_type(stepscope.status().dropped, int)
    assert_type(stepscope.status().reason, str | None)
    assert_type(stepscope.flush(1.0), bool)
    assert_type(stepscope.start_step("by hand", kind="tool"), stepscope.Step)
    assert_type(stepscope.current_step(), stepscope.Step | None)
    assert_type(stepscope.current_trace_url(), str | None)
    assert_type(stepscope.traceparent(), str | None)
    with stepscope.session("s"), stepscope.context(user="u", tags=["a"]), stepscope.continue_trace({"traceparent": ""}):
        stepscope.score("good", 0.5, trace_id="1" * 32, source="user")
    with testing.capture(clock=testing.FixedClock(), ids=testing.FixedIds()) as steps:
        assert_type(steps.one("plain"), testing.CapturedStep)
        assert_type(steps.all(kind="tool"), list[testing.CapturedStep])
        assert_type(steps.tree(), str)
"""
WRONG = 'plain("x")', "plain(1, c=2)", "Shop().sell(1)", "stepscope.step(name=5)", "stepscope.init(memory='much')"


def test_a_decorated_function_keeps_its_signature_for_type_checkers(tmp_path):
    checker = shutil.which("pyrefly", path=str(Path(sys.executable).parent))
    assert checker is not None
    (tmp_path / "pyrefly.toml").write_text(
        f'search-path = ["{SDK / "src"}"]\npreset = "strict"\npython-version = "3.11"\n'
    )
    (tmp_path / "right.py").write_text(TYPED)
    (tmp_path / "wrong.py").write_text(TYPED + "".join(f"\n{line}  # wrong" for line in WRONG) + "\n")

    def check(name: str) -> str:
        done = subprocess.run(
            [checker, "check", "--output-format", "min-text", str(tmp_path / name)],
            cwd=tmp_path, capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        return done.stdout

    assert "ERROR" not in check("right.py")
    found = check("wrong.py")
    first = len(TYPED.splitlines()) + 2
    for number in range(len(WRONG)):
        assert f"wrong.py:{first + number}:" in found, (WRONG[number], found)


def test_the_source_is_python_3_10():
    done = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--target-version", "py310", "--select", "E9,F", str(SDK / "src")],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
