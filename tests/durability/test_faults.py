"""Stops, locks and databases that go away while spans come in: slow or refused for a while, never lost."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
from sqlalchemy.engine import make_url

from tests import make
from tests.client import Client, wait_until
from tests.counts import FULL, counted
from tests.databases import NewDatabase
from tests.durability.conftest import NewService, Service
from tests.durability.postgres import OwnPostgres
from tests.durability.readback import hold_against
from tests.durability.traffic import Senders

pytestmark = pytest.mark.servers

MANY = counted(1_000, 10_000)
"""Traces of one batch."""


def refusal(service: Service) -> tuple[httpx.Response, float]:
    """The first answer to a span that is not 200, and after how many seconds it came."""
    with Client(service.url, project="probe") as client:
        while True:
            asked = time.monotonic()
            answer = client.ingest(make.request(make.span("probe")))
            if answer.status_code != 200:
                return answer, time.monotonic() - asked


def assert_refused_in_time(service: Service) -> None:
    answer, waited = refusal(service)
    assert answer.status_code == 503, answer.text
    assert 1 <= int(answer.headers["retry-after"]) <= 5
    assert waited < 5.5  # 5 s, and what a busy machine adds


def readiness(service: Service) -> tuple[int, str]:
    answer = httpx.get(f"{service.url}/readyz", trust_env=False, verify=False, timeout=30)
    return answer.status_code, answer.json()["status"]


def test_r05_sigterm_in_mid_load_ends_in_order_and_loses_nothing(database_url: str, new_service: NewService) -> None:
    service = new_service(database_url)
    service.ready()
    with Senders(lambda: service.url, seed=5, pause_s=0.005) as senders:
        for _ in range(counted(1, 10)):
            time.sleep(0.4)
            assert service.stop() == 0
            service.start()
            service.ready()
        time.sleep(0.2)
    hold_against(senders.traffic.facts, url=service.url, database=database_url)


@contextmanager
def locked(file: str) -> Iterator[None]:
    """Another program's write transaction on a SQLite file."""
    other = sqlite3.connect(file, isolation_level=None, timeout=30)
    try:
        other.execute("BEGIN EXCLUSIVE")
        yield
        other.execute("ROLLBACK")
    finally:
        other.close()


def test_r05_sigterm_while_the_database_is_locked_ends_within_ten_seconds(
    new_database: NewDatabase, new_service: NewService
) -> None:
    database = new_database("sqlite")
    service = new_service(database)
    service.ready()
    with Senders(lambda: service.url, seed=6, pause_s=0.005) as senders:
        time.sleep(0.3)
        with locked(str(make_url(database).database)):
            time.sleep(0.5)
            assert service.stop() == 0
        service.start()
        service.ready()
    hold_against(senders.traffic.facts, url=service.url, database=database)


def test_r11_a_lock_of_another_program_slows_or_refuses_and_loses_nothing(
    new_database: NewDatabase, new_service: NewService
) -> None:
    database = new_database("sqlite")
    service = new_service(database)
    service.ready()
    with Senders(lambda: service.url, seed=11, pause_s=0.005) as senders:
        time.sleep(0.3)
        with locked(str(make_url(database).database)):
            held_until = time.monotonic() + counted(5, 12)
            assert_refused_in_time(service)
            wait_until(lambda: readiness(service) == (503, "degraded"), "its health says so", seconds=3)
            with Client(service.url) as client:
                client.read("/api/v1/traces")
            time.sleep(max(0.0, held_until - time.monotonic()))
        wait_until(lambda: readiness(service)[0] == 200, "ready again")
    assert senders.refused
    hold_against(senders.traffic.facts, url=service.url, database=database)


@pytest.fixture
def own_postgres() -> Iterator[OwnPostgres]:
    server = OwnPostgres()
    yield server
    server.remove()


def test_r12_a_postgres_that_stops_crashes_or_hangs_refuses_and_recovers(
    own_postgres: OwnPostgres, new_service: NewService
) -> None:
    service = new_service(own_postgres.url)
    service.ready()
    with Senders(lambda: service.url, seed=12, pause_s=0.005) as senders:
        for crash in (False, True) * counted(1, 5):
            time.sleep(0.4)
            own_postgres.stop(crash=crash)
            assert_refused_in_time(service)
            wait_until(lambda: readiness(service) == (503, "degraded"), "its health says so", seconds=3)
            own_postgres.start()
            wait_until(lambda: readiness(service)[0] == 200, "ready again")
        with own_postgres.frozen():
            assert_refused_in_time(service)
        wait_until(lambda: readiness(service)[0] == 200, "ready again")
    hold_against(senders.traffic.facts, url=service.url, database=own_postgres.url)


@pytest.mark.soak
def test_r17_two_servers_on_one_database_lose_nothing_and_double_nothing(
    database_url: str, new_service: NewService
) -> None:
    one, two = new_service(database_url), new_service(database_url)
    one.ready()
    two.ready()
    with Senders(lambda: one.url, lambda: two.url, seed=17, pause_s=0.005) as senders:
        time.sleep(counted(1, 20))
        two.kill()
        time.sleep(0.3)
        two.start()
        two.ready()
    hold_against(senders.traffic.facts, url=one.url, database=database_url)


def test_r17_pages_of_one_server_are_told_of_what_another_one_stored(
    database_url: str, new_service: NewService
) -> None:
    one, two = new_service(database_url), new_service(database_url)
    one.ready()
    two.ready()
    with Client(two.url, project="shared") as sending, Client(one.url, project="shared") as watching:
        sending.store(make.span("first"))
        with watching.stream("GET", "/p/shared/live", headers={"accept": "text/event-stream"}) as stream:
            assert stream.status_code == 200
            lines = stream.iter_lines()
            trace = make.new_trace_id()
            sending.store(make.span("second", trace=trace))
            assert next(line for line in lines if trace in line)


@pytest.mark.soak
def test_r17_a_batch_of_very_many_traces_is_taken_while_others_write(
    own_postgres: OwnPostgres, new_service: NewService
) -> None:
    """More traces than Postgres has locks for: some 650 with these settings, 6,400 as it comes."""
    own_postgres.restart_with(max_connections="60", max_locks_per_transaction="10")
    one, two = new_service(own_postgres.url), new_service(own_postgres.url)
    one.ready()
    two.ready()
    with Senders(lambda: two.url, seed=18, pause_s=0.005) as senders, Client(one.url, project="many") as client:
        client.timeout = httpx.Timeout(120)
        client.store(*(make.span() for _ in range(MANY)))
        project = next(row for row in client.read("/api/v1/projects")["items"] if row["name"] == "many")
        assert (project["trace_count"], project["span_count"]) == (MANY, MANY)
    facts = senders.traffic.facts
    hold_against(facts, url=two.url, database=own_postgres.url, verified=FULL)
