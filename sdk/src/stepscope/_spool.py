"""Steps that wait on disk while the server is away, or while they come too fast for it.

One folder per endpoint, project and key; in it one folder per process, held by a file lock; in that a few files of
batches, readable by the owner alone. A folder whose process is gone is taken over by the next one; files older than a
week are deleted. A batch is written by one call: a crash can cut the last one short, never another.
"""

from __future__ import annotations

import os
import struct
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from . import _guard
from ._config import Config

OLDEST = 7 * 24 * 3600
"""Seconds after which a file is given up."""
FILE_BYTES = 16 * 1024 * 1024
"""Bytes after which a new file is begun."""

_HEAD = struct.Struct("<4sQIB")
_MAGIC = b"SSP1"


class Stored(NamedTuple):
    """One batch on disk."""

    path: str
    start: int
    length: int
    count: int
    gzipped: bool
    score: bool = False


def _none() -> int:
    return 0


class Spool:
    """The batches of one process, and those that it took over."""

    def __init__(self, config: Config) -> None:
        # Not at the top: steps rarely wait on disk.
        from hashlib import sha256

        key = "\0".join((config.endpoint, config.project or "", config.api_key or ""))
        self._base = os.path.join(config.spool or "", sha256(key.encode("utf-8", "replace")).hexdigest()[:24])
        self._limit = config.disk
        self._own: str | None = None
        self._locks: list[int] = []
        self._stored: list[Stored] = []
        self._mine: set[Stored] = set()
        self._file: int | None = None
        self._path = ""
        self._end = 0
        self._room = 0
        self._room_until = -1.0
        self._off = config.spool is None
        self.waiting = 0
        """Steps of this process that wait on disk."""
        self.besides: Callable[[], int] = _none
        """Says how many bytes this process has on disk beside its spool."""

    def __len__(self) -> int:
        return len(self._stored)

    def put(self, body: bytes, count: int, *, gzipped: bool, recorded_here: bool = True, score: bool = False) -> bool:
        """Write one batch of `count` steps; False where the disk is full, the limit reached, or writing fails."""
        if self._off:
            return False
        try:
            if self.room() < len(body):
                _guard.warn("spool", f"stepscope: {self._limit:,} bytes wait on disk already; they wait in memory now.")
                return False
            start = self._append(body, count, gzipped + 2 * score)
        except OSError as error:
            _guard.warn(
                "spool", f"stepscope: steps can't wait on disk ({error.strerror or error}); they wait in memory."
            )
            return False
        stored = Stored(self._path, start, len(body), count, gzipped, score)
        self._room -= len(body)
        self._stored.append(stored)
        if recorded_here:
            self._mine.add(stored)
            self.waiting += count
        return True

    def recorded_here(self, stored: Stored) -> bool:
        """Whether this process recorded a batch's steps, and so counts them."""
        return stored in self._mine

    def oldest(self) -> tuple[Stored, bytes | None] | None:
        """Return the batch that waits longest, with its body: None where it is not there any more."""
        if not self._stored:
            return None
        stored = self._stored[0]
        with suppress(OSError), open(stored.path, "rb") as file:
            file.seek(stored.start)
            body = file.read(stored.length)
            if len(body) == stored.length:
                return stored, body
        return stored, None

    def too_old(self) -> Stored | None:
        """Return the batch that waits longest where its file is older than steps may wait."""
        return self._stored[0] if self._stored and _age(self._stored[0].path) >= OLDEST else None

    def done(self, stored: Stored) -> None:
        """Forget a batch that was delivered, or given up; a file goes when none of its batches is left."""
        if stored in self._stored:
            self._stored.remove(stored)
        if not any(other.path == stored.path for other in self._stored):
            if stored.path == self._path:
                self._shut()
            _remove(stored.path)
            self._room_until = -1.0
        if stored in self._mine:
            self._mine.discard(stored)
            self.waiting -= stored.count  # at last: whoever flushes waits for it

    def adopt(self) -> int:
        """Take over the batches that ended processes left; returns how many batches now wait."""
        if self._off or not os.path.isdir(self._base):
            return 0
        now = time.time()
        try:
            for entry in list(os.scandir(self._base)):
                if entry.name.endswith(".tmp") and now - entry.stat(follow_symlinks=False).st_mtime > 60:
                    _remove(entry.path)  # a crash came before its name was gone
                if entry.path == self._own or not entry.is_dir(follow_symlinks=False) or not _ours(entry.path):
                    continue
                lock = _lock(entry.path)
                if lock is None:
                    continue
                found = _read_folder(entry.path)
                if found:
                    self._locks.append(lock)
                    self._stored = found + self._stored
                else:
                    _remove_folder(entry.path)
                    os.close(lock)
        except OSError:
            pass  # an unreadable folder holds nothing for us
        return len(self._stored)

    def close(self) -> None:
        """Let go of the folders, and remove those that are empty; what waits stays for the next process."""
        self._shut()
        try:
            if self._own is not None and not any(os.path.dirname(stored.path) == self._own for stored in self._stored):
                _remove_folder(self._own)
        finally:
            self._own = None
            for lock in self._locks:
                os.close(lock)
            self._locks.clear()

    def forsake(self) -> None:
        """In a forked child: the folders are the parent's."""
        self._off = True
        self._shut()
        for lock in self._locks:
            os.close(lock)
        self._locks.clear()
        self._stored.clear()

    def _append(self, body: bytes, count: int, sort: int) -> int:
        """Write one batch at the end of the file; returns where its body starts."""
        if self._file is None or self._end > FILE_BYTES:
            self._shut()
            self._path = os.path.join(self._folder(), f"{time.time_ns():020d}.steps")
            self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0), 0o600)
            self._end = 0
        # One call, hence one release of the interpreter's lock: in a tight loop each costs five milliseconds.
        head = _HEAD.pack(_MAGIC, len(body), count, sort)
        whole = len(head) + len(body)
        try:
            written = (
                os.writev(self._file, (head, body)) if hasattr(os, "writev") else os.write(self._file, head + body)
            )
            while written < whole:
                written += os.write(self._file, (head + body)[written:])
        except OSError:
            with suppress(OSError):
                os.ftruncate(self._file, self._end)
                os.lseek(self._file, self._end, os.SEEK_SET)
            raise
        start = self._end + _HEAD.size
        self._end += whole
        return start

    def _shut(self) -> None:
        if self._file is not None:
            os.close(self._file)
        self._file = None
        self._path = ""

    def _folder(self) -> str:
        if self._own is None or not os.path.isdir(self._own):  # whoever tidies up may have removed it
            self._make_base()
            folder = os.path.join(self._base, f"{os.getpid()}-{time.time_ns():x}")
            os.mkdir(folder, 0o700)
            lock = _lock(folder)
            if lock is None:
                raise PermissionError(1, "the folder can't be locked")
            self._locks.append(lock)
            self._own = folder
        return self._own

    def nameless(self) -> int:
        """Open a file without a name, for reading and writing; OSError where it can't be had."""
        if self._off:
            raise PermissionError(1, "waiting on disk is switched off")
        self._make_base()
        unnamed = getattr(os, "O_TMPFILE", 0)
        if unnamed:
            with suppress(OSError):  # not every file system has it
                return os.open(self._base, os.O_RDWR | unnamed | os.O_CLOEXEC, 0o600)
        path = os.path.join(self._base, f"{os.getpid()}-{threading.get_ident():x}-{time.time_ns():x}.tmp")
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL
        if sys.platform == "win32":
            return os.open(path, flags | os.O_TEMPORARY | os.O_BINARY | os.O_NOINHERIT, 0o600)
        handle = os.open(path, flags | os.O_CLOEXEC, 0o600)
        os.unlink(path)
        return handle

    def _make_base(self) -> None:
        os.makedirs(self._base, mode=0o700, exist_ok=True)
        if not _ours(self._base):
            raise PermissionError(1, "the folder belongs to somebody else")

    def room(self) -> int:
        """Return how many bytes may still be written; other processes' folders are looked at once a second."""
        now = time.monotonic()
        if now > self._room_until:
            self._room = self._limit - self._size()
            self._room_until = now + 1.0
        return self._room - self.besides()

    def _size(self) -> int:
        total = 0
        for folder, _, names in os.walk(self._base):
            for name in names:
                with suppress(OSError):
                    total += os.lstat(os.path.join(folder, name)).st_size
        return total


def waiting_batches(config: Config) -> tuple[int, int, int]:
    """Count what waits on disk for this endpoint, project and key, whoever holds it: batches, steps, bytes."""
    spool = Spool(config)
    batches = steps = size = 0
    for folder, _, names in os.walk(spool._base):
        for name in names:
            if name.endswith(".steps"):
                for stored in _read_file(os.path.join(folder, name)):
                    batches += 1
                    steps += stored.count
                    size += stored.length
    return batches, steps, size


def _age(path: str) -> float:
    """Return the seconds since a file of steps was begun, by its name."""
    return time.time() - int(os.path.basename(path).partition(".")[0]) / 1e9


def _read_folder(folder: str) -> list[Stored]:
    found: list[Stored] = []
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if entry.name == "lock":
            continue
        written, _, ending = entry.name.partition(".")
        if ending != "steps" or not written.isdigit() or not entry.is_file(follow_symlinks=False):
            continue
        batches = _read_file(entry.path)
        if not batches:
            _remove(entry.path)
        found += batches
    return found


def _read_file(path: str) -> list[Stored]:
    """List the whole batches of a file; one that a crash cut short ends the list."""
    found: list[Stored] = []
    with suppress(OSError), open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        at = 0
        while at + _HEAD.size <= size:
            file.seek(at)
            head = file.read(_HEAD.size)
            magic, length, count, sort = _HEAD.unpack(head)
            at += _HEAD.size
            if magic != _MAGIC or at + length > size:
                break
            found.append(Stored(path, at, length, count, bool(sort & 1), bool(sort & 2)))
            at += length
    return found


def _lock(folder: str) -> int | None:
    """Lock a folder for this process; None where another process holds it."""
    try:
        handle = os.open(os.path.join(folder, "lock"), os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
    except OSError:
        return None
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        return None
    return handle


def _ours(folder: str) -> bool:
    """Whether a folder belongs to this user, and nobody else may write there."""
    found = os.lstat(folder)
    getuid = getattr(os, "getuid", None)
    return getuid is None or (found.st_uid == getuid() and not found.st_mode & 0o022)


def _remove(path: str) -> None:
    with suppress(OSError):
        os.remove(path)


def _remove_folder(folder: str) -> None:
    from shutil import rmtree

    rmtree(folder, ignore_errors=True)
