"""Holds a database against what was sent: every span once, and every roll-up as the slow reference has it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from random import Random
from typing import Any

from sqlalchemy import create_engine

from tests.client import Client, wait_until
from tests.counts import counted
from tests.durability.traffic import PROJECT, span_id, trace_id
from tests.ingest.reference import Expected, Sent, expected
from tracer.ingest.verify import verify
from tracer.settings import parse_database_url
from tracer.store.engine import Store

PAGE = 1_000
RUNNING = 3


def hold_against(facts: Iterable[Sent], *, url: str, database: str, verified: bool = True) -> None:
    """Compare a running service and its database with everything that was sent and acknowledged.

    All spans and all roll-ups are compared; whole traces with their bodies for some of them. The search index catches
    up, and what is kept beside the spans is what they say; unless `verified` is False.
    """
    wanted = expected(facts)
    assert wanted, "nothing was sent"
    _rows(wanted, database)
    with Client(url, project=PROJECT) as client:
        _summaries(wanted, client)
        some = Random(0).sample(sorted(wanted), min(len(wanted), counted(20, 2_000)))
        for number in some:
            _whole_trace(wanted[number], client.trace(trace_id(number)))
        if not verified:
            return
        wait_until(lambda: _caught_up(client), "the index has caught up", seconds=120)
    store = Store(parse_database_url(database), read_connections=2)
    assert list(verify(store)) == []
    store.close()


def _caught_up(client: Client) -> bool:
    return client.read("/api/v1/status")["index"]["state"] == "caught_up"


def _rows(wanted: dict[int, Expected], database: str) -> None:
    """Read the tables themselves, beside the service."""
    engine = create_engine(parse_database_url(database))
    with engine.connect() as connection:
        stored = Counter(
            (bytes(row.trace_id).hex(), bytes(row.span_id).hex(), row.status == RUNNING)
            for row in connection.exec_driver_sql(
                "SELECT t.trace_id, s.span_id, s.status FROM span s JOIN trace t ON t.id = s.trace_pk "
                f"JOIN project p ON p.id = t.project_id WHERE p.name = '{PROJECT}'"
            )
        )
        if engine.dialect.name == "sqlite":
            assert connection.exec_driver_sql("PRAGMA integrity_check").scalar_one() == "ok"
            assert not connection.exec_driver_sql("PRAGMA foreign_key_check").all()
    engine.dispose()
    sent = {
        (trace_id(number), span_id(one.span), one.running) for number, of in wanted.items() for one in of.spans.values()
    }
    missing, unknown = sent - stored.keys(), stored.keys() - sent
    assert not missing, f"{len(missing)} of {len(sent)} spans are missing: {sorted(missing)[:5]}"
    assert not unknown, f"{len(unknown)} spans were never sent: {sorted(unknown)[:5]}"
    assert stored.total() == len(sent), "spans are stored twice"


def _summaries(wanted: dict[int, Expected], client: Client) -> None:
    """Every roll-up, as the list of traces tells it."""
    found: dict[str, dict[str, Any]] = {}
    cursor: str | None = ""
    while cursor is not None:
        page = client.read("/api/v1/traces", project=PROJECT, limit=PAGE, **({"cursor": cursor} if cursor else {}))
        for item in page["items"]:
            assert item["trace_id"] not in found, "a trace is listed twice"
            found[item["trace_id"]] = item
        cursor = page["next_cursor"]
    assert found.keys() == {trace_id(number) for number in wanted}
    different = [
        (number, rollup, told)
        for number, one in wanted.items()
        if (rollup := _rollup(one)) != (told := _told(found[trace_id(number)]))
    ]
    assert not different, f"{len(different)} roll-ups are wrong: {different[:2]}"
    projects = {one["name"]: one for one in client.read("/api/v1/projects")["items"]}
    spans = sum(len(one.spans) for one in wanted.values())
    assert (projects[PROJECT]["trace_count"], projects[PROJECT]["span_count"]) == (len(wanted), spans)


def _rollup(one: Expected) -> dict[str, Any]:
    return {
        "name": one.name,
        "status": one.status,
        "duration_ms": None if one.end is None else (one.end - one.start) / 1e6,
        "span_count": one.span_count,
        "error_count": one.error_count,
        "llm_call_count": one.llm_call_count,
        "tokens": one.tokens,
        "session_id": one.session,
        "input_preview": one.input_preview[:20].strip() if one.input_preview else None,
    }


def _told(item: dict[str, Any]) -> dict[str, Any]:
    tokens, preview = item["tokens"] or {}, item["input_preview"]
    return {
        **{name: item[name] for name in ("name", "status", "span_count", "error_count", "llm_call_count")},
        "duration_ms": None if item["end_time"] is None else item["duration_ms"],
        "tokens": (tokens.get("input"), tokens.get("output")),
        "session_id": item["session_id"],
        "input_preview": preview[:20].strip() if preview else None,
    }


def _whole_trace(wanted: Expected, found: dict[str, Any]) -> None:
    """Each span of a trace once, with its parent and with what it was given, byte for byte."""
    told = [(span["span_id"], span["parent_id"], span["attributes"]["input.value"]) for span in found["spans"]]
    sent = [
        (span_id(one.span), None if one.parent is None else span_id(one.parent), one.text)
        for one in wanted.spans.values()
    ]
    assert sorted(told) == sorted(sent)
