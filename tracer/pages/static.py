"""Style sheets and modules, at addresses that hold a digest of all of them.

So browsers keep them for good, and modules that import each other by relative names never mix two versions.
"""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
import re
from dataclasses import dataclass
from functools import cache

from fastapi import APIRouter, Request, Response
from markupsafe import Markup

from tracer.errors import NotFound
from tracer.pages.addresses import url
from tracer.resources import resource_dir

router = APIRouter()

_TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
_IMPORT = re.compile(r"""^(?:import|export)\b[^"'();]*["']\./([\w-]+\.js)["']""", re.MULTILINE)
"""What a module needs before it runs; `import()`, which asks later, is none."""


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
    found: dict[str, _File] = {}
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or path.name.startswith("."):
            continue
        name = path.relative_to(folder).as_posix()
        body = path.read_bytes()
        digest.update(name.encode() + b"\0" + hashlib.sha256(body).digest())
        guessed = _TYPES.get(path.suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"
        text = guessed.startswith("text/") or guessed == "image/svg+xml"
        squeezed = gzip.compress(body, 9, mtime=0) if text and len(body) > 1_000 else None
        found[name] = _File(body, squeezed, f"{guessed}; charset=utf-8" if text else guessed)
    return _Files(digest.hexdigest()[:16], found)


def static_url(request: Request, name: str) -> str:
    """Return the address of a file under `web/static`. Raises KeyError when there is none of that name."""
    files = _files()
    if name not in files.files:
        raise KeyError(f"no static file {name!r}: was the front end fetched (see CONTRIBUTING)?")
    return url(request, "/static/{digest}/", digest=files.digest) + name


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
    file = files.files.get(name)
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
