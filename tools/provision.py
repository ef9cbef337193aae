"""Finds a Chromium for the browser tests, and installs one where the machine allows.

`python -m tools.provision` prints the path of the browser; exit code 1 and one sentence if there is none.
Looked for, in this order: `$CHROMIUM`; a Chromium or Chrome on the PATH; one that Playwright installed;
one that this script installed before. Else installed: Debian's, as root; the one that the npm package
`@sparticuz/chromium` carries, on Linux; the one that Playwright downloads, elsewhere.
"""

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

from tools.node import NodeMissing, environment, find_node, reason

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".cache" / "browser"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")

UNPACK = """
import chromium, { inflate } from "@sparticuz/chromium";
console.log(await chromium.executablePath());
if (process.argv[1] === "libraries") await inflate(process.argv[2]);
"""


class NoBrowser(RuntimeError):
    """There is no browser; the text says what was tried."""


def find_browser() -> Path | None:
    """Return a browser that is there already."""
    named = os.environ.get("CHROMIUM")
    if named:
        found = shutil.which(named)
        if found is None:
            raise NoBrowser(f"CHROMIUM names {named!r}, which is no program")
        return Path(found)
    for name in NAMES:
        found = shutil.which(name)
        if found:
            return Path(found)
    mine = CACHE / "chromium"
    return playwrights_browser() or (mine if mine.exists() else None)


def playwrights_browser() -> Path | None:
    """Return the browser that `playwright install chromium` has put on this machine."""
    asked = "from playwright.sync_api import sync_playwright as s\nwith s() as p: print(p.chromium.executable_path)"
    result = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=False)
    path = Path(result.stdout.strip() or ".")
    return path if result.returncode == 0 and path.is_file() else None


def provide_browser() -> Path:
    """Return a browser, installing one if need be. Raises NoBrowser."""
    found = find_browser()
    if found:
        return found
    tried: list[str] = []
    for install in (install_debians, install_npms, install_playwrights):
        try:
            return install()
        except NoBrowser as error:
            tried.append(str(error))
    raise NoBrowser("; ".join(tried))


def install_debians() -> Path:
    """Install Debian's package, as root. Raises NoBrowser."""
    if not (hasattr(os, "geteuid") and os.geteuid() == 0 and shutil.which("apt-get")):
        raise NoBrowser("apt-get needs Debian and root")
    calm = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update"], ["install", "--yes", "--no-install-recommends", "chromium"]):
        print(f"apt-get {' '.join(command)} ...", file=sys.stderr)
        result = subprocess.run(
            ["apt-get", "-q", *command], env=calm, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
        )
    found = shutil.which("chromium")
    if found is None:
        raise NoBrowser(f"apt-get could not install chromium: {reason(result.stderr)}")
    return Path(found)


def install_npms() -> Path:
    """Unpack the Chromium that an npm package carries into `.cache/browser/`. Raises NoBrowser.

    It runs without a sandbox, which is right for pages of our own only, and brings libraries and fonts
    for machines that have none: a small script beside it sets what it needs.
    """
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        raise NoBrowser("the npm package is for Linux on x86-64")
    source = ROOT / "tools" / "browser"
    print("npm: fetching @sparticuz/chromium ...", file=sys.stderr)
    try:
        node = find_node(may_install=True)
        node.install(source)
    except NodeMissing as error:
        raise NoBrowser(str(error)) from error
    files = CACHE / "files"
    shutil.rmtree(files, ignore_errors=True)  # what an interrupted attempt may have left
    files.mkdir(parents=True)
    unpack = [*node.node, "--input-type=module", "-e", UNPACK]
    libraries = source / "node_modules/@sparticuz/chromium/bin/al2023.tar.br"
    problem = ""
    attempts: list[list[str]] = [[], ["libraries", str(libraries)]]
    for more in attempts:
        result = subprocess.run(
            [*unpack, *more],
            cwd=source,
            env={**environment(), "TMPDIR": str(files)},
            capture_output=True,
            text=True,
            check=False,
        )
        if result.returncode:
            raise NoBrowser(f"the npm package could not be unpacked: {reason(result.stderr)}")
        start = write_start(files, with_libraries=bool(more))
        result = subprocess.run([start, "--version"], capture_output=True, text=True, check=False)
        if result.returncode == 0:
            return start
        problem = reason(result.stderr)
        start.unlink()
    raise NoBrowser(f"the npm package's Chromium does not start: {problem}")


def write_start(files: Path, *, with_libraries: bool) -> Path:
    """Write the script that starts the unpacked Chromium, and return its path."""
    lines = ["#!/bin/sh", "# Made by tools/provision.py."]
    if with_libraries:
        lines.append(f'export LD_LIBRARY_PATH="{files}/al2023/lib"')
    if not Path("/etc/fonts/fonts.conf").exists():
        lines.append(f'export FONTCONFIG_PATH="{files}/fonts"')
    lines.append(f'exec "{files}/chromium" --no-sandbox --no-zygote "$@"')
    start = CACHE / "chromium"
    start.write_text("\n".join(lines) + "\n")
    start.chmod(0o755)
    return start


def install_playwrights() -> Path:
    """Let Playwright download its own build, where it has one for this machine. Raises NoBrowser."""
    print("playwright install chromium ...", file=sys.stderr)
    command = [sys.executable, "-m", "playwright", "install", "chromium"]
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    except subprocess.TimeoutExpired:
        raise NoBrowser("playwright's download took more than 10 minutes") from None
    found = playwrights_browser()
    if found is None:
        raise NoBrowser(f"playwright could not download one: {reason(result.stderr)}")
    return found


if __name__ == "__main__":
    try:
        print(provide_browser())
    except NoBrowser as error:
        sys.exit(f"No browser for the tests: {error}.")
