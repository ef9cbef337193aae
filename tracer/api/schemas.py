"""The REST answers as OpenAPI describes them. Times are RFC 3339 UTC, `*_ms` milliseconds, `*_usd` dollars."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from tracer.api.numbers import A_NUMBER, LAST_NUMBER

StatusWord = Literal["ok", "error", "unset", "running", "abandoned"]
KindWord = Literal[
    "chain",
    "agent",
    "llm",
    "tool",
    "retriever",
    "embedding",
    "reranker",
    "guardrail",
    "evaluator",
    "prompt",
    "other",
]


class Answer(BaseModel):
    """What all answers share: nothing in them is unnamed."""

    model_config = ConfigDict(extra="forbid")


class ErrorDetail(Answer):
    """What went wrong, in a sentence, and in which parameter or field."""

    code: str = Field(examples=["not_found"])
    message: str = Field(examples=["There is no trace '00ff'."])
    field: str | None = Field(examples=["trace_id"])


class Error(Answer):
    """Every refusal of the REST interface."""

    error: ErrorDetail


class Project(Answer):
    """A project with its totals."""

    name: str = Field(examples=["support-bot"])
    slug: str
    trace_count: int
    span_count: int
    first_seen: str | None
    last_seen: str | None
    other_names: list[str] = Field(description="Former names of it and of what was merged into it: they reach it too.")
    retention_days: int | None = Field(
        description="Its own rule; null: traces are kept as long as the server keeps all."
    )


class DiskUse(Answer):
    """Bytes that a project takes."""

    bodies: int = Field(description="Inputs, outputs, attributes and events, compressed: exact.")
    rest: int = Field(description="Its share, by the number of spans, of rows, indexes and words in the search.")


class ProjectWhole(Project):
    """A project with what it takes on the disk."""

    disk: DiskUse


class Merge(Answer):
    """How far a merge is: what is sent to the one reaches the other from the beginning."""

    id: int
    project: str = Field(description="The name that the merged project had.")
    into: str | None = Field(description="The project that it became part of.")
    state: Literal["waiting", "running", "done", "failed"]
    traces: int = Field(description="Traces moved so far, the newest first.")
    spans: int
    total_traces: int | None
    started_at: str
    finished_at: str | None


class Tokens(Answer):
    """`input` counts every input token, cached ones included; `reasoning` is part of `output`."""

    input: int | None = None
    output: int | None = None
    total: int | None = None
    cached_input: int | None = None
    cache_write: int | None = None
    reasoning: int | None = None
    audio: int | None = None


class Partial(Answer):
    """Why a sum lacks a part, and on how many steps."""

    reasons: list[str]
    span_count: int


class ScoreSum(Answer):
    """A trace's scores of one name and source: the mean of numbers, the most frequent of words."""

    name: str
    value: bool | float | str
    source: Literal["user", "reviewer", "code", "model"]
    count: int


class Score(Answer):
    """What a person or a program thinks of a trace, or of one step of it."""

    id: str
    project: str
    trace_id: str = Field(examples=["4bf92f3577b34da6a3ce929d0e0e4736"])
    span_id: str | None
    name: str = Field(examples=["helpful"])
    value: bool | float | str
    comment: str | None
    source: Literal["user", "reviewer", "code", "model"]
    author: str | None
    created_at: str
    updated_at: str


class Scores(Answer):
    """A page of scores."""

    items: list[Score]
    next_cursor: str | None


class Share(Answer):
    """A read-only link to one trace."""

    id: int
    trace_id: str
    author: str | None
    created_at: str
    expires_at: str


class NewShare(Share):
    """A link as it is told once."""

    url: str


class Shares(Answer):
    """The links that still hold."""

    items: list[Share]
    next_cursor: str | None


class Key(Answer):
    """A key of a project, without its secret."""

    id: int
    project: str
    name: str = Field(examples=["web app"])
    right: Literal["ingest", "read", "full"]
    prefix: str = Field(description="How its secret begins.", examples=["ssi_3vYk2Q"])
    created_at: str
    created_by: str | None
    expires_at: str | None
    last_used_at: str | None = Field(description="Within some ten minutes; null for never.")
    rate_limit: int | None = Field(description="Requests a minute; null where only the server's own limits hold.")


class NewKey(Key):
    """A key as it is told once."""

    key: str


class Keys(Answer):
    """The keys of the projects that you manage."""

    items: list[Key]
    next_cursor: str | None


class RoleHeld(Answer):
    """A role and where it holds: in a project, in every project (null), or on the server."""

    project: str | None
    server: bool
    role: Literal["viewer", "editor", "admin"]


class Person(Answer):
    """Somebody with an account."""

    id: int
    email: str
    name: str | None
    roles: list[RoleHeld] = Field(description="Those in the projects that you manage, and wider ones.")
    created_at: str
    seen_at: str | None = Field(description="null for who has not signed in yet.")


class People(Answer):
    """Everybody with a role in the projects that you manage."""

    items: list[Person]
    next_cursor: str | None


class Invitation(Answer):
    """A one-time link to join, without its secret."""

    id: int
    email: str | None
    project: str | None = Field(description="null: every project, or the server.")
    server: bool
    role: Literal["viewer", "editor", "admin"]
    created_by: str | None
    expires_at: str


class Invitations(Answer):
    """Links that nobody has used yet."""

    items: list[Invitation]
    next_cursor: str | None


class NewInvitation(Answer):
    """What became of an invitation; both are null where the address has an account, which has the role from now on."""

    invitation: Invitation | None
    url: str | None


class OneTimeLink(Answer):
    """A link that works once."""

    url: str
    expires_at: str


KEY_FORM = r"^(?=.*[^*\s])[^*]*(\*[^*]*){0,3}$"
"""An attribute's name with up to three stars, and more than these."""


class RulePattern(Answer):
    """A regular expression in RE2's syntax; what it finds becomes `[masked NAME]`."""

    name: str = Field(min_length=1, max_length=40, examples=["order number"])
    pattern: str = Field(min_length=1, max_length=500, examples=["ORD-\\d{6}"])


class RetentionTag(Answer):
    """How long traces with a tag are kept."""

    tag: str = Field(min_length=1, max_length=200, examples=["debug"])
    days: Annotated[int, Field(ge=1, le=36_500), A_NUMBER] | None = Field(description="null: for ever.")


class Rules(Answer):
    """A project's rules for what comes in, and for how long and how much of it is kept."""

    masks: list[Literal["keys", "secrets", "emails", "cards"]] = Field(
        default_factory=list, max_length=4, description="Built-in masks, the same as the SDK's."
    )
    patterns: list[RulePattern] = Field(default_factory=list, max_length=50)
    keys: list[Annotated[str, Field(json_schema_extra={"pattern": KEY_FORM, "maxLength": 500})]] = Field(
        default_factory=list, max_length=50, description="Attributes whose whole value is hidden; * is any characters."
    )
    content: bool = Field(
        default=True,
        strict=True,
        description="false: only what ran, when, and what it cost is stored, nothing that was said.",
    )
    retention_days: Annotated[int, Field(ge=1, le=36_500), A_NUMBER] | None = Field(
        default=None, description="Days that traces are kept."
    )
    retention_tags: list[RetentionTag] = Field(
        default_factory=list,
        max_length=50,
        description="Other days for traces that have a tag; of several tags the one that keeps it longest counts.",
    )
    max_size: Annotated[int, Field(ge=10**6, le=LAST_NUMBER), A_NUMBER] | None = Field(
        default=None,
        description="Bytes that the project may hold; beyond that the oldest traces go, those kept for ever last.",
    )


class Trial(Answer):
    """What rules leave of a text."""

    text: str


class AuditEntry(Answer):
    """What somebody did."""

    time: str
    who: str | None = Field(description="A person's address or a key's name.")
    kind: str | None = Field(
        description="What they came with: person, token, key, link, or owner of an open server; or it was the server."
    )
    action: str = Field(examples=["deleted"])
    project: str | None
    target: str | None = Field(examples=["trace 4bf92f3577b34da6a3ce929d0e0e4736"])
    detail: str | None
    address: str | None
    request_id: str | None


class AuditLog(Answer):
    """A page of the audit log."""

    items: list[AuditEntry]
    next_cursor: str | None


class TraceSummary(Answer):
    """One trace's roll-up."""

    trace_id: str = Field(examples=["4bf92f3577b34da6a3ce929d0e0e4736"])
    project: str
    name: str
    start_time: str = Field(examples=["2026-11-22T14:03:11.482Z"])
    end_time: str | None
    duration_ms: float | None
    status: StatusWord
    span_count: int
    error_count: int
    llm_call_count: int
    tokens: Tokens | None
    cost_usd: float | None
    cost_source: Literal["computed", "sent", "cache", "mixed"] | None
    models: list[str]
    session_id: str | None
    user_id: str | None
    environment: str | None
    release: str | None
    services: list[str]
    tags: list[str]
    metadata: dict[str, Any]
    input_preview: str | None
    output_preview: str | None
    note: str | None = Field(description="What people wrote about it.")
    scores: list[ScoreSum]
    partial: Partial | None


class SharedTotals(Answer):
    """What the traces of a session or a user come to; of more than 1,000, the newest 1,000."""

    project: str
    name: str = Field(description="The first trace's name.")
    input_preview: str | None = Field(description="What the first trace was asked.")
    first_start: str
    last_start: str
    end_time: str
    working_ms: float | None = Field(description="How long the finished traces took, added up.")
    trace_count: int
    whole: bool = Field(description="False where there are more traces than were counted.")
    failed_count: int = Field(description="Traces that failed.")
    span_count: int
    error_count: int = Field(description="Steps that failed.")
    llm_call_count: int
    tokens: Tokens | None
    cost_usd: float | None
    partial_count: int = Field(description="Steps whose tokens or price are not known.")


class SessionSummary(SharedTotals):
    """One conversation."""

    session_id: str
    user_id: str | None
    user_count: int


class User(SharedTotals):
    """One user."""

    user_id: str
    session_count: int


class Sessions(Answer):
    """A page of conversations, that with the newest trace first."""

    items: list[SessionSummary]
    next_cursor: str | None
    searched_to: str | None = Field(
        None, description="Set when the time for one page was over: how far back it looked; next_cursor goes on."
    )


class Users(Answer):
    """A page of users, who was there last first."""

    items: list[User]
    next_cursor: str | None
    searched_to: str | None = Field(
        None, description="Set when the time for one page was over: how far back it looked; next_cursor goes on."
    )


class Session(SessionSummary):
    """One conversation with its turns, the first one first."""

    items: list[TraceSummary]
    next_cursor: str | None


class Value(Answer):
    """A step's input or output."""

    mime: str
    value: Any
    full_length: int | None = Field(
        default=None, description="Characters that the text had before its client cut it; left out when it did not."
    )


class Cost(Answer):
    """A step's cost by token class."""

    input_usd: float | None
    output_usd: float | None


class Event(Answer):
    """Something at one instant inside a span."""

    name: str
    time: str
    attributes: dict[str, Any]


class Link(Answer):
    """A pointer to a span elsewhere."""

    trace_id: str
    span_id: str


class Scope(Answer):
    """The instrumentation that made a span."""

    name: str
    version: str
    attributes: dict[str, Any]


class Span(Answer):
    """One span; input, output, attributes and events are left out with `bodies=false`."""

    trace_id: str
    span_id: str = Field(examples=["00f067aa0ba902b7"])
    parent_id: str | None
    name: str
    kind: KindWord
    start_time: str
    end_time: str | None
    duration_ms: float | None
    status: StatusWord
    status_message: str | None
    model: str | None
    provider: str | None
    tokens: Tokens | None
    cost_usd: float | None
    cost: Cost | None
    cost_source: Literal["computed", "sent", "cache"] | None
    saved_usd: float | None = Field(description="What a call that the app's own cache answered would have cost.")
    time_to_first_token_ms: float | None
    service: str | None
    dialect: str
    parameters: dict[str, Any] | None = None
    input: Value | None = None
    output: Value | None = None
    input_messages: list[dict[str, Any]] | None = None
    output_messages: list[dict[str, Any]] | None = None
    tools: list[dict[str, Any]] | None = None
    tool: dict[str, Any] | None = None
    documents: list[dict[str, Any]] | None = None
    prompt: dict[str, Any] | None = None
    finish_reasons: list[str] | None = None
    session_id: str | None = None
    user_id: str | None = None
    environment: str | None = None
    release: str | None = None
    tags: list[str] | None = None
    metadata: dict[str, Any] | None = None
    events: list[Event] | None = None
    links: list[Link] | None = None
    resource: dict[str, Any] | None = None
    scope: Scope | None = None
    attributes: dict[str, Any] | None = None
    partial_output: str | None = None
    flags: list[str] | None = None


class Trace(TraceSummary):
    """One trace with every span of it."""

    spans: list[Span]


class FacetValue(Answer):
    """A value and how many of the traces have it."""

    value: str
    count: int


class Facet(Answer):
    """The most frequent values of a field; `more` says how many others there are."""

    field: str = Field(examples=["model"])
    values: list[FacetValue]
    more: int
    traces: int = Field(description="Over how many of the traces, the newest, it was counted.")


class TimeBar(Answer):
    """Traces that began in one interval, and how many of them failed."""

    time: str
    count: int
    errors: int


class Facets(Answer):
    """What the traces that a search finds have in common: the newest of them, or all when `searched_to` is null.

    Each facet says over how many of them it was counted.
    """

    traces: int
    searched_to: str | None
    facets: list[Facet]
    interval_ms: float
    bars: list[TimeBar]


class Completion(Answer):
    """One way to go on in a search: `text` replaces the characters from `start` up to `end`."""

    start: int
    end: int
    text: str = Field(examples=["status:"])
    says: str


class Completions(Answer):
    """Ways to go on in a search."""

    items: list[Completion]


class SavedView(Answer):
    """A search that somebody saved."""

    id: int
    project: str
    name: str = Field(examples=["Slow and failed"])
    q: str = Field(examples=["status:error latency>10s"])
    order: str
    columns: list[str]
    author: str | None
    updated_at: str


class SavedViews(Answer):
    """Saved searches, by name."""

    items: list[SavedView]
    next_cursor: str | None


class Alert(Answer):
    """A saved view with a threshold, and how it stands; of its webhook only the host."""

    id: int
    project: str
    view_id: int
    view: str
    name: str = Field(examples=["Too many fail"])
    measure: Literal["count", "error_rate", "p95_ms", "cost_usd", "score"]
    score: str | None
    side: Literal["above", "below"]
    threshold: float
    window_minutes: int
    webhook: str = Field(examples=["https://hooks.example.com"])
    author: str | None
    muted_until: str | None
    state: Literal["ok", "firing"]
    since: str
    value: float | None = Field(description="What was measured last; null where there was nothing to measure.")
    trace_count: int | None
    whole: bool = Field(description="false: only the newest traces of the window were looked at.")
    checked_at: str | None
    problem: str | None = Field(description="Why it could not be measured the last time.")


class Alerts(Answer):
    """Alerts, first those that fire."""

    items: list[Alert]
    next_cursor: str | None


class AlertEvent(Answer):
    """What became of an alert at a moment, and what its webhook answered."""

    id: int
    at: str
    event: Literal["firing", "ok", "test"]
    value: float | None
    trace_count: int | None
    delivery: Literal["waiting", "sent", "failed", "muted"]
    tries: int
    next_try_at: str | None
    answer: str | None = Field(examples=["HTTP 200"])


class AlertHistory(Answer):
    """What became of an alert, the newest first."""

    items: list[AlertEvent]
    next_cursor: str | None


class AlertTest(Answer):
    """What a webhook answered to a test."""

    ok: bool
    answer: str = Field(examples=["HTTP 200"])


class SearchField(Answer):
    """One field of the search language."""

    name: str = Field(examples=["latency"])
    keyed: bool = Field(description="A dot and a key follow the name, as in `metadata.plan:pro`.")
    takes: Literal["text", "choice", "duration", "money", "count", "any", "words", "group"]
    values: list[str] = Field(description="All that a `choice` can be.")
    finds: str
    of_step: bool = Field(description="Among traces it asks for one of the steps, else for the trace's own value.")
    of_spans: bool = Field(description="It can be asked of spans as well.")
    example: str = Field(examples=["latency>2s"])


class SearchFields(Answer):
    """The search language's fields."""

    items: list[SearchField]


class Deletion(Answer):
    """The receipt of a deletion: `done` once rows, bodies and free space are dealt with."""

    id: int
    project: str | None = Field(description="The project's name; null when it goes through all of them.")
    q: str | None = Field(description="The search by which its traces are found; null for all of a time.")
    by_rule: bool = Field(description="true where nobody asked: the retention of the server or of the project.")
    tag: str | None = Field(description="The tag that its traces have; null for all.")
    to: str | None = Field(description="Its traces started before.")
    max_size: int | None = Field(description="Bytes down to which the project, or the database, is brought.")
    state: Literal["waiting", "running", "done", "failed"]
    traces: int = Field(description="Traces deleted so far.")
    spans: int = Field(description="Spans deleted so far.")
    total_traces: int | None = Field(description="Traces that it is about; null until that is known.")
    started_at: str
    finished_at: str | None


class Deletions(Answer):
    """A page of receipts."""

    items: list[Deletion]
    next_cursor: str | None


class Rejected(Answer):
    """What of a request was refused, and why."""

    count: int
    message: str


class Import(Answer):
    """What an import's lines held, and what of it was refused."""

    traces: int
    spans: int
    scores: int
    rejected: Rejected


Dollars = Annotated[
    Decimal,
    WithJsonSchema(
        {"anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": "^[0-9]{1,9}(\\.[0-9]{1,9})?$"}]}
    ),
]
"""A price: answered as a number, taken as a text as well, so that no digit is lost."""


class OwnPrice(Answer):
    """One entry of your own price table: dollars for a million tokens."""

    model: str = Field(min_length=1, description="As the client sends it, in any case; * stands for any characters.")
    provider: str | None = Field(None, description="Only when this provider is named; * as above.")
    input: Dollars
    output: Dollars | None = None
    cached_input: Dollars | None = None
    cache_write: Dollars | None = None
    from_: str | None = Field(
        None,
        alias="from",
        min_length=1,
        description="The day (UTC) from which on it holds; null for always.",
        json_schema_extra={"format": "date"},
    )


class OwnPrices(Answer):
    """Your own price table, in the file's order."""

    items: list[OwnPrice] = Field(max_length=1_000)


class Projects(Answer):
    """A list of projects."""

    items: list[Project]
    next_cursor: str | None


class Traces(Answer):
    """A page of traces."""

    items: list[TraceSummary]
    next_cursor: str | None
    searched_to: str | None = Field(
        None, description="Set when the time for one page was over: how far back it looked; next_cursor goes on."
    )


class Spans(Answer):
    """A page of spans."""

    items: list[Span]
    next_cursor: str | None
    searched_to: str | None = Field(
        None, description="Set when the time for one page was over: how far back it looked; next_cursor goes on."
    )


class Percentiles(Answer):
    """Milliseconds: the mean is exact, percentiles are within 3 %."""

    mean: float
    p50: float
    p95: float
    p99: float


class Figures(Answer):
    """What a number of finished steps, or of traces, comes to; null where none told of it."""

    count: int
    errors: int
    duration_ms: Percentiles | None
    time_to_first_token_ms: Percentiles | None
    tokens: Tokens | None
    cost_usd: float | None


class MetricPoint(Figures):
    """The steps that began in one interval; `time` is its beginning."""

    time: str


class MetricSeries(Answer):
    """The steps that share a value: null for those that have none, and for all together."""

    value: str | None
    other: bool = Field(description="True for the steps that have no series of their own.")
    totals: Figures
    points: list[MetricPoint] = Field(description="Oldest first; intervals without steps are left out.")


class Metrics(Answer):
    """Series and totals of the finished steps that began in a time, in whole hours (UTC), or of the traces."""

    project: str
    of: Literal["steps", "traces"]
    by: Literal["name", "kind", "model", "status", "user", "tag", "environment", "release", "service"] | None
    interval: str = Field(examples=["5m", "1h", "1d"])
    from_: str = Field(alias="from")
    to: str
    searched_to: str | None = Field(description="Set where the work limit was reached: steps before it are left out.")
    totals: Figures
    series: list[MetricSeries]


class ComparedStep(Answer):
    """A step of one of two traces; tokens and cost are those of all calls at or below it."""

    span_id: str = Field(examples=["00f067aa0ba902b7"])
    name: str
    kind: KindWord
    status: StatusWord
    model: str | None
    duration_ms: float | None
    tokens: int | None
    cost_usd: float | None


class ComparedLine(Answer):
    """Two steps that belong together, or one that only one trace has."""

    state: Literal["same", "changed", "added", "removed"] = Field(
        description="By name, kind, model, failure and a call's own tokens; `added` is in `b` alone, `removed` in `a`."
    )
    moved: bool = Field(description="It is below another step than it was.")
    depth: int
    a: ComparedStep | None
    b: ComparedStep | None
    texts_differ: bool | None = Field(description="Whether input, output or error differ; null where not compared.")


class ComparedCounts(Answer):
    """How many of all steps are in each state."""

    same: int
    changed: int
    added: int
    removed: int
    moved: int


class Comparison(Answer):
    """Two traces and a page of their steps, side by side."""

    a: TraceSummary
    b: TraceSummary
    counts: ComparedCounts
    items: list[ComparedLine]
    next_cursor: str | None


class Health(Answer):
    """The process is alive."""

    status: Literal["ok"]
    version: str


class Readiness(Answer):
    """Whether spans are taken, and why not."""

    status: Literal["ok", "degraded"]
    reason: str | None = None


class IndexStatus(Answer):
    """The search index: what is stored but not yet found is its lag."""

    state: Literal["off", "caught_up", "behind"]
    lag_spans: int
    lag_seconds: float = Field(description="Age of the oldest span that is not indexed yet, in seconds.")
    documents: int = Field(description="Names, inputs, outputs and errors that can be found.")


class Sizes(Answer):
    """Bytes on disk."""

    database_bytes: int
    index_bytes: int


class Rates(Answer):
    """What this process takes in."""

    spans_per_second: float = Field(description="Spans written, over the last minute.")


class ServiceStatus(Answer):
    """How the service is doing."""

    index: IndexStatus
    sizes: Sizes
    rates: Rates
