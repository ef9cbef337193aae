"""`export`, `import`, `score` and `delete`: from a database and over its server alike."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
import zstandard

from tests import make
from tests.api.test_takeout import fill, lines_of, same
from tests.client import Client, Service, on_one_database
from tests.databases import NewDatabase
from tests.terminal.conftest import Place, command
from tracer.api.takeout import forms
from tracer.sources import files
from tracer.sources.files import ImportFile
from tracer.sources.remote import RemoteSource
from tracer.sources.source import Ask

PAYLOADS = Path(__file__).parent.parent / "payloads"


def in_order(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [same(line) for line in sorted(lines, key=lambda line: (line["trace_id"], line["part"]))]


def test_what_is_exported_and_imported_is_the_same(place: Place, tmp_path: Path) -> None:
    client = place.client
    fill(client)
    file = tmp_path / ("out.jsonl.gz" if place.options[0] == "--db" else "out.jsonl.zst")
    done = place("export", "--out", str(file))
    assert done.exit_code == 0, done.output
    assert f"Wrote {file}: " in done.stderr
    assert [one.name for one in tmp_path.iterdir()] == [file.name]
    before = in_order(lines_of(client))
    again = f"{client.project}-again"
    assert "Took " in place.said("import", str(file), project=again)
    client.project = again
    assert in_order(lines_of(client)) == before
    place.said("import", str(file), project=again)
    assert in_order(lines_of(client)) == before


def test_a_database_that_is_not_there_is_made_by_an_import(
    client: Client, new_database: NewDatabase, tmp_path: Path, service: Service
) -> None:
    fill(client)
    first, second = tmp_path / "first.jsonl", tmp_path / "second.jsonl"
    there = ("--url", service.url, "--project", client.project)
    assert command("export", *there, "--out", str(first)).exit_code == 0
    new = new_database("sqlite" if service.store.sqlite else "postgresql")
    assert command("import", str(first), "--db", new).exit_code == 0
    done = command("export", "--db", new, "--out", str(second))
    assert done.exit_code == 0, done.stderr
    before, after = ([json.loads(line) for line in file.read_text().splitlines()] for file in (first, second))
    assert in_order(after) == in_order(before)
    assert {line["project"] for line in after} == {client.project}
    # No server runs there that would index what came.
    found = command("traces", "root", "--json", "--db", new).stdout.splitlines()
    assert len(found) == 1
    assert len(command("traces", '"step 7"', "--json", "--db", new).stdout.splitlines()) == 1


def as_lengths(*messages: bytes) -> bytes:
    return b"".join(len(message).to_bytes(4, "big") + message for message in messages)


def test_every_form_of_otlp_is_taken(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "BATCH_BYTES", 600)
    client = place.client
    spans = [make.span(f"one {number}", trace=make.new_trace_id(), having={"n": number}) for number in range(7)]
    requests = [make.request(span, resource={"service.name": "shop"}) for span in spans]
    logs = make.log_request(make.log("said", trace=spans[0]["traceId"], span=spans[0]["spanId"]))
    joined = b"".join(make.as_protobuf(one) for one in requests)
    forms = {
        "lines.jsonl": b"\n".join([*map(make.as_json, requests), make.as_json(logs)]) + b"\n",
        "marked.json": b"\xef\xbb\xbf" + make.as_json({"resourceSpans": [one["resourceSpans"][0] for one in requests]}),
        "pretty.json": json.dumps({"resourceSpans": [one["resourceSpans"][0] for one in requests]}, indent=2).encode(),
        "list.json": json.dumps(requests).encode(),
        "request.pb": joined,
        "request.pb.gz": gzip.compress(joined),
        "request.pb.zst": zstandard.ZstdCompressor().compress(joined),
        "collector.bin": as_lengths(*map(make.as_protobuf, requests), make.as_protobuf(logs)),
    }
    base = client.project
    for name, content in forms.items():
        client.project = f"{base} {name}"
        (tmp_path / name).write_bytes(content)
        said = place.said("import", str(tmp_path / name))
        assert "Took 7 spans" in said, (name, said)
        assert {one["name"] for one in client.traces()} == {f"one {number}" for number in range(7)}, name
        events = client.trace(spans[0]["traceId"])["spans"][0]["events"]
        assert [event["name"] for event in events] == (["log"] if name in ("lines.jsonl", "collector.bin") else [])


@on_one_database
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"my diary", "neither an export of ours nor OTLP"),
        (b'{"a": 1}', "neither of an export of ours nor OTLP"),
        (b'{"trace_id": "ab", "spans": []}', "format=jsonl"),
        (b'{"resourceSpans": [', "cut short"),
        (b'{"resourceSpans": []}\n{"resource', "line 2 is no JSON, or it is cut short"),
        (b"\x0a\x7f\x01", "cut short"),
        (b"\x0a\x02\xff\xff", "no OTLP as protobuf"),
        (b"\0\0\0\x09abc", "cut short"),
        (b"\0\0", "cut short"),
        (b"\x0a\xff\xff\xff\xff\x07", "over 536.9 MB"),
        (gzip.compress(b'{"resourceSpans": []}', mtime=0)[:-9], "broken or cut short"),
        (zstandard.ZstdCompressor().compress(b'{"resourceSpans": [' + b" " * 99_999)[:-4], "cut short"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_with_what_is_wrong(
    service: Service, tmp_path: Path, content: bytes, words: str
) -> None:
    file = tmp_path / "strange"
    file.write_bytes(content)
    done = command("import", str(file), "--url", service.url)
    assert done.exit_code == 1
    assert done.stderr.startswith(f"stepscope: {file}")
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1


@on_one_database
def test_what_is_refused_is_counted_and_the_command_fails(client: Client, service: Service, tmp_path: Path) -> None:
    client.store(make.span("gone"))
    file, there = tmp_path / "a.jsonl", ("--url", service.url, "--project", client.project)
    command("export", *there, "-o", str(file))
    assert command("delete", client.traces()[0]["trace_id"], "--yes", *there).exit_code == 0
    for place in (there, ("--db", service.settings.db or "", "--project", client.project)):
        done = command("import", str(file), *place)
        assert done.exit_code == 1
        assert "1 refused: " in done.stderr
        assert "the trace was deleted here" in done.stderr


def test_a_file_has_its_name_only_once_it_is_whole(
    client: Client, service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.store(make.span())
    there = ("--url", service.url, "--project", client.project)

    def breaks(_: object) -> bytes:
        raise RuntimeError("the disk is gone")

    monkeypatch.setattr(forms, "traces_line", breaks)
    done = command("export", *there, "-o", str(tmp_path / "a.jsonl"))
    assert done.exit_code == 1
    assert "The export broke off" in done.stderr
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(Exception, match="broke off"):
        list(RemoteSource(service.url).export(Ask(project=client.project), format="jsonl", of="traces"))


def test_a_pipe_gets_the_export_itself_and_a_name_says_its_form(place: Place, tmp_path: Path) -> None:
    place.client.store(make.span("one"))
    done = place("export", "--format", "csv")
    assert done.stdout.splitlines()[0].startswith("trace_id,project,name")
    assert "Wrote" in done.stderr
    for name, start in (("a.parquet", b"PAR1"), ("a.csv", b"trace_id,"), ("a.otlp.jsonl", b'{"resourceSpans"')):
        place.said("export", "-o", str(tmp_path / name))
        assert (tmp_path / name).read_bytes().startswith(start)
    assert place("export", "-o", str(tmp_path / "a.xyz")).exit_code == 2
    assert place("export", "-o", str(tmp_path / "none" / "a.csv")).exit_code == 1


def test_scores_are_given_and_traces_deleted(place: Place) -> None:
    client = place.client
    client.store(make.span("one"), make.span("two"), make.span("old", start=make.START - 10**15))
    trace = client.traces()[0]["trace_id"]
    span = client.trace(trace)["spans"][0]["span_id"]
    assert "helpful = True" in place.said("score", trace, "helpful", "true", "--source", "user", "--comment", "Yes.")
    place.said("score", trace, "speed", "0.5", "--step", span)
    place.said("score", trace, "tone", "warm")
    told = {one["name"]: one["value"] for one in client.trace(trace)["scores"]}
    assert told == {"helpful": True, "speed": 0.5, "tone": "warm"}
    assert place("score", trace, "helpful", "nan").exit_code == 1

    done = place("delete", trace)
    assert (done.exit_code, "--yes" in done.stderr) == (2, True)
    assert "Deleted 1 traces with 1 spans." in place.said("delete", trace, "--yes")
    assert "Deleted 0 traces" in place.said("delete", "--search", "name:two", "--to", "2025-11-20", "--yes")
    assert "Deleted 1 traces" in place.said("delete", "--to", "2025-11-20", "--yes")
    assert len(client.traces()) == 1
    done = place("delete", "--search", "is:nonsense", "--yes")
    assert (done.exit_code, "nonsense" in done.stderr) == (1, True)
    assert place("delete", trace, "--yes").exit_code == 1
    place.said("delete", "--yes")
    assert client.traces() == []


@on_one_database
def test_delete_wants_to_know_what(service: Service) -> None:
    there = ("--url", service.url)
    assert command("delete", "--yes", *there).exit_code == 2
    assert command("delete", "ab" * 16, "--from", "1h", "--yes", *there).exit_code == 2
    assert command("delete", "ab" * 16, "--search", "x", "--yes", *there).exit_code == 2


def test_a_file_is_read_in_batches_of_bounded_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "BATCH_BYTES", 1_000)
    file = tmp_path / "a.jsonl"
    line = make.as_json(make.request(make.span("x" * 100)))
    file.write_bytes(b"\n".join([line] * 50))
    opened = ImportFile(str(file))
    sizes, positions = list[int](), list[int]()
    for batch in opened.batches():
        sizes.append(len(batch.body))
        positions.append(opened.position)
    opened.close()
    assert max(sizes) < 1_100
    assert len(sizes) > 10
    assert positions == sorted(positions)
    assert opened.position == opened.size
