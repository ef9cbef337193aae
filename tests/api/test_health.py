"""/healthz and /readyz: alive, and ready to work."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.client import Client, in_process
from tracer import __version__
from tracer.api.health import Readiness
from tracer.errors import Unavailable
from tracer.store.engine import Store


def test_a_service_that_works_is_alive_and_ready(client: Client) -> None:
    assert client.read("/healthz") == {"status": "ok", "version": __version__}
    assert client.read("/readyz") == {"status": "ok"}


def test_a_schema_that_is_not_ours_makes_it_not_ready_but_alive(database_url: str) -> None:
    with in_process(database_url) as running, Client(running.url) as client:
        with running.store.writing() as connection:
            connection.exec_driver_sql("UPDATE alembic_version SET version_num = 'from_the_future'")
        answer = client.get("/readyz")
        assert answer.status_code == 503
        assert answer.json()["status"] == "degraded"
        assert "a newer Stepscope wrote it" in answer.json()["reason"]
        assert int(answer.headers["retry-after"]) > 0
        assert client.get("/healthz").status_code == 200


def test_a_schema_that_lacks_a_step_is_named(database_url: str) -> None:
    with in_process(database_url) as running, Client(running.url) as client:
        with running.store.writing() as connection:
            connection.exec_driver_sql("DELETE FROM alembic_version")
        answer = client.get("/readyz")
        assert answer.status_code == 503
        assert answer.json()["reason"].startswith("The database lacks the migrations 0001")


def test_the_database_is_asked_once_a_second_however_many_ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with in_process(f"sqlite:///{tmp_path}/s.db") as running:
        asked: list[int] = []

        def reading(store: Store) -> None:
            asked.append(1)
            raise Unavailable("away")

        monkeypatch.setattr(Store, "reading", reading)
        readiness = Readiness(running.store)
        assert [readiness.problem() for _ in range(50)] == ["away"] * 50
        assert len(asked) == 1
