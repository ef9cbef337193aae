"""Read-only links: one trace for whoever has the link, nothing else, until it ends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from tests import make
from tests.api.test_traces import error_of
from tests.client import Client, Guarded, in_process, on_one_database
from tracer.access.tokens import ensure_admin_token
from tracer.api import schemas
from tracer.auth import ROUTES, SHARED_ROUTES, Right
from tracer.store.models import share


def stored(guarded: Guarded) -> tuple[str, str, str]:
    """A trace of one step: its id, the step's, and the slug of its project."""
    trace = make.new_trace_id()
    owner = {"x-api-key": guarded.token}
    answer = guarded.client.ingest(make.request(make.span("answer", trace=trace)), **owner)
    assert answer.status_code == 200, answer.text
    found = guarded.client.get(f"/api/v1/traces/{trace}", headers=owner).json()
    slug = next(
        one["slug"]
        for one in guarded.client.get("/api/v1/projects", headers=owner).json()["items"]
        if one["name"] == found["project"]
    )
    return trace, found["spans"][0]["span_id"], slug


def shared(guarded: Guarded, trace: str, **more: Any) -> dict[str, Any]:
    answer = guarded.client.post(
        "/api/v1/shares", json={"trace_id": trace, **more}, headers={"x-api-key": guarded.token}
    )
    assert answer.status_code == 200, answer.text
    return schemas.NewShare.model_validate(answer.json()).model_dump()


def path_of(link: dict[str, Any]) -> str:
    return "/shared/" + link["url"].rpartition("/shared/")[2]


def test_a_link_opens_its_trace_and_nothing_else(guarded: Guarded) -> None:
    trace, span, slug = stored(guarded)
    other, _, _ = stored(guarded)
    page = f"/p/{slug}/traces/{trace}"
    reader = guarded.client
    assert reader.get(page).status_code == 303
    came = reader.get(path_of(shared(guarded, trace)))
    assert (came.status_code, came.headers["location"]) == (303, page)
    assert all(word in came.headers["set-cookie"] for word in ("HttpOnly", "SameSite=lax", f"Path=/p/{slug}"))
    cookies = {"cookie": came.headers["set-cookie"].partition(";")[0]}
    reader.cookies.clear()
    shown = reader.get(page, headers=cookies)
    assert shown.status_code == 200
    assert "Score this step" not in shown.text
    assert f'/p/{slug}/traces"' not in shown.text
    for more in ("/skeleton", "/search?q=answer", f"/steps/{span}", f"/steps/{span}/markdown"):
        assert reader.get(page + more, headers=cookies).status_code == 200, more
    refused = (
        f"/p/{slug}/traces/{other}",
        f"/p/{slug}/traces/{other}/skeleton",
        f"{page}/wiring",
        f"/p/{slug}/compare?a={other}&b={trace}",
        f"/p/{slug}/compare/pair?a={other}&b={trace}&other={span}",
        f"/p/{slug}/traces",
        f"/p/{slug}/live",
        f"/p/{slug}/live?trace={other}",
        f"/api/v1/traces/{trace}",
        "/",
    )
    for path in refused:
        answer = reader.get(path, headers=cookies | {"accept": "text/html"})
        assert answer.status_code in (303, 401), path
    forged = {"cookie": cookies["cookie"].replace(trace, other)}
    assert reader.get(f"/p/{slug}/traces/{other}", headers=forged).status_code == 303
    changed = reader.patch(f"/api/v1/traces/{trace}", json={"note": "x"}, headers=cookies)
    assert changed.status_code == 401


def test_a_link_that_is_taken_back_or_past_its_end_opens_nothing_more(guarded: Guarded) -> None:
    trace, _, slug = stored(guarded)
    owner = {"x-api-key": guarded.token}
    first, second = shared(guarded, trace), shared(guarded, trace, days=1)
    listed = guarded.client.get("/api/v1/shares", params={"trace_id": trace}, headers=owner).json()
    assert [one.id for one in schemas.Shares.model_validate(listed).items] == [second["id"], first["id"]]
    assert "url" not in listed["items"][0]
    came = guarded.client.get(path_of(first))
    cookies = {"cookie": came.headers["set-cookie"].partition(";")[0]}
    guarded.client.cookies.clear()
    assert guarded.client.get(f"/p/{slug}/traces/{trace}", headers=cookies).status_code == 200
    assert guarded.client.delete(f"/api/v1/shares/{first['id']}", headers=owner).status_code == 204
    assert guarded.client.get(f"/p/{slug}/traces/{trace}", headers=cookies).status_code == 303
    assert guarded.client.get(path_of(first)).status_code == 404
    error_of(guarded.client.delete(f"/api/v1/shares/{first['id']}", headers=owner), 404, "not_found", "share_id")
    with guarded.service.store.writing() as connection:
        connection.execute(update(share).where(share.c.id == second["id"]).values(expires_at=1))
    assert guarded.client.get(path_of(second)).status_code == 404


def test_a_deleted_trace_takes_its_links_along(guarded: Guarded) -> None:
    trace, _, _ = stored(guarded)
    link = shared(guarded, trace)
    guarded.client.delete(f"/api/v1/traces/{trace}", headers={"x-api-key": guarded.token})
    assert guarded.client.get(path_of(link)).status_code == 404


@on_one_database
def test_only_pages_that_read_are_open_to_the_reader_of_a_link(client: Client) -> None:
    assert {("GET", path) for path in SHARED_ROUTES} <= {
        route for route, right in ROUTES.items() if right is Right.read
    }
    assert client.get("/shared/nope").status_code == 404


@on_one_database
@pytest.mark.parametrize(("field", "value"), [("days", 0), ("days", 366), ("trace_id", "x"), ("who", "me")])
def test_a_link_that_cannot_be_is_refused_with_the_field_named(client: Client, field: str, value: Any) -> None:
    answer = client.post("/api/v1/shares", json={"trace_id": make.new_trace_id(), field: value})
    error_of(answer, 422, "invalid", field)


def test_s45_a_page_elsewhere_may_show_the_trace_of_a_link_in_a_frame_where_its_origin_is_allowed_to(
    guarded: Guarded, tmp_path: Path
) -> None:
    origin = "https://wiki.example.com"
    with (
        in_process(
            f"sqlite:///{tmp_path}/s.db", host="0.0.0.0", embed_origins=(origin,), trusted_proxies=("127.0.0.1",)
        ) as running,
        Client(running.url) as client,
    ):
        token = ensure_admin_token(running.store)
        assert token is not None
        at = Guarded(running, client, token)
        trace, _, slug = stored(at)
        path = path_of(shared(at, trace))
        plain, secure = client.get(path), client.get(path, headers={"x-forwarded-proto": "https"})
        assert "SameSite=lax" in plain.headers["set-cookie"]
        cookie = secure.headers["set-cookie"]
        assert all(word in cookie for word in ("SameSite=none", "Secure", "HttpOnly", "Partitioned"))
        client.cookies.clear()
        shown = client.get(f"/p/{slug}/traces/{trace}", headers={"cookie": cookie.partition(";")[0]})
        assert f"frame-ancestors 'self' {origin}" in shown.headers["content-security-policy"]
        assert "x-frame-options" not in shown.headers
        # Nobody else's pages: not those of who signed in, and no other page.
        for address in (f"/p/{slug}/traces/{trace}", f"/p/{slug}/traces", "/sign-in"):
            other = client.get(address, headers={"x-api-key": token})
            assert "frame-ancestors 'none'" in other.headers["content-security-policy"], address
            assert other.headers["x-frame-options"] == "DENY"
    trace, _, slug = stored(guarded)
    came = guarded.client.get(path_of(shared(guarded, trace)))
    page = guarded.client.get(f"/p/{slug}/traces/{trace}", headers={"cookie": came.headers["set-cookie"].split(";")[0]})
    assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
