"""What the commands `new-token` and `create-key` do, beside a server that may be running on the same database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tracer.access.keys import KeyRight, Wanted, make_key
from tracer.access.tokens import replace_admin_token
from tracer.queries.scope import EVERYTHING
from tracer.settings import Settings
from tracer.store.engine import Store
from tracer.store.migrate import migrate
from tracer.units import DAY

AUTHOR = "command line"


@contextmanager
def prepared(settings: Settings) -> Iterator[Store]:
    """The database, made or brought up to date where that is needed."""
    migrate(settings.database_url)
    store = Store(settings.database_url)
    try:
        yield store
    finally:
        store.close()


def run_new_token(settings: Settings) -> str:
    """Make a new administrator's token; the old one and its sign-ins end."""
    with prepared(settings) as store:
        return replace_admin_token(store)


def run_create_key(settings: Settings, *, project: str, right: str, name: str, days: int | None) -> str:
    """Make a key of a project, which is made when it is not there yet, and return its secret."""
    wanted = Wanted(name=name, right=KeyRight(right), lasts=None if days is None else days * DAY)
    with prepared(settings) as store:
        return make_key(store, wanted, project=project, scope=EVERYTHING, author=AUTHOR)[0]
