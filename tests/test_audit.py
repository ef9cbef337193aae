"""The audit log: what is noted, what never is, who may read it, and how much of it is kept."""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Iterator
from io import StringIO
from typing import Any

import pytest
from argon2 import PasswordHasher
from sqlalchemy import func, select

from tests import make
from tests.client import Client, Service, in_process, lasting_database, wait_until
from tracer.access import audit as audit_log
from tracer.access import passwords
from tracer.access.audit import AuditLog, Entry, Wanted, entries_of, prune_entries, write_entries
from tracer.access.keys import KeyRight, make_key
from tracer.access.keys import Wanted as WantedKey
from tracer.access.people import Place, Role, add_person, set_role
from tracer.api import schemas
from tracer.queries.projects import project_by_name
from tracer.queries.scope import EVERYTHING
from tracer.store.models import audit
from tracer.units import DAY

PASSWORD = "correct horse battery"


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service with the projects a and b, root who administers it, and ada who administers a."""
    with (
        pytest.MonkeyPatch.context() as patch,
        lasting_database(request, tmp_path_factory) as url,
        in_process(url, host="0.0.0.0") as service,
    ):
        patch.setattr(passwords, "hasher", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
        for name in ("a", "b"):
            make_key(service.store, WantedKey("app", KeyRight.read), project=name, scope=EVERYTHING, author="")
        with service.store.writing() as connection:
            a = project_by_name(connection, scope=EVERYTHING, name="a").id
            for email, place in (
                ("root@example.com", Place(server=True, role=Role.admin)),
                ("ada@example.com", Place(project_id=a, role=Role.admin)),
            ):
                hashed = passwords.hash_password(PASSWORD, email=email)
                set_role(connection, add_person(connection, email, password=hashed), place)
        yield service


@pytest.fixture
def root(running: Service) -> Iterator[Client]:
    with Client(running.url, project="a") as client:
        assert client.post("/sign-in", data={"email": "root@example.com", "password": PASSWORD}).status_code == 303
        yield client


def lines(client: Client, *, at_least: int = 1, **asked: str) -> list[dict[str, Any]]:
    """Lines of the log, once so many are there, oldest first."""
    found: list[dict[str, Any]] = []

    def there() -> bool:
        found[:] = schemas.AuditLog.model_validate(client.read("/api/v1/audit", limit=1000, **asked)).model_dump()[
            "items"
        ]
        return len(found) >= at_least

    wait_until(there, f"{at_least} lines for {asked}")
    return found[::-1]


def test_what_people_do_is_noted_with_who_and_where(running: Service, root: Client) -> None:
    one, other = make.span("answer"), make.span("other")
    root.store(one, other)
    trace = one["traceId"]
    root.get(f"/p/a/traces/{trace}")
    root.get(f"/api/v1/traces/{trace}")
    root.get(f"/api/v1/traces/{trace}/export")
    root.get("/api/v1/export", params={"project": "a", "format": "csv"})
    whole = root.get("/api/v1/export", params={"project": "a"}).content
    assert root.post("/api/v1/import", content=whole).status_code == 200
    root.get(f"/api/v1/traces/{trace}/markdown", params={"against": other["traceId"]})
    root.post("/api/v1/shares", json={"trace_id": trace, "days": 3})
    root.post("/api/v1/scores", json={"trace_id": trace, "name": "good", "value": 1})
    root.patch(f"/api/v1/traces/{trace}", json={"note": "a note that is nobody's business"})
    root.delete(f"/api/v1/traces/{trace}")
    key = root.post("/api/v1/keys", json={"project": "a", "name": "app", "right": "read"}).json()
    root.delete(f"/api/v1/keys/{key['id']}")
    root.post("/settings/people", data={"email": "new@example.com", "where": "all", "role": "viewer"})
    found = lines(root, at_least=14, who="root@example.com")
    did = [(line["action"], line["project"], line["target"], line["detail"]) for line in found]
    for wanted in (
        ("signed in", None, None, None),
        ("saw", "a", f"trace {trace}", None),
        ("exported", "a", f"trace {trace}", None),
        ("exported", "a", None, "format=csv"),
        ("imported", "a", None, "2 traces, 0 scores"),
        ("shared", "a", f"trace {trace}", "for 3 days"),
        ("scored", "a", f"trace {trace}", "good"),
        ("changed", "a", f"trace {trace}", "PATCH /api/v1/traces/{trace_id}"),
        ("deleted", "a", f"trace {trace}", None),
        ("made a key", "a", "key app", f"read {key['prefix']}"),
        ("revoked a key", "a", "key app", key["prefix"]),
        ("invited", None, "new@example.com", "viewer, in every project"),
    ):
        assert did.count(wanted) == 1, (wanted, did)
    assert {line["kind"] for line in found} == {"person"}
    assert {line["address"] for line in found} == {"127.0.0.1"}
    assert all(len(line["request_id"]) == 16 for line in found)


def test_R68_no_secret_and_no_content_is_in_it(running: Service, root: Client) -> None:
    secret = root.post("/api/v1/keys", json={"project": "a", "name": "app", "right": "full"}).json()["key"]
    made = root.post("/settings/people", data={"email": "x@example.com", "where": "all", "role": "viewer"}).text
    link = made.partition("/join/")[2][:43]
    with Client(running.url) as person:
        person.post(f"/join/{link}", data={"password": "quite a secret one"})
    one = make.span(having={"input.value": "the secret prompt"})
    root.ingest(make.request(one), x_api_key=secret)
    root.get(f"/api/v1/traces/{one['traceId']}")
    assert lines(root, action="joined", who="x@example.com")
    with running.store.reading() as connection:
        told = repr(connection.execute(select(audit)).all())
    for hidden in (secret, link, "quite a secret one", "the secret prompt", PASSWORD):
        assert hidden not in told


def test_who_fails_to_sign_in_is_noted_and_other_refusals_are_not(running: Service, root: Client) -> None:
    with Client(running.url) as person:
        person.post("/sign-in", data={"email": "eve@example.com", "password": "wrong, but long"})
        person.get("/api/v1/traces")
    root.get("/api/v1/traces/" + "ab" * 16)
    assert [line["action"] for line in lines(root, who="eve@")] == ["was refused"]
    assert not [line for line in lines(root, who="root@") if line["target"] == "trace " + "ab" * 16]


def test_what_programs_do_all_the_time_is_not_noted(running: Service, root: Client) -> None:
    key = {"x-api-key": root.post("/api/v1/keys", json={"project": "a", "name": "busy", "right": "full"}).json()["key"]}
    one = make.span()
    root.ingest(make.request(one), **key)
    root.post("/api/v1/scores", json={"trace_id": one["traceId"], "name": "x", "value": 1}, headers=key)
    root.get("/api/v1/traces", headers=key)
    root.get(f"/api/v1/traces/{one['traceId']}", headers=key)
    assert [(line["action"], line["kind"]) for line in lines(root, who="busy")] == [("saw", "key")]


def test_R63_who_administers_a_project_reads_its_lines_only(running: Service, root: Client) -> None:
    for name in ("a", "b"):
        root.post("/api/v1/keys", json={"project": name, "name": f"audited in {name}", "right": "read"})
    lines(root, at_least=1, project="b", action="made a key")
    with Client(running.url) as ada:
        ada.post("/sign-in", data={"email": "ada@example.com", "password": PASSWORD})
        found = lines(ada, action="made a key")
        assert {line["project"] for line in found} == {"a"}
        assert ada.get("/api/v1/audit", params={"project": "b"}).status_code == 404
        page = ada.get("/settings/audit").text
        assert "audited in a" in page
        assert "audited in b" not in page
        assert "audited in b" not in ada.get("/settings/audit", params={"project": "b"}).text
        assert "audited in b" not in ada.get("/api/v1/audit", params={"format": "csv"}).text


def test_R65_R66_it_is_exported_whole_and_safe(running: Service, root: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tracer.api.audit.SLICE", 2)
    names = ["=1+1", "+1", "-1", "@x", "\tx", "\rx", 'a,"b"\r\nset-cookie: x', "<b>"]
    log: AuditLog = running.app.state.audit
    for name in names:
        log.note(Entry("tried", who=name, detail="all of it"))
    lines(root, at_least=len(names), action="tried")
    answer = root.get("/api/v1/audit", params={"format": "csv", "action": "tried"})
    assert answer.headers["content-disposition"] == 'attachment; filename="audit.csv"'
    rows = list(csv.DictReader(StringIO(answer.text, newline="")))
    assert [row["who"] for row in rows][::-1] == [*(f"'{name}" for name in names[:6]), *names[6:]]
    told = root.get("/api/v1/audit", params={"format": "jsonl", "action": "tried"}).text
    assert [json.loads(line)["who"] for line in told.splitlines()][::-1] == names
    page = root.get("/settings/audit", params={"action": "tried"}).text
    assert "&lt;b&gt;" in page
    assert "<b>&" not in page


def test_it_is_paged_and_filtered_literally(running: Service, root: Client) -> None:
    log: AuditLog = running.app.state.audit
    for number in range(5):
        log.note(Entry("counted", who=f"100%_{number}"))
    assert len(lines(root, at_least=5, action="counted", who="0%_")) == 5
    assert root.read("/api/v1/audit", action="counted", who="1_0")["items"] == []
    first = root.read("/api/v1/audit", action="counted", limit=2)
    second = root.read("/api/v1/audit", action="counted", limit=2, cursor=first["next_cursor"])
    assert [one["who"] for one in first["items"] + second["items"]] == [f"100%_{number}" for number in (4, 3, 2, 1)]
    for odd in ("x", "-1", "9" * 40, "' OR 1=1 --"):
        assert root.get("/api/v1/audit", params={"cursor": odd}).status_code == 400
    assert root.read("/api/v1/audit", action="counted", to="2020-01-01T00:00:00Z")["items"] == []


def test_it_is_bounded_by_age_and_number(running: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time_ns()
    with running.store.writing() as connection:
        write_entries(connection, [Entry("aged", at=now - days * DAY) for days in (500, 400, 300)])
        prune_entries(connection, before=now - 365 * DAY)
        assert len(entries_of(connection, scope=EVERYTHING, wanted=Wanted(action="aged"))) == 1
        monkeypatch.setattr(audit_log, "MOST_ROWS", 3)
        prune_entries(connection, before=0)
        assert connection.execute(select(func.count()).select_from(audit)).scalar_one() <= 3


def test_what_could_not_be_written_is_written_with_the_next_line(running: Service) -> None:
    tries: list[Any] = []
    later = running.app.state.writer.run

    def failing(work: Any) -> Any:
        def broken(connection: Any) -> None:
            tries.append(1)
            if len(tries) == 1:
                connection.execute = None
            work(connection)

        return later(broken)

    log = AuditLog(running.store, later=failing, days=1)
    log.note(Entry("first try"))
    wait_until(lambda: tries, "it was tried")
    wait_until(lambda: not log._asked and len(log._waiting) == 1, "it waits")
    log.note(Entry("second try"))

    def written() -> bool:
        with running.store.reading() as connection:
            return len(entries_of(connection, scope=EVERYTHING, wanted=Wanted(action=" try"))) == 2

    wait_until(written, "both are there")


def test_that_somebody_saw_a_trace_is_noted_once_an_hour(running: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    noted: list[Entry] = []
    log = AuditLog(running.store, later=running.app.state.writer.run, days=1)
    monkeypatch.setattr(
        log, "_later", lambda work: noted.extend(log._waiting) or running.app.state.writer.run(lambda _: None)
    )
    now = 1000.0
    monkeypatch.setattr("tracer.access.audit.time.monotonic", lambda: now)
    for _ in range(3):
        log.note(Entry("saw", who="ada"), once=("ada", "t"))
        log._asked = False
    assert len(noted) == 1
    now += 3601
    log._waiting.clear()
    log.note(Entry("saw", who="ada"), once=("ada", "t"))
    assert len(noted) == 2
