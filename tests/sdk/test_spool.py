"""Waiting on disk: across an absent server, a full disk, a crash and the next process."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import time
from pathlib import Path
from typing import Any

import pytest

import stepscope
from stepscope import _config, _delivery, _spool
from tests.counts import counted
from tests.sdk.sink import Reply, Sink, waited_for
from tests.sdk.test_processes import run


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def config(folder: Path, **changes: Any) -> _config.Config:
    return _config.load(endpoint="http://127.0.0.1:9", spool=str(folder))._replace(**changes)


def oldest(spool: _spool.Spool) -> tuple[_spool.Stored, bytes]:
    found = spool.oldest()
    assert found is not None
    stored, body = found
    assert body is not None
    return stored, body


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*.steps"))


def test_batches_come_back_in_their_order_and_their_files_go(tmp_path):
    spool = _spool.Spool(config(tmp_path))
    for number in range(3):
        assert spool.put(f"body {number}".encode(), 10 + number, gzipped=False)
    assert spool.waiting == 33
    assert len(files(tmp_path)) == 1

    for number in range(3):
        stored, body = oldest(spool)
        assert body == f"body {number}".encode()
        assert spool.recorded_here(stored)
        spool.done(stored)

    assert spool.oldest() is None
    assert spool.waiting == 0
    assert files(tmp_path) == []
    assert spool.put(b"again", 1, gzipped=True)
    spool.close()


def test_only_the_owner_can_read_what_waits(tmp_path):
    spool = _spool.Spool(config(tmp_path / "new"))
    assert spool.put(b"secret", 1, gzipped=False)

    for path in (tmp_path / "new").rglob("*"):
        assert not stat.S_IMODE(path.stat().st_mode) & 0o077, path
    spool.close()


def test_a_folder_that_others_may_write_to_is_not_used(tmp_path, caplog):
    spool = _spool.Spool(config(tmp_path))
    Path(spool._base).mkdir(parents=True)
    Path(spool._base).chmod(0o777)

    assert not spool.put(b"secret", 1, gzipped=False)
    assert "can't wait on disk" in caplog.text


def test_what_a_gone_process_left_is_taken_over_and_what_a_living_one_has_is_not(tmp_path):
    gone, living = _spool.Spool(config(tmp_path)), _spool.Spool(config(tmp_path))
    assert gone.put(b"left", 5, gzipped=True)
    assert living.put(b"mine", 1, gzipped=False)
    gone.close()

    heir = _spool.Spool(config(tmp_path))
    assert heir.adopt() == 1
    stored, body = oldest(heir)
    assert (body, stored.count, stored.gzipped) == (b"left", 5, True)
    assert not heir.recorded_here(stored)
    assert heir.waiting == 0
    heir.done(stored)
    assert len(files(tmp_path)) == 1
    assert _spool.Spool(config(tmp_path)).adopt() == 0
    heir.close()
    living.close()


def test_endpoints_projects_and_keys_are_kept_apart(tmp_path):
    one = _spool.Spool(config(tmp_path, project="a"))
    assert one.put(b"left", 5, gzipped=True)
    one.close()

    for changes in ({"project": "b"}, {"api_key": "k"}, {"endpoint": "http://127.0.0.1:10"}):
        assert _spool.Spool(config(tmp_path, **{"project": "a", **changes})).adopt() == 0
    assert _spool.Spool(config(tmp_path, project="a")).adopt() == 1


@pytest.mark.parametrize("cut", [1, 4, 20, 40])
def test_a_file_that_a_crash_cut_short_gives_its_whole_batches(tmp_path, cut):
    spool = _spool.Spool(config(tmp_path))
    assert spool.put(b"x" * 50, 1, gzipped=False)
    assert spool.put(b"y" * 50, 2, gzipped=False)
    spool.close()
    (path,) = files(tmp_path)
    os.truncate(path, path.stat().st_size - cut)

    heir = _spool.Spool(config(tmp_path))
    assert heir.adopt() == 1
    assert oldest(heir)[1] == b"x" * 50
    heir.close()


@pytest.mark.parametrize("content", [b"", b"\x00" * 500, b"SSP1" + b"\xff" * 300, os.urandom(1000)])
def test_a_file_of_nonsense_is_removed(tmp_path, content):
    spool = _spool.Spool(config(tmp_path))
    assert spool.put(b"x", 1, gzipped=False)
    spool.close()
    (path,) = files(tmp_path)
    path.write_bytes(content)

    heir = _spool.Spool(config(tmp_path))
    assert heir.adopt() == 0
    assert files(tmp_path) == []
    heir.close()


def grown_old(folder: Path) -> None:
    (path,) = files(folder)
    path.rename(path.with_name(f"{time.time_ns() - 8 * 24 * 3600 * 10**9:020d}.steps"))


def test_after_a_week_what_an_ended_process_left_is_given_up_and_its_number_logged(tmp_path, sink, caplog):
    left = _spool.Spool(config(tmp_path, endpoint=sink.url))
    assert left.put(b"x", 7, gzipped=False)
    left.close()
    grown_old(tmp_path)

    stepscope.init(endpoint=sink.url, spool=str(tmp_path))
    with stepscope.step("work"):
        pass
    assert stepscope.flush(10)
    sink.wait(lambda: not files(tmp_path))
    waited_for(lambda: "7 days; 7 dropped" in caplog.text)
    assert stepscope.status()[:4] == (1, 1, 0, 0)


def test_after_a_week_without_a_server_a_process_gives_up_its_own_steps_and_counts_them(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(_delivery, "PATIENCE", 0.0)
    monkeypatch.setattr(_spool, "OLDEST", 0.0)
    stepscope.init(endpoint=f"http://127.0.0.1:{free_port()}", spool=str(tmp_path))
    with stepscope.step("work"):
        pass
    stepscope.flush(2)

    waited_for(lambda: stepscope.status()[:5] == (1, 0, 0, 1, 0))
    assert files(tmp_path) == []
    waited_for(lambda: "1 dropped" in caplog.text)


def test_steps_that_somebody_removed_from_the_disk_are_counted_as_dropped_and_the_next_ones_wait_there_again(
    tmp_path, monkeypatch, caplog
):
    monkeypatch.setattr(_delivery, "PATIENCE", 0.0)
    monkeypatch.setattr(_delivery, "LAST_RETRY", 0.1)
    port = free_port()
    stepscope.init(endpoint=f"http://127.0.0.1:{port}", spool=str(tmp_path))
    for number in range(3):
        with stepscope.step(f"work {number}"):
            pass
    stepscope.flush(2)
    waited_for(lambda: stepscope.status().on_disk == 3)
    shutil.rmtree(tmp_path)

    late = Sink(port)
    try:
        waited_for(lambda: stepscope.status()[:5] == (3, 0, 0, 3, 0))
        waited_for(lambda: "can't be read there any more; 3 dropped" in caplog.text)
    finally:
        late.close()
    with stepscope.step("next"):
        pass
    stepscope.flush(2)
    waited_for(lambda: stepscope.status()[:5] == (4, 0, 1, 3, 1))


def test_the_limit_holds_over_all_processes(tmp_path):
    one, other = _spool.Spool(config(tmp_path, disk=10_000)), _spool.Spool(config(tmp_path, disk=10_000))
    assert one.put(b"x" * 6000, 1, gzipped=False)
    assert not other.put(b"x" * 6000, 1, gzipped=False)
    assert other.put(b"x" * 2000, 1, gzipped=False)
    one.close()
    other.close()


def test_a_full_disk_costs_nothing_that_was_written(tmp_path, monkeypatch, caplog):
    spool = _spool.Spool(config(tmp_path))
    assert spool.put(b"first", 1, gzipped=False)

    def full(*given: object) -> int:
        raise OSError(28, "No space left on device")

    write, both = os.write, os.writev
    monkeypatch.setattr(os, "writev", lambda handle, parts: write(handle, b"".join(parts)[:9]))
    monkeypatch.setattr(os, "write", full)

    assert not spool.put(b"y" * 100, 1, gzipped=False)
    assert "No space left on device" in caplog.text
    monkeypatch.setattr(os, "write", write)
    monkeypatch.setattr(os, "writev", both)
    assert spool.put(b"third", 1, gzipped=False)
    spool.close()

    heir = _spool.Spool(config(tmp_path))
    assert heir.adopt() == 2
    heir.close()


def test_r70_steps_wait_on_disk_while_the_server_is_away_and_leave_in_order(tmp_path, monkeypatch):
    monkeypatch.setattr(_delivery, "PATIENCE", 0.0)
    monkeypatch.setattr(_delivery, "LAST_RETRY", 0.2)
    port = free_port()
    stepscope.init(endpoint=f"http://127.0.0.1:{port}", spool=str(tmp_path))
    for number in range(5):
        with stepscope.step(f"work {number}"):
            pass
        assert not stepscope.flush(2)
    status = stepscope.status()
    assert status[:5] == (5, 0, 5, 0, 5)
    assert files(tmp_path)

    late = Sink(port)
    try:
        late.wait(lambda: len(late.finals()) == 5)
        assert stepscope.flush(10)
        assert [span.name for span in late.finals()] == [f"work {number}" for number in range(5)]
        assert stepscope.status()[:5] == (5, 5, 0, 0, 0)
        assert files(tmp_path) == []
    finally:
        stepscope.shutdown(1)
        late.close()
    assert list(tmp_path.rglob("*")) == [
        path for path in tmp_path.rglob("*") if path.is_dir() and not any(path.iterdir())
    ]


def test_who_flushed_reads_counts_in_which_everything_is_delivered(tmp_path, monkeypatch):
    monkeypatch.setattr(_delivery, "PATIENCE", 0.0)
    monkeypatch.setattr(_delivery, "LAST_RETRY", 0.2)
    port = free_port()
    stepscope.init(endpoint=f"http://127.0.0.1:{port}", spool=str(tmp_path))
    with stepscope.step("work"):
        pass
    assert not stepscope.flush(2)
    settle = _spool.Spool.done
    seen: list[Any] = []

    def done(self, stored):
        settle(self, stored)
        seen.append((stepscope.status()[:5], files(tmp_path)))  # what a flush that is answered here reads

    monkeypatch.setattr(_spool.Spool, "done", done)
    late = Sink(port)
    try:
        late.wait(lambda: len(late.finals()) == 1)
        assert stepscope.flush(10)
        assert seen == [((1, 1, 0, 0, 0), [])]
    finally:
        stepscope.shutdown(1)
        late.close()


SCRIPT = """
import stepscope
for n in range(40):
    with stepscope.step(f"{NAME} {n}"):
        pass
print(stepscope.status().recorded)
"""


def test_what_a_script_could_not_deliver_goes_out_with_the_next_one(tmp_path):
    port = free_port()
    where = {"STEPSCOPE_SPOOL": str(tmp_path), "STEPSCOPE_ENDPOINT": f"http://127.0.0.1:{port}"}
    first = run("NAME = 'first'" + SCRIPT, None, **where)
    assert first.returncode == 0
    assert "dropped" not in first.stderr
    assert files(tmp_path)

    late = Sink(port)
    try:
        second = run("NAME = 'second'" + SCRIPT + "assert stepscope.flush(10)\n", None, **where)
        assert (second.returncode, second.stderr) == (0, "")
        late.wait(lambda: len(late.finals()) == 80)
        ids = [span.span_id for span in late.finals()]
        assert len(set(ids)) == 80
        assert files(tmp_path) == []
    finally:
        late.close()


def test_a_script_whose_server_hangs_leaves_its_steps_on_disk(tmp_path, sink):
    sink.reply = lambda number, request: Reply(delay=60)
    done = run("NAME = 'x'" + SCRIPT, sink, STEPSCOPE_SPOOL=str(tmp_path))
    assert done.returncode == 0
    assert "dropped" not in done.stderr

    sink.reply = lambda number, request: Reply()
    again = run("NAME = 'y'" + SCRIPT + "assert stepscope.flush(10)\n", sink, STEPSCOPE_SPOOL=str(tmp_path))
    assert again.returncode == 0
    sink.wait(lambda: len({span.span_id for span in sink.finals()}) == 80)


def test_r70_in_a_flood_the_disk_takes_what_memory_cannot(tmp_path, sink):
    sink.reply = lambda number, request: Reply(delay=2.0 if number == 0 else 0.0)
    calls = counted(3_000, 12_000)
    stepscope.init(endpoint=sink.url, spool=str(tmp_path), memory=calls * 1_000)
    text = "x" * 1000
    for _ in range(calls):
        with stepscope.step("work", input=text):
            pass

    sink.wait(lambda: stepscope.status().on_disk > calls // 4)
    sink.released.set()
    assert stepscope.flush(60)
    status = stepscope.status()
    assert status[:5] == (calls, calls, 0, 0, 0)
    assert len({span.span_id for span in sink.finals()}) == calls


def test_a_redacted_text_is_redacted_on_disk_too(tmp_path):
    port = free_port()
    stepscope.init(
        endpoint=f"http://127.0.0.1:{port}",
        spool=str(tmp_path),
        redact=lambda key, text: text.replace("hunter2", "***"),
    )
    with stepscope.step("login", input="hunter2"):
        pass
    stepscope.shutdown(1)

    import zlib

    (path,) = files(tmp_path)
    raw = path.read_bytes()
    head = _spool._HEAD.size
    body = zlib.decompress(raw[head:], 47)
    assert b"***" in body
    assert b"hunter2" not in body


def test_where_the_home_folder_cannot_be_written_steps_wait_in_memory(tmp_path, caplog, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setattr(_delivery, "PATIENCE", 0.0)
    port = free_port()
    stepscope.init(endpoint=f"http://127.0.0.1:{port}", spool=str(tmp_path / "file"))
    with stepscope.step("work"):
        pass
    assert not stepscope.flush(1)
    assert stepscope.status()[:5] == (1, 0, 1, 0, 0)
    assert "they wait in memory" in caplog.text

    late = Sink(port)
    try:
        late.wait(lambda: len(late.finals()) == 1)
    finally:
        stepscope.shutdown(1)
        late.close()


@pytest.mark.parametrize(("value", "expected"), [("0", None), ("off", None), ("/anywhere", "/anywhere")])
def test_the_disk_can_be_switched_off_or_put_elsewhere(monkeypatch, value, expected):
    monkeypatch.setenv("STEPSCOPE_SPOOL", value)

    assert _config.load().spool == expected


def test_by_default_steps_wait_in_the_users_state_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))

    assert _config.load().spool == str(tmp_path / "stepscope" / "spool")
