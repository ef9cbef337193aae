"""What the SDK's tests share: a sink, and an SDK that is set to it and forgotten afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import stepscope
from stepscope import _guard, _runtime
from tests.sdk.sink import Sink


@pytest.fixture
def sink() -> Iterator[Sink]:
    found = Sink()
    yield found
    found.close()


@pytest.fixture(autouse=True)
def apart(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Give each test an SDK that was never used, and our own faults no place to hide."""
    for name in ("ENDPOINT", "PROJECT", "API_KEY", "DISABLED", "SPOOL", "ENVIRONMENT", "RELEASE"):
        monkeypatch.delenv(f"STEPSCOPE_{name}", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(_guard, "reraise", True)
    forget()
    yield
    stepscope.shutdown(0.5)
    forget()


def forget() -> None:
    """Make the SDK as if it had just been imported."""
    _guard.forget()
    for old in _runtime._retired:
        old.close(0.5)
    _runtime._retired.clear()
    _runtime.sink = _runtime.exporter = _runtime.reason = None


@pytest.fixture
def sent(sink: Sink) -> Callable[[], Sink]:
    """Set the SDK to the sink; calling the fixture delivers, and returns the sink."""
    stepscope.init(project="tests", endpoint=sink.url, spool=False)

    def deliver() -> Sink:
        assert stepscope.flush(10), stepscope.status()
        return sink

    return deliver
