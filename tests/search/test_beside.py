"""Indexing in a process beside the service: the same index, and nothing hangs on that process."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from tests.client import wait_until
from tests.search.stored import Said, Shelf, opened
from tracer.errors import Unavailable
from tracer.search.beside import Beside, Gone
from tracer.search.slices import Slice
from tracer.search.tree import Says
from tracer.search.work import Line
from tracer.search.worker import BESIDE_LOAD, LOAD_OVER_S, Indexer, Load


@dataclass
class Bench:
    shelf: Shelf
    indexer: Indexer

    @property
    def beside(self) -> Beside:
        found = self.indexer._beside
        assert found is not None, "no process beside"
        return found


@pytest.fixture
def at(database_url: str) -> Iterator[Bench]:
    """A store whose index is made beside from the first slice on."""
    with opened(database_url) as store:
        made = Bench(Shelf(store), Indexer(store, on=True, busy=lambda: False, beside_after=0))
        made.shelf.indexer = made.indexer
        yield made
        made.indexer.stop()


def found(at: Bench, word: str) -> list[int]:
    return at.shelf.traces([Says(word)])


def test_the_index_made_beside_is_whole_and_the_process_may_die_at_any_moment(at: Bench) -> None:
    at.shelf.put(Said(1, 1, input="precious first"))
    at.shelf.put(Said(2, 1, input="precious second"))
    at.shelf.index()
    first = at.beside
    assert (sorted(found(at, "precious")), at.shelf.differences()) == ([1, 2], [])

    # What it knows of a trace it goes on with: a repeated text is indexed once.
    at.shelf.put(Said(1, 2, input="precious first"), Said(1, 3, input="third"))
    at.shelf.index()
    assert at.beside is first
    assert (found(at, "third"), at.shelf.differences()) == ([1], [])

    at.shelf.put(Said(3, 1, input="late"))
    first.process.kill()
    first.process.wait()
    with pytest.raises(Gone):
        at.indexer.step()
    at.indexer._end_beside()
    at.shelf.index()
    assert at.beside is not first
    assert (found(at, "late"), at.shelf.differences()) == ([3], [])

    at.indexer.stop()
    assert at.indexer._beside is None
    assert first.process.returncode == -signal.SIGKILL


def test_the_service_goes_on_by_itself_when_the_process_ends(at: Bench, caplog: pytest.LogCaptureFixture) -> None:
    at.shelf.put(Said(1, 1, input="one"))
    at.indexer.start()
    wait_until(lambda: found(at, "one") == [1], "it is indexed beside")
    at.beside.process.kill()
    at.shelf.put(Said(2, 1, input="two"))
    at.indexer.wake()
    wait_until(lambda: found(at, "two") == [2], "it is indexed here")
    assert "gone" in caplog.text
    assert at.indexer._beside is None
    assert at.shelf.differences() == []


def test_it_is_done_beside_once_it_takes_much_of_a_core_for_long_enough() -> None:
    load = Load(100, 7)
    moment, used = 100 + LOAD_OVER_S, 7 + 1.1 * BESIDE_LOAD * LOAD_OVER_S
    assert not load.is_high(moment - 0.1, used)  # a single slice
    assert load.is_high(moment, used)
    assert not load.is_high(moment + 60, used + 1.1 * BESIDE_LOAD * LOAD_OVER_S)  # as much in a minute


def test_what_works_much_goes_beside_though_it_is_not_behind(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tracer.search.worker.LOAD_OVER_S", 1e-9)
    monkeypatch.setattr("tracer.search.worker.BESIDE_LOAD", 0.0)
    with opened(database_url) as store:
        indexer = Indexer(store, on=True, busy=lambda: True, beside_after=3600)
        at = Bench(Shelf(store), indexer)
        at.shelf.indexer = indexer
        for number in (1, 2):
            at.shelf.put(Said(number, 1, input="steady"))
            at.shelf.index()
        assert at.beside.process.poll() is None
        assert (sorted(found(at, "steady")), at.shelf.differences()) == ([1, 2], [])
        indexer.stop()


def test_a_database_that_is_away_is_told_as_here() -> None:
    beside = Beside(make_url("postgresql+psycopg://nobody@127.0.0.1:1/none"), waiting=lambda: None)
    with pytest.raises(Unavailable):
        beside.make([Line(1, 1, [(1, bytes(8))])])
    beside.forget()
    beside.keep(Slice([], []))
    beside.close()
    assert beside.process.returncode is not None


SERVICE = """
import sys, time
from sqlalchemy.engine import make_url
from tracer.search.beside import Beside
print(Beside(make_url("sqlite://"), waiting=lambda: None).process.pid, flush=True)
time.sleep(60)
"""


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes where Linux shows them")
def test_it_ends_when_the_service_is_killed() -> None:
    service = subprocess.Popen([sys.executable, "-c", SERVICE], stdout=subprocess.PIPE, text=True)
    assert service.stdout is not None
    pid = int(service.stdout.readline())
    service.kill()
    service.communicate()

    state = Path(f"/proc/{pid}/stat")

    def ended() -> bool:
        try:
            return state.read_text().rpartition(")")[2].split()[0] == "Z"
        except FileNotFoundError:
            return True

    wait_until(ended, "the process beside has ended")
