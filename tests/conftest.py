"""What every test can ask for: databases, a browser, bounded or full counts."""

import pytest

from tests.browsers import browser_type_launch_args
from tests.client import client, guarded, server, service, start
from tests.counts import load_hypothesis_profile
from tests.databases import (
    database_url,
    empty_database_url,
    migrated_file,
    migrated_postgres,
    new_database,
    postgres_url,
)
from tests.needs import NOT_TESTED

__all__ = [
    "browser_type_launch_args",
    "client",
    "database_url",
    "empty_database_url",
    "guarded",
    "migrated_file",
    "migrated_postgres",
    "new_database",
    "postgres_url",
    "server",
    "service",
    "start",
]


def pytest_configure() -> None:
    """Choose how much Hypothesis tries."""
    load_hypothesis_profile()


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Number tests over bytes: bytes made anew may differ, and workers must collect the same names."""
    return argname if isinstance(val, bytes) else None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name loudly, at the very end, what this machine could not test."""
    reports = [*terminalreporter.stats.get("skipped", []), *terminalreporter.stats.get("failed", [])]
    reports += terminalreporter.stats.get("error", [])
    lacking: dict[str, int] = {}
    for report in reports:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longreprtext
        for line in str(reason).splitlines():
            _, found, what = line.partition(NOT_TESTED)
            if found:
                lacking[what] = lacking.get(what, 0) + 1
                break
    for what, count in lacking.items():
        terminalreporter.section(
            f"{NOT_TESTED}{what}: {count} {'test' if count == 1 else 'tests'}", sep="!", red=True, bold=True
        )
