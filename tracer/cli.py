"""The command `stepscope`: the one place for all commands."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click

from tracer import __version__
from tracer.garbage import collect_nothing
from tracer.settings import Settings, load_settings
from tracer.terminal.commands import COMMANDS, run

Command = TypeVar("Command", bound=Callable[..., Any])


def _setting(name: str, metavar: str, *words: str) -> Callable[[Command], Command]:
    """A flag for a setting, with the setting's own sentence and default as its help."""
    flag, field = f"--{name.replace('_', '-')}", Settings.model_fields[name]
    shown = f" [default: {field.default}]" if isinstance(field.default, str | int) and field.default else ""
    return click.option(flag, *words, name, metavar=metavar, help=f"{field.description}{shown}")


def _database_settings(command: Command) -> Command:
    for decorate in (
        click.option("--config", metavar="FILE", help="A TOML file with settings (default: stepscope.toml in --data)."),
        _setting("db", "URL"),
        _setting("data", "FOLDER"),
    ):
        command = decorate(command)
    return command


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Every setting is also a variable, STEPSCOPE_<NAME>, and a line of the TOML file.",
)
@click.version_option(__version__, prog_name="stepscope")
def cli() -> None:
    """Stepscope shows what an LLM chain really did: every step's prompt, output, latency, tokens and cost.

    Start it with `stepscope serve`, open the address that it prints, and send it spans.
    """


@cli.command(short_help="Serve the dashboard and take spans.")
@_setting("host", "ADDRESS")
@_setting("port", "NUMBER")
@_setting("grpc_port", "NUMBER")
@_database_settings
@_setting("base_path", "PATH")
@_setting("allowed_hosts", "NAMES")
@_setting("embed_origins", "ORIGINS")
@_setting("sign_in", "auto|on|off")
@_setting("oidc_issuer", "URL")
@_setting("oidc_client_id", "NAME")
@_setting("oidc_client_secret", "SECRET")
@_setting("oidc_name", "TEXT")
@_setting("oidc_domains", "NAMES")
@_setting("oidc_role", "ROLE")
@_setting("trusted_proxies", "ADDRESSES")
@_setting("max_body", "BYTES")
@_setting("ingest_memory", "BYTES")
@_setting("durability", "full|normal")
@_setting("search", "on|off")
@_setting("abandoned_after", "MINUTES")
@_setting("retention_days", "DAYS")
@_setting("max_size", "SIZE")
@_setting("audit_days", "DAYS")
@_setting("new_projects", "NUMBER")
@_setting("private_webhooks", "auto|on|off")
@_setting("read_threads", "NUMBER")
@_setting("log_level", "LEVEL")
def serve(config: str | None, **flags: str | None) -> None:
    """Serve the dashboard and take spans, on http://127.0.0.1:4747 unless told otherwise.

    Needs nothing: makes its SQLite file in your data folder, or brings an older one up to date.
    """
    settings = load_settings(flags, config=config)
    collect_nothing()
    from tracer.serve import run_server  # the server's imports are slow; --help and a wrong setting need not wait

    run_server(settings)


@cli.command(short_help="Bring the database's schema up to this version.")
@_database_settings
@click.option("--dry-run", is_flag=True, help="Only say what would be done; change nothing.")
@click.option("--no-backup", is_flag=True, help="Do not copy an existing SQLite file first.")
def migrate(config: str | None, dry_run: bool, no_backup: bool, **flags: str | None) -> None:
    """Bring the database's schema up to this version, and say what was done. `serve` does it too.

    An existing SQLite file is copied first, beside itself. It is all one transaction: killed in the middle, nothing is
    changed, and the next run does it.
    """
    from tracer.store.migrate import migrate as run
    from tracer.store.migrate import plan

    url = load_settings(flags, config=config).database_url
    done = plan(url) if dry_run else run(url, backup=not no_backup)
    if not done.pending:
        click.echo(f"The schema is up to date ({done.head}).")
        return
    click.echo(f"The schema {'would go' if dry_run else 'went'} from {done.current or 'nothing'} to {done.head}.")
    if dry_run:
        for revision, words in zip(done.pending, done.steps, strict=True):
            click.echo(f"  {revision}  {words}")
    if done.backup is not None and not no_backup:
        click.echo(f"A copy of the file as it was {'would be' if dry_run else 'is'} {done.backup}")


@cli.command()
@_database_settings
@click.option("--older-than", metavar="AGE", help="Delete traces that started longer ago: 30d, 12h.")
@_setting("max_size", "SIZE")
@click.option("--project", metavar="NAME", help="Only this project's traces; --max-size is then the project's.")
@click.option("--tag", metavar="TAG", help="Only traces that have it; needs --older-than.")
def prune(
    config: str | None, older_than: str | None, project: str | None, tag: str | None, **flags: str | None
) -> None:
    """Delete old traces for good, and give their space back. A server that runs meanwhile goes on taking spans.

    Without --older-than and --tag it does what the settings retention_days and max_size say, and the projects' own
    rules: by age, by tag and by size.
    """
    from tracer.maintenance import run_prune

    run_prune(load_settings(flags, config=config), older_than=older_than, project=project, tag=tag)


@cli.command()
@_database_settings
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line instead of sentences.")
def verify(config: str | None, as_json: bool, **flags: str | None) -> None:
    """Recompute what is kept beside the spans and say what differs; exits with 1 when something does."""
    from tracer.maintenance import run_verify

    if run_verify(load_settings(flags, config=config), as_json=as_json):
        sys.exit(1)


@cli.command(short_help="Read stored spans again with this version's reader.")
@_database_settings
@click.option("--project", metavar="NAME", help="Only this project's traces.")
@click.option("--since", metavar="TIME", help="Only traces that began since then, such as 2026-11-01.")
@click.option("--prices", is_flag=True, help="Compute the cost of every model call anew, with today's price table.")
def reread(config: str | None, project: str | None, since: str | None, prices: bool, **flags: str | None) -> None:
    """Read stored spans again: what an older version read otherwise, and with --prices what each call cost.

    The service may go on meanwhile. It can be stopped and begun again at any time.
    """
    from tracer.maintenance import run_reread

    run_reread(load_settings(flags, config=config), project=project, since=since, prices=prices)


@cli.command("new-token", short_help="Make a new administrator's token and print it once.")
@_database_settings
def new_token(config: str | None, **flags: str | None) -> None:
    """Make a new administrator's token, for programs, and print it once; the old one and its sign-ins end."""
    from tracer.admin import run_new_token

    click.echo(run_new_token(load_settings(flags, config=config)))


@cli.command("create-key", short_help="Make a key of a project and print it once.")
@_database_settings
@click.option("--project", metavar="NAME", required=True, help="The project; it is made when it is not there yet.")
@click.option(
    "--right",
    type=click.Choice(["ingest", "read", "full"]),
    required=True,
    help="ingest: send spans and scores; read: see all; full: both, change and delete.",
)
@click.option("--name", metavar="TEXT", default="command line", help="What it is for. [default: command line]")
@click.option("--days", type=click.IntRange(1, 3_660), help="Days until it ends by itself (default: never).")
def create_key(config: str | None, project: str, right: str, name: str, days: int | None, **flags: str | None) -> None:
    """Make a key of a project and print it once, alone on a line. The server may run meanwhile."""
    from tracer.admin import run_create_key

    click.echo(run_create_key(load_settings(flags, config=config), project=project, right=right, name=name, days=days))


@cli.command("reset-password", short_help="Print a one-time link to choose a new password.")
@_database_settings
@click.argument("email")
def reset_password(config: str | None, email: str, **flags: str | None) -> None:
    """Print a one-time link by which the account EMAIL gets a new password. It holds for a day."""
    from tracer.admin import run_reset_password

    click.echo(run_reset_password(load_settings(flags, config=config), email))


@cli.command("make-admin", short_help="Make somebody an administrator of the server.")
@_database_settings
@click.argument("email")
def make_admin(config: str | None, email: str, **flags: str | None) -> None:
    """Make the account EMAIL an administrator; where there is none, print a one-time link that makes it.

    For whoever is locked out: it needs access to the database, and nobody's password.
    """
    from tracer.admin import run_make_admin

    click.echo(run_make_admin(load_settings(flags, config=config), email))


for _command in COMMANDS:
    cli.add_command(_command)


def main() -> None:
    """Run the command; a problem that we name is one sentence on standard error."""
    run(cli)
