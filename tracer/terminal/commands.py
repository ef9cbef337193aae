"""The commands that read and change traces, from a database here or a server elsewhere."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

from tracer.errors import BadRequest, BadSetting, TracerError

if TYPE_CHECKING:
    from tracer.sources.source import Ask, Source

Command = TypeVar("Command", bound=Callable[..., Any])

EXIT_BAD_SETTING = 2
ORDERS = ("-start_time", "start_time", "-duration", "-cost", "-tokens", "received")
SOURCES = ("user", "reviewer", "code", "model")
_TRACE_ID = re.compile(r"(?<![0-9a-fA-F])[0-9a-fA-F]{32}(?![0-9a-fA-F])")


def _options(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


_place = _options(
    click.option(
        "--url",
        metavar="ADDRESS",
        help="A server's address [default: STEPSCOPE_ENDPOINT, unless --data or --db is given]; its key is taken from "
        "STEPSCOPE_API_KEY.",
    ),
    click.option("--data", metavar="FOLDER", help="The data folder whose database is read directly."),
    click.option("--db", metavar="URL", help="The database's URL: sqlite:///FILE or postgresql://…"),
    click.option("--config", metavar="FILE", help="A TOML file with settings."),
    click.option(
        "--project", metavar="NAME", envvar="STEPSCOPE_PROJECT", help="Only this project [STEPSCOPE_PROJECT]."
    ),
)
_time = _options(
    click.option("--from", "since", metavar="TIME", help="Since then: 2026-11-22T14:00Z, 2026-11-22, or 2h, 30d ago."),
    click.option("--to", "until", metavar="TIME", help="Before then."),
)
_as_json = click.option("--json", "as_json", is_flag=True, help="JSON, one object a line.")
_query = click.argument("q", nargs=-1, metavar="[SEARCH]...")


@contextmanager
def _source(
    url: str | None, data: str | None, db: str | None, config: str | None, *, make: bool = False
) -> Iterator[Source]:
    """The place that the options name: an address, else a database, else STEPSCOPE_ENDPOINT, else the own folder."""
    if url is not None and (data or db):
        raise BadSetting("--url names a server, --data and --db a database: give one of them.")
    address = url or (None if data or db or config else os.environ.get("STEPSCOPE_ENDPOINT") or None)
    if address is not None:
        from tracer.sources.remote import RemoteSource

        source: Source = RemoteSource(address, os.environ.get("STEPSCOPE_API_KEY"))
    else:
        from tracer.settings import load_settings
        from tracer.sources.owner import LocalSource

        source = LocalSource(load_settings({"data": data, "db": db}, config=config), make=make)
    try:
        yield source
    finally:
        source.close()


def _ask(q: tuple[str, ...], project: str | None, since: str | None, until: str | None) -> Ask:
    from tracer.sources.source import Ask

    return Ask(" ".join(q), project, _moment(since, "--from"), _moment(until, "--to"))


def _moment(text: str | None, flag: str) -> str | None:
    from tracer.sources.times import moment

    try:
        return moment(text, flag)
    except BadRequest as problem:
        raise BadSetting(problem.message) from None


def _trace_id(text: str) -> str:
    """A trace's id, also out of the address of its page."""
    found = _TRACE_ID.search(text)
    if found is None:
        raise BadSetting(f"{text[:100]!r} is no trace: give its 32 hex digits, or the address of its page.")
    return found[0].lower()


@click.command(short_help="List traces that a search finds, the newest first.")
@_query
@_place
@_time
@click.option("--order", type=click.Choice(ORDERS), default=ORDERS[0], show_default=True, help="What comes first.")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="How many at most.")
@_as_json
def traces(
    q: tuple[str, ...],
    url: str | None,
    data: str | None,
    db: str | None,
    config: str | None,
    project: str | None,
    since: str | None,
    until: str | None,
    order: str,
    limit: int,
    as_json: bool,
) -> None:
    """List traces: all, or those that SEARCH finds, as in the search field of the browser.

    A terminal gets a table, a pipe gets lines with tabs between the columns.
    """
    ask = _ask(q, project, since, until)
    with _source(url, data, db, config) as source:
        from tracer.terminal.lists import show_traces

        show_traces(source, ask, order=order, limit=limit, as_json=as_json)


@click.command(short_help="Show one trace: its tree, or Markdown for a model.")
@click.argument("trace_id", metavar="TRACE")
@_place
@click.option("--markdown", is_flag=True, help="Markdown with every text, to paste or to hand to a model.")
@click.option(
    "--budget",
    type=click.IntRange(min=200),
    metavar="TOKENS",
    help="Markdown of at most so many tokens: what failed first; what matters least is cut, and the end says what.",
)
@click.option("--step", metavar="ID", help="Only this step and all below it, as Markdown.")
@click.option("--against", metavar="TRACE", help="What another trace does differently, as Markdown.")
@click.option("--json", "as_json", is_flag=True, help="The whole trace with every text, as the REST interface has it.")
def trace(
    trace_id: str,
    url: str | None,
    data: str | None,
    db: str | None,
    config: str | None,
    project: str | None,
    markdown: bool,
    budget: int | None,
    step: str | None,
    against: str | None,
    as_json: bool,
) -> None:
    """Show TRACE (its id or the address of its page) as a tree with times, tokens, cost and errors."""
    wanted = _trace_id(trace_id)
    other = _trace_id(against) if against is not None else None
    with _source(url, data, db, config) as source:
        from tracer.terminal import out
        from tracer.terminal.tree import show_tree

        if as_json:
            out.print_json(source.trace(wanted, project=project, bodies=True))
        elif markdown or budget is not None or step is not None or other is not None:
            text = source.markdown(wanted, project=project, budget=budget, step=step, against=other)
            click.echo(out.block(text), nl=False)
        else:
            show_tree(source, wanted, project=project)


@click.command(short_help="Print traces as they come and as they end.")
@_query
@_place
@_as_json
def tail(
    q: tuple[str, ...],
    url: str | None,
    data: str | None,
    db: str | None,
    config: str | None,
    project: str | None,
    as_json: bool,
) -> None:
    """Print the newest traces, then each when it comes and when it ends, until Ctrl-C."""
    ask = _ask(q, project, None, None)
    with _source(url, data, db, config) as source:
        from tracer.terminal.lists import tail as follow

        try:
            follow(source, ask, as_json=as_json)
        except KeyboardInterrupt:
            click.echo(err=True)


@click.command(short_help="Write traces to a file: JSON lines, CSV, Parquet or OTLP.")
@_query
@_place
@_time
@click.option("-o", "--out", "to", metavar="FILE", help="The file; .gz and .zst are compressed. [default: the pipe]")
@click.option(
    "--format",
    type=click.Choice(("jsonl", "csv", "parquet", "otlp")),
    help="The form [default: what the file's name ends with, else jsonl].",
)
@click.option("--of", type=click.Choice(("traces", "spans")), default="traces", help="What a row of a table is.")
def export(
    q: tuple[str, ...],
    url: str | None,
    data: str | None,
    db: str | None,
    config: str | None,
    project: str | None,
    since: str | None,
    until: str | None,
    to: str | None,
    format: Any,
    of: Any,
) -> None:
    """Write all traces, or those that SEARCH finds, to a file or a pipe. The file has its name once it is whole."""
    ask = _ask(q, project, since, until)
    with _source(url, data, db, config) as source:
        from tracer.terminal.transfer import run_export

        run_export(source, ask, to=to, format=format, of=of)


@click.command("import", short_help="Take in files of an export, or of OTLP.")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@_place
def import_files(
    files: tuple[str, ...], url: str | None, data: str | None, db: str | None, config: str | None, project: str | None
) -> None:
    """Take in files: our own exports, OTLP as JSON (lines) or protobuf, also .gz or .zst; - is standard input.

    Makes the database when there is none. Traces get the project of --project, else their own. What is there already
    stays as it is: an import that broke off is begun again.
    """
    with _source(url, data, db, config, make=True) as source:
        from tracer.terminal.transfer import run_import

        if not run_import(source, files, project=project):
            sys.exit(1)


@click.command(short_help="Score a trace or a step.")
@click.argument("trace_id", metavar="TRACE")
@click.argument("name")
@click.argument("value")
@_place
@click.option("--step", metavar="ID", help="Score this step, not the whole trace.")
@click.option("--comment", metavar="TEXT", help="Why.")
@click.option("--source", "giver", type=click.Choice(SOURCES), default="code", show_default=True, help="Who judges.")
def score(
    trace_id: str,
    name: str,
    value: str,
    url: str | None,
    data: str | None,
    db: str | None,
    config: str | None,
    project: str | None,
    step: str | None,
    comment: str | None,
    giver: str,
) -> None:
    """Score TRACE: NAME is what is judged, VALUE a number, true, false or a word."""
    facts: dict[str, Any] = {"trace_id": _trace_id(trace_id), "name": name, "value": _value(value), "source": giver}
    facts |= {key: given for key, given in (("span_id", step), ("comment", comment), ("project", project)) if given}
    with _source(url, data, db, config) as source:
        done = source.score(facts)
        click.echo(f"Scored {done['trace_id']}: {done['name']} = {done['value']} ({done['id']}).")


def _value(text: str) -> bool | float | str:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        return float(text)
    except ValueError:
        return text


@click.command(short_help="Delete traces for good.")
@click.argument("trace_ids", nargs=-1, metavar="[TRACE]...")
@_place
@_time
@click.option("--search", metavar="SEARCH", default="", help="What this search finds of the project.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def delete(
    trace_ids: tuple[str, ...],
    url: str | None,
    data: str | None,
    db: str | None,
    config: str | None,
    project: str | None,
    since: str | None,
    until: str | None,
    search: str,
    yes: bool,
) -> None:
    """Delete the named traces for good; without any, what --project has, of --from to --to, or what --search finds."""
    wanted = [_trace_id(one) for one in trace_ids]
    ask = _ask((search,), project, since, until)
    if wanted and (since or until or search):
        raise BadSetting("name traces, or a time and a search: not both.")
    if not wanted and project is None:
        raise BadSetting("name the traces, or the project of which they are with --project.")
    if wanted:
        what = f"{len(wanted)} trace{'s' if len(wanted) > 1 else ''}"
    else:
        span = "".join(f" {word} {at}" for word, at in (("from", ask.since), ("to", ask.until)) if at)
        found = f" that {search!r} finds" if search else ""
        what = f"all traces of the project {project!r}{found}{span}"
    if not yes:
        if not sys.stdin.isatty():
            raise BadSetting(f"this deletes {what} for good: say --yes.")
        click.confirm(f"Delete {what} for good?", abort=True, err=True)
    with _source(url, data, db, config) as source:
        done = [source.delete_trace(one, project=project) for one in wanted] or [source.delete_traces(ask)]
    failed = any(one["state"] == "failed" for one in done)
    count, spans = sum(one["traces"] for one in done), sum(one["spans"] for one in done)
    click.echo(f"Deleted {count:,} traces with {spans:,} spans{', then it failed' if failed else ''}.")
    if failed:
        sys.exit(1)


@click.command(short_help="Let assistants read traces (Model Context Protocol).")
@_place
def mcp(url: str | None, data: str | None, db: str | None, config: str | None, project: str | None) -> None:
    """Serve the Model Context Protocol on standard input and output, read-only, for assistants that start a program.

    A server that runs answers the same at its address /mcp.
    """
    with _source(url, data, db, config) as source:
        try:
            from tracer.mcp.stdio import serve
        except ImportError:
            raise BadSetting("this needs the package mcp: install stepscope-server[mcp].") from None
        serve(source, project=project)


COMMANDS = (traces, trace, tail, export, import_files, score, delete, mcp)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def quick() -> None:
    """These commands alone: the others need settings and more, which take longer to load than a list to show."""


for _command in COMMANDS:
    quick.add_command(_command)


def run(group: Callable[..., object]) -> None:
    """Run a group of commands; a problem that we name is one sentence on standard error."""
    try:
        group(prog_name="stepscope")
    except BadSetting as problem:
        click.echo(f"stepscope: {problem.message}", err=True)
        sys.exit(EXIT_BAD_SETTING)
    except TracerError as problem:
        click.echo(f"stepscope: {problem.message}", err=True)
        sys.exit(1)
