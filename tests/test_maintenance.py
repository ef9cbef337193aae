"""The commands `prune` and `verify`, on their own and beside a running server."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tests import make
from tests.client import Client, Start
from tests.ingest.deleting import Bench, bench, large_text, one_span, opened
from tests.ingest.reference import Sent
from tests.ingest.test_exactly_once import prepared
from tracer.cli import cli
from tracer.errors import BadSetting, DatabaseAway, NotFound
from tracer.ingest.keeping import TagDays
from tracer.ingest.privacy import store_rules
from tracer.ingest.rules import Rules
from tracer.store.sql import Sql
from tracer.units import DAY, HOUR, SECOND, parse_bytes, parse_length


@pytest.fixture
def at(database_url: str) -> Iterator[Bench]:
    with opened(database_url) as store, bench(store) as made:
        yield made


def run(*arguments: str) -> Result:
    """Run a command; a problem that it names is raised."""
    result = CliRunner().invoke(cli, arguments)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def days_ago(days: float, trace: int, span: int = 1, **more: Any) -> Sent:
    """A span that started so many days ago."""
    start = time.time_ns() - int(days * DAY)
    return replace(one_span(trace, span, **more), start=start, end=start + SECOND)


class TestPrune:
    def test_what_is_older_goes_and_the_command_says_how_much(self, at: Bench, database_url: str) -> None:
        at.send([days_ago(days, days) for days in range(1, 11)])
        result = run("prune", "--db", database_url, "--older-than", "5d")
        assert "Deleted 6 traces with 6 spans." in result.output
        assert at.count("trace") == 4
        assert at.send([days_ago(8, 8)]) != {}, "what was deleted is refused"
        assert at.differences() == []

    def test_only_the_named_project_is_touched(self, at: Bench, database_url: str) -> None:
        spans = [prepared(days_ago(9, trace)) for trace in (1, 2)]
        spans[1].project = "other"
        at.writer.submit(spans).result()
        run("prune", "--db", database_url, "--older-than", "12h", "--project", "other")
        assert at.rows("SELECT name FROM project WHERE id IN (SELECT project_id FROM trace)")[0].name == "p"
        assert at.count("trace") == 1

    def test_a_size_takes_the_oldest_first(self, at: Bench, database_url: str) -> None:
        for trace in range(1, 41):
            at.send([days_ago(200 - trace, trace, span, text=large_text(trace * 9 + span)) for span in range(5)])
        result = run("prune", "--db", database_url, "--max-size", "1MB")
        left = sorted(int.from_bytes(row.trace_id) for row in at.rows("SELECT trace_id FROM trace"))
        assert 5 <= len(left) <= 35
        assert left == list(range(41 - len(left), 41))
        assert f"Deleted {40 - len(left)} traces" in result.output
        assert "within 1.0 MB" in run("prune", "--db", database_url, "--max-size", "1MB").output
        assert at.differences() == []

    def test_the_settings_say_what_to_do_when_nothing_else_does(
        self, at: Bench, database_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        at.send([days_ago(days, days) for days in (1, 40)])
        with pytest.raises(BadSetting, match="older-than"):
            run("prune", "--db", database_url)
        monkeypatch.setenv("STEPSCOPE_RETENTION_DAYS", "30")
        run("prune", "--db", database_url)
        assert at.count("trace") == 1

    def test_a_tag_and_the_projects_rules_say_what_to_do_too(self, at: Bench, database_url: str) -> None:
        at.send([days_ago(9, trace, tags=frozenset(tags)) for trace, tags in ((1, {"debug"}), (2, {"x"}), (3, {"y"}))])
        texts = {trace: " ".join(large_text(trace * 9 + part) for part in range(6)) for trace in range(4, 34)}
        large = [prepared(days_ago(90 - trace, trace, text=text)) for trace, text in texts.items()]
        for span in large:
            span.project = "large"
        at.writer.submit(large).result()
        result = run("prune", "--db", database_url, "--older-than", "3d", "--tag", "debug", "--project", "p")
        assert "tagged debug" in result.output
        assert "Deleted 1 traces with 1 spans." in result.output
        with pytest.raises(BadSetting, match="older-than"):
            run("prune", "--db", database_url, "--tag", "debug")
        with at.store.writing() as connection:
            ids = {row.name: row.id for row in Sql(connection).rows("SELECT id, name FROM project")}
            store_rules(connection, ids["p"], Rules(retention_tags=(TagDays("x", 3),)))
            store_rules(connection, ids["large"], Rules(max_size=10**6))
        result = run("prune", "--db", database_url, "--project", "p")
        assert "Deleting what of p started before" in result.output
        assert at.count("trace") == 31
        result = run("prune", "--db", database_url)
        assert "Deleting what of large is the oldest, down to 950.0 kB" in result.output
        assert 10 < at.count("trace") < 30
        before = at.count("trace")
        assert "nothing" not in run("prune", "--db", database_url).output
        assert at.count("trace") == before
        assert at.differences() == []

    def test_what_cannot_be_meant_is_said_in_a_sentence(self, at: Bench, database_url: str, tmp_path: Path) -> None:
        with pytest.raises(BadSetting, match="30d"):
            run("prune", "--db", database_url, "--older-than", "soon")
        with pytest.raises(BadSetting, match="10GB"):
            run("prune", "--db", database_url, "--max-size", "large")
        with pytest.raises(NotFound, match="nobody"):
            run("prune", "--db", database_url, "--older-than", "1d", "--project", "nobody")
        with pytest.raises(DatabaseAway, match="no database"):
            run("prune", "--data", str(tmp_path / "nowhere"), "--older-than", "1d")
        assert not (tmp_path / "nowhere").exists()

    def test_a_running_server_goes_on_taking_spans(self, start: Start, tmp_path: Path) -> None:
        process = start(data=tmp_path / "data")
        with Client(process.url, project="p") as client:
            for part in range(5):
                client.store(*(make.span(f"old {part}", start=make.START, end=make.START + 1) for _ in range(200)))
            result = run("prune", "--data", str(tmp_path / "data"), "--older-than", "1d")
            client.store(make.span("young", start=time.time_ns(), end=time.time_ns() + 1))
            assert "Deleted 1,000 traces with 1,000 spans." in result.output
            assert [trace["name"] for trace in client.traces()] == ["young"]
            assert run("verify", "--data", str(tmp_path / "data")).output == "Everything is as the spans say.\n"


class TestVerify:
    def test_it_says_so_when_all_is_well_and_changes_nothing(self, at: Bench, database_url: str) -> None:
        at.send([one_span(1), one_span(2)])
        result = run("verify", "--db", database_url)
        assert (result.exit_code, result.output) == (0, "Everything is as the spans say.\n")
        assert run("verify", "--db", database_url, "--json").output == ""

    def test_it_names_each_difference_and_fails(self, at: Bench, database_url: str) -> None:
        at.send([one_span(1)])
        at.run("UPDATE trace SET output_preview = 'another', error_count = 3")
        result = run("verify", "--db", database_url)
        assert result.exit_code == 1
        assert "output_preview is another, should be None" in result.output
        assert "2 differences." in result.output
        lines = [json.loads(line) for line in run("verify", "--db", database_url, "--json").output.splitlines()]
        assert {(line["what"], line["stored"], line["expected"]) for line in lines} == {
            ("output_preview", "another", "None"),
            ("error_count", "3", "0"),
        }
        assert all(line["trace_id"] == f"{1:032x}" for line in lines)

    def test_a_file_that_is_no_database_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "stepscope.db").write_bytes(b"no database" * 1000)
        with pytest.raises(DatabaseAway, match=r"stepscope\.db"):
            run("verify", "--data", str(tmp_path))

    def test_an_empty_database_lacks_its_migrations(self, empty_database_url: str, tmp_path: Path) -> None:
        if empty_database_url.startswith("sqlite"):
            Path(empty_database_url.removeprefix("sqlite:///")).touch()
        with pytest.raises(DatabaseAway, match="stepscope migrate"):
            run("verify", "--db", empty_database_url)


def test_sizes_and_lengths_are_read_as_people_write_them() -> None:
    sizes = {"10GB": 10**10, "512 MiB": 512 * 2**20, "1.5kb": 1_500, "7": 7, "2t": 2 * 10**12, "3 b": 3}
    assert {text: parse_bytes(text) for text in sizes} == sizes
    lengths = {"30d": 30 * DAY, "12h": 12 * HOUR, "90 min": 90 * 60 * SECOND, "1.5 days": 36 * HOUR, "45s": 45 * SECOND}
    assert {text: parse_length(text) for text in lengths} == lengths
    for text in ("", "GB", "-1GB", "1 XB", "1e3", "10GBs"):
        with pytest.raises(ValueError, match="size"):
            parse_bytes(text)
    for text in ("", "30", "d", "-1d", "30 fortnights"):
        with pytest.raises(ValueError, match="length of time"):
            parse_length(text)
