"""kill -9 in mid-load, again and again: nothing acknowledged is lost, nothing is stored twice, every sum is right."""

from __future__ import annotations

import subprocess
import sys
import time
from random import Random
from typing import Any

import pytest

from tests.client import ROOT, Client, clean_environment
from tests.counts import counted
from tests.durability.conftest import NewService
from tests.durability.readback import hold_against
from tests.durability.traffic import Senders

pytestmark = pytest.mark.servers

KILLS = counted(2, 50)


def test_r01_what_was_acknowledged_is_there_once_after_every_kill(database_url: str, new_service: NewService) -> None:
    service = new_service(database_url)
    service.ready()
    chance = Random(1)
    acknowledged: list[int] = []
    with Senders(lambda: service.url, seed=1, pause_s=0.002) as senders:
        for _ in range(KILLS):
            before = senders.acknowledged
            senders.wait_for(before + 1)
            time.sleep(chance.uniform(0, 0.9))
            service.kill()
            acknowledged.append(senders.acknowledged - before)
            service.start()
            if chance.random() < 0.2:
                time.sleep(chance.uniform(0, 0.6))  # in the middle of its start
                service.kill()
                service.start()
            service.ready()
        time.sleep(0.3)
    assert all(acknowledged), "the kills did not fall into the load"
    assert senders.unanswered >= KILLS
    hold_against(senders.traffic.facts, url=service.url, database=database_url)


# What waits on disk after a minute of kills leaves at some 500 steps a second on a busy machine.
APP = """
import sys, time
import stepscope

stepscope.init(project="durable-sdk", endpoint=sys.argv[1])
end = time.monotonic() + float(sys.argv[2])
made = 0
while time.monotonic() < end:
    with stepscope.step(f"chain {made}", kind="chain") as chain:
        chain.input = f"question {made}"
        for call in range(3):
            with stepscope.step("call", kind="llm") as step:
                step.input = f"{made}.{call} " + "a prompt of some length " * 20
                step.tokens(input=100 + call, output=7)
    made += 1
    time.sleep(0.01)
while not stepscope.flush(timeout=10) and time.monotonic() < end + 120:
    time.sleep(0.2)
told = stepscope.status()
print(made, told.recorded, told.delivered, told.dropped)
"""


def test_r06_what_the_sdk_reports_as_delivered_is_there_once(database_url: str, new_service: NewService) -> None:
    service = new_service(database_url)
    service.ready()
    seconds = counted(3, 60)
    chance = Random(2)
    app = subprocess.Popen(
        [sys.executable, "-c", APP, service.url, str(seconds)],
        cwd=ROOT,
        env=clean_environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(chance.uniform(0.2, 0.9))
        service.kill()
        service.start()
        service.ready()
    out, _ = app.communicate(timeout=180)
    made, recorded, delivered, dropped = map(int, out.split())
    assert (recorded, delivered, dropped) == (4 * made, 4 * made, 0)
    with Client(service.url, project="durable-sdk") as client:
        items: list[dict[str, Any]] = []
        cursor: str | None = ""
        while cursor is not None:
            page = client.read(
                "/api/v1/traces", project=client.project, limit=1000, **({"cursor": cursor} if cursor else {})
            )
            items += page["items"]
            cursor = page["next_cursor"]
        assert sorted(item["name"] for item in items) == sorted(f"chain {number}" for number in range(made))
        for item in items:
            told = (item["span_count"], item["llm_call_count"], item["tokens"]["input"], item["status"])
            assert told == (4, 3, 303, "ok")
        project = next(one for one in client.read("/api/v1/projects")["items"] if one["name"] == client.project)
        assert project["span_count"] == 4 * made
