"""An export of any size takes the memory of a small one."""

from __future__ import annotations

import psutil
import pytest

from tests.bench.load import Chain
from tests.bench.server import Measured
from tests.bench.stored import load, on_sqlite
from tests.bench.taking_out import take_out
from tests.client import PROTOBUF, Client, Process, Start
from tests.counts import FULL, counted

MOST_MIB = 200 * 10**6 / 2**20
SPANS_OF_A_TRACE = 12


class Watched(Measured):
    """A running command, as the bench looks at it."""

    def __init__(self, process: Process) -> None:
        self.url = process.url
        self.headers: dict[str, str] = {}
        self._watched = psutil.Process(process.popen.pid)

    @property
    def cpu_seconds(self) -> float:
        return sum(self._watched.cpu_times()[:2])

    @property
    def memory_mib(self) -> float:
        return self._watched.memory_info().rss / 2**20


@pytest.mark.serial
@pytest.mark.soak
def test_any_number_of_spans_leaves_in_constant_memory(start: Start, tmp_path_factory: pytest.TempPathFactory) -> None:
    # Held back, as many spans as these would be over the limit.
    spans, format = counted(18_000, 10_000_000), "otlp" if FULL else "jsonl"
    database = on_sqlite(tmp_path_factory.mktemp("export") / "stored")
    filling = start(*database.arguments, data=database.folder)
    with Client(filling.url) as client:
        for body in Chain(1).bodies(counted(6_000, 24_000)):
            client.ingest(body.data, content_type=PROTOBUF, content_encoding="gzip").raise_for_status()
    assert filling.stop() == 0
    load(database, spans)
    server = Watched(start(*database.arguments, data=database.folder))
    found = take_out(server, format=format)
    assert found.lines > 0.95 * spans / SPANS_OF_A_TRACE, "a line for each trace"
    assert found.peak_mib < MOST_MIB, found
