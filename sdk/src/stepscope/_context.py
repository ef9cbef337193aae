"""What surrounds a step: the current step, and the session, user, tags and metadata that hold here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple

from . import _guard
from ._values import take

if TYPE_CHECKING:
    from ._steps import Step


class Origin(NamedTuple):
    """A parent that is no step of this process's own: another process's, or another library's."""

    trace: int
    span: int


class Around(NamedTuple):
    """What every step that starts here carries."""

    session: str | None = None
    user: str | None = None
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, object] = {}
    environment: str | None = None
    release: str | None = None


current: ContextVar[Step | Origin | None] = ContextVar("stepscope_current", default=None)
around: ContextVar[Around | None] = ContextVar("stepscope_around", default=None)


class Finder:
    """Another library's way to say what runs here: LangChain's, once it is instrumented."""

    __slots__ = ("find",)

    def __init__(self) -> None:
        self.find: Callable[[], Step | None] | None = None


finder = Finder()


class Surroundings:
    """What `context(...)` returns: a context manager, sync and async, that can be entered again."""

    __slots__ = ("_changes", "_outer")

    def __init__(self, changes: Around) -> None:
        self._changes = changes
        self._outer: list[Around | None] = []

    def __enter__(self) -> None:
        try:
            outer = around.get()
            self._outer.append(outer)
            around.set(_merged(outer or Around(), self._changes))
        except Exception:
            _guard.failed("entering a context")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            around.set(self._outer.pop())
        except Exception:
            _guard.failed("leaving a context")

    async def __aenter__(self) -> None:
        self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, traceback)


def context(
    *,
    session: object = None,
    user: object = None,
    tags: Iterable[str] | str = (),
    metadata: Mapping[str, object] | None = None,
    environment: object = None,
    release: object = None,
) -> Surroundings:
    """Give every step that starts inside the block a session, a user, tags, metadata, an environment, a release.

    Inner blocks add their tags and metadata to the outer ones', and replace the rest. Never raises.

        with stepscope.context(session="chat-7", user="mara", tags=["beta"], metadata={"plan": "pro"}):
            answer("Hello?")
    """
    try:
        return Surroundings(
            Around(
                name_text(session),
                name_text(user),
                tag_texts(tags),
                taken_metadata(metadata),
                name_text(environment),
                name_text(release),
            )
        )
    except Exception:
        _guard.failed("reading a context")
        return Surroundings(Around())


def session(session_id: object, user: object = None) -> Surroundings:
    """Put the steps inside the block into a conversation: `with stepscope.session("chat-7"): ...`."""
    return context(session=session_id, user=user)


def user(user_id: object) -> Surroundings:
    """Say for which end user the steps inside the block run: `with stepscope.user("mara"): ...`."""
    return context(user=user_id)


def tags(*names: str) -> Surroundings:
    """Tag the steps inside the block: `with stepscope.tags("beta", "eu"): ...`."""
    return context(tags=names)


def metadata(**values: object) -> Surroundings:
    """Give the steps inside the block metadata: `with stepscope.metadata(plan="pro"): ...`."""
    return context(metadata=values)


def tag_texts(names: Iterable[object] | str) -> tuple[str, ...]:
    """Return tags as texts, each once, in their order; one text is one tag."""
    found = [names] if isinstance(names, str) else names
    return tuple(dict.fromkeys(str(name)[:200] for name in found))[:100]


def taken_metadata(values: Mapping[str, object] | None) -> dict[str, object]:
    """Return a snapshot of metadata, keys as texts."""
    if not values:
        return {}
    taken, _ = take(dict(values))
    return taken if isinstance(taken, dict) else {}


def name_text(value: object) -> str | None:
    """Return an id or a name as text, within bounds."""
    return None if value is None else str(value)[:1000]


def _merged(outer: Around, inner: Around) -> Around:
    return Around(
        inner.session if inner.session is not None else outer.session,
        inner.user if inner.user is not None else outer.user,
        tuple(dict.fromkeys(outer.tags + inner.tags)),
        {**outer.metadata, **inner.metadata},
        inner.environment if inner.environment is not None else outer.environment,
        inner.release if inner.release is not None else outer.release,
    )
