"""Writes the lock files anew: `requirements.lock` for development, `requirements-run.lock` for the image, npm's.

They hold versions and hashes and no address, so that they work with whatever registry the machine uses.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tools.node import environment, find_node

ROOT = Path(__file__).resolve().parent.parent
COMPILE = ("uv", "pip", "compile", "--quiet", "--universal", "--python-version=3.11", "--generate-hashes")
PLAIN = ("--no-header", "--no-annotate", "--no-emit-package=stepscope")
NPM = ("web", "web/lint", "tools/browser")


def main() -> None:
    """Write every lock file. Raises CalledProcessError when a resolver fails."""
    python = [sys.executable, "-m"]
    subprocess.run([*python, "pip", "install", "--quiet", "--disable-pip-version-check", "uv"], check=True)
    everything = ("--upgrade", "--extra=dev", "--output-file=requirements.lock", "pyproject.toml", "sdk/pyproject.toml")
    subprocess.run([*python, *COMPILE, *PLAIN, *everything], cwd=ROOT, check=True)
    image = ("--upgrade", "--constraint=requirements.lock", "--output-file=requirements-run.lock", "pyproject.toml")
    subprocess.run([*python, *COMPILE, *PLAIN, *image], cwd=ROOT, check=True)
    for folder in NPM:
        lock_npm(ROOT / folder)


def lock_npm(folder: Path) -> None:
    """Let npm write its lock file, and take every address out of it.

    In an empty folder: beside installed packages npm would copy what they say of themselves, which is no hash.
    """
    npm = find_node(may_install=True).npm
    command = [*npm, "install", "--package-lock-only", "--ignore-scripts", "--no-audit", "--no-fund"]
    with tempfile.TemporaryDirectory(prefix="stepscope-lock-") as temporary:
        shutil.copy(folder / "package.json", temporary)
        subprocess.run([*command, "--omit-lockfile-registry-resolved"], cwd=temporary, env=environment(), check=True)
        content = json.loads((Path(temporary) / "package-lock.json").read_text())
    for package in content["packages"].values():
        package.pop("resolved", None)
        package.pop("funding", None)
    (folder / "package-lock.json").write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()
