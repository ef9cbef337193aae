"""The tags by which a page asks for its modules."""

from __future__ import annotations

import base64
import hashlib
import re
import subprocess
import sys

import pytest

from tests.client import ROOT, Client, on_one_database
from tracer.pages import static
from tracer.pages.static import imported

FOLDER = ROOT / "web" / "static"
MODULES = sorted(path.name for path in FOLDER.glob("*.js"))
NEEDED = re.compile(r"""(?:^|[;}])(?:import|export)\b[^"'();]*["']\./([\w-]+\.js)["']""", re.MULTILINE)


def shipped() -> dict[str, bytes]:
    """Every file under `web/static`, as a build leaves it."""
    return {path.relative_to(FOLDER).as_posix(): path.read_bytes() for path in FOLDER.rglob("*") if path.is_file()}


@pytest.fixture(scope="module", autouse=True)
def bundled() -> None:
    """Bundles of the modules as they are, whatever has been edited since the last build."""
    subprocess.run([sys.executable, "web/build_hook.py"], cwd=ROOT, check=True)


def test_all_that_a_module_needs_is_found() -> None:
    """In what is given out here, bundled or not."""
    given = {name: body for name, body in static.given_out(shipped()).items() if name.endswith(".js")}
    for name in given:
        found = set(imported(name))
        for one in {name, *found}:
            assert found >= set(NEEDED.findall(given[one].decode())) - {name}, one
        assert found <= set(given)


def test_the_bundles_are_given_out_in_place_of_the_modules_they_are_made_of() -> None:
    given = static.given_out(shipped())
    assert {"page.js", "trace.js", "list.js"} <= set(given)
    assert not {"tree.js", "skeleton.js", "early.js"} & set(given)
    assert given["trace.js"] == (FOLDER / "built" / "trace.js").read_bytes()


@pytest.mark.parametrize("change", ["edited", "added", "removed"])
def test_an_edited_module_is_seen_without_a_build(change: str) -> None:
    files = shipped()
    if change == "edited":
        files["tree.js"] += b"// more"
    elif change == "added":
        files["new.js"] = b""
    else:
        del files["below.js"]
    given = static.given_out(files)
    assert {name for name in given if name.endswith(".js") and "/" not in name} == {
        name for name in files if name.endswith(".js") and "/" not in name
    }
    assert not [name for name in given if name.startswith("built/")]


@pytest.mark.parametrize("stamp", [None, b"", b"[]", b'{"sources": {}}', b'{"sources": {}, "files": ["none.js"]}'])
def test_a_build_that_broke_off_is_passed_over(stamp: bytes | None) -> None:
    files = shipped()
    del files["built/STAMP"]
    if stamp is not None:
        files["built/STAMP"] = stamp
    assert set(MODULES) <= set(static.given_out(files))


@on_one_database
def test_a_page_asks_for_every_module_at_once_and_each_is_there(client: Client) -> None:
    html = client.get("/settings/prices").text
    head = html.partition("</head>")[0]
    asked = re.findall(r'(?:href|src)="([^"]+\.js)"', head)
    assert {"page.js", *imported("page.js")} <= {address.rpartition("/")[2] for address in asked}
    for address in asked:
        answer = client.get(address)
        assert (answer.status_code, answer.headers["cache-control"]) == (200, "public, max-age=31536000, immutable")


@on_one_database
def test_style_sheets_of_a_page_come_as_one_in_their_order(client: Client) -> None:
    html = client.get("/settings/prices").text
    sheets = re.findall(r'rel="stylesheet" href="([^"]+)"', html)
    named = [one for sheet in sheets for one in sheet.rpartition("/")[2].split(",")]
    assert named[:2] == ["app.css", "frame.css"]
    assert "prices.css" in named
    first = client.get(sheets[0])
    assert first.headers["content-type"] == "text/css; charset=utf-8"
    assert first.text == "\n".join((FOLDER / name).read_text("utf-8") for name in named[:2])


@on_one_database
@pytest.mark.parametrize(
    "names", ["app.css,page.js", "app.css,none.css", "app.css,", ",".join(["app.css"] * 9), "a,b" * 500]
)
def test_only_files_of_one_kind_come_as_one(client: Client, names: str) -> None:
    assert client.get(f"/static/x/{names}").status_code == 404


@on_one_database
def test_what_is_large_travels_alone(client: Client) -> None:
    assert client.get("/static/x/vendor/plotly.min.js").status_code == 200
    assert client.get("/static/x/vendor/plotly.min.js,vendor/htmx.min.js").status_code == 404


@on_one_database
def test_the_script_that_runs_first_stands_in_the_page_and_the_policy_knows_no_other(client: Client) -> None:
    answer = client.get("/settings/prices")
    (text,) = re.findall(r"<script>(.*?)</script>", answer.text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    assert f"script-src 'self' 'sha256-{digest}';" in answer.headers["content-security-policy"]
    assert text == (FOLDER / "early.js").read_text("utf-8")
