"""R24 and R28: however much comes at once, memory stays bounded, refusals may be sent again, and nothing is lost."""

from __future__ import annotations

import gzip
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psutil
import pytest

from tests import make
from tests.client import Client, wait_until
from tests.counts import counted
from tests.databases import NewDatabase
from tests.durability.conftest import NewService, Service

pytestmark = pytest.mark.serial

MEBIBYTE = 2**20
CLIENTS, SPANS = 24, 500


class Memory(threading.Thread):
    """Resident memory of a service, its highest since the start."""

    def __init__(self, service: Service) -> None:
        super().__init__(daemon=True)
        self._process = psutil.Process(service.process.popen.pid)
        self._over = threading.Event()
        self.before = self.highest = self._process.memory_info().rss

    def run(self) -> None:
        while not self._over.wait(0.02):
            self.highest = max(self.highest, self._process.memory_info().rss)

    @property
    def growth(self) -> int:
        return self.highest - self.before


@contextmanager
def watched(service: Service) -> Iterator[Memory]:
    memory = Memory(service)
    memory.start()
    yield memory
    memory._over.set()
    memory.join()


def all_at_once(count: int, work: Callable[[int], None]) -> None:
    problems: list[BaseException] = []

    def one(number: int) -> None:
        try:
            work(number)
        except BaseException as problem:  # noqa: BLE001
            problems.append(problem)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems, problems[:3]


def test_r28_overload_is_refused_in_time_and_what_was_acknowledged_is_readable(
    database_url: str, new_service: NewService
) -> None:
    memory = 64 * MEBIBYTE
    service = new_service(database_url, "--ingest-memory", str(memory))
    service.ready()
    until = time.monotonic() + counted(3, 15)
    stored: dict[str, int] = {}
    answers: Counter[int] = Counter()

    def press(number: int) -> None:
        with Client(service.url, project="pressed") as client:
            while time.monotonic() < until:
                trace = make.new_trace_id()
                spans = [make.span(trace=trace, having={"input.value": f"{number} " * 1_000}) for _ in range(SPANS)]
                answer = client.ingest(make.request(*spans), json=number % 2 == 0)
                answers[answer.status_code] += 1
                if answer.status_code == 200:
                    stored[trace] = SPANS
                else:
                    assert int(answer.headers["retry-after"]) > 0

    with Client(service.url, project="pressed") as client:
        client.store(make.model_call())  # what is read once is read
        with watched(service) as used:
            all_at_once(CLIENTS, press)
        assert set(answers) <= {200, 429, 503}, answers
        assert answers[200]
        assert used.growth < memory + 128 * MEBIBYTE
        wait_until(lambda: client.ingest(make.request(make.model_call())).status_code == 200, "taken again", seconds=10)
        told = {one["trace_id"]: one["span_count"] for one in client.traces(limit=1_000) if one["span_count"] > 1}
        assert told.items() >= stored.items()


def nested(body: bytes, *numbers: int) -> bytes:
    for number in reversed(numbers):
        body = make.field(number, body)
    return body


IDS = make.field(1, b"\1" * 16) + make.field(2, b"\2" * 8)
SIZE = 63 * MEBIBYTE
BOMBS: dict[str, tuple[Callable[[], bytes], bool]] = {
    "empty spans": (lambda: nested(b"\x12\0" * (SIZE // 2), 1, 2), False),
    "empty events": (lambda: nested(IDS + b"\x5a\0" * (SIZE // 2), 1, 2, 2), False),
    "empty attributes": (lambda: nested(IDS + b"\x4a\0" * (SIZE // 2), 1, 2, 2), False),
    "empty resources": (lambda: b"\x0a\0" * (SIZE // 2), False),
    "empty objects": (lambda: b'{"resourceSpans":[' + b"{}," * (SIZE // 3) + b"{}]}", True),
    "one attribute": (lambda: nested(IDS + nested(b"k" * counted(128, 512) * MEBIBYTE, 9, 2, 1), 1, 2, 2), False),
    "zeros": (lambda: bytes(counted(160, 1024) * MEBIBYTE), False),
}


def test_r24_bombs_are_refused_and_cost_bounded_memory_while_others_are_served(
    new_database: NewDatabase, new_service: NewService
) -> None:
    service = new_service(new_database("sqlite"))
    service.ready()
    with Client(service.url) as client:
        client.store(make.model_call())
        for name, (bomb, json) in BOMBS.items():
            packed = gzip.compress(bomb(), 1)

            def send(number: int, packed: bytes = packed, json: bool = json, name: str = name) -> None:
                with Client(service.url) as one:
                    if number == 0:
                        one.store(make.span("meanwhile"))
                    else:
                        answer = one.ingest(packed, json=json, content_encoding="gzip")
                        assert answer.status_code in (413, 400, 429), (name, answer.text)

            with watched(service) as used:
                all_at_once(counted(3, 8), send)
            assert used.growth < 2.5 * 64 * MEBIBYTE + 128 * MEBIBYTE, f"{name}: {used.growth / MEBIBYTE:.0f} MiB"
