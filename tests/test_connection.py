"""Slow clients, endless headers, broken framing: R49 to R53, over real sockets."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress

import pytest

from tests import make
from tests.client import JSON, Client, Service, in_process, wait_until
from tests.counts import counted
from tracer import connection
from tracer.api import otlp

pytestmark = pytest.mark.serial

GET = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
BODY = make.as_json(make.request(make.span()))
POST = b"POST /v1/traces HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with in_process(f"sqlite:///{tmp_path_factory.mktemp('connection')}/s.db") as service:
        yield service


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Patience of a second instead of most of a minute."""
    monkeypatch.setattr(connection, "HEAD_WITHIN_S", 0.6)
    monkeypatch.setattr(connection, "REQUEST_WITHIN_S", 1.5)
    monkeypatch.setattr(otlp, "BODY_TIME_S", 1.0)


def connect(service: Service) -> socket.socket:
    host, port = service.url.removeprefix("http://").split(":")
    made = socket.create_connection((host, int(port)), timeout=20)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return made


def exchange(service: Service, *parts: bytes, wait: bool = False) -> bytes:
    """Send bytes, say that no more will come (unless told to wait), and return what comes until the server closes."""
    with closing(connect(service)) as made:
        got = b""
        with suppress(OSError):
            for part in parts:
                made.sendall(part)
            if not wait:
                made.shutdown(socket.SHUT_WR)
        with suppress(ConnectionError):
            while data := made.recv(65_536):
                got += data
        return got


def statuses(answers: bytes) -> list[int]:
    """The status of every answer in what came back."""
    return [int(part[:3]) for part in answers.split(b"HTTP/1.1 ")[1:]]


def cut_off(made: socket.socket, drop: bytes) -> bool:
    """Send a little again and again; True when the server ends it within some seconds."""
    end = time.monotonic() + 15
    try:
        while time.monotonic() < end:
            made.sendall(drop)
            time.sleep(0.02)
    except ConnectionError:
        return True
    return False


def test_the_limits_are_what_robustness_asks_for() -> None:
    assert connection.HEAD_WITHIN_S <= 45
    assert otlp.BODY_TIME_S < connection.REQUEST_WITHIN_S <= 45
    assert connection.HEAD_LIMIT <= 2**20


@pytest.mark.usefixtures("quick")
class TestSlow:
    @pytest.mark.parametrize("start", [b"", b"G", b"GET / HTTP/1.1\r\nHost: localhost\r\nX-A"])
    def test_R49_a_head_that_never_ends_is_cut(self, running: Service, start: bytes) -> None:
        assert statuses(exchange(running, start, wait=True)) in ([408], [])

    def test_R49_a_head_that_dribbles_is_cut(self, running: Service) -> None:
        with closing(connect(running)) as made:
            made.sendall(b"GET / HTTP/1.1\r\n")
            assert cut_off(made, b"X-A: y\r\n")

    def test_R49_a_body_that_never_ends_is_answered_and_cut(self, running: Service) -> None:
        with closing(connect(running)) as made:
            made.sendall(POST + b"Content-Length: 1000\r\n\r\n{")
            got = b""
            while data := made.recv(65_536):
                got += data
        assert statuses(got) == [408]
        assert b"connection: close" in got.lower()

    def test_R49_a_body_nobody_waits_for_is_cut_too(self, running: Service) -> None:
        """An answer was given before the body came: the connection does not stay for the body's sake."""
        with closing(connect(running)) as made:
            made.sendall(b"POST /nothing HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n")
            assert statuses(made.recv(65_536)) == [404]
            assert cut_off(made, b"x")

    def test_R49_a_client_that_takes_no_answer_is_let_go(
        self, running: Service, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with Client(running.url) as client:
            one = make.span(having={"input.value": "x" * 8_000_000})
            client.store(one)
        monkeypatch.setattr(connection, "STALLED_S", 0.3)
        with closing(socket.socket()) as made:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            host, port = running.url.removeprefix("http://").split(":")
            made.connect((host, int(port)))
            made.sendall(f"GET /api/v1/traces/{one['traceId']} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            made.settimeout(20)
            time.sleep(1)
            got = 0
            with suppress(ConnectionError):
                while data := made.recv(65_536):
                    got += len(data)
            assert got < 8_000_000

    def test_R49_with_many_slow_clients_the_others_are_served(self, running: Service) -> None:
        slow = [connect(running) for _ in range(counted(60, 300))]
        try:
            for number, made in enumerate(slow):
                made.sendall(b"GET / HTTP/1.1\r\n" if number % 2 else POST + b"Content-Length: 1000\r\n\r\n{")
            with Client(running.url) as client:
                for _ in range(5):
                    start = time.monotonic()
                    client.store(make.span())
                    assert client.get("/healthz").status_code == 200
                    assert time.monotonic() - start < 2
            for made in slow:
                made.settimeout(20)
                with suppress(ConnectionError):
                    while made.recv(65_536):
                        pass
        finally:
            for made in slow:
                made.close()

    def test_an_idle_connection_between_requests_is_kept(self, running: Service) -> None:
        with closing(connect(running)) as made:
            for _ in range(2):
                made.sendall(GET)
                assert statuses(made.recv(65_536)) == [200]
                time.sleep(connection.REQUEST_WITHIN_S * 1.2)


def test_R50_a_thousand_connections_at_once_are_answered(running: Service) -> None:
    many = counted(300, 1000)
    answers: list[int] = []
    sockets = [connect(running) for _ in range(many)]
    try:
        start = time.monotonic()
        for made in sockets:
            made.sendall(GET)
        for made in sockets:
            made.settimeout(30)
            answers += statuses(made.recv(65_536))
        assert time.monotonic() - start < 30
    finally:
        for made in sockets:
            made.close()
    assert len(answers) == many
    assert set(answers) <= {200, 429, 503}


class TestFraming:
    def test_R51_a_body_cut_short_stores_nothing(self, running: Service) -> None:
        one = make.span()
        body = make.as_json(make.request(one))
        for sent in (body[:50], body[:-1], b""):
            head = POST + b"Content-Length: %d\r\n\r\n" % len(body)
            assert 200 not in statuses(exchange(running, head, sent))
        with Client(running.url) as client:
            assert client.get(f"/api/v1/traces/{one['traceId']}").status_code == 404

    def test_R51_a_chunked_body_is_taken_and_a_broken_one_is_not(self, running: Service) -> None:
        head = POST + b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
        whole = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)
        assert statuses(exchange(running, head, whole, wait=True)) == [200]
        for broken in (b"zz\r\nabc\r\n0\r\n\r\n", b"-5\r\nabc", whole[:-6], b"ffffffffffffffffff\r\nx"):
            assert 200 not in statuses(exchange(running, head, broken))

    @pytest.mark.parametrize(
        "length", [b"-1", b"+5", b"1e3", b"0x10", b"1 1", b"99999999999999999999999", b"five", b""]
    )
    def test_R51_a_length_that_is_none_is_refused(self, running: Service, length: bytes) -> None:
        found = statuses(exchange(running, POST + b"Content-Length: " + length + b"\r\n\r\n" + BODY))
        assert found in ([400], [413], [])

    @pytest.mark.parametrize(
        "headers",
        [
            b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
            b"Content-Length: 5\r\nContent-Length: 6\r\n",
            b"Transfer-Encoding: chunked, identity\r\n",
            b"Transfer-Encoding: xchunked\r\nContent-Length: 5\r\n",
            b"Content-Length: 5, 6\r\n",
            b"Content-Length : 5\r\n",
        ],
    )
    def test_R52_conflicting_framing_never_makes_a_second_answer(self, running: Service, headers: bytes) -> None:
        smuggled = b"0\r\n\r\nGET /api/v1/projects HTTP/1.1\r\nHost: localhost\r\n\r\n"
        found = statuses(exchange(running, POST + headers + b"\r\n" + smuggled))
        assert len(found) <= 1
        assert 200 not in found

    @pytest.mark.parametrize(
        "head",
        [
            b"GET /" + b"a" * 2_000_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
            b"GET /?q=" + b"a" * 2_000_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 2_000_000 + b"\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X-A: b\r\n" * 250_000 + b"\r\n",
            b"GET / HTTP/1.1\r\n" + b"a" * 2_000_000,
            b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 100_000 + b"\r\n\r\n",
        ],
        ids=["path", "query", "header", "headers", "no end", "a little too long"],
    )
    def test_R53_an_endless_head_is_refused(self, running: Service, head: bytes) -> None:
        assert statuses(exchange(running, head)) in ([400], [414], [431], [])

    def test_R53_a_head_of_a_usual_length_is_taken(self, running: Service) -> None:
        head = b"GET /healthz?x=" + b"a" * 8_000 + b" HTTP/1.1\r\nHost: localhost\r\nCookie: " + b"a" * 40_000
        assert statuses(exchange(running, head + b"\r\nConnection: close\r\n\r\n")) == [200]

    @pytest.mark.parametrize(
        "garbage",
        [
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
            b"\0" * 1000,
            b"GET\r\n\r\n",
            b"GET / HTTP/9.9\r\n\r\n",
            b"GET /\xff\xfe HTTP/1.1\r\nHost: localhost\r\n\r\n",
            b"GET http://[::1 HTTP/1.1\r\nHost: localhost\r\n\r\n",
            b"G\xc3\xa9T / HTTP/1.1\r\n\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n",
            b"GET / HTTP/1.1\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: localhost\r\nX\0Y: 1\r\n\r\n",
            b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n",
            b"CONNECT evil.example:443 HTTP/1.1\r\nHost: localhost\r\n\r\n",
            b"GET http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\n\r\n",
        ],
    )
    def test_R54_what_is_no_request_is_refused_and_never_a_fault_of_ours(
        self, running: Service, garbage: bytes
    ) -> None:
        for found in statuses(exchange(running, garbage)):
            assert 400 <= found < 500

    @pytest.mark.parametrize("version", [b"1.0", b"1.1"])
    def test_an_upgrade_that_is_not_offered_is_a_plain_request(self, running: Service, version: bytes) -> None:
        head = b"GET /healthz HTTP/" + version + b"\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: "
        for wanted in (b"websocket", b"h2c", b"x" * 2000):
            assert statuses(exchange(running, head + wanted + b"\r\n\r\n"))[:1] in ([200], [400], [])

    def test_requests_sent_together_are_answered_in_order(self, running: Service) -> None:
        other = b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        got = exchange(running, GET + POST + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY + other, wait=True)
        assert statuses(got) == [200, 200, 200]

    def test_R54_afterwards_the_server_is_well(self, running: Service) -> None:
        with Client(running.url) as client:
            assert client.read("/readyz") == {"status": "ok"}
            assert client.post("/v1/traces", content=BODY, headers={"content-type": JSON}).status_code == 200
        wait_until(lambda: running.app.state.ingest.budget._held == 0, "nothing of the broken requests is held")


def test_the_budget_is_given_back_by_clients_that_leave(running: Service) -> None:
    budget = running.app.state.ingest.budget
    held = threading.Event()
    with closing(connect(running)) as made:
        made.sendall(POST + b"Content-Length: 100000\r\n\r\n" + b"x" * 50_000)
        wait_until(lambda: budget._held == 50_000, "the part that came is held")
        held.set()
    wait_until(lambda: budget._held == 0, "it is let go")
    assert held.is_set()
