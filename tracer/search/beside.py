"""Makes the index in a process beside the service, while more spans come than one core takes in and indexes.

One interpreter uses one core. What costs in indexing is splitting texts and joining segments; both only read the
database, so a process of its own can do them and leave the writing to the service, in whose order of writers it stays.
That process needs nothing but the database's address, and ends with the service, however that ends: what it waits for
on its standard input is that nobody holds the other end any more.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection, Pipe
from typing import Any, Protocol

from sqlalchemy.engine import URL, make_url

from tracer.errors import Unavailable
from tracer.garbage import collect_seldom
from tracer.search.merge import Source, join_segments
from tracer.search.segments import Segment
from tracer.search.slices import Slice, SliceMaker, TooLarge
from tracer.search.work import Line, Outrun
from tracer.store.engine import Store

logger = logging.getLogger(__name__)

POLITENESS = 10
"""How much nicer than the service the process is to others (`nice`): ingest comes first on a busy machine."""

ASK_EVERY_S = 0.5
END_S = 2.0

WORKS_HERE = os.name == "posix"
"""A connection is handed to a new process by the number of its file."""


class Maker(Protocol):
    """Makes what the index is written from, and remembers between slices what of each trace is in it."""

    def make(self, lines: list[Line]) -> Slice:
        """Build what lines of work add to the index; raises Outrun, TooLarge or Unavailable."""
        ...

    def join(self, sources: list[Source]) -> Segment:
        """Write neighbouring segments as one; raises Outrun or Unavailable."""
        ...

    def keep(self, made: Slice) -> None:
        """The slice was written: remember it."""
        ...

    def forget(self) -> None:
        """Ask the database again next time."""
        ...


class Here:
    """Makes them in this process; `pause` is called now and then, to give way to others."""

    def __init__(self, store: Store, *, pause: Callable[[], None]) -> None:
        self._store = store
        self._pause = pause
        self._slices = SliceMaker(pause=pause)

    def make(self, lines: list[Line]) -> Slice:
        """Build a slice here."""
        return self._slices.make(self._store, lines)

    def join(self, sources: list[Source]) -> Segment:
        """Join segments here."""
        return join_segments(self._store, sources, self._pause)

    def keep(self, made: Slice) -> None:
        """Remember a slice that was written."""
        self._slices.known.keep(made.known)

    def forget(self) -> None:
        """Ask the database again next time."""
        self._slices.known.forget()


class Gone(Exception):
    """The process beside is not there any more."""


class Beside:
    """Has them made by a process beside; `waiting` is called twice a second while it works.

    Every call raises Gone when the process has ended.
    """

    def __init__(self, url: URL, *, waiting: Callable[[], None]) -> None:
        self._waiting = waiting
        self._pipe, theirs = Pipe()
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "tracer.search.beside", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
            )
        except OSError as problem:
            self._pipe.close()
            raise Gone(str(problem)) from None
        finally:
            theirs.close()
        self._send(url.render_as_string(hide_password=False))

    def make(self, lines: list[Line]) -> Slice:
        """Build a slice beside."""
        return self._ask("make", lines)

    def join(self, sources: list[Source]) -> Segment:
        """Join segments beside."""
        return self._ask("join", sources)

    def keep(self, made: Slice) -> None:
        """Remember a slice that was written."""
        self._send(("keep", None))

    def forget(self) -> None:
        """Ask the database again next time."""
        self._send(("forget", None))

    def close(self) -> None:
        """End the process."""
        self._pipe.close()
        self.process.terminate()
        try:
            self.process.communicate(timeout=END_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()

    def _send(self, what: object) -> None:
        try:
            self._pipe.send(what)
        except OSError as problem:
            raise Gone(str(problem)) from None

    def _ask(self, what: str, about: object) -> Any:
        self._send((what, about))
        try:
            while not self._pipe.poll(ASK_EVERY_S):
                self._waiting()
            answer, found = self._pipe.recv()
        except (EOFError, OSError) as problem:
            raise Gone(str(problem)) from None
        match answer:
            case "done":
                return found
            case "outrun":
                raise Outrun(found)
            case "large":
                raise TooLarge(found)
            case "away":
                raise Unavailable(found)
            case _:
                raise RuntimeError(f"indexing beside the service failed:\n{found}")


def serve(pipe: Connection) -> None:
    """Answer the service until it hangs up."""
    store = Store(make_url(pipe.recv()), read_connections=2)
    slices = SliceMaker()
    written: Slice | None = None
    while True:
        what, about = pipe.recv()
        match what:
            case "keep":
                if written is not None:
                    slices.known.keep(written.known)
                continue
            case "forget":
                slices.known.forget()
                continue
        try:
            if what == "make":
                written = slices.make(store, about)
                # What is known of the traces stays here; the service has no use for it.
                answer: tuple[str, Any] = "done", written.without_known()
            else:
                answer = "done", join_segments(store, about, lambda: None)
        except Outrun as reason:
            answer = "outrun", str(reason)
        except TooLarge as found:
            answer = "large", found.pk
        except Unavailable as problem:
            answer = "away", problem.message
        except Exception:  # noqa: BLE001 - it goes over the connection, and is raised there
            answer = "failed", traceback.format_exc()
        pipe.send(answer)


def _end_with_the_service() -> None:
    """End at once, in the middle of whatever is made, when the service is gone."""
    os.read(sys.stdin.fileno(), 1)
    os._exit(0)


def main(number: int) -> None:
    """Serve the connection whose file has this number."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a key for the service, which ends this process itself
    os.nice(POLITENESS)
    threading.Thread(target=_end_with_the_service, daemon=True).start()
    collect_seldom()
    with suppress(EOFError, OSError):
        serve(Connection(number))


if __name__ == "__main__":
    main(int(sys.argv[1]))
