"""What every request and answer goes through: hosts, origins, security headers, request ids."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from tests import make
from tests.client import JSON, Client, Guarded, Service, in_process, on_one_database
from tracer.auth import ROUTES
from tracer.guard import HEADERS, host_name


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("localhost", "localhost"),
        ("LocalHost:4747", "localhost"),
        ("localhost.", "localhost"),
        ("127.0.0.1:80", "127.0.0.1"),
        ("[::1]:4747", "::1"),
        ("example.com:x", "example.com"),
        ("", None),
        (":80", None),
        ("[::1", None),
        ("a b", None),
        ("a/b", "a"),
        ("user@localhost", "localhost"),
        ("a\\b", None),
    ],
)
def test_a_host_is_read(host: str, name: str | None) -> None:
    assert host_name(host) in (name, None)
    if name is None:
        assert host_name(host) is None


@on_one_database
class TestHost:
    @pytest.mark.parametrize(
        "host", ["localhost", "localhost:4747", "LOCALHOST", "127.0.0.1", "127.0.0.1:99", "[::1]", "127.9.9.9"]
    )
    def test_R59_loopback_names_are_ours(self, client: Client, host: str) -> None:
        assert client.get("/healthz", headers={"host": host}).status_code == 200

    @pytest.mark.parametrize(
        "host",
        [
            *("evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "evil.example:4747", "0.0.0.0"),
            *("192.168.1.7", "10.0.0.1:4747", "[::]", "[fe80::1]", "x" * 5000, "127.1", "2130706433", "localhost@evil"),
        ],
    )
    @pytest.mark.parametrize("path", ["/", "/api/v1/projects", "/v1/traces", "/healthz", "/static/x/app.css"])
    def test_R59_a_rebound_name_is_refused(self, client: Client, host: str, path: str) -> None:
        answer = client.get(path, headers={"host": host})
        assert answer.status_code == 421
        assert answer.headers["x-request-id"]
        assert len(answer.content) < 5_000

    def test_R59_other_origins_are_told_nothing(self, client: Client) -> None:
        for method in ("GET", "OPTIONS"):
            answer = client.request(
                method,
                "/api/v1/projects",
                headers={"origin": "https://evil.example", "access-control-request-method": "GET"},
            )
            assert not [name for name in answer.headers if name.startswith("access-control")]


def test_R59_configured_names_are_ours_and_forwarded_ones_are_not(tmp_path: Path) -> None:
    with (
        in_process(f"sqlite:///{tmp_path}/s.db", allowed_hosts=("Traces.example",)) as running,
        Client(running.url) as client,
    ):
        assert client.get("/healthz", headers={"host": "traces.EXAMPLE:443"}).status_code == 200
        assert client.get("/healthz", headers={"host": "other.example"}).status_code == 421
        forwarded = {
            "host": "other.example",
            "x-forwarded-host": "traces.example",
            "forwarded": "host=traces.example",
        }
        assert client.get("/healthz", headers=forwarded).status_code == 421


def test_R59_beyond_loopback_any_address_is_ours_but_no_name(guarded: Guarded) -> None:
    for host, status in (("192.168.1.7:4747", 200), ("[fe80::1]", 200), ("evil.example", 421)):
        assert guarded.client.get("/healthz", headers={"host": host}).status_code == status


@on_one_database
class TestOrigin:
    CROSS = (
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": ""},
        {"origin": "http://127.0.0.1:1"},
        {"origin": "http://localhost"},
        {"origin": "file://"},
        {"origin": "http://[::1"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "CROSS-SITE"},
        {"sec-fetch-site": "future-word"},
    )

    @pytest.mark.parametrize("headers", CROSS)
    @pytest.mark.parametrize(
        "kind", [JSON, "text/plain", "application/x-www-form-urlencoded", "application/x-protobuf"]
    )
    def test_R58_a_web_page_cannot_post_spans_to_an_open_server(
        self, client: Client, headers: dict[str, str], kind: str
    ) -> None:
        one = make.span()
        answer = client.post(
            "/v1/traces", content=make.as_json(make.request(one)), headers={"content-type": kind, **headers}
        )
        assert answer.status_code == 403
        assert client.get(f"/api/v1/traces/{one['traceId']}").status_code == 404

    def test_R58_every_route_that_changes_something_is_held_to_it(self, client: Client) -> None:
        for method, path in ROUTES:
            if method != "GET":
                answer = client.request(method, path, headers={"origin": "https://evil.example"})
                assert answer.status_code == 403, path

    def test_R58_the_servers_own_pages_and_programs_may_post(self, client: Client) -> None:
        own = str(client.base_url).rstrip("/")
        ours: list[dict[str, str]] = [
            {},
            {"origin": own},
            {"origin": own, "sec-fetch-site": "same-origin"},
            {"sec-fetch-site": "none"},
        ]
        for headers in ours:
            answer = client.post("/v1/traces", content=b"{}", headers={"content-type": JSON, **headers})
            assert answer.status_code == 200

    def test_reading_across_sites_is_left_to_the_browser(self, client: Client) -> None:
        assert client.get("/healthz", headers={"origin": "https://evil.example"}).status_code == 200


@on_one_database
class TestAnswers:
    @pytest.mark.parametrize(
        "path", ["/healthz", "/api/v1/projects", "/", "/nothing", "/api/v1/nothing", "/static/none/none.js", "/sign-in"]
    )
    def test_R56_every_answer_carries_the_security_headers_and_an_id(self, client: Client, path: str) -> None:
        answers = [client.get(path), client.post(path), client.get(path, headers={"host": "evil.example"})]
        for answer in answers:
            for name in HEADERS:
                assert answer.headers[name], name
            assert "unsafe" not in answer.headers["content-security-policy"]
            assert "server" not in answer.headers
        assert len({answer.headers["x-request-id"] for answer in answers}) == 3

    def test_R54_an_error_of_ours_says_where_the_log_has_it_and_nothing_else(
        self, service: Service, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        from tracer.api import traces

        def broken(*_: object, **__: object) -> None:
            raise RuntimeError("SELECT secret FROM /srv/path")

        monkeypatch.setattr(traces, "newest_traces", broken)
        with Client(service.url) as client:
            answer = client.get("/api/v1/traces")
        assert answer.status_code == 500
        assert answer.json()["error"]["code"] == "internal"
        assert answer.headers["x-request-id"] in answer.json()["error"]["message"]
        assert "secret" not in answer.text
        for name in HEADERS:
            assert answer.headers[name]
        assert f"request {answer.headers['x-request-id']} failed" in caplog.text

    def test_R54_refusals_are_for_whoever_asked(self, client: Client) -> None:
        assert client.get("/api/v1/nothing").json()["error"]["code"] == "not_found"
        assert set(client.get("/v1/nothing").json()) == {"code", "message"}
        page = client.get("/nothing")
        assert page.headers["content-type"].startswith("text/html")
        assert "There is nothing at this address." in page.text

    @pytest.mark.parametrize("path", ["/api/v1/projects", "/healthz", "/"])
    @pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "TRACE", "PURGE"])
    def test_R22_a_method_that_is_not_taken_is_405(self, client: Client, path: str, method: str) -> None:
        answer = client.request(method, path)
        assert (answer.status_code, answer.headers["allow"]) == (405, "GET")

    def test_R61_nothing_is_read_from_outside_the_static_files(self, service: Service) -> None:
        with httpx.Client(base_url=service.url, trust_env=False, verify=False) as raw:
            for path in (
                *(
                    "../../../etc/passwd",
                    "..%2f..%2f..%2fetc%2fpasswd",
                    "%2e%2e/%2e%2e/tracer/auth.py",
                    "....//auth.py",
                ),
                *("/etc/passwd", "%2fetc%2fpasswd", "..\\..\\x", "%00", "app.css%00.js", "C:\\x", "." * 3000),
            ):
                for digest in ("0", "..", "%2e%2e"):
                    answer = raw.get(f"/static/{digest}/{path}")
                    assert answer.status_code in (400, 404, 405, 414), path
                    assert "root:" not in answer.text


def test_a_path_under_a_proxy_is_served_with_and_without_its_prefix(tmp_path: Path) -> None:
    with in_process(f"sqlite:///{tmp_path}/s.db", base_path="/stepscope") as running, Client(running.url) as client:
        for prefix in ("", "/stepscope"):
            assert client.get(f"{prefix}/healthz").status_code == 200
            answer = client.post(f"{prefix}/v1/traces", content=b"[]", headers={"content-type": JSON})
            assert (answer.status_code, set(answer.json())) == (400, {"code", "message"})
            assert client.get(f"{prefix}/api/v1/nothing").json()["error"]["code"] == "not_found"
