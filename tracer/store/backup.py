"""A copy of the SQLite file, taken before its schema changes."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from tracer.errors import DatabaseAway
from tracer.units import format_bytes


def backup_file(file: Path, revision: str) -> Path:
    """Where the copy of a file with this schema lies: beside it. A later copy of the same schema takes its place."""
    return file.with_name(f"{file.name}.{revision}.backup")


def back_up(file: Path, revision: str) -> Path:
    """Copy a SQLite file that nobody writes to meanwhile, and return where the copy lies, readable by its owner only.

    The copy appears whole or not at all. Raises DatabaseAway when there is no room for it, or it cannot be written.
    """
    copy = backup_file(file, revision)
    partial = copy.with_name(f"{copy.name}.partial")
    size = sum(path.stat().st_size for path in (file, file.with_name(f"{file.name}-wal")) if path.exists())
    free = shutil.disk_usage(file.parent).free
    if free < size:
        raise DatabaseAway(
            f"There is no room for the backup {copy}, which is taken before the schema changes: "
            f"{format_bytes(size)} are needed, {format_bytes(free)} are free. "
            f"Make room, or take a copy elsewhere and run `stepscope migrate --no-backup`."
        )
    try:
        partial.unlink(missing_ok=True)  # of a process that was killed
        os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        with (
            closing(sqlite3.connect(f"file:{quote(str(file))}?mode=ro", uri=True)) as source,
            closing(sqlite3.connect(partial)) as target,
        ):
            target.execute("PRAGMA synchronous=OFF")  # synced as a whole below
            source.backup(target)
        _sync(partial)
        partial.replace(copy)
        _sync(file.parent)
    except (OSError, sqlite3.Error) as problem:
        partial.unlink(missing_ok=True)
        raise DatabaseAway(f"The backup {copy} cannot be written: {problem}.") from None
    return copy


def _sync(path: Path) -> None:
    """Wait until a file, or a folder's list of files, is on disk; Windows has no such thing for folders."""
    if os.name == "nt" and path.is_dir():
        return
    descriptor = os.open(path, os.O_RDWR if path.is_file() else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
