"""Projects over REST and on their pages: measured, renamed, merged and deleted, by who manages them."""

from __future__ import annotations

from collections.abc import Iterator
from html import unescape
from typing import Any

import pytest

from tests import make
from tests.api.test_deleting import refusal
from tests.client import Client, Guarded, Service, wait_until
from tracer.access.people import Place, Role, add_person, set_role
from tracer.access.sessions import open_session
from tracer.api import schemas
from tracer.auth import COOKIE
from tracer.queries.projects import project_by_name
from tracer.queries.scope import EVERYTHING


@pytest.fixture
def other(service: Service) -> Iterator[Client]:
    """A client with a project of its own, beside `client`."""
    with Client(service.url) as made:
        yield made


def whole(client: Client, slug: str | None = None) -> dict[str, Any]:
    return schemas.ProjectWhole.model_validate(client.read(f"/api/v1/projects/{slug or client.project}")).model_dump()


def merged(client: Client, into: str) -> schemas.Merge:
    """Merge the client's project, and wait until it is done."""
    answer = client.post(f"/api/v1/projects/{client.project}/merge", json={"into": into})
    assert answer.status_code in (200, 202), answer.text
    found = schemas.Merge.model_validate(answer.json())

    def finished() -> bool:
        nonlocal found
        found = schemas.Merge.model_validate(client.read(f"/api/v1/merges/{found.id}"))
        return found.state not in ("waiting", "running")

    wait_until(finished, "the merge is done")
    return found


def test_what_a_project_takes_is_its_bodies_and_a_share_of_the_rest(client: Client) -> None:
    text = " ".join(f"{number * 7919 % 1_000_003:x}" for number in range(4_000))
    client.store(make.span(having={"input.value": text}), make.span())
    found = whole(client)
    assert found["trace_count"] == 2
    assert len(text) / 4 < found["disk"]["bodies"] < len(text) + 10_000
    assert found["disk"]["rest"] >= 0
    refusal(client.get("/api/v1/projects/nobody-has-this"), 404, "project")


def test_a_renamed_project_is_reached_by_every_name_and_keeps_its_address(client: Client, service: Service) -> None:
    key = client.post("/api/v1/keys", json={"project": client.project, "name": "app", "right": "full"}).json()["key"]
    rules = {"keys": ["input.value"]}
    assert client.put("/api/v1/rules", params={"project": client.project}, json=rules).status_code == 200
    client.store(make.span("before"))
    name = f"New name of {client.project} ✓"
    answer = client.patch(f"/api/v1/projects/{client.project}", json={"name": f" {name} "})
    assert schemas.Project.model_validate(answer.json()).name == name
    secret = make.span("after", having={"input.value": "hidden", "stepscope.project": client.project})
    with Client(service.url, x_api_key=key) as keyed:
        keyed.headers["x-api-key"] = key
        quiet = keyed.ingest(make.request(secret), x_stepscope_project=client.project)
        assert quiet.content == b"{}", "nobody is told that another project was taken"
        told = keyed.ingest(make.request(make.span("elsewhere")), x_stepscope_project="another")
        assert "named another project" in told.text
    client.store(make.span("without a key", having={"input.value": "hidden"}))
    for asked in (client.project, name):
        assert {one["name"] for one in client.traces(project=asked)} == {
            "before", "after", "elsewhere", "without a key",
        }  # fmt: skip
    assert "hidden" not in str(client.trace(secret["traceId"])["spans"])
    assert client.get(f"/p/{client.project}/traces").status_code == 200
    assert whole(client)["other_names"] == [client.project]
    client.store(make.span("other"))
    for taken in ("", "x" * 201):
        assert client.patch(f"/api/v1/projects/{client.project}", json={"name": taken}).status_code == 422


def test_a_merged_project_is_reached_under_its_name_its_address_and_its_keys(client: Client, other: Client) -> None:
    key = client.post("/api/v1/keys", json={"project": client.project, "name": "app", "right": "full"}).json()["key"]
    both = make.span("both")
    client.store(both, make.span("of the first", having={"session.id": "talk", "user.id": "mara"}))
    trace = both["traceId"]
    other.store(make.span("step", trace=trace, parent=both["spanId"]), make.span("of the other"))
    for one in (client, other):
        view = {"project": one.project, "name": "Failed", "q": "status:error"}
        assert one.post("/api/v1/views", json=view).is_success
    assert client.post(
        "/api/v1/scores", json={"trace_id": trace, "name": "good", "value": 1, "project": client.project}
    )

    done = merged(client, other.project)

    assert (done.state, done.project, done.into, done.total_traces) == ("done", client.project, other.project, 2)
    assert {one["name"] for one in other.traces()} == {"both", "of the first", "of the other"}
    found = other.trace(trace)
    assert [span["name"] for span in found["spans"]] == ["both", "step"]
    assert [one["name"] for one in found["scores"]] == ["good"]
    assert other.read("/api/v1/sessions/talk", project=other.project)["trace_count"] == 1
    names = {one["name"] for one in other.read("/api/v1/views", project=other.project)["items"]}
    assert len(names) == 2
    assert "Failed" in names
    client.headers["x-api-key"] = key
    client.store(make.span("with its key"))
    assert "with its key" in {one["name"] for one in client.traces(project=client.project)}
    del client.headers["x-api-key"]
    client.store(make.span("by its name"))
    assert "by its name" in client.get(f"/p/{client.project}/traces").text
    metrics = other.read(
        "/api/v1/metrics", **{"project": other.project, "from": "2025-11-24T00:00:00Z", "to": "2025-11-25T00:00:00Z"}
    )
    assert metrics["totals"]["count"] == 6
    refusal(client.post(f"/api/v1/projects/{client.project}/merge", json={"into": other.project}), 400, "into")


def test_a_deleted_project_is_gone_with_its_keys_and_its_name_makes_a_new_one(client: Client, service: Service) -> None:
    key = client.post("/api/v1/keys", json={"project": client.project, "name": "app", "right": "full"}).json()["key"]
    span = make.span("gone")
    client.store(span)
    where = f"/api/v1/projects/{client.project}"
    refusal(client.delete(where, params={"confirm": "something"}), 400, "confirm")
    answer = client.delete(where, params={"confirm": client.project})
    assert answer.status_code in (200, 202)
    receipt = schemas.Deletion.model_validate(answer.json())
    assert receipt.project == client.project
    wait_until(lambda: client.read(f"/api/v1/deletions/{receipt.id}")["state"] == "done", "it is deleted")
    assert client.get(where).status_code == 404
    assert client.get(f"/api/v1/traces/{span['traceId']}").status_code == 404
    with Client(service.url) as keyed:
        assert keyed.get("/api/v1/traces", headers={"x-api-key": key}).status_code == 401
    client.store(make.span("again"))
    assert [one["name"] for one in client.traces()] == ["again"]
    assert whole(client)["trace_count"] == 1


class TestPages:
    def test_the_list_and_the_forms(self, client: Client, other: Client) -> None:
        client.store(make.span())
        other.store(make.span())
        listed = client.get("/projects").text
        assert f"/projects/{client.project}" in listed
        block = client.get("/projects", headers={"HX-Request": "true"}).text
        assert "<html" not in block
        page = client.get(f"/projects/{client.project}").text
        assert "Merge for good" in page
        renamed = client.post(f"/projects/{client.project}/rename", data={"name": f"x {client.project}"})
        assert renamed.headers["location"].endswith(f"/projects/{client.project}?note=renamed")
        taken = client.post(f"/projects/{client.project}/rename", data={"name": other.project})
        assert taken.status_code == 409
        assert "reaches another project" in unescape(taken.text)
        for form, data in (("merge", {"into": other.project}), ("delete", {"confirm": other.project})):
            refused = client.post(f"/projects/{client.project}/{form}", data=data)
            assert refused.status_code == 400
            assert "Write the project's name" in unescape(refused.text)
        confirmed = {"confirm": f"x {client.project}"}
        assert client.post(f"/projects/{client.project}/merge", data=confirmed).status_code == 400
        done = client.post(f"/projects/{client.project}/merge", data={**confirmed, "into": other.project})
        assert done.status_code == 303
        wait_until(lambda: "is part of" in client.get(done.headers["location"]).text, "the page says that it is done")
        gone = client.post(f"/projects/{other.project}/delete", data={"confirm": other.project})
        wait_until(lambda: "Receipt" in client.get(gone.headers["location"]).text, "the page has the receipt")


def test_only_who_manages_both_merges_and_a_receipt_is_theirs_who_asked(guarded: Guarded) -> None:
    store = guarded.service.store
    root = {"authorization": f"Bearer {guarded.token}"}
    for name in ("mine", "mine too", "theirs"):
        assert guarded.client.ingest(make.request(make.span()), x_stepscope_project=name, **root).status_code == 200
    with store.writing() as connection:
        ada = add_person(connection, "ada@example.com")
        for name, role in (("mine", Role.admin), ("mine too", Role.admin), ("theirs", Role.editor)):
            of = project_by_name(connection, scope=EVERYTHING, name=name).id
            set_role(connection, ada, Place(project_id=of, role=role))
        cookie = {"cookie": f"{COOKIE}={open_session(connection, person_id=ada)}"}
    client = guarded.client
    for into, status in (("theirs", 404), ("nobody", 404)):
        assert client.post("/api/v1/projects/mine/merge", json={"into": into}, headers=cookie).status_code == status
    assert client.patch("/api/v1/projects/theirs", json={"name": "x"}, headers=cookie).status_code == 404
    assert client.get("/projects/theirs", headers=cookie).status_code == 404
    asked = client.post("/api/v1/projects/mine-too/merge", json={"into": "mine"}, headers=cookie)
    assert asked.status_code in (200, 202)
    wait_until(
        lambda: client.get(f"/api/v1/merges/{asked.json()['id']}", headers=cookie).json()["state"] == "done", "merged"
    )
    gone = client.delete("/api/v1/projects/mine", params={"confirm": "mine"}, headers=cookie)
    assert gone.status_code in (200, 202)
    where = f"/api/v1/deletions/{gone.json()['id']}"
    wait_until(lambda: client.get(where, headers=cookie).json()["state"] == "done", "deleted")
    assert client.get(f"/projects?receipt={gone.json()['id']}", headers=cookie).status_code == 200
    with store.writing() as connection:
        bob = add_person(connection, "bob@example.com")
        of = project_by_name(connection, scope=EVERYTHING, name="theirs").id
        set_role(connection, bob, Place(project_id=of, role=Role.admin))
        cookie = {"cookie": f"{COOKIE}={open_session(connection, person_id=bob)}"}
    assert client.get(where, headers=cookie).status_code == 404
    wait_until(
        lambda: (
            {"merged a project", "deleted a project"}
            <= {line["action"] for line in client.get("/api/v1/audit", headers=root).json()["items"]}
        ),
        "the audit log has both",
    )
