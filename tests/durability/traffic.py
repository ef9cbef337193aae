"""Load whose outcome is known: traces that several senders deliver in parts, in any order, some of them twice.

A sender repeats a batch until it is answered with 200, and never sends it again after that unless a repetition is
what is tested. So when all senders are done, the database must hold exactly what `Traffic.facts` says: less means that
something acknowledged was lost, more that something was stored twice.
"""

from __future__ import annotations

import http.client
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from random import Random
from urllib.parse import urlsplit

from tests import make
from tests.counts import counted
from tests.ingest.reference import Sent
from tests.make import Message, Value

PROJECT = "durable"
SPANS_PER_TRACE = 12
RETRY = (429, 503)
LONGEST_PAUSE_S = 0.3
"""Senders wait as long as they are told, but not longer than this: the test is to press."""


def trace_id(number: int) -> str:
    """A trace's id as hex digits; spread, as ids are."""
    return f"{number * 0x9E3779B97F4A7C15 % 2**64:016x}{number:016x}"


def span_id(number: int) -> str:
    """A span's id as hex digits."""
    return f"{number:016x}"


def message(fact: Sent) -> Message:
    """One version of a span as OTLP/JSON."""
    having: dict[str, Value] = {"openinference.span.kind": fact.kind.upper()}
    if fact.text is not None:
        having |= {"input.value": fact.text, "input.mime_type": "text/plain"}
    if fact.tokens is not None:
        having |= {"llm.token_count.prompt": fact.tokens[0], "llm.token_count.completion": fact.tokens[1]}
    if fact.session is not None:
        having["session.id"] = fact.session
    if fact.seq is not None:
        having["stepscope.seq"] = fact.seq
    return make.span(
        fact.name,
        trace=trace_id(fact.trace),
        id=span_id(fact.span),
        parent=None if fact.parent is None else span_id(fact.parent),
        start=fact.start,
        end=0 if fact.running else fact.end or 0,
        status=2 if fact.error else 1,
        having=having,
    )


class Traffic:
    """Makes traces, and keeps what was made."""

    def __init__(self, seed: int, *, senders: int) -> None:
        self._random = Random(seed)
        self._waiting: list[deque[list[Sent]]] = [deque() for _ in range(senders)]
        self._lock = threading.Lock()
        self._traces = 0
        self.facts: list[Sent] = []

    def batch(self, sender: int) -> list[Sent]:
        """What a sender delivers next."""
        with self._lock:
            mine = self._waiting[sender]
            while len(mine) < 2:
                self._make_trace()
            return [*mine.popleft(), *mine.popleft()]

    def rest(self, sender: int) -> list[Sent] | None:
        """What a sender still has to deliver of the traces that were begun; None when that is nothing."""
        with self._lock:
            return self._waiting[sender].popleft() if self._waiting[sender] else None

    def _make_trace(self) -> None:
        chance = self._random
        self._traces += 1
        facts: list[Sent] = []
        for number in range(1, SPANS_PER_TRACE + 1):
            kind = chance.choice(("chain", "llm", "tool", "retriever"))
            done = Sent(
                self._traces,
                number,
                None if number == 1 else chance.randint(1, number - 1),
                f"step {number}",
                make.START + self._traces * make.SECOND + number * 1_000,
                make.START + self._traces * make.SECOND + number * 1_000 + chance.randint(1, 10**9),
                error=chance.random() < 0.1,
                kind=kind,
                tokens=(chance.randint(1, 500), chance.randint(1, 90)) if kind == "llm" else None,
                session=f"session {self._traces % 7}" if number == 1 else None,
                text=f"{self._traces}.{number} " + "what the step was given " * chance.choice((1, 8, 60)),
            )
            if chance.random() < 0.3:
                facts.append(replace(done, seq=1, end=None, error=False, tokens=None))
            facts.append(done)
        self.facts += facts
        # Parts of a trace leave through several senders, whichever comes first.
        chance.shuffle(facts)
        cuts = sorted(chance.sample(range(1, len(facts)), chance.randint(0, 2)))
        for start, end in zip([0, *cuts], [*cuts, len(facts)], strict=True):
            self._waiting[chance.randrange(len(self._waiting))].append(facts[start:end])


class Sender(threading.Thread):
    """One client: sends, repeats until 200, and now and then sends an acknowledged batch once more."""

    def __init__(self, traffic: Traffic, number: int, address: Callable[[], str], *, pause_s: float) -> None:
        super().__init__(daemon=True)
        self._traffic, self._number, self._address, self._pause = traffic, number, address, pause_s
        self._random = Random(number)
        self._finishing, self._cut = threading.Event(), threading.Event()
        self._connection: http.client.HTTPConnection | None = None
        self.acknowledged = 0
        self.refused = 0
        self.unanswered = 0
        self.wrong: list[str] = []
        """Answers that no client should get here."""

    def finish(self) -> None:
        """Deliver what was begun, then end."""
        self._finishing.set()
        self._cut.set()

    def run(self) -> None:
        """Send until `finish`, then what is left."""
        while not self._finishing.is_set():
            self._deliver(self._traffic.batch(self._number))
            self._cut.wait(self._random.uniform(0, 2 * self._pause))
        while (left := self._traffic.rest(self._number)) is not None:
            self._deliver(left)
        self._hang_up()

    def _deliver(self, facts: list[Sent]) -> None:
        body = make.as_protobuf(make.request(*map(message, facts)))
        self._until_taken(body)
        self.acknowledged += len(facts)
        if self._random.random() < 0.1:
            self._until_taken(body)

    def _until_taken(self, body: bytes) -> None:
        while not self.wrong:
            status, again = self._post(body)
            if status == 200:
                return
            if status is None:
                self.unanswered += 1
                self._cut.wait(0.05)
            elif status in RETRY and again is not None:
                self.refused += 1
                threading.Event().wait(min(again, LONGEST_PAUSE_S))
            else:
                self.wrong.append(f"{status}, Retry-After {again}")

    def _post(self, body: bytes) -> tuple[int | None, float | None]:
        """Return (status, Retry-After in seconds); None for a status when no answer came."""
        try:
            if self._connection is None:
                place = urlsplit(self._address())
                self._connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=30)
            headers = {"Content-Type": "application/x-protobuf", "x-stepscope-project": PROJECT}
            self._connection.request("POST", "/v1/traces", body, headers)
            answer = self._connection.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException):
            self._hang_up()
            return None, None
        again = answer.headers.get("Retry-After")
        return answer.status, float(again) if again else None

    def _hang_up(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class Senders:
    """Several senders of one traffic, for the time of a with statement; at its end they have delivered everything.

    `pause_s` lies between two requests of one sender; a bounded run has longer ones, and less to check after.
    """

    def __init__(self, *addresses: Callable[[], str], seed: int, count: int = 4, pause_s: float = 0.02) -> None:
        pause_s *= counted(16, 1)
        self.traffic = Traffic(seed, senders=count)
        self.all = [
            Sender(self.traffic, number, addresses[number % len(addresses)], pause_s=pause_s) for number in range(count)
        ]

    def __enter__(self) -> Senders:
        for one in self.all:
            one.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for one in self.all:
            one.finish()
        if kind is None:
            self.join()

    def join(self, *, seconds: float = 60) -> None:
        """Wait until everything is delivered."""
        for one in self.all:
            one.join(seconds)
            assert not one.wrong, one.wrong
            assert not one.is_alive(), f"a sender did not get rid of its batch within {seconds} s"

    @property
    def acknowledged(self) -> int:
        """Versions of spans that were answered with 200."""
        return sum(one.acknowledged for one in self.all)

    def wait_for(self, acknowledged: int, *, seconds: float = 60) -> None:
        """Wait until so many versions of spans were answered with 200."""
        end = time.monotonic() + seconds
        while self.acknowledged < acknowledged:
            assert time.monotonic() < end, f"nothing was acknowledged within {seconds} s"
            time.sleep(0.01)

    @property
    def refused(self) -> int:
        """Requests that were answered with 429 or 503."""
        return sum(one.refused for one in self.all)

    @property
    def unanswered(self) -> int:
        """Requests without any answer."""
        return sum(one.unanswered for one in self.all)
