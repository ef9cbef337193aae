"""What the service is made of, and what is known against it.

`python -m tools.supply sbom`   writes the parts as CycloneDX files into `dist/`: Python's and the browser's
`python -m tools.supply audit`  asks a public database for known holes in Python's; exits with 1 when there are some,
                                and with 69 when it could not be asked, saying so

The programs for it live in an environment of their own for that moment: they are no part of the product.
"""

import json
import subprocess
import sys
import tempfile
from base64 import b64decode
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

ROOT = Path(__file__).resolve().parent.parent
DIST = ROOT / "dist"
LOCK = ROOT / "requirements-run.lock"
CANNOT_ASK = 69
"""The exit code that says: a service is unavailable."""


def sbom() -> None:
    """Write `dist/stepscope-server.cdx.json` and `dist/stepscope-web.cdx.json`."""
    DIST.mkdir(exist_ok=True)
    server = str(DIST / "stepscope-server.cdx.json")
    with_program("cyclonedx-bom", "cyclonedx-py", "requirements", str(LOCK), "-o", server)
    lock = json.loads((ROOT / "web" / "package-lock.json").read_text())
    (DIST / "stepscope-web.cdx.json").write_text(json.dumps(browser_parts(lock), indent=2) + "\n")
    print("Written: dist/stepscope-server.cdx.json, dist/stepscope-web.cdx.json")


def browser_parts(lock: dict[str, Any]) -> dict[str, Any]:
    """The libraries of an npm lock file as CycloneDX; npm's own command wants a version of ours, and there is none."""
    parts = [
        {
            "type": "library",
            "name": path.rpartition("node_modules/")[2],
            "version": one["version"],
            "purl": f"pkg:npm/{quote(path.rpartition('node_modules/')[2])}@{one['version']}",
            "licenses": [{"expression": one["license"]}] if "license" in one else [],
            "hashes": [{"alg": "SHA-512", "content": b64decode(one["integrity"].removeprefix("sha512-")).hex()}],
        }
        for path, one in sorted(lock["packages"].items())
        if path and not one.get("dev")  # what only builds
    ]
    return {"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1, "components": parts}


class CannotAskError(Exception):
    """The database of known holes does not answer, or what asks it cannot be had."""


def audit() -> list[str]:
    """What is known against the locked versions, a line each. Raises CannotAskError."""
    try:
        with tempfile.TemporaryDirectory(prefix="stepscope-audit-") as folder:
            report = Path(folder) / "report.json"
            asking = ("--require-hashes", "--disable-pip", "--progress-spinner", "off", "--format", "json")
            with suppress(subprocess.CalledProcessError):  # with 1 where there are some: the report says which
                with_program("pip-audit", "pip-audit", *asking, "-o", str(report), "--requirement", str(LOCK))
            return known_holes(json.loads(report.read_text()))
    except (OSError, ValueError) as problem:
        raise CannotAskError(f"{type(problem).__name__}: {problem}") from None


def known_holes(report: dict[str, Any]) -> list[str]:
    """The lines of pip-audit's report: package, version, the hole's name, and where it is mended."""
    return [
        f"{one['name']} {one['version']}: {hole['id']}, mended in {', '.join(hole['fix_versions']) or 'no version yet'}"
        for one in report["dependencies"]
        for hole in one.get("vulns", ())
    ]


def with_program(package: str, program: str, *arguments: str) -> None:
    """Run a program of a package from an environment made for it."""
    with tempfile.TemporaryDirectory(prefix="stepscope-supply-") as folder:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        binaries = Path(folder) / ("Scripts" if sys.platform == "win32" else "bin")
        install = [str(binaries / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", package]
        subprocess.run(install, check=True)
        subprocess.run([str(binaries / program), *arguments], cwd=ROOT, check=True)


def main(arguments: list[str]) -> int:
    """Do what was asked for and return the exit code."""
    match arguments:
        case ["sbom"]:
            sbom()
        case ["audit"]:
            try:
                holes = audit()
            except CannotAskError as problem:
                print(f"!!! NOT AUDITED: the database of known holes could not be asked ({problem}).", file=sys.stderr)
                return CANNOT_ASK
            print("\n".join(holes) or "Nothing is known against the locked versions.")
            return 1 if holes else 0
        case _:
            print(__doc__, file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
