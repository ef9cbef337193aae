"""Every deliberate error, its HTTP status, and a sentence that a person can act on."""

from __future__ import annotations


class TracerError(Exception):
    """A problem that we name. `status` is the HTTP status, `code` a stable word, `field` what it is about."""

    status = 400
    code = "bad_request"
    retry_after: int | None = None
    """Seconds after which the same request may succeed; None when sending it again is no use."""

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field


class BadSetting(TracerError):
    """A setting that cannot be used: the command says so in one sentence and exits with 2."""

    code = "bad_setting"


class BadRequest(TracerError):
    """A parameter or body that cannot be read."""


class BadSearch(TracerError):
    """A search text that cannot be read; `offset` counts characters from its start."""

    code = "bad_search"

    def __init__(self, problem: str, *, offset: int) -> None:
        super().__init__(f"Character {offset + 1}: {problem}", field="q")
        self.offset = offset


class BadPayload(TracerError):
    """A body that is not OTLP, or is cut short."""

    code = "bad_payload"


class TooLarge(TracerError):
    """A body over the limit, compressed or inflated."""

    status = 413
    code = "too_large"


class TooSlow(TracerError):
    """A body that did not come in time."""

    status = 408
    code = "too_slow"


class UnsupportedMedia(TracerError):
    """A content type or an encoding that is not served."""

    status = 415
    code = "unsupported_media_type"


class NotSignedIn(TracerError):
    """No key, token or session, or one that is not known."""

    status = 401
    code = "unauthenticated"


class TooManyTries(TracerError):
    """Too many wrong tries to sign in: for some seconds none is taken."""

    status = 429
    code = "too_many_tries"

    def __init__(self, seconds: float) -> None:
        self.retry_after = max(1, int(seconds + 0.999))
        minutes = self.retry_after // 60
        wait = f"{minutes} minutes" if minutes > 1 else f"{self.retry_after} seconds"
        super().__init__(f"Too many wrong tries. Wait {wait}, then try again.")


class TooFast(TracerError):
    """A key has used up its requests for the moment; nothing of the request was stored."""

    status = 429
    code = "too_fast"

    def __init__(self, seconds: int, *, limit: int) -> None:
        self.retry_after = max(1, seconds)
        super().__init__(f"This key may make {limit} requests a minute; come again in {self.retry_after} s.")


class Forbidden(TracerError):
    """Known, but without the right; or a request that another web page made."""

    status = 403
    code = "forbidden"


class NotFound(TracerError):
    """Nothing there, or nothing that this caller may see."""

    status = 404
    code = "not_found"


class Conflict(TracerError):
    """What was to be changed is not any more as its reader saw it."""

    status = 409
    code = "conflict"


class WrongHost(TracerError):
    """The request's Host is none of this server's names."""

    status = 421
    code = "wrong_host"


class Overloaded(TracerError):
    """The queue in front of the writer is full; nothing of the request was stored."""

    status = 429
    code = "overloaded"
    retry_after = 1


class Unavailable(TracerError):
    """The database cannot take or answer this now; nothing of the request was stored."""

    status = 503
    code = "unavailable"
    retry_after = 2


class DatabaseTooNew(TracerError):
    """The database was written by a newer version than this code."""

    status = 503
    code = "database_too_new"
    retry_after = 5


class DatabaseAway(TracerError):
    """The database cannot be opened or reached."""

    status = 503
    code = "database_away"
