"""The commands `export` and `import`: files out and in, with progress."""

from __future__ import annotations

import gzip
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO, cast

import click
import zstandard
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TransferSpeedColumn,
)

from tracer.errors import BadSetting, TracerError
from tracer.sources.files import ImportFile
from tracer.sources.source import Ask, Format, Of, Source, Taken
from tracer.terminal import out
from tracer.units import format_bytes, format_count

ENDINGS: tuple[tuple[str, Format], ...] = (
    (".otlp.jsonl", "otlp"),
    (".jsonl", "jsonl"),
    (".ndjson", "jsonl"),
    (".csv", "csv"),
    (".parquet", "parquet"),
)


def run_export(source: Source, ask: Ask, *, to: str | None, format: Format | None, of: Of) -> None:
    """Write what is meant to a file or to standard output.

    A file has its name only once it is whole. Raises BadSetting where the form or the place cannot be.
    """
    chosen = format or _format_of(to)
    if to is None or to == "-":
        if out.on_terminal():
            raise BadSetting("this would fill the terminal: name a file with --out, or pipe it on.")
        size, _ = _copy(source.export(ask, format=chosen, of=of), sys.stdout.buffer, chosen)
        sys.stdout.buffer.flush()
        click.echo(f"Wrote {format_bytes(size)}.", err=True)
        return
    file = Path(to)
    unfinished = file.with_name(f"{file.name}.part")
    try:
        with unfinished.open("wb") as raw, _compressed(raw, file.name) as target:
            size, lines = _copy(source.export(ask, format=chosen, of=of), target, chosen)
        unfinished.replace(file)
    except OSError as problem:
        unfinished.unlink(missing_ok=True)
        raise TracerError(f"{file} cannot be written: {problem.strerror}.") from None
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    counted = f"{format_count(lines)} lines, " if chosen in ("jsonl", "otlp") else ""
    click.echo(f"Wrote {file}: {counted}{format_bytes(size)}.", err=True)


def run_import(source: Source, paths: Sequence[str], *, project: str | None) -> bool:
    """Take files in, and say what came of it; False when something was refused.

    What is there already stays as it is, so that an import which broke off is begun again.
    """
    taken = Taken()
    with _progress() as progress:
        for path in paths:
            file = ImportFile(path)
            try:
                task = progress.add_task(out.line(Path(path).name), total=file.size or None)
                for batch in file.batches():
                    source.take(batch, taken, project=project)
                    progress.update(task, completed=file.position)
                progress.update(task, completed=file.position, total=file.position)
            finally:
                file.close()
        task = progress.add_task("indexing", total=None)
        source.settle(lambda left: progress.update(task, description=f"indexing, {format_count(left)} spans left"))
    words = [f"{format_count(taken.spans)} spans"]
    words += [f"{format_count(taken.logs)} log records"] if taken.logs else []
    words += [f"{format_count(taken.scores)} scores"] if taken.scores else []
    click.echo(f"Took {', '.join(words)} into {source.name}.")
    for reason, count in taken.rejected.most_common():
        click.echo(f"{format_count(count)} refused: {out.line(reason)}.", err=True)
    return not taken.rejected


def _format_of(to: str | None) -> Format:
    if to is None or to == "-":
        return "jsonl"
    name = to.lower().removesuffix(".gz").removesuffix(".zst")
    for ending, format in ENDINGS:
        if name.endswith(ending):
            return format
    known = ", ".join(ending for ending, _ in ENDINGS)
    raise BadSetting(f"--out {to[:200]}: say the form with --format, or end the name with one of {known}.")


@contextmanager
def _compressed(raw: BinaryIO, name: str) -> Iterator[BinaryIO]:
    with ExitStack() as stack:
        if name.lower().endswith(".gz"):
            yield cast("BinaryIO", stack.enter_context(gzip.GzipFile("", "wb", 6, raw, mtime=0)))
        elif name.lower().endswith(".zst"):
            writer = zstandard.ZstdCompressor(level=3).stream_writer(raw, closefd=False)
            yield cast("BinaryIO", stack.enter_context(writer))
        else:
            yield raw


def _copy(parts: Iterator[bytes], target: BinaryIO, format: Format) -> tuple[int, int]:
    """Write parts as they come, and return their bytes and lines."""
    size = lines = 0
    with _progress(known=False) as progress:
        task = progress.add_task(f"exporting {format}", total=None, told="")
        for part in parts:
            target.write(part)
            size += len(part)
            lines += part.count(b"\n")
            progress.update(task, completed=size, told=format_bytes(size))
    return size, lines


def _progress(*, known: bool = True) -> Progress:
    """A line on standard error that goes when it is done; nothing where that is no terminal.

    `known` says that the end is; else the field `told` says how far it is.
    """
    terminal = out.console(error=True)
    how_far: tuple[ProgressColumn, ...] = (BarColumn(), DownloadColumn())
    if not known:
        how_far = (SpinnerColumn(), TextColumn("{task.fields[told]}", markup=False))
    return Progress(
        TextColumn("{task.description}", markup=False),
        *how_far,
        TransferSpeedColumn(),
        TimeElapsedColumn(),
        console=terminal,
        transient=True,
        disable=not terminal.is_terminal,
    )
