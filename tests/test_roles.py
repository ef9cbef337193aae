"""All routes as every kind of caller: who is let in where, and that nobody sees or changes another project's data."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from tests import make
from tests.client import Client, Service, in_process
from tracer.access.keys import KeyRight, Wanted, make_key
from tracer.access.links import make_link
from tracer.access.people import Place, Role, add_person, set_role
from tracer.access.sessions import open_session
from tracer.auth import COOKIE, ROUTES, SHARED_COOKIE, SHARED_ROUTES, Right
from tracer.queries.projects import project_by_name
from tracer.queries.scope import EVERYTHING
from tracer.units import DAY

SECRET = "the secret of a"

MAY: Mapping[str, frozenset[Right]] = {
    "nobody": frozenset({Right.public}),
    "ingest key": frozenset({Right.public, Right.ingest, Right.score}),
    "read key": frozenset({Right.public, Right.read}),
    "full key": frozenset({Right.public, Right.ingest, Right.score, Right.read, Right.write}),
    "viewer": frozenset({Right.public, Right.account, Right.read}),
    "editor": frozenset({Right.public, Right.account, Right.score, Right.read, Right.write}),
    "admin": frozenset({Right.public, Right.account, Right.score, Right.read, Right.write, Right.manage}),
    "server admin": frozenset(Right),
}
"""What each kind of caller may do: written down here once more, so that a change of it is meant."""


BODIES: Mapping[str, Mapping[str, Any]] = {
    "/api/v1/traces/{trace_id}": {"note": "mine"},
    "/api/v1/alerts/{alert_id}": {"view_id": 1, "name": "x", "measure": "count", "threshold": 1, "window_minutes": 1},
    "/api/v1/alerts/{alert_id}/mute": {"until": None},
    "/api/v1/projects/{slug}": {"name": "mine"},
    "/api/v1/projects/{slug}/merge": {"into": "b"},
    "/api/v1/people/{person_id}/role": {"role": "admin", "project": "b"},
}
"""What a route has to be sent to be asked at all; else it is sent nothing."""


@dataclass(frozen=True)
class House:
    """A service with the projects a and b, their callers' headers, and what lies in a."""

    service: Service
    callers: Mapping[str, Mapping[str, str]]
    places: Mapping[str, str]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with in_process(f"sqlite:///{tmp_path_factory.mktemp('roles')}/s.db", host="0.0.0.0") as service:
        callers: dict[str, Mapping[str, str]] = {"nobody": {}}
        for name in ("a", "b"):
            for right in KeyRight:
                secret, _ = make_key(
                    service.store, Wanted("app", right), project=name, scope=EVERYTHING, author="somebody"
                )
                callers[f"{right} key of {name}"] = {"x-api-key": secret}
        with service.store.writing() as connection:
            of = {name: project_by_name(connection, scope=EVERYTHING, name=name).id for name in ("a", "b")}
            for name in ("a", "b"):
                for role in Role:
                    person = add_person(connection, f"{role}@{name}.example")
                    set_role(connection, person, Place(project_id=of[name], role=role))
                    value = open_session(connection, person_id=person)
                    callers[f"{role} of {name}"] = {"cookie": f"{COOKIE}={value}"}
            root = add_person(connection, "root@example.com")
            set_role(connection, root, Place(server=True, role=Role.admin))
            callers["server admin"] = {"cookie": f"{COOKIE}={open_session(connection, person_id=root)}"}
        with Client(service.url, project="a", **callers["full key of a"]) as client:
            places = filled(client)
        with Client(service.url, **callers["server admin"]) as client:
            assert client.ingest(make.request(make.span()), x_stepscope_project="c").status_code == 200
            places["merge_id"] = str(client.post("/api/v1/projects/c/merge", json={"into": "a"}).json()["id"])
        with Client(service.url, **callers["admin of a"]) as client:
            link = {"email": "late@example.com", "project": "a", "role": "viewer"}
            places["invitation_id"] = str(client.post("/api/v1/invitations", json=link).json()["invitation"]["id"])
            people = client.get("/api/v1/people").json()["items"]
            places["person_id"] = str(next(one["id"] for one in people if one["email"] == "viewer@a.example"))
            places["key_id"] = str(client.get("/api/v1/keys").json()["items"][0]["id"])
        token, _ = make_link(
            service.store, project_id=of["a"], trace_id=places["trace_id"], author="somebody", lasts=DAY
        )
        callers["link"] = {"cookie": f"{SHARED_COOKIE}_{places['trace_id']}={token}"}
        yield House(service, callers, places)


def filled(client: Client) -> dict[str, str]:
    """What every place in an address stands for: things of the project a that are there."""
    one = make.model_call(having={"session.id": "session-of-a", "user.id": "user-of-a", "input.value": SECRET})
    gone = make.span("to be deleted")
    client.store(one, gone)
    trace = one["traceId"]
    score = client.post("/api/v1/scores", json={"trace_id": trace, "name": "good", "value": 1, "comment": SECRET})
    share = client.post("/api/v1/shares", json={"trace_id": trace})
    view = client.post("/api/v1/views", json={"project": "a", "name": SECRET, "q": SECRET})
    watched = {"view_id": view.json()["id"], "name": "x", "measure": "count", "threshold": 1e9, "window_minutes": 1}
    # The walks below delete the first of what has a number, and try none out.
    for name in ("first", SECRET):
        hook = "https://hooks.example.com/not-called"
        alert = client.post("/api/v1/alerts", json={**watched, "name": name, "url": hook})
    return {
        "trace_id": trace,
        "span_id": one["spanId"],
        "slug": "a",
        "side": "input",
        "session_id": "session-of-a",
        "user_id": "user-of-a",
        "score_id": score.json()["id"],
        "share_id": str(share.json()["id"]),
        "view_id": str(view.json()["id"]),
        "alert_id": str(alert.json()["id"]),
        "deletion_id": str(client.delete(f"/api/v1/traces/{gone['traceId']}").json()["id"]),
        "gone": gone["traceId"],
        "token": "x",
        "media_id": "x",
        "digest": "x",
        "name": "x",
    }


def address(house: House, path: str) -> str:
    """A path with its places filled; a place that nobody said anything about is a KeyError."""
    return re.sub(r"{([^}]+)}", lambda place: house.places[place[1].partition(":")[0]], path)


def asking(house: House) -> str:
    """What routes want to be told beside their address."""
    trace, span = house.places["trace_id"], house.places["span_id"]
    return f"?q=secret&a={trace}&b={trace}&pairs={span}.{span}&one={span}&other={span}&turns={span}b"


def asked(house: House, caller: str, method: str, path: str, **more: Any) -> tuple[int, str, str]:
    """Status, text and location of an answer; of a stream only the status."""
    with Client(house.service.url, **house.callers[caller]) as client, client.stream(method, path, **more) as answer:
        streaming = answer.headers.get("content-type", "").startswith("text/event-stream")
        return answer.status_code, "" if streaming else answer.read().decode(), answer.headers.get("location", "")


def refused(house: House, caller: str, method: str, path: str) -> bool:
    status, _, location = asked(house, caller, method, path)
    return status in (401, 403) or "/sign-in" in location


@pytest.mark.parametrize("kind", list(MAY))
def test_R64_every_route_lets_in_whom_its_right_names_and_nobody_else(house: House, kind: str) -> None:
    caller = kind if kind in house.callers else f"{kind} of b"
    for (method, path), right in ROUTES.items():
        if right is Right.public or (method, path) == ("DELETE", "/api/v1/traces"):
            continue
        there = re.sub(r"{([^}]+)}", "1", re.sub(r"{trace_id}", "ab" * 16, path))
        assert refused(house, caller, method, there) == (right not in MAY[kind]), f"{method} {path}"


def test_R64_who_has_a_link_is_let_in_to_its_trace_alone(house: House) -> None:
    for (method, path), right in ROUTES.items():
        if right is not Right.public:
            meant = method == "GET" and path in SHARED_ROUTES
            there = address(house, path) + (f"?trace={house.places['trace_id']}" if path.endswith("live") else "")
            assert refused(house, "link", method, there) != meant, f"{method} {path}"


@pytest.mark.parametrize("caller", ["full key of b", "read key of b", "admin of b"])
def test_R63_no_route_shows_or_changes_another_projects_data(house: House, caller: str) -> None:
    owner = "server admin"
    before = asked(house, owner, "GET", f"/api/v1/traces/{house.places['trace_id']}")
    held = MAY["admin" if caller == "admin of b" else caller.removesuffix(" of b")]
    named = (
        "trace_id",
        "slug",
        "score_id",
        "share_id",
        "view_id",
        "alert_id",
        "deletion_id",
        "merge_id",
        "key_id",
        "person_id",
        "invitation_id",
        "session_id",
        "user_id",
    )
    for (method, path), right in ROUTES.items():
        if right is Right.public or right not in held or right is Right.ingest:
            continue
        there = address(house, path)
        body = {"json": BODIES[path]} if path in BODIES and method in ("PATCH", "PUT", "POST") else {}
        for query in (asking(house), f"{asking(house)}&project=a"):
            status, text, _ = asked(house, caller, method, there + query, **body)
            assert status < 500
            assert SECRET not in text, f"{method} {path}"
            assert house.places["trace_id"] not in text or status in (400, 404), f"{method} {path}"
            if any("{" + place in path for place in named):
                # A project's own address leads to its traces, whether it is there or not.
                assert status == (302 if path == "/p/{slug}" else 404), f"{method} {path}{query}: {status}"
    assert "deleted" not in asked(house, caller, "GET", f"/api/v1/traces/{house.places['gone']}")[1]
    assert asked(house, owner, "GET", f"/api/v1/traces/{house.places['trace_id']}") == before
    assert asked(house, owner, "GET", f"/api/v1/deletions/{house.places['deletion_id']}")[0] == 200
    keys = asked(house, owner, "GET", "/api/v1/keys?project=a")[1]
    assert f'"id":{house.places["key_id"]},' in keys


def test_what_the_walk_asks_for_is_there_for_its_owner(house: House) -> None:
    """Else the walk above would find nothing even where the doors stood open."""
    for (method, path), right in ROUTES.items():
        places = set(re.findall(r"{(\w+)", path)) - {"token", "media_id", "digest", "name"}
        if method == "GET" and places and right in MAY["admin"]:
            status, text, _ = asked(house, "admin of a", method, address(house, path) + asking(house))
            assert status in (200, 302, 303), f"{path}: {status} {text[:300]}"
