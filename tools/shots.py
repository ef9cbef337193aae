"""Takes the pictures in the documentation: the service with the demo's samples, in a real browser.

`python -m tools.shots` writes `docs/traces.png`, `docs/trace.png` and `docs/trace-dark.png`; a folder as argument says
elsewhere. Only this machine is contacted. Times and ids in the pictures are those of the moment.
"""

import sys
import tempfile
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, sync_playwright

from examples import samples
from examples.demo import Service, clean_environment, free_port, get, show_progress, stop
from examples.wire import list_in, text_in
from tests.browsers import arguments
from tools.provision import provide_browser

ROOT = Path(__file__).resolve().parent.parent
SIZE = (1280, 800)
STAR = "answer_question"
"""The trace page is shown with the newest finished run of this sample chain ..."""
STEP = "plan"
"""... and this step of it: no traceback, which would name folders of this machine."""


def main(folder: Path) -> None:
    """Start a service of its own, fill it, take the pictures, and stop it."""
    clean_environment()
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="stepscope-shots-", ignore_cleanup_errors=True) as data:
        service = Service(free_port(0), Path(data))
        try:
            service.wait_until_ready()
            samples.fill(service.url, show_progress)
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=provide_browser(), args=arguments())
                take(browser, f"{service.url}/", folder / "traces.png", scheme="light")
                trace = f"{service.url}/traces/{star(service)}"
                take(browser, trace, folder / "trace.png", scheme="light", step=STEP)
                take(browser, trace, folder / "trace-dark.png", scheme="dark", step=STEP)
                browser.close()
        finally:
            stop(service.process)


def star(service: Service) -> str:
    """Return the id of the trace to show. Raises StopIteration when the samples have none that fits."""
    traces = list_in(get(f"{service.url}/api/v1/traces?limit=100"), "items")
    named = [trace for trace in traces if text_in(trace, "name") == STAR]
    return text_in(next(trace for trace in named if text_in(trace, "status") == "ok"), "trace_id")


def take(browser: Browser, url: str, file: Path, *, scheme: Literal["light", "dark"], step: str = "") -> None:
    """Open a page, choose a step if one is named, wait until its content stands, and write what is seen."""
    width, height = SIZE
    page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
    page.goto(url, wait_until="load")
    page.locator("main").get_by_text(STAR).first.wait_for()
    if step:
        page.locator("main").get_by_text(step, exact=True).first.click()
        page.get_by_role("heading", name=step).wait_for()
    page.screenshot(path=file, animations="disabled")
    page.close()
    shown = file.relative_to(ROOT) if file.is_relative_to(ROOT) else file
    print(f"{shown}: {file.stat().st_size // 1024} KB")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else ROOT / "docs")
