"""What the commands that let people and programs in do, beside a server that may be running on the same database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tracer.access.invitations import What, invite, make_invitation
from tracer.access.keys import KeyRight, Wanted, make_key
from tracer.access.people import Place, Role, person_by_email, read_email
from tracer.access.tokens import replace_admin_token
from tracer.errors import NotFound
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


def run_reset_password(settings: Settings, email: str) -> str:
    """A one-time link to choose a new password; raises NotFound where nobody has the address."""
    with prepared(settings) as store, store.writing() as connection:
        found = person_by_email(connection, read_email(email))
        if found is None:
            raise NotFound(f"Nobody has the address {email[:100]!r}.", field="email")
        secret = make_invitation(connection, What.reset, email=found.email, person_id=found.id, author=AUTHOR)
    return link_to(settings, secret)


def run_make_admin(settings: Settings, email: str) -> str:
    """What was done: the account administers the server now, or the one-time link that makes it."""
    with prepared(settings) as store, store.writing() as connection:
        secret = invite(connection, read_email(email), Place(server=True, role=Role.admin), author=AUTHOR)
    return f"{read_email(email)} administers the server now." if secret is None else link_to(settings, secret)


def link_to(settings: Settings, secret: str) -> str:
    """The address of a one-time link, as far as the settings know it."""
    host = settings.host if settings.host not in ("0.0.0.0", "::") else "127.0.0.1"  # noqa: S104 - compared, not bound
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{settings.port}{settings.base_path}/join/{secret}"
