"""What someone gets who installs the wheel: every page, with nothing but what the wheel carries."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.request import ProxyHandler, Request, build_opener

import pytest
from playwright.sync_api import Page, expect

from tests.browser.service import Sent, Trace

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel unpacked as pip does it."""
    folder = tmp_path_factory.mktemp("installed")
    run = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    wheel = [*run, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder / "wheel"), str(ROOT)]
    subprocess.run(wheel, check=True, cwd=folder, timeout=120)
    found = next((folder / "wheel").glob("*.whl"))
    install = [*run, "install", "--no-deps", "--no-index", "--target", str(folder / "lib"), str(found)]
    subprocess.run(install, check=True)
    return folder / "lib"


@pytest.fixture
def address(installed: Path, tmp_path: Path) -> Iterator[str]:
    """The installed service, started in an empty folder with an empty home."""
    started = subprocess.Popen(
        [sys.executable, "-P", "-m", "tracer", "serve", "--port", "0"],
        stdout=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env={"PATH": os.defpath, "HOME": str(tmp_path), "PYTHONPATH": str(installed)},
    )
    assert started.stdout is not None
    try:
        yield started.stdout.readline().removeprefix("Stepscope is at ").strip()
    finally:
        started.send_signal(signal.SIGTERM)
        started.communicate(timeout=20)
    assert started.returncode == 0


def test_the_installed_wheel_serves_every_page_from_its_own_files(
    installed: Path, address: str, tmp_path: Path, page: Page
) -> None:
    where = subprocess.run(
        [sys.executable, "-P", "-c", "import tracer; print(tracer.__file__)"],
        env={"PATH": os.defpath, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    ).stdout
    assert where.startswith(str(installed))

    page.goto(address)
    expect(page.locator("body")).to_contain_text("127.0.0.1")
    trace = Trace()
    request = Request(
        f"{address}/v1/traces",
        data=json.dumps(trace.otlp([Sent("answer", kind="agent")])).encode(),
        headers={"Content-Type": "application/json"},
    )
    assert build_opener(ProxyHandler({})).open(request, timeout=20).status == 200
    expect(page.get_by_role("link", name="answer").first).to_be_visible()
    page.goto(f"{address}/traces/{trace.id}")
    expect(page.get_by_role("treeitem").first).to_contain_text("answer")
    assert list(tmp_path.rglob("stepscope.db"))
