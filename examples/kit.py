"""What the example chains share: their command line, a model to talk to, and where to look afterwards."""

import argparse
import os
import sys
import uuid
from collections.abc import Callable
from contextlib import ExitStack

import stepscope
from examples import clock, llm
from examples.stand_in import StandIn

PROJECT = "bicycle-shop"


def new_session() -> str:
    """Make the id of a new conversation."""
    return f"talk-{uuid.uuid4().hex[:8]}"


def options(description: str | None, **defaults: str) -> argparse.Namespace:
    """Read an example's command line: `question` comes as plain words, every other default as a flag of its name."""
    text, _, more = (description or "").partition("\n\n")
    parser = argparse.ArgumentParser(description=text, epilog=more)
    for name, default in defaults.items():
        if name == "question":
            parser.add_argument(name, nargs="?", default=default, help=f"what to ask (default: {default!r})")
        else:
            parser.add_argument(f"--{name}", default=default, help=f"default: {default!r}")
    parser.add_argument(
        "--base-url", default=os.environ.get("OPENAI_BASE_URL", ""), help="an OpenAI-compatible address"
    )
    parser.add_argument("--model", default=os.environ.get("OPENAI_MODEL", ""), help="one model for every step")
    parser.add_argument("--speed", type=float, default=1.0, help="pace of the stand-in model (default 1: human speed)")
    found = parser.parse_args()
    if not found.speed > 0:
        parser.error("--speed must be above 0")
    return found


def show(options: argparse.Namespace, chain: Callable[[], str]) -> int:
    """Run a chain against the model that the command line names, print its answer and where its trace is."""
    with ExitStack() as stack:
        base_url = options.base_url
        if not base_url:
            base_url = stack.enter_context(StandIn(speed=options.speed)).base_url
            clock.speed = options.speed
            stack.enter_context(stepscope.tags("stand-in"))
            print("OPENAI_BASE_URL is not set: talking to the scripted stand-in model.", file=sys.stderr)
        llm.connect(base_url, os.environ.get("OPENAI_API_KEY", ""), model=options.model)
        try:
            print(chain())
            code = 0
        except KeyboardInterrupt:
            code = 130
        except Exception as problem:  # noqa: BLE001  (whatever a chain fails with is shown)
            print(f"The chain failed: {type(problem).__name__}: {problem}", file=sys.stderr)
            code = 1
        print(f"\n{where_to_look()}", file=sys.stderr)
        return code


def where_to_look() -> str:
    """Deliver what was recorded, and say in a sentence where it can be seen or why it cannot."""
    delivered = stepscope.flush(timeout=5)
    status = stepscope.status()
    if not status.recorded:
        return f"Nothing was recorded: {status.reason}."
    if delivered and not status.dropped:
        return f"Every step of it: {status.endpoint}"
    return f"Stepscope does not take the steps at {status.endpoint} ({status.reason}); `stepscope serve` starts it."
