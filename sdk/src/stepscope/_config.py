"""Where steps go: arguments of `init`, else `STEPSCOPE_*` variables, else the defaults."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterable
from typing import NamedTuple

from . import _guard, _masks

DEFAULT_ENDPOINT = "http://127.0.0.1:4747"
DEFAULT_MEMORY = 64 * 1024 * 1024
DEFAULT_DISK = 256 * 1024 * 1024

_YES = frozenset({"1", "true", "yes", "on"})
_NO = frozenset({"0", "false", "no", "off"})


class Config(NamedTuple):
    """Everything that is settled before the first step leaves."""

    endpoint: str
    """Base address, no slash at the end."""
    project: str | None
    api_key: str | None
    environment: str | None
    release: str | None
    service: str
    memory: int
    """Bytes of steps that may wait in memory."""
    spool: str | None
    """Folder where steps wait while the server is away; None: they wait in memory only."""
    disk: int
    """Bytes of steps that may wait on disk."""
    redact: Callable[[str, str], str] | None
    """Changes texts before they leave: takes an attribute's name and its text."""
    masks: tuple[str, ...]
    """Built-in masks that are on."""
    sample: float
    """The part of all traces that is recorded, from 0 to 1."""
    keep_errors: bool
    """Whether traces that fail are recorded besides."""
    keep_slow: float | None
    """Seconds from which on traces are recorded besides."""
    problem: str | None
    """A sentence that says why nothing is recorded, or None."""

    @property
    def on(self) -> bool:
        """Whether steps are recorded."""
        return self.problem is None


def disabled() -> bool:
    """Whether `STEPSCOPE_DISABLED` says that nothing is to be recorded."""
    return os.environ.get("STEPSCOPE_DISABLED", "").strip().lower() in _YES


def load(
    project: str | None = None,
    endpoint: str | None = None,
    api_key: str | None = None,
    environment: str | None = None,
    release: str | None = None,
    memory: int | None = None,
    spool: str | bool | None = None,
    redact: Callable[[str, str], str] | None = None,
    masks: Iterable[str] | bool | None = None,
    sample: float | None = None,
    keep_errors: bool | None = None,
    keep_slow: float | None = None,
) -> Config:
    """Put the settings together; a bad endpoint turns recording off and is named in `problem`."""
    env = os.environ
    named = endpoint or env.get("STEPSCOPE_ENDPOINT") or None
    address = (named or DEFAULT_ENDPOINT).strip().rstrip("/")
    problem = _wrong_endpoint(address)
    if disabled():
        problem = "STEPSCOPE_DISABLED is set"
    return Config(
        endpoint=address,
        project=_header_text(project or env.get("STEPSCOPE_PROJECT")),
        api_key=_header_text(api_key or env.get("STEPSCOPE_API_KEY")),
        environment=environment or env.get("STEPSCOPE_ENVIRONMENT") or None,
        release=release or env.get("STEPSCOPE_RELEASE") or None,
        service=service_name(),
        memory=DEFAULT_MEMORY if memory is None else memory,
        spool=_spool_folder(spool),
        disk=DEFAULT_DISK,
        redact=redact,
        masks=_masks.chosen(_told_masks() if masks is None else masks),
        sample=min(max(_number(sample, "STEPSCOPE_SAMPLE", 1.0), 0.0), 1.0),
        keep_errors=(
            env.get("STEPSCOPE_KEEP_ERRORS", "1").strip().lower() not in _NO if keep_errors is None else keep_errors
        ),
        keep_slow=_number(keep_slow, "STEPSCOPE_KEEP_SLOW", -1.0) if _slow(keep_slow) else None,
        problem=problem,
    )


def _number(given: float | None, name: str, otherwise: float) -> float:
    told: object = os.environ.get(name, "").strip() if given is None else given
    if told == "":
        return otherwise
    try:
        found = float(str(told))
    except ValueError:
        found = float("nan")
    if found == found and found >= 0:
        return found
    _guard.warn(name, f"stepscope: {str(told)[:100]!r} is no number from 0 on ({name}).")
    return otherwise


def _slow(given: float | None) -> bool:
    return _number(given, "STEPSCOPE_KEEP_SLOW", -1.0) >= 0


def service_name() -> str:
    """Name this program: `OTEL_SERVICE_NAME`, else the script's file name, else `python`."""
    named = os.environ.get("OTEL_SERVICE_NAME", "").strip()
    if named:
        return named
    script = sys.argv[0] if getattr(sys, "argv", None) else ""
    if script in ("", "-c", "-m"):
        return "python"
    folder, name = os.path.split(script)
    if name == "__main__.py":
        name = os.path.basename(folder)
    return name or "python"


_ENDPOINT = re.compile(r"https?://(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::([0-9]{1,5}))?(?:/[!-~]*)?", re.IGNORECASE)


def _wrong_endpoint(address: str) -> str | None:
    found = _ENDPOINT.fullmatch(address)
    if found is not None and "?" not in address and "#" not in address and 0 < int(found[1] or 1) < 65536:
        return None
    return f"the endpoint {address[:200]!r} is not an http:// or https:// address"


def _header_text(value: str | None) -> str | None:
    """Make a value safe to stand in an HTTP header: one line, no control characters."""
    if value is None:
        return None
    text = "".join(letter for letter in str(value) if letter.isprintable()).strip()
    return text or None


def _told_masks() -> str | bool | None:
    told = os.environ.get("STEPSCOPE_MASKS", "").strip()
    if told.lower() in _YES | _NO:
        return told.lower() in _YES
    return told or None


def _spool_folder(wish: str | bool | None) -> str | None:
    if wish is None:
        told = os.environ.get("STEPSCOPE_SPOOL", "").strip()
        wish = told if told and told.lower() not in _YES | _NO else told.lower() not in _NO
    if wish is False:
        return None
    if isinstance(wish, str):
        return wish
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or ""
    else:
        base = os.environ.get("XDG_STATE_HOME") or os.path.join(os.path.expanduser("~"), ".local", "state")
    return os.path.join(base, "stepscope", "spool") if os.path.isabs(base) else None
