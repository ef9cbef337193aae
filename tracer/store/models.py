"""The tables. Times are Unix nanoseconds, money is billionths of a dollar, ids are bytes of fixed width."""

from __future__ import annotations

from enum import IntEnum

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)

metadata = MetaData()


class Status(IntEnum):
    """A step's status as the database holds it; `abandoned` is worked out on reading."""

    unset = 0
    ok = 1
    error = 2
    running = 3


Rowid = BigInteger().with_variant(Integer, "sqlite")
"""A 64-bit row number; SQLite's own needs the type INTEGER."""


def _index_where(name: str, condition: str, *columns: str) -> Index:
    """An index of the rows alone that meet a condition."""
    return Index(name, *columns, sqlite_where=text(condition), postgresql_where=text(condition))


PACKS_PER_TRACE = 1 << 20
"""A pack's row number is `trace.id * PACKS_PER_TRACE + number`, so that a trace's packs lie side by side."""

# A project that was deleted or merged keeps its row, so that no other ever gets its number: `gone` is the receipt's,
# which rises with each, and `into_id` the project that it became part of.
project = Table(
    "project",
    metadata,
    Column("id", Rowid, primary_key=True),
    Column("slug", Text, nullable=False, unique=True),
    Column("name", Text, nullable=False, unique=True),
    Column("created_at", BigInteger, nullable=False),
    Column("gone", BigInteger),
    Column("into_id", Rowid),
    _index_where("project_gone", "gone IS NOT NULL", "gone"),
)

# Names and slugs (`kind`) by which a project is reached beside its own: those before a renaming, and of what was merged
# into it.
project_alias = Table(
    "project_alias",
    metadata,
    Column("kind", Text, primary_key=True),
    Column("word", Text, primary_key=True),
    Column("project_id", Rowid, ForeignKey("project.id", ondelete="CASCADE"), nullable=False),
)

# Counters in shards, one a writing process, summed on reading: no row is shared by all writers of a project.
project_counter = Table(
    "project_counter",
    metadata,
    Column("project_id", Rowid, ForeignKey("project.id", ondelete="CASCADE"), primary_key=True),
    Column("shard", Integer, primary_key=True),
    Column("trace_count", BigInteger, nullable=False),
    Column("span_count", BigInteger, nullable=False),
    Column("body_bytes", BigInteger, nullable=False),
    Column("first_seen", BigInteger),
    Column("last_seen", BigInteger),
)

trace = Table(
    "trace",
    metadata,
    Column("id", Rowid, primary_key=True, autoincrement=True),
    Column("project_id", Rowid, ForeignKey("project.id", ondelete="CASCADE"), nullable=False),
    Column("trace_id", LargeBinary(16), nullable=False),
    Column("name", Text, nullable=False),
    Column("status", SmallInteger, nullable=False),
    Column("start_time", BigInteger, nullable=False),
    Column("end_time", BigInteger),
    Column("duration", BigInteger),
    Column("received_at", BigInteger, nullable=False),
    Column("changed_at", BigInteger, nullable=False),
    Column("span_count", Integer, nullable=False),
    Column("running_count", Integer, nullable=False),
    Column("error_count", Integer, nullable=False),
    Column("llm_call_count", Integer, nullable=False),
    Column("input_tokens", BigInteger),
    Column("output_tokens", BigInteger),
    Column("total_tokens", BigInteger),
    Column("cached_input_tokens", BigInteger),
    Column("cache_write_tokens", BigInteger),
    Column("reasoning_tokens", BigInteger),
    Column("audio_tokens", BigInteger),
    Column("cost", BigInteger),
    Column("cost_source", Text),
    Column("partial_reasons", Text),
    Column("partial_count", Integer, nullable=False),
    Column("session_id", Text),
    Column("user_id", Text),
    Column("environment", Text),
    Column("release", Text),
    Column("models", Text, nullable=False),
    Column("services", Text, nullable=False),
    Column("tags", Text, nullable=False),
    Column("metadata", Text, nullable=False),
    Column("input_preview", Text),
    Column("output_preview", Text),
    Column("failed_in", Text),
    Column("version", BigInteger, nullable=False),
    Column("pack_count", Integer, nullable=False),
    Column("state", LargeBinary, nullable=False),
    UniqueConstraint("trace_id", "project_id", name="trace_identity"),
    # The trace list: one project, newest first, `id` breaking ties; read backwards.
    Index("trace_project_newest", "project_id", "start_time", "id"),
    # The runs of one chain, newest first: the run before this one, and what its last runs have in common.
    Index("trace_project_named", "project_id", "name", "start_time", "id"),
    # The turns of one conversation, and the traces of one user.
    _index_where("trace_session", "session_id IS NOT NULL", "project_id", "session_id", "start_time", "id"),
    _index_where("trace_user", "user_id IS NOT NULL", "project_id", "user_id", "start_time", "id"),
    # Searches for the few that failed or still run.
    _index_where("trace_failed", "error_count > 0", "project_id", "start_time", "id"),
    _index_where("trace_running", "running_count > 0", "project_id", "start_time", "id"),
    # Searches for the few that took long, or hardly any time.
    Index("trace_duration", "project_id", "duration", "start_time", "id"),
    sqlite_autoincrement=True,
)

# What few traces may have in common, beside their rows, by value and newest first: `ingest/labels.py`.
trace_label = Table(
    "trace_label",
    metadata,
    Column("project_id", Rowid, primary_key=True, autoincrement=False),
    Column("field", Text, primary_key=True),
    Column("value", Text, primary_key=True),
    Column("start_time", BigInteger, primary_key=True, autoincrement=False),
    Column("trace_pk", Rowid, primary_key=True, autoincrement=False),
    sqlite_with_rowid=False,
)

# Spans, packs and partial outputs refer to their trace without a foreign key: a trace is gone at once, the rows of a
# large one go in slices (`ingest/delete.py`), and `stepscope verify` finds rows that nothing refers to.
span = Table(
    "span",
    metadata,
    Column("trace_pk", Rowid, primary_key=True),
    Column("span_id", LargeBinary(8), primary_key=True),
    Column("parent_id", LargeBinary(8)),
    Column("name", Text, nullable=False),
    Column("kind", SmallInteger, nullable=False),
    Column("otlp_kind", SmallInteger, nullable=False),
    Column("status", SmallInteger, nullable=False),
    Column("status_message", Text),
    Column("start_time", BigInteger, nullable=False),
    Column("end_time", BigInteger),
    Column("seq", BigInteger),
    Column("received_at", BigInteger, nullable=False),
    Column("model", Text),
    Column("provider", Text),
    Column("response_id", Text),
    Column("input_tokens", BigInteger),
    Column("output_tokens", BigInteger),
    Column("total_tokens", BigInteger),
    Column("cached_input_tokens", BigInteger),
    Column("cache_write_tokens", BigInteger),
    Column("reasoning_tokens", BigInteger),
    Column("audio_tokens", BigInteger),
    Column("cost", BigInteger),
    Column("input_cost", BigInteger),
    Column("output_cost", BigInteger),
    Column("cost_source", Text),
    Column("time_to_first_token", BigInteger),
    Column("session_id", Text),
    Column("user_id", Text),
    Column("environment", Text),
    Column("release", Text),
    Column("service", Text),
    Column("tags", Text),
    Column("metadata", Text),
    Column("dialect", Text, nullable=False),
    Column("reader_version", SmallInteger, nullable=False),
    Column("flags", Integer, nullable=False),
    Column("pack", Integer, nullable=False),
    Column("body_offset", Integer, nullable=False),
    Column("body_length", Integer, nullable=False),
    # Spans across traces, newest first.
    Index("span_newest", "start_time", "trace_pk", "span_id"),
    # The model calls of a trace, for its tokens and cost.
    _index_where("span_calls", "kind IN (3, 6)", "trace_pk"),
    sqlite_with_rowid=False,
)

pack = Table(
    "pack",
    metadata,
    Column("id", Rowid, primary_key=True, autoincrement=False),
    Column("pieces", LargeBinary, nullable=False),
    Column("data", LargeBinary, nullable=False),
)

partial_output = Table(
    "partial_output",
    metadata,
    Column("trace_pk", Rowid, primary_key=True),
    Column("span_id", LargeBinary(8), primary_key=True),
    Column("text", Text, nullable=False),
    sqlite_with_rowid=False,
)

# Log records wait here for their span, whichever comes first; `digest` makes a repeated delivery one row.
log_record = Table(
    "log_record",
    metadata,
    Column("trace_id", LargeBinary(16), primary_key=True),
    Column("project_id", Rowid, ForeignKey("project.id", ondelete="CASCADE"), primary_key=True),
    Column("span_id", LargeBinary(8), primary_key=True),
    Column("digest", LargeBinary(16), primary_key=True),
    Column("time", BigInteger, nullable=False),
    Column("received_at", BigInteger, nullable=False),
    Column("body", LargeBinary, nullable=False),
)

# What each commit changed, append-only, pruned: other processes poll it to tell their open pages.
change = Table(
    "change",
    metadata,
    Column("id", Rowid, primary_key=True, autoincrement=True),
    Column("project_id", Rowid, nullable=False),
    Column("trace_id", LargeBinary(16), nullable=False),
    Column("at", BigInteger, nullable=False),
    Index("change_at", "at"),
    sqlite_autoincrement=True,
)

access_token = Table(
    "access_token",
    metadata,
    Column("id", Rowid, primary_key=True),
    Column("digest", LargeBinary(32), nullable=False, unique=True),
    Column("role", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
)

# Keys of projects, kept as hashes; `prefix` is how the secret begins, `old_digest` the hash of the secret before.
access_key = Table(
    "access_key",
    metadata,
    Column("id", Rowid, primary_key=True, autoincrement=True),
    Column("project_id", Rowid, ForeignKey("project.id", ondelete="CASCADE"), nullable=False),
    Column("name", Text, nullable=False),
    Column("allows", Text, nullable=False),
    Column("prefix", Text, nullable=False),
    Column("digest", LargeBinary(32), nullable=False, unique=True),
    Column("old_digest", LargeBinary(32), unique=True),
    Column("old_until", BigInteger),
    Column("created_at", BigInteger, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("expires_at", BigInteger),
    Column("last_used_at", BigInteger),
    Column("rate_limit", Integer),
    Index("access_key_project", "project_id"),
    sqlite_autoincrement=True,
)

# Somebody with an account. `password` is an argon2 hash, `issuer` and `subject` who they are at a provider of sign-in,
# `everywhere` their role in every project.
person = Table(
    "person",
    metadata,
    Column("id", Rowid, primary_key=True, autoincrement=True),
    Column("email", Text, nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("password", Text),
    Column("is_admin", SmallInteger, nullable=False),
    Column("everywhere", Text),
    Column("issuer", Text),
    Column("subject", Text),
    Column("created_at", BigInteger, nullable=False),
    Column("seen_at", BigInteger),
    UniqueConstraint("issuer", "subject", name="person_identity"),
    sqlite_autoincrement=True,
)

membership = Table(
    "membership",
    metadata,
    Column("person_id", Rowid, ForeignKey("person.id", ondelete="CASCADE"), primary_key=True),
    Column("project_id", Rowid, ForeignKey("project.id", ondelete="CASCADE"), primary_key=True),
    Column("role", Text, nullable=False),
)

# One-time links: `what` is setup, invite or reset; the role they give holds on the server, everywhere or in a project.
invitation = Table(
    "invitation",
    metadata,
    Column("id", Rowid, primary_key=True, autoincrement=True),
    Column("digest", LargeBinary(32), nullable=False, unique=True),
    Column("what", Text, nullable=False),
    Column("email", Text),
    Column("server", SmallInteger, nullable=False),
    Column("project_id", Rowid, ForeignKey("project.id", ondelete="CASCADE")),
    Column("role", Text),
    Column("person_id", Rowid, ForeignKey("person.id", ondelete="CASCADE")),
    Column("created_by", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    sqlite_autoincrement=True,
)

# Browsers that are signed in, somebody's or (`token_id`) those of who held the administrator's token.
sign_in = Table(
    "sign_in",
    metadata,
    Column("id", Rowid, primary_key=True, autoincrement=True),
    Column("digest", LargeBinary(32), nullable=False, unique=True),
    Column("token_id", Rowid, ForeignKey("access_token.id", ondelete="CASCADE")),
    Column("person_id", Rowid, ForeignKey("person.id", ondelete="CASCADE")),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("seen_at", BigInteger, nullable=False),
    Column("address", Text, nullable=False),
    Column("agent", Text, nullable=False),
    Index("sign_in_person", "person_id"),
    sqlite_autoincrement=True,
)

# What of a project's spans is hidden on arrival, how long and how much of them is kept; `patterns`, `keys` and
# `retention_tags` are JSON.
project_rules = Table(
    "project_rules",
    metadata,
    Column("project_id", Rowid, ForeignKey("project.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("masks", Text, nullable=False),
    Column("patterns", Text, nullable=False),
    Column("keys", Text, nullable=False),
    Column("content", SmallInteger, nullable=False),
    Column("retention_days", Integer),
    Column("retention_tags", Text, nullable=False),
    Column("max_size", BigInteger),
)

# Who saw, changed, exported and deleted what: append-only, pruned by age and number. A project's lines outlive it.
audit = Table(
    "audit",
    metadata,
    Column("id", Rowid, primary_key=True, autoincrement=True),
    Column("at", BigInteger, nullable=False),
    Column("who", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("project_id", Rowid),
    Column("project", Text),
    Column("target", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("request_id", Text, nullable=False),
    Index("audit_project", "project_id", "id"),
    sqlite_autoincrement=True,
)

# What keeps late and repeated deliveries from bringing a deleted trace back.
tombstone = Table(
    "tombstone",
    metadata,
    Column("trace_id", LargeBinary(16), primary_key=True),
    Column("project_id", Rowid, ForeignKey("project.id", ondelete="CASCADE"), primary_key=True),
    Column("deleted_at", BigInteger, nullable=False),
    Index("tombstone_deleted", "deleted_at"),
    sqlite_with_rowid=False,
)

# Row numbers of deleted traces whose spans and packs still go, slice by slice.
remains = Table(
    "remains",
    metadata,
    Column("trace_pk", Rowid, primary_key=True, autoincrement=False),
    Column("project_id", Rowid, nullable=False),
    Column("deletion_id", Rowid, nullable=False),
)

# What people and programs say of a trace or a step, also before it has arrived: found by its trace's id.
score = Table(
    "score",
    metadata,
    Column("id", Rowid, primary_key=True, autoincrement=True),
    Column("project_id", Rowid, ForeignKey("project.id", ondelete="CASCADE"), nullable=False),
    Column("trace_id", LargeBinary(16), nullable=False),
    Column("span_id", LargeBinary(8)),
    Column("score_id", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("number", Double),
    Column("words", Text),
    Column("boolean", SmallInteger, nullable=False),
    Column("comment", Text),
    Column("source", Text, nullable=False),
    Column("author", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    UniqueConstraint("project_id", "score_id", name="score_identity"),
    Index("score_of_trace", "trace_id", "project_id"),
    # A project's scores of a time, the newest first.
    Index("score_newest", "project_id", "created_at", "id"),
    sqlite_autoincrement=True,
)

# What people add to a trace beside scores; `tags` is a JSON list, NULL what nobody said.
annotation = Table(
    "annotation",
    metadata,
    Column("trace_id", LargeBinary(16), primary_key=True),
    Column("project_id", Rowid, ForeignKey("project.id", ondelete="CASCADE"), primary_key=True),
    Column("name", Text),
    Column("tags", Text),
    Column("note", Text),
    Column("updated_at", BigInteger, nullable=False),
    # Traces by the name that people gave them.
    _index_where("annotation_named", "name IS NOT NULL", "project_id", "name"),
    sqlite_with_rowid=False,
)

# Searches that people saved, with the order and the columns of the list; `columns` is a JSON list.
saved_view = Table(
    "saved_view",
    metadata,
    Column("id", Rowid, primary_key=True, autoincrement=True),
    Column("project_id", Rowid, ForeignKey("project.id", ondelete="CASCADE"), nullable=False),
    Column("name", Text, nullable=False),
    Column("q", Text, nullable=False),
    Column("sort_order", Text, nullable=False),
    Column("columns", Text, nullable=False),
    Column("author", Text, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    UniqueConstraint("project_id", "name", name="saved_view_identity"),
    sqlite_autoincrement=True,
)

# Alerts: a saved view, what is measured of it, where its threshold lies, whom to tell, and how it stands.
alert = Table(
    "alert",
    metadata,
    Column("id", Rowid, primary_key=True, autoincrement=True),
    Column("project_id", Rowid, ForeignKey("project.id", ondelete="CASCADE"), nullable=False),
    Column("view_id", Rowid, ForeignKey("saved_view.id", ondelete="CASCADE"), nullable=False),
    Column("name", Text, nullable=False),
    Column("measure", Text, nullable=False),
    Column("score", Text),
    Column("side", Text, nullable=False),
    Column("threshold", Double, nullable=False),
    Column("time_window", BigInteger, nullable=False),
    Column("url", Text, nullable=False),
    Column("origin", Text, nullable=False),
    Column("author", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("muted_until", BigInteger),
    Column("state", Text, nullable=False),
    Column("since", BigInteger, nullable=False),
    Column("told", Text, nullable=False),
    Column("value", Double),
    Column("traces", BigInteger),
    Column("whole", SmallInteger, nullable=False),
    Column("checked_at", BigInteger),
    Column("problem", Text),
    Column("next_at", BigInteger, nullable=False),
    UniqueConstraint("project_id", "name", name="alert_identity"),
    # What is due to be measured.
    Index("alert_due", "next_at"),
    sqlite_autoincrement=True,
)

# What became of alerts, and what is still to be told.
alert_event = Table(
    "alert_event",
    metadata,
    Column("id", Rowid, primary_key=True, autoincrement=True),
    Column("alert_id", Rowid, ForeignKey("alert.id", ondelete="CASCADE"), nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),
    Column("value", Double),
    Column("traces", BigInteger),
    Column("delivery", Text, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("next_try_at", BigInteger),
    Column("answer", Text),
    Index("alert_event_newest", "alert_id", "id"),
    # What is to be told.
    _index_where("alert_event_waiting", "delivery = 'waiting'", "alert_id", "id"),
    sqlite_autoincrement=True,
)

# One row: which process watches the alerts, and until when.
alert_state = Table(
    "alert_state",
    metadata,
    Column("id", Rowid, primary_key=True, autoincrement=False),
    Column("owner", Text, nullable=False),
    Column("until", BigInteger, nullable=False),
)

# Read-only links to one trace each; the secret in the link is kept as its hash.
share = Table(
    "share",
    metadata,
    Column("id", Rowid, primary_key=True, autoincrement=True),
    Column("digest", LargeBinary(32), nullable=False, unique=True),
    Column("project_id", Rowid, ForeignKey("project.id", ondelete="CASCADE"), nullable=False),
    Column("trace_id", LargeBinary(16), nullable=False),
    Column("author", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Index("share_of_trace", "trace_id", "project_id"),
    sqlite_autoincrement=True,
)

# What was asked to be deleted, by somebody or by a rule, and how far it is: the receipt, and what a restarted process
# goes on with. `job` is `traces`, `project` for a project with all that it has, or `merge` for one whose traces go into
# `into_id`.
deletion = Table(
    "deletion",
    metadata,
    Column("id", Rowid, primary_key=True, autoincrement=True),
    Column("job", Text, nullable=False),
    Column("project_id", Rowid),
    Column("project", Text),
    Column("into_id", Rowid),
    Column("author", Text),
    Column("since", BigInteger),
    Column("until", BigInteger),
    Column("max_size", BigInteger),
    Column("q", Text),
    Column("user_id", Text),
    Column("session_id", Text),
    Column("tag", Text),
    Column("by_rule", SmallInteger, nullable=False),
    Column("newest_pk", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("traces", BigInteger, nullable=False),
    Column("spans", BigInteger, nullable=False),
    Column("total_traces", BigInteger),
    Column("started_at", BigInteger, nullable=False),
    Column("finished_at", BigInteger),
    Column("beat_at", BigInteger, nullable=False),
    sqlite_autoincrement=True,
)

# The metrics cube, see `store/cube.py`: sums and histograms by hour and by day, in shards that are summed on reading.
metric_cell = Table(
    "metric_cell",
    metadata,
    Column("project_id", Rowid, ForeignKey("project.id", ondelete="CASCADE"), primary_key=True),
    Column("period", SmallInteger, primary_key=True, autoincrement=False),
    Column("start", BigInteger, primary_key=True, autoincrement=False),
    Column("line", LargeBinary(16), primary_key=True),
    Column("kind", SmallInteger, primary_key=True, autoincrement=False),
    Column("status", SmallInteger, primary_key=True, autoincrement=False),
    Column("shard", SmallInteger, primary_key=True, autoincrement=False),
    Column("name", Text),
    Column("model", Text),
    Column("span_count", BigInteger, nullable=False),
    Column("sums", LargeBinary, nullable=False),
    Column("durations", LargeBinary, nullable=False),
    Column("first_tokens", LargeBinary, nullable=False),
)

# How many traces in which nothing runs are alike, by the hour and the day in which they began: `ingest/alike.py`.
trace_alike = Table(
    "trace_alike",
    metadata,
    Column("project_id", Rowid, ForeignKey("project.id", ondelete="CASCADE"), primary_key=True),
    Column("period", SmallInteger, primary_key=True, autoincrement=False),
    Column("start", BigInteger, primary_key=True, autoincrement=False),
    Column("alike", LargeBinary(16), primary_key=True),
    Column("status", SmallInteger, primary_key=True, autoincrement=False),
    Column("shard", SmallInteger, primary_key=True, autoincrement=False),
    Column("name", Text, nullable=False),
    Column("models", Text, nullable=False),
    Column("services", Text, nullable=False),
    Column("tags", Text, nullable=False),
    Column("environment", Text),
    Column("release", Text),
    Column("trace_count", BigInteger, nullable=False),
)

# What is to be indexed for searching: a line for at most some hundred spans, written with them, deleted when indexed.
search_work = Table(
    "search_work",
    metadata,
    Column("id", Rowid, primary_key=True, autoincrement=True),
    Column("at", BigInteger, nullable=False),
    Column("spans", Integer, nullable=False),
    Column("data", LargeBinary, nullable=False),
    sqlite_autoincrement=True,
)

# The search index: segments of entries (a step's texts each), numbered in the order in which they were indexed.
search_segment = Table(
    "search_segment",
    metadata,
    Column("id", Rowid, primary_key=True, autoincrement=False),
    Column("entries", Integer, nullable=False),
    Column("documents", Integer, nullable=False),
    Column("terms", Integer, nullable=False),
    Column("dead", Integer, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("first_trace", Rowid, nullable=False),
    Column("last_trace", Rowid, nullable=False),
    Column("runs", LargeBinary, nullable=False),
)

search_block = Table(
    "search_block",
    metadata,
    Column("id", Rowid, primary_key=True),
    Column("segment_id", Rowid, nullable=False),
    Column("first_term", LargeBinary, nullable=False),
    Column("data", LargeBinary, nullable=False),
    Index("search_block_term", "segment_id", "first_term", unique=True),
)

# Which fragments of a trace's texts are in the index, by entry.
search_seen = Table(
    "search_seen",
    metadata,
    Column("trace_pk", Rowid, primary_key=True),
    Column("entry", Rowid, primary_key=True),
    Column("data", LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)

# One row: who indexes now and until when, the next entry's number, since when nothing was noted as work.
search_state = Table(
    "search_state",
    metadata,
    Column("id", Rowid, primary_key=True, autoincrement=False),
    Column("owner", Text, nullable=False),
    Column("until", BigInteger, nullable=False),
    Column("next_entry", BigInteger, nullable=False),
    Column("off_since", BigInteger),
)

SPAN_COLUMNS: tuple[str, ...] = tuple(column.name for column in span.columns)
TRACE_COLUMNS: tuple[str, ...] = tuple(column.name for column in trace.columns)
