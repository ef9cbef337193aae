"""Style sheets and modules, at addresses that hold a digest of all of them.

So browsers keep them for good, and modules that import each other by relative names never mix two versions. Several
style sheets, or scripts that are no modules, travel as one: an address may name more than one, with commas.

A build has bundled the modules into few files; these are given out while they are made of the modules as they are.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import mimetypes
import re
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import PurePosixPath

from fastapi import APIRouter, Request, Response
from markupsafe import Markup

from tracer.errors import NotFound
from tracer.pages.addresses import url
from tracer.resources import early_script, resource_dir

router = APIRouter()

_TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
_IMPORT = re.compile(r"""(?:^|;)(?:import|export)\b[^"'();]*["']\./([\w-]+\.js)["']""", re.MULTILINE)
"""What a module needs before it runs; `import()`, which asks later, is none."""

_BUILT = "built/"
"""The folder of what a build has bundled (see `web/build_hook.py`)."""

MOST_TOGETHER = 8
"""Files that one address may name."""

TOGETHER_LIMIT = 250_000
"""Bytes of them together: strangers may ask for any combination."""


@dataclass(frozen=True, slots=True)
class _File:
    body: bytes
    gzipped: bytes | None
    content_type: str


@dataclass(frozen=True, slots=True)
class _Files:
    digest: str
    files: dict[str, _File]


@cache
def _files() -> _Files:
    """Read every file under `web/static` once: some hundred kilobytes, looked up by name, never by path."""
    folder = resource_dir("web") / "static"
    bodies = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    }
    found: dict[str, _File] = {}
    digest = hashlib.sha256()
    for name, body in given_out(bodies).items():
        digest.update(name.encode() + b"\0" + hashlib.sha256(body).digest())
        suffix = PurePosixPath(name).suffix
        guessed = _TYPES.get(suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"
        text = guessed.startswith("text/") or guessed == "image/svg+xml"
        found[name] = _packed(body, f"{guessed}; charset=utf-8" if text else guessed)
    return _Files(digest.hexdigest()[:16], found)


def given_out(bodies: dict[str, bytes]) -> dict[str, bytes]:
    """What of the files is given out: the bundles in place of the modules, unless a module has been edited since."""
    modules = {name: hashlib.sha256(body).hexdigest() for name, body in bodies.items() if _is_module(name)}
    others = {name: body for name, body in bodies.items() if not name.startswith(_BUILT)}
    try:
        stamped = json.loads(bodies[f"{_BUILT}STAMP"])
        bundles = {name: bodies[_BUILT + name] for name in stamped["files"]}
        if stamped["sources"] != modules:
            return others
    except (KeyError, TypeError, ValueError):
        return others
    return {name: body for name, body in others.items() if name not in modules} | bundles


def _is_module(name: str) -> bool:
    return name.endswith(".js") and "/" not in name


def _packed(body: bytes, content_type: str) -> _File:
    text = content_type.endswith("charset=utf-8")
    return _File(body, gzip.compress(body, 9, mtime=0) if text and len(body) > 1_000 else None, content_type)


@lru_cache(maxsize=32)
def _file(names: str) -> _File | None:
    """A file, or several of one kind as one; None where there are none of these names."""
    files = _files().files
    if names in files:
        return files[names]
    parts = [files.get(name) for name in names.split(",", MOST_TOGETHER)]
    there = [part for part in parts if part is not None]
    if len(there) < len(parts) or len(parts) > MOST_TOGETHER or len({part.content_type for part in there}) > 1:
        return None
    if sum(len(part.body) for part in there) > TOGETHER_LIMIT:
        return None
    kind = there[0].content_type
    between = b"\n;\n" if kind.startswith(_TYPES[".js"]) else b"\n"  # a script may end without its semicolon
    return _packed(between.join(part.body for part in there), kind)


def static_url(request: Request, *names: str) -> str:
    """Return the address of a file under `web/static`, or of several as one. Raises KeyError when one is not there."""
    files = _files()
    for name in names:
        if name not in files.files:
            raise KeyError(f"no static file {name!r}: was the front end fetched (see CONTRIBUTING)?")
    return url(request, "/static/{digest}/", digest=files.digest) + ",".join(names)


def styles(request: Request, *names: str) -> Markup:
    """Return the tag of some style sheets, which come as one, in this order."""
    return Markup('<link rel="stylesheet" href="{}">').format(static_url(request, *names))


def early() -> Markup:
    """Return the script that runs before the first paint, in the page itself: the policy knows it by its digest."""
    # Ours, and it holds no text of anybody else.
    return Markup("<script>{}</script>").format(Markup(early_script()))  # noqa: S704


@cache
def imported(name: str) -> tuple[str, ...]:
    """Return the names of the modules that a module imports, and that these import, in alphabetical order."""
    files = _files().files
    found, left = set[str](), [name]
    while left:
        for one in _IMPORT.findall(files[left.pop()].body.decode()):
            if one not in found:
                found.add(one)
                left.append(one)
    return tuple(sorted(found))


def module(request: Request, name: str) -> Markup:
    """Return the tags of a module: it and all that it imports are asked for at once, not one after the other."""
    links = [Markup('<link rel="modulepreload" href="{}">').format(static_url(request, one)) for one in imported(name)]
    return Markup("").join(
        [*links, Markup('<script type="module" src="{}"></script>').format(static_url(request, name))]
    )


@router.get("/static/{digest}/{name:path}", include_in_schema=False)
async def static_file(request: Request, digest: str, name: str) -> Response:
    """Answer one file: kept for good under today's digest, asked about again under any other."""
    files = _files()
    file = _file(name)
    if file is None:
        raise NotFound("There is no such file.")
    current = digest == files.digest
    headers = {
        "Cache-Control": "public, max-age=31536000, immutable" if current else "no-cache",
        "Vary": "Accept-Encoding",
    }
    if file.gzipped is not None and "gzip" in request.headers.get("accept-encoding", ""):
        return Response(file.gzipped, media_type=file.content_type, headers=headers | {"Content-Encoding": "gzip"})
    return Response(file.body, media_type=file.content_type, headers=headers)
