"""The demo: a service with sample traces, and chains that run live before your eyes.

`python -m examples.demo` starts it. Everything stays on this machine: the service, a scripted stand-in model, and the
example chains, on 127.0.0.1. The data lies in a temporary folder that is removed at the end; `--data FOLDER` keeps it.
Ctrl-C ends it all.
"""

import argparse
import itertools
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
import webbrowser
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

from examples.script.base import Json
from examples.wire import list_in, text_in

PORT = 4747
START_SECONDS = 30.0
STOP_SECONDS = 8.0
BREATH = 6.0
"""Seconds between the end of one live chain and the start of the next."""
ROOT = Path(__file__).resolve().parents[1]

LIVE = (
    ("support_agent", "Where is my order A-2291? I was told Tuesday."),
    ("research_rag", "Are belt drives worth it for commuters?"),
    ("sql_agent", "Which three products earned most in spring?"),
    ("translate_review", "--text", "larch"),
    ("support_agent", "My new chain skips on the small cogs. Order A-2204, you fitted it.", "--customer", "jonas"),
    ("chat_session", "--conversation", "ride"),
    ("support_agent", "Order A-2250: where is my wheel?", "--customer", "lucia"),
    ("research_rag", "Do wider tyres roll slower?"),
)


class DemoFailed(Exception):
    """The demo cannot go on; the text says why, for the person who started it."""


def say(text: str = "") -> None:
    """Print a line at once."""
    print(text, flush=True)


def free_port(wanted: int) -> int:
    """Give the wanted port when it is free on 127.0.0.1, else any free one, and say so."""
    with socket.socket() as probe:
        if os.name == "posix":
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError:
            probe.bind(("127.0.0.1", 0))
            say(f"  port {wanted} is taken, so this one runs on port {probe.getsockname()[1]}")
        port: int = probe.getsockname()[1]
        return port


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a process of ours, gently first."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def fetch(url: str) -> bytes:
    """Fetch from the service, past any proxy; raises OSError when it does not answer, or with an error."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=5) as answer:
        content: bytes = answer.read()
        return content


def get(url: str) -> Json:
    """Fetch JSON from the service; raises OSError when it answers with anything else."""
    try:
        content: Json = json.loads(fetch(url))
    except ValueError as problem:
        raise OSError(f"{url} answered with something else than JSON") from problem
    return content


class Service:
    """The Stepscope service, running as a process of its own."""

    def __init__(self, port: int, data: Path) -> None:
        """Start it; raises DemoFailed when it does not become ready."""
        self.url = f"http://127.0.0.1:{port}"
        self.log = data / "service.log"
        command = [
            sys.executable,
            "-m",
            "tracer",
            "serve",
            "--host",
            "127.0.0.1",
            "--port",
            str(port),
            "--data",
            str(data),
        ]
        with self.log.open("wb") as log:
            # A session of its own: Ctrl-C reaches the demo first, which then ends the service in good order.
            self.process = subprocess.Popen(
                command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    def wait_until_ready(self) -> float:
        """Wait for the service; gives the seconds it took. Raises DemoFailed when it does not come."""
        begun = time.monotonic()
        while True:
            if self.process.poll() is not None:
                raise DemoFailed(
                    f"The service ended at its start (exit code {self.process.returncode}).{self.last_words()}"
                )
            try:
                fetch(f"{self.url}/readyz")
            except OSError:
                if time.monotonic() - begun > START_SECONDS:
                    text = f"The service was not ready after {START_SECONDS:.0f} s.{self.last_words()}"
                    raise DemoFailed(text) from None
                time.sleep(0.05)
            else:
                return time.monotonic() - begun

    def last_words(self) -> str:
        """Give the last lines of its log."""
        lines = self.log.read_text("utf-8", "replace").strip().splitlines()[-8:]
        return "\nIts last words were:\n" + "\n".join(f"  | {line}" for line in lines) if lines else ""

    def newest_since(self, moment: datetime) -> str | None:
        """Give the id of the newest trace that started after a moment, or None."""
        for trace in list_in(get(f"{self.url}/api/v1/traces?limit=1"), "items"):
            started = datetime.fromisoformat(text_in(trace, "start_time")[:19] + "+00:00")
            if started >= moment.replace(microsecond=0):
                return text_in(trace, "trace_id")
        return None


def show_progress(done: int, total: int) -> None:
    """Draw how far the samples are: a bar on a terminal, now and then a line anywhere else."""
    if sys.stdout.isatty():
        full = 24 * done // total
        print(f"\r  samples   {'█' * full}{'░' * (24 - full)} {done} of {total} runs", end="", flush=True)
        if done == total:
            print()
    elif done == total or done % 10 == 0:
        say(f"  samples   {done} of {total} runs")


def clean_environment() -> None:
    """Forget settings meant for other programs: the demo talks to its own service and its own model only."""
    for name in list(os.environ):
        if name.startswith(("STEPSCOPE_", "OPENAI_", "OTEL_")):
            del os.environ[name]
    os.environ["STEPSCOPE_SPOOL"] = "0"
    os.environ["STEPSCOPE_ENVIRONMENT"] = "demo"
    os.environ["OTEL_SERVICE_NAME"] = "bicycle-shop"


def fill(service: Service) -> None:
    """Fill the service with sample traces, unless it holds some from the last time."""
    if list_in(get(f"{service.url}/api/v1/traces?limit=1"), "items"):
        say("  samples   there are traces in the folder already, so none are added")
        return
    try:
        # Not at the top: without the SDK this is where a person has to hear about it.
        from examples import samples
    except ModuleNotFoundError as missing:
        raise DemoFailed(f"The package {missing.name!r} is not installed here; `make env` installs it.") from None
    count = samples.fill(service.url, show_progress)
    say(f"  samples   {count} traces, laid out over the last day")


def open_browser(url: str) -> None:
    """Open a page where there is a screen to show it; a failure is no matter, since the address is printed."""
    screen = (
        os.name == "nt" or sys.platform == "darwin" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    )
    if screen or os.environ.get("BROWSER"):
        threading.Thread(target=webbrowser.open, args=(url,), name="browser", daemon=True).start()


def run_live(
    service: Service, example: tuple[str, ...], speed: float, stack: ExitStack, found: Callable[[str], None]
) -> None:
    """Run one example as anybody would, in a process of its own; `found` hears the address of its trace."""
    name, *words = example
    say(f"\n$ python -m examples.{name} {shlex.join(words)}")
    begun, since = time.monotonic(), datetime.now(UTC)
    chain = subprocess.Popen(
        [sys.executable, "-m", f"examples.{name}", *words, "--speed", str(speed)],
        cwd=ROOT,
        env=os.environ | {"STEPSCOPE_ENDPOINT": service.url},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    stack.callback(stop, chain)
    trace_id = None
    while trace_id is None and time.monotonic() - begun < 10:
        ended = chain.poll() is not None
        trace_id = service.newest_since(since)
        if trace_id is None:
            if ended:
                break
            time.sleep(0.05)
    if trace_id is None:
        raise DemoFailed(f"The chain {name} left no trace at {service.url}.{service.last_words()}")
    found(f"{service.url}/traces/{trace_id}")
    code = chain.wait()
    outcome = "done" if code == 0 else "failed, as chains do: its trace says where"
    say(f"  {outcome}, after {time.monotonic() - begun:.0f} s")


def play(options: argparse.Namespace, stack: ExitStack) -> None:
    """Play the demo until Ctrl-C, or until the first live chain is over; raises DemoFailed when it cannot."""
    say("Stepscope demo")
    if options.data:
        data = Path(options.data).expanduser().resolve()
        try:
            data.mkdir(parents=True, exist_ok=True)
        except OSError as problem:
            raise DemoFailed(f"The folder {data} cannot be made: {problem.strerror}.") from None
        say(f"  data      {data}")
    else:
        data = Path(tempfile.mkdtemp(prefix="stepscope-demo-"))
        stack.callback(shutil.rmtree, data, ignore_errors=True)
        say(f"  data      {data}, removed at the end (keep it with --data FOLDER)")
    service = Service(free_port(options.port), data)
    stack.callback(stop, service.process)
    seconds = service.wait_until_ready()
    say(f"  service   ready after {seconds:.1f} s")
    fill(service)
    say(f"\nOpen {service.url}\n")
    say("Chains run live now, against a scripted stand-in model. Ctrl-C ends everything.")
    opened = not options.browser

    def found(url: str) -> None:
        nonlocal opened
        say(f"  watch it grow: {url}")
        if not opened:
            opened = True
            open_browser(url)

    for example in itertools.cycle(LIVE):
        with ExitStack() as running:
            run_live(service, example, options.speed, running, found)
        if options.once:
            return
        time.sleep(BREATH)
        if service.process.poll() is not None:
            raise DemoFailed(f"The service ended (exit code {service.process.returncode}).{service.last_words()}")


def main() -> int:
    """Run the demo from the command line; 0 after Ctrl-C or `--once`, 1 when it cannot go on."""
    text, _, more = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(prog="python -m examples.demo", description=text, epilog=more)
    parser.add_argument("--port", type=int, default=PORT, help=f"port of the service (default {PORT}; 0: any free one)")
    parser.add_argument("--data", default="", help="folder for the service's data (default: a temporary one)")
    parser.add_argument("--no-browser", dest="browser", action="store_false", help="open no browser")
    parser.add_argument("--once", action="store_true", help="stop after the first live chain")
    parser.add_argument("--speed", type=float, default=1.0, help="pace of the live chains (default 1: human speed)")
    options = parser.parse_args()
    if not options.speed > 0:
        parser.error("--speed must be above 0")
    if not 0 <= options.port <= 65535:
        parser.error("--port must be 0 to 65535")
    clean_environment()
    endings = [signal.SIGINT, signal.SIGTERM] + ([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])
    for ending in endings:
        signal.signal(ending, signal.default_int_handler)
    stack, code = ExitStack(), 0
    try:
        play(options, stack)
    except KeyboardInterrupt:
        say("\nStopping.")
    except DemoFailed as problem:
        print(f"\n{problem}", file=sys.stderr)
        code = 1
    except OSError as problem:
        print(f"\nThe service stopped answering: {problem}.", file=sys.stderr)
        code = 1
    finally:
        for ending in endings:
            signal.signal(ending, signal.SIG_IGN)
        stack.close()
    return code


if __name__ == "__main__":
    raise SystemExit(main())
