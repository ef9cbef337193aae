"""A pytest plugin: each test's chain is a trace, and a failed test names its address.

In `conftest.py`: `pytest_plugins = ["stepscope.pytest_plugin"]`. Then:

- `pytest --stepscope` records every test as a step named after it, with what it calls below it; a marker,
  `@pytest.mark.stepscope`, does it for one test, whenever an endpoint is set.
- the fixture `stepscope_steps` holds the steps that a test makes, as `stepscope.testing.capture` does; nothing is sent.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator

import pytest

import stepscope
from stepscope import _runtime, testing

_RUNNING = pytest.StashKey[stepscope.Step]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--stepscope`."""
    group = parser.getgroup("stepscope")
    group.addoption("--stepscope", action="store_true", help="record each test's chain as a trace in Stepscope")


def pytest_configure(config: pytest.Config) -> None:
    """Switch recording on when asked: in test runs it is off."""
    config.addinivalue_line("markers", "stepscope: record this test's chain as a trace in Stepscope")
    if config.getoption("--stepscope"):
        stepscope.init()


def _wanted(item: pytest.Item) -> bool:
    if item.config.getoption("--stepscope"):
        return True
    return item.get_closest_marker("stepscope") is not None and bool(os.environ.get("STEPSCOPE_ENDPOINT"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Make the test a step while it runs."""
    if not _wanted(item):
        return (yield)
    with stepscope.step(item.nodeid, kind="chain") as step:
        item.stash[_RUNNING] = step
        step.metadata["test"] = item.name
        step.tags = [
            "test",
            *(mark.name for mark in item.iter_markers() if mark.name not in ("parametrize", "usefixtures")),
        ]
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Say where a failed test's trace is."""
    report = yield
    step = item.stash.get(_RUNNING, None)
    if report.when == "call" and report.failed and step is not None and step.url:
        report.sections.append(("Stepscope", step.url.partition("?")[0]))
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Deliver what was recorded."""
    if _runtime.exporter is not None:
        stepscope.flush()


@pytest.fixture
def stepscope_steps() -> Iterator[testing.CapturedSteps]:
    """Hold the steps that the test makes, with fixed ids and times; nothing is sent."""
    with testing.capture() as steps:
        yield steps
