"""Plain OpenTelemetry: HTTP, database and other spans with no word about a model; and what any span may carry."""

from __future__ import annotations

from tracer.otlp.dialects.dialect import Dialect, Field, Key, always
from tracer.otlp.dialects.reading import Kind

QUIET = (
    "http.method",
    "http.request.method",
    "url.full",
    "db.system",
    "db.system.name",
    "rpc.system",
    "messaging.system",
)
"""Keys of spans that are no step of a chain: they stay `other` whatever their name says."""

DIALECT = Dialect(
    name="otel",
    rank=900,
    base=True,
    facts={
        Field.HINT: tuple(Key(key, always(Kind.other)) for key in QUIET),
        Field.SESSION: ("session_id", "app.session.id"),
        Field.USER: ("enduser.id", "user_id", "user.email", "app.user.id"),
        Field.ENVIRONMENT: ("deployment.environment.name", "deployment.environment"),
        Field.SERVICE: ("service.name",),
        Field.RELEASE: ("service.version",),
        Field.TAGS: ("tags", "app.tags"),
        Field.CACHE_HIT: (
            "llm.cache_hit",
            "gen_ai.cache_hit",
            "gen_ai.cache.hit",
            "llm.is_cached",
            "cache.hit",
            "cache_hit",
        ),
    },
)
