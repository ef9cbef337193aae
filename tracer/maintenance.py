"""What the commands `prune`, `verify` and `reread` do, beside a server that may be running on the same database."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial

import click

from tracer.errors import BadSetting, DatabaseAway, Unavailable
from tracer.ingest.deleter import Deleter
from tracer.ingest.keeping import keeping_everywhere
from tracer.ingest.receipts import Receipt
from tracer.ingest.reclaim import database_size, share_of, size_in_use
from tracer.ingest.reread import Wanted, reread_spans
from tracer.ingest.retention import Due, due_in_projects
from tracer.ingest.verify import verify
from tracer.ingest.writer import Writer
from tracer.prices import PriceBook
from tracer.queries.projects import project_id_by_name, projects
from tracer.queries.scope import EVERYTHING
from tracer.settings import Settings
from tracer.sources.changes import patiently
from tracer.sources.database import opened
from tracer.store.engine import Store
from tracer.store.sql import Sql
from tracer.units import DAY, UnixNanos, format_bytes, format_count, parse_length, parse_rfc3339, rfc3339

TELL_EVERY_S = 1.0


def run_verify(settings: Settings, *, as_json: bool) -> int:
    """Print every difference, one a line, and return how many there are."""
    count = 0
    with opened(settings) as store:
        for difference in verify(store):
            count += 1
            click.echo(json.dumps(asdict(difference), ensure_ascii=False) if as_json else str(difference))
    if not as_json:
        click.echo(f"{format_count(count)} differences." if count else "Everything is as the spans say.")
    return count


def run_prune(settings: Settings, *, older_than: str | None, project: str | None, tag: str | None = None) -> None:
    """Delete what is older or larger than asked for, or than the projects' rules keep, telling how far it is.

    Raises BadSetting when nothing was asked for, NotFound for a project that is not there.
    """
    if tag is not None and older_than is None:
        raise BadSetting("--tag needs --older-than: 0d means all that have it.", field="tag")
    age = _age(settings, older_than)
    with opened(settings) as store:
        if store.read_only:
            raise DatabaseAway(f"{store.description} cannot be written, so nothing can be deleted.")
        before = database_size(store)
        with store.reading() as connection:
            names = {one.id: one.name for one in projects(connection, scope=EVERYTHING)}
            project_id = None
            if project is not None:
                project_id = project_id_by_name(connection, scope=EVERYTHING, name=project)
            rules = older_than is None and bool(keeping_everywhere(Sql(connection), project_id))
        if age is None and settings.max_size is None and not rules:
            raise BadSetting(
                "nothing to do: give --older-than or --max-size, or set retention_days, max_size or rules of a project."
            )
        writer = Writer(store, prices=PriceBook(), on_commit=lambda _: None)
        deleter = Deleter(store, writer, on_commit=lambda _: None, polite=True)
        writer.start()
        try:
            if age is not None:
                until = UnixNanos(time.time_ns() - age)
                tagged = "" if tag is None else f" and is tagged {tag}"
                click.echo(f"Deleting what started before {rfc3339(until // 10**9 * 10**9)}{tagged}")
                _carry_out(deleter, lambda: deleter.ask(project_id=project_id, until=until, tag=tag))
            for due in due_in_projects(store, project_id=project_id) if rules else ():
                _keep_to(deleter, due, names)
            cap = settings.max_size
            if cap is not None and tag is None:
                _shrink(store, deleter, project_id, cap)
        finally:
            deleter.stop()
            writer.stop()
        click.echo(f"The database takes {format_bytes(database_size(store))}; it took {format_bytes(before)}.")


def run_reread(settings: Settings, *, project: str | None, since: str | None, prices: bool) -> None:
    """Read stored spans again with this version's reader, or today's prices, telling how far it is.

    Raises BadSetting for a time or a price table that cannot be read, NotFound for a project that is not there.
    """
    try:
        start = parse_rfc3339(since) if since is not None else None
    except (ValueError, OverflowError):
        raise BadSetting(f"--since {since!r}: this is no time; write it as 2026-11-01.", field="since") from None
    book = PriceBook(settings.data / "prices.toml")
    with opened(settings) as store:
        if store.read_only:
            raise DatabaseAway(f"{store.description} cannot be written, so nothing can be read again.")
        project_id = None
        if project is not None:
            with store.reading() as connection:
                project_id = project_id_by_name(connection, scope=EVERYTHING, name=project)
        told = time.monotonic()

        def progress(done: int, total: int) -> None:
            nonlocal told
            if done >= total or time.monotonic() - told >= TELL_EVERY_S:
                told = time.monotonic()
                click.echo(f"{format_count(done)} of {format_count(total)} steps", err=True)

        writer = Writer(store, prices=book, on_commit=lambda _: None, search=settings.search == "on")
        writer.start()
        try:
            wanted = Wanted(project=project_id, since=start, prices=prices)
            done = reread_spans(store, writer, book, wanted, progress=progress)
        finally:
            writer.stop()
        click.echo(
            f"{format_count(done)} steps were read again." if done else "Every step is as this version reads it."
        )


def _shrink(store: Store, deleter: Deleter, project_id: int | None, max_size: int) -> None:
    used = size_in_use(store) if project_id is None else share_of(store, project_id).size
    if used <= max_size:
        click.echo(f"{format_bytes(used)} are in use, which is within {format_bytes(max_size)}.")
        return
    click.echo(f"{format_bytes(used)} are in use; deleting the oldest traces until {format_bytes(max_size)} are")
    _carry_out(deleter, lambda: deleter.ask(project_id=project_id, max_size=max_size))


def _keep_to(deleter: Deleter, due: Due, names: Mapping[int, str]) -> None:
    """Do what a project's rule wants."""
    what = []
    if due.until is not None:
        what.append(f"started before {rfc3339(due.until // 10**9 * 10**9)}")
    if due.tag is not None:
        what.append(f"is tagged {due.tag}")
    if due.max_size is not None:
        what.append(f"is the oldest, down to {format_bytes(due.max_size)}")
    name = "" if due.project_id is None else names.get(due.project_id, "")
    click.echo(f"Deleting what of {name} {' and '.join(what)}")
    ask = partial(
        deleter.ask, project_id=due.project_id, until=due.until, max_size=due.max_size, tag=due.tag, by_rule=True
    )
    _carry_out(deleter, ask)


def _age(settings: Settings, older_than: str | None) -> int | None:
    if older_than is None:
        return None if settings.retention_days is None else settings.retention_days * DAY
    try:
        return parse_length(older_than)
    except ValueError as problem:
        raise BadSetting(f"--older-than {older_than[:40]!r}: {problem}.", field="older_than") from None


def _carry_out(deleter: Deleter, ask: Callable[[], Receipt]) -> None:
    """Do one deletion here, or watch it when a running server has taken it up."""
    receipt = patiently(ask)
    telling = _Telling()
    while receipt.state not in ("done", "failed"):
        if not patiently(partial(deleter.carry_out, receipt.id, told=telling)):
            time.sleep(TELL_EVERY_S)
        receipt = patiently(partial(deleter.receipt, receipt.id))
        telling(receipt)
    words = f"{format_count(receipt.traces)} traces with {format_count(receipt.spans)} spans"
    if receipt.state == "failed":
        raise Unavailable(f"The deletion failed after {words}; the server's log says why.")
    telling.end()
    click.echo(f"Deleted {words}.")


class _Telling:
    """Tells how far a deletion is, now and then; on a terminal in one line."""

    def __init__(self) -> None:
        self._told_at = time.monotonic()
        self._in_place = sys.stdout.isatty()

    def __call__(self, receipt: Receipt) -> None:
        """Take note of a slice."""
        if time.monotonic() - self._told_at < TELL_EVERY_S or receipt.state == "done":
            return
        self._told_at = time.monotonic()
        of = "" if receipt.total_traces is None else f" of {format_count(receipt.total_traces)}"
        words = f"  {format_count(receipt.traces)}{of} traces, {format_count(receipt.spans)} spans"
        click.echo(f"\r{words}" if self._in_place else words, nl=not self._in_place)

    def end(self) -> None:
        """Leave the line."""
        if self._in_place:
            click.echo()
