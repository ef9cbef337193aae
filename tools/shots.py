"""Takes the pictures in the documentation: the service with the demo's samples, in a real browser.

`python -m tools.shots` writes `docs/traces.png`, `docs/trace.png` and `docs/trace-dark.png`; a folder as argument says
elsewhere. With `--all` it takes every page instead, light and dark, at three widths, into `shots`. Only this machine is
contacted. Times and ids in the pictures are those of the moment.
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

WIDTHS = (400, 1280, 1920)
PAGES = {
    "traces": ("/p/{slug}/traces", "#facets li"),
    "found": ("/p/{slug}/traces?q=status:error", "#traces tr"),
    "mistyped": ("/p/{slug}/traces?q=stats:error", "#q-problem"),
    "peek": ("/p/{slug}/traces?peek={trace}", "#peek h2"),
    "trace": ("/traces/{trace}", "#tree .row"),
    "transcript": ("/traces/{trace}?view=transcript", "#step article"),
    "wiring": ("/traces/{trace}?view=wiring", "#step article"),
    "sessions": ("/p/{slug}/sessions", "tbody th a"),
    "session": ("/sessions/{session}", ".turn"),
    "users": ("/p/{slug}/users", "tbody th a"),
    "user": ("/p/{slug}/users/{user}", "tbody th a"),
    "steps": ("/p/{slug}/steps", ".spark"),
    "metrics": ("/p/{slug}/metrics", "#charts[data-drawn]"),
    "metrics-by-user": ("/p/{slug}/metrics?of=traces&by=user", "#charts[data-drawn]"),
    "scores": ("/p/{slug}/scores", "h1"),
    "alerts": ("/p/{slug}/alerts", "h1"),
    "prices": ("/settings/prices", "h1"),
    "start": ("/start?project=new-app", ".welcome"),
    "projects": ("/projects", "tbody th a"),
    "project": ("/projects/{slug}", "#delete"),
    "nothing": ("/p/{slug}/traces?q=user:nobody", ".narrow"),
    "missing": ("/p/nobody/traces", "h1"),
}
"""Every page: its address, and what is there when it is drawn."""


def main(folder: Path, *, everything: bool = False) -> None:
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
                if everything:
                    take_all(browser, service, folder)
                else:
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


def take_all(browser: Browser, service: Service, folder: Path) -> None:
    """Take every page at every width in both themes, and name those that are wider than their window."""
    session = list_in(get(f"{service.url}/api/v1/sessions?limit=1"), "items")[0]
    slug = text_in(list_in(get(f"{service.url}/api/v1/projects"), "items")[0], "slug")
    known = {
        "slug": slug,
        "trace": star(service),
        "session": text_in(session, "session_id"),
        "user": text_in(session, "user_id"),
    }
    schemes: tuple[Literal["light", "dark"], ...] = ("light", "dark")
    for scheme in schemes:
        for width in WIDTHS:
            page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
            for name, (address, sign) in PAGES.items():
                page.goto(service.url + address.format(**known), wait_until="load")
                page.locator(sign).first.wait_for(state="attached")
                page.wait_for_timeout(300)  # for what is drawn after it is there
                file = folder / f"{name}-{width}-{scheme}.png"
                page.screenshot(path=file, animations="disabled")
                wide = page.evaluate("document.documentElement.scrollWidth")
                print(f"{file.name}{f': {wide} px wide' if wide > width else ''}", flush=True)
            page.close()


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
    given = [argument for argument in sys.argv[1:] if argument != "--all"]
    whole = len(given) < len(sys.argv) - 1
    main(Path(given[0]).resolve() if given else ROOT / ("shots" if whole else "docs"), everything=whole)
