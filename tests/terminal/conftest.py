"""The commands, run in this process on a database or against a server, in a project that no other test has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from click.testing import CliRunner, Result

from tests.client import Client, Service
from tracer.terminal.commands import quick, run


@dataclass(frozen=True)
class Place:
    """Where commands look: `here` in the database itself, `there` on the server that serves it."""

    options: tuple[str, ...]
    client: Client

    def __call__(self, *arguments: str, project: str | None = None, input: str | bytes | None = None) -> Result:
        """Run a command and return what it left; what it names as a problem is on its standard error."""
        place = (*self.options, "--project", project or self.client.project)
        return command(*arguments, *place, input=input)

    def said(self, *arguments: str, project: str | None = None, input: str | bytes | None = None) -> str:
        """The output of a command that has to succeed."""
        done = self(*arguments, project=project, input=input)
        assert done.exit_code == 0, done.output
        return done.stdout


def command(*arguments: str, input: str | bytes | None = None, **variables: str) -> Result:
    """Run a command as `stepscope` does, with `variables` alone of ours."""
    plain = {"STEPSCOPE_ENDPOINT": None, "STEPSCOPE_PROJECT": None, "STEPSCOPE_API_KEY": None, **variables}

    def started(**_: object) -> None:
        quick.main(list(arguments), prog_name="stepscope")

    runner = CliRunner()
    with runner.isolation(input=input, env=plain) as (out, err, _):
        code: object = 0
        try:
            run(started)
        except SystemExit as end:
            code = end.code or 0
        assert isinstance(code, int)
        return Result(runner, out.getvalue(), err.getvalue(), b"", None, code, None)


@pytest.fixture(params=["here", "there"])
def place(request: pytest.FixtureRequest, client: Client, service: Service) -> Place:
    """Both ways to the same traces, on both databases."""
    if request.param == "there":
        return Place(("--url", service.url), client)
    return Place(("--db", service.settings.db or ""), client)


Run = Callable[..., Result]
