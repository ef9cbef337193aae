"""Examples for the description of the REST interface: one for every parameter, body and answer."""

from __future__ import annotations

import json
from typing import Any, Final

from tracer.queries.cursor import Cursor, write_cursor

TRACE_ID: Final = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN_ID: Final = "00f067aa0ba902b7"
PROJECT: Final = "support-bot"
TIME: Final = "2026-11-22T14:03:11.482Z"
LATER: Final = "2026-11-22T14:03:14.002Z"
TOKENS: Final = {"input": 812, "output": 64, "total": 876}
COST: Final = 0.00016

PARAMETERS: Final[dict[str, Any]] = {
    "project": PROJECT,
    "order": "-start_time",
    "limit": 50,
    "cursor": write_cursor(Cursor("-start_time", 1_795_437_485_000_000_000, 1)),
    "bodies": True,
    "user": "u-17",
    "user_id": "u-17",
    "session_id": "conversation-17",
    "trace_id": TRACE_ID,
    "alert_id": 1,
    "at": 9,
    "values": 10,
    "by": "model",
    "of": "traces",
    "same": False,
    "view_id": 3,
    "deletion_id": 12,
    "merge_id": 4,
    "confirm": PROJECT,
    "score_id": "ticket-4711",
    "share_id": 5,
    "key_id": 2,
    "person_id": 4,
    "invitation_id": 7,
    "who": "mara@example.com",
    "action": "deleted",
    "format": None,
    "budget": 4000,
    "step": SPAN_ID,
    "against": "0af7651916cd43dd8448eb211c80319c",
}
"""By name; None stands for the parameter's default."""


def _cursor(order: str, more: bytes = b"") -> str:
    return write_cursor(Cursor(order, 1_795_437_485_000_000_000, 1, more))


CURSORS: Final[dict[str, str]] = {
    "/api/v1/spans": _cursor("spans -start_time", b"\0" * 8),
    "/api/v1/traces/{trace_id}/spans": write_cursor(Cursor("tree", 50, 1)),
    "/api/v1/sessions": _cursor("sessions"),
    "/api/v1/sessions/{session_id}": _cursor("session"),
    "/api/v1/users": _cursor("users"),
    "/api/v1/scores": _cursor("scores"),
    "/api/v1/compare": write_cursor(Cursor("compare", 50, 0)),
    "/api/v1/audit": "4711",
}
"""`cursor` of the lists that have cursors of their own, by path."""

SUMMARY: Final[dict[str, Any]] = {
    "trace_id": TRACE_ID,
    "project": PROJECT,
    "name": "answer",
    "start_time": TIME,
    "end_time": LATER,
    "duration_ms": 2520.0,
    "status": "ok",
    "span_count": 2,
    "error_count": 0,
    "llm_call_count": 1,
    "tokens": TOKENS,
    "cost_usd": COST,
    "cost_source": "computed",
    "models": ["gpt-4o-mini"],
    "session_id": "conversation-17",
    "user_id": "u-17",
    "environment": "production",
    "release": "2026.11.3",
    "services": ["web"],
    "tags": ["refund"],
    "metadata": {"plan": "pro"},
    "input_preview": "Can I return this?",
    "output_preview": "Yes, within 30 days.",
    "note": None,
    "scores": [{"name": "helpful", "value": True, "source": "user", "count": 1}],
    "partial": None,
}
SPAN: Final[dict[str, Any]] = {
    "trace_id": TRACE_ID,
    "span_id": SPAN_ID,
    "parent_id": "b7ad6b7169203331",
    "name": "chat gpt-4o-mini",
    "kind": "llm",
    "start_time": TIME,
    "end_time": LATER,
    "duration_ms": 2520.0,
    "status": "ok",
    "status_message": None,
    "model": "gpt-4o-mini",
    "provider": "openai",
    "tokens": TOKENS,
    "cost_usd": COST,
    "cost": {"input_usd": 0.000122, "output_usd": 0.000038},
    "cost_source": "computed",
    "saved_usd": None,
    "time_to_first_token_ms": 310.5,
    "service": "web",
    "dialect": "otel-genai",
}
WHOLE_SPAN: Final[dict[str, Any]] = SPAN | {
    "parameters": {"temperature": 0.2},
    "input": None,
    "output": None,
    "input_messages": [{"role": "user", "parts": [{"type": "text", "content": "Can I return this?"}]}],
    "output_messages": [{"role": "assistant", "parts": [{"type": "text", "content": "Yes, within 30 days."}]}],
    "tools": [],
    "tool": None,
    "documents": None,
    "prompt": None,
    "finish_reasons": ["stop"],
    "session_id": "conversation-17",
    "user_id": "u-17",
    "environment": "production",
    "release": "2026.11.3",
    "tags": ["refund"],
    "metadata": {"plan": "pro"},
    "events": [],
    "links": [],
    "resource": {"service.name": "web"},
    "scope": {"name": "opentelemetry.instrumentation.openai_v2", "version": "2.1", "attributes": {}},
    "attributes": {"gen_ai.request.model": "gpt-4o-mini"},
    "partial_output": None,
    "flags": [],
}
_TOTALS = {
    "project": PROJECT,
    "name": "answer",
    "input_preview": "Can I return this?",
    "first_start": TIME,
    "last_start": TIME,
    "end_time": LATER,
    "working_ms": 2520.0,
    "trace_count": 1,
    "whole": True,
    "failed_count": 0,
    "span_count": 2,
    "error_count": 0,
    "llm_call_count": 1,
    "tokens": TOKENS,
    "cost_usd": COST,
    "partial_count": 0,
}
_SESSION = {"session_id": "conversation-17", "user_id": "u-17", "user_count": 1, **_TOTALS}
_DURATION = {"mean": 2520.0, "p50": 2510.0, "p95": 2980.0, "p99": 3010.0}
_FIGURES = {
    "count": 41,
    "errors": 1,
    "duration_ms": _DURATION,
    "time_to_first_token_ms": {"mean": 320.0, "p50": 310.0, "p95": 400.0, "p99": 410.0},
    "tokens": TOKENS,
    "cost_usd": 0.0066,
}
_STEP = {
    "span_id": SPAN_ID,
    "name": "chat gpt-4o-mini",
    "kind": "llm",
    "status": "ok",
    "model": "gpt-4o-mini",
    "duration_ms": 2520.0,
    "tokens": 876,
    "cost_usd": COST,
}
_SCORE = {
    "id": "ticket-4711",
    "project": PROJECT,
    "trace_id": TRACE_ID,
    "span_id": None,
    "name": "helpful",
    "value": True,
    "comment": "Spot on.",
    "source": "user",
    "author": "web app",
    "created_at": LATER,
    "updated_at": LATER,
}
_SHARE = {
    "id": 5,
    "trace_id": TRACE_ID,
    "author": "mara@example.com",
    "created_at": TIME,
    "expires_at": "2026-11-29T14:03:11.482Z",
}
_KEY = {
    "id": 2,
    "project": PROJECT,
    "name": "web app",
    "right": "ingest",
    "prefix": "ssi_3vYk2Q",
    "created_at": TIME,
    "created_by": "mara@example.com",
    "expires_at": None,
    "last_used_at": None,
    "rate_limit": None,
}
_PERSON: dict[str, Any] = {
    "id": 4,
    "email": "ada@example.com",
    "name": "Ada",
    "roles": [{"project": PROJECT, "server": False, "role": "editor"}],
    "created_at": TIME,
    "seen_at": LATER,
}
_INVITATION: dict[str, Any] = {
    "id": 7,
    "email": "ada@example.com",
    "project": PROJECT,
    "server": False,
    "role": "editor",
    "created_by": "mara@example.com",
    "expires_at": "2026-11-29T14:03:11.482Z",
}
_JOIN: Final = "https://traces.example.com/join/3vYk2QbXn0"
_VIEW: dict[str, Any] = {
    "id": 3,
    "project": PROJECT,
    "name": "Slow and failed",
    "q": "status:error latency>10s",
    "order": "-start_time",
    "columns": [],
    "author": None,
    "updated_at": TIME,
}
_RECEIPT = {
    "id": 12,
    "project": PROJECT,
    "q": None,
    "by_rule": False,
    "tag": None,
    "to": None,
    "max_size": None,
    "state": "done",
    "traces": 1,
    "spans": 2,
    "total_traces": 1,
    "started_at": TIME,
    "finished_at": LATER,
}
_RULES = {
    "masks": ["secrets", "emails"],
    "patterns": [{"name": "order number", "pattern": "ORD-\\d{6}"}],
    "keys": ["user.phone"],
    "content": True,
    "retention_days": 90,
    "retention_tags": [{"tag": "debug", "days": 3}, {"tag": "golden", "days": None}],
    "max_size": 20_000_000_000,
}
_PRICES = {
    "items": [
        {
            "model": "acme-large*",
            "provider": None,
            "input": 3.0,
            "output": 15.0,
            "cached_input": 0.3,
            "cache_write": None,
            "from": "2026-11-01",
        }
    ]
}
_OTLP = {
    "resourceSpans": [
        {
            "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "web"}}]},
            "scopeSpans": [
                {
                    "scope": {"name": "by hand"},
                    "spans": [
                        {
                            "traceId": TRACE_ID,
                            "spanId": SPAN_ID,
                            "name": "answer",
                            "startTimeUnixNano": "1795356191482000000",
                            "endTimeUnixNano": "1795356194002000000",
                        }
                    ],
                }
            ],
        }
    ]
}
_LOGS = {
    "resourceLogs": [
        {"scopeLogs": [{"logRecords": [{"traceId": TRACE_ID, "spanId": SPAN_ID, "body": {"stringValue": "retried"}}]}]}
    ]
}
_LINE = json.dumps({"project": PROJECT, "trace_id": TRACE_ID, "otlp": _OTLP}, separators=(",", ":")) + "\n"


def _page(*items: Any) -> dict[str, Any]:
    return {"items": list(items), "next_cursor": None}


_ALERT_IN: Final = {
    "view_id": 1,
    "name": "Too many fail",
    "measure": "error_rate",
    "threshold": 5,
    "window_minutes": 15,
    "url": "https://hooks.example.com/services/T0/B0",
}
_ALERT: Final = {
    "id": 1,
    "project": PROJECT,
    "view_id": 1,
    "view": "Slow and failed",
    "name": "Too many fail",
    "measure": "error_rate",
    "score": None,
    "side": "above",
    "threshold": 5.0,
    "window_minutes": 15,
    "webhook": "https://hooks.example.com",
    "author": "mara@example.com",
    "muted_until": None,
    "state": "firing",
    "since": "2026-11-22T14:00:30Z",
    "value": 7.5,
    "trace_count": 40,
    "whole": True,
    "checked_at": "2026-11-22T14:05:00Z",
    "problem": None,
}

_PROJECT: Final[dict[str, Any]] = {
    "name": PROJECT,
    "slug": PROJECT,
    "trace_count": 1,
    "span_count": 2,
    "first_seen": TIME,
    "last_seen": TIME,
    "other_names": ["support-bot-v1"],
    "retention_days": None,
}
_MERGE: Final[dict[str, Any]] = {
    "id": 4,
    "project": "support-bot-v1",
    "into": PROJECT,
    "state": "running",
    "traces": 1_200,
    "spans": 9_600,
    "total_traces": 40_000,
    "started_at": TIME,
    "finished_at": None,
}

BODIES: Final[dict[tuple[str, str], Any]] = {
    ("POST", "/v1/traces"): _OTLP,
    ("POST", "/v1/logs"): _LOGS,
    ("POST", "/v1/metrics"): {"resourceMetrics": []},
    ("POST", "/api/v1/import"): _LINE,
    ("PATCH", "/api/v1/traces/{trace_id}"): {"tags": ["golden"], "note": "Good example of a refund."},
    ("PATCH", "/api/v1/projects/{slug}"): {"name": PROJECT},
    ("POST", "/api/v1/projects/{slug}/merge"): {"into": PROJECT},
    ("POST", "/api/v1/views"): {"project": PROJECT, "name": "Slow and failed", "q": "status:error latency>10s"},
    ("POST", "/api/v1/alerts"): _ALERT_IN,
    ("PUT", "/api/v1/alerts/{alert_id}"): _ALERT_IN,
    ("PUT", "/api/v1/alerts/{alert_id}/mute"): {"until": "2026-11-24T08:00:00Z"},
    ("POST", "/api/v1/scores"): {"trace_id": TRACE_ID, "name": "helpful", "value": True, "source": "user"},
    ("POST", "/api/v1/shares"): {"trace_id": TRACE_ID, "days": 7},
    ("POST", "/api/v1/keys"): {"project": PROJECT, "name": "web app", "right": "ingest"},
    ("POST", "/api/v1/keys/{key_id}/rotate"): {"keep_old_hours": 24},
    ("PUT", "/api/v1/people/{person_id}/role"): {"project": PROJECT, "role": "editor"},
    ("POST", "/api/v1/invitations"): {"email": "ada@example.com", "project": PROJECT, "role": "editor"},
    ("PUT", "/api/v1/rules"): _RULES,
    ("POST", "/api/v1/rules/trial"): {"text": "Write to mara@example.com", "rules": {"masks": ["emails"]}},
    ("PUT", "/api/v1/prices"): _PRICES,
}

ANSWERS: Final[dict[tuple[str, str], Any]] = {
    ("POST", "/v1/traces"): {},
    ("POST", "/v1/logs"): {},
    ("POST", "/v1/metrics"): {"partialSuccess": {"errorMessage": "Metrics are not stored here; traces and logs are."}},
    ("GET", "/api/v1/projects"): _page(_PROJECT),
    ("GET", "/api/v1/projects/{slug}"): _PROJECT | {"disk": {"bodies": 1_830, "rest": 2_200}},
    ("PATCH", "/api/v1/projects/{slug}"): _PROJECT,
    ("POST", "/api/v1/projects/{slug}/merge"): _MERGE,
    ("GET", "/api/v1/merges/{merge_id}"): _MERGE,
    ("DELETE", "/api/v1/projects/{slug}"): _RECEIPT,
    ("GET", "/api/v1/traces"): _page(SUMMARY),
    ("DELETE", "/api/v1/traces"): _RECEIPT,
    ("GET", "/api/v1/traces/{trace_id}"): SUMMARY | {"spans": [WHOLE_SPAN]},
    ("DELETE", "/api/v1/traces/{trace_id}"): _RECEIPT,
    ("PATCH", "/api/v1/traces/{trace_id}"): SUMMARY | {"note": "Good example of a refund."},
    ("GET", "/api/v1/traces/{trace_id}/spans"): _page(WHOLE_SPAN),
    ("GET", "/api/v1/traces/{trace_id}/spans/{span_id}"): WHOLE_SPAN,
    ("GET", "/api/v1/traces/{trace_id}/export"): json.dumps(_OTLP, separators=(",", ":")) + "\n",
    ("GET", "/api/v1/traces/{trace_id}/markdown"): f"# answer\n\nok, 2.52 s, 2 steps · trace {TRACE_ID}\n",
    ("GET", "/api/v1/spans"): _page(SPAN),
    ("GET", "/api/v1/fields"): {
        "items": [
            {
                "name": "latency",
                "keyed": False,
                "takes": "duration",
                "values": [],
                "finds": "how long it took",
                "of_step": False,
                "of_spans": True,
                "example": "latency>2s",
            }
        ]
    },
    ("GET", "/api/v1/completions"): {"items": [{"start": 0, "end": 9, "text": "status:error", "says": "it failed"}]},
    ("GET", "/api/v1/facets"): {
        "traces": 41,
        "searched_to": None,
        "facets": [{"field": "status", "values": [{"value": "ok", "count": 40}], "more": 1, "traces": 41}],
        "interval_ms": 3_600_000.0,
        "bars": [{"time": "2026-11-22T14:00:00Z", "count": 41, "errors": 1}],
    },
    ("GET", "/api/v1/views"): _page(_VIEW),
    ("POST", "/api/v1/views"): _VIEW,
    ("GET", "/api/v1/alerts"): _page(_ALERT),
    ("POST", "/api/v1/alerts"): _ALERT,
    ("PUT", "/api/v1/alerts/{alert_id}"): _ALERT,
    ("PUT", "/api/v1/alerts/{alert_id}/mute"): {**_ALERT, "muted_until": "2026-11-24T08:00:00Z"},
    ("POST", "/api/v1/alerts/{alert_id}/test"): {"ok": True, "answer": "HTTP 200"},
    ("GET", "/api/v1/alerts/{alert_id}/history"): _page(
        {
            "id": 12,
            "at": "2026-11-22T14:00:30Z",
            "event": "firing",
            "value": 7.5,
            "trace_count": 40,
            "delivery": "sent",
            "tries": 1,
            "next_try_at": None,
            "answer": "HTTP 200",
        }
    ),
    ("GET", "/api/v1/deletions"): _page(_RECEIPT),
    ("GET", "/api/v1/deletions/{deletion_id}"): _RECEIPT,
    ("GET", "/api/v1/export"): _LINE,
    ("POST", "/api/v1/import"): {"traces": 1, "spans": 2, "scores": 1, "rejected": {"count": 0, "message": ""}},
    ("GET", "/api/v1/metrics"): {
        "project": PROJECT,
        "of": "steps",
        "by": "model",
        "interval": "1h",
        "from": "2026-11-22T00:00:00Z",
        "to": "2026-11-23T00:00:00Z",
        "searched_to": None,
        "totals": _FIGURES,
        "series": [
            {
                "value": "gpt-4o-mini",
                "other": False,
                "totals": _FIGURES,
                "points": [{"time": "2026-11-22T14:00:00Z", **_FIGURES}],
            }
        ],
    },
    ("GET", "/api/v1/compare"): {
        "a": SUMMARY | {"trace_id": "0af7651916cd43dd8448eb211c80319c"},
        "b": SUMMARY,
        "counts": {"same": 1, "changed": 1, "added": 0, "removed": 0, "moved": 0},
        "items": [{"state": "changed", "moved": False, "depth": 1, "a": _STEP, "b": _STEP, "texts_differ": True}],
        "next_cursor": None,
    },
    ("GET", "/api/v1/live"): (
        f'event: ready\ndata: {{}}\n\nevent: traces\ndata: {{"project":"{PROJECT}","trace_ids":["{TRACE_ID}"]}}\n\n'
    ),
    ("GET", "/api/v1/sessions"): _page(_SESSION),
    ("GET", "/api/v1/sessions/{session_id}"): _SESSION | _page(SUMMARY),
    ("GET", "/api/v1/users"): _page({"user_id": "u-17", "session_count": 1, **_TOTALS}),
    ("POST", "/api/v1/scores"): _SCORE,
    ("GET", "/api/v1/scores"): _page(_SCORE),
    ("POST", "/api/v1/shares"): _SHARE | {"url": "https://stepscope.example.com/shared/sst_9hW2"},
    ("GET", "/api/v1/shares"): _page(_SHARE),
    ("GET", "/api/v1/keys"): _page(_KEY),
    ("POST", "/api/v1/keys"): _KEY | {"key": "ssi_3vYk2QbXn0"},
    ("POST", "/api/v1/keys/{key_id}/rotate"): _KEY | {"key": "ssi_7Lw1RcYp4m"},
    ("GET", "/api/v1/audit"): _page(
        {
            "time": TIME,
            "who": "mara@example.com",
            "kind": "person",
            "action": "deleted",
            "project": PROJECT,
            "target": f"trace {TRACE_ID}",
            "detail": None,
            "address": "192.0.2.7",
            "request_id": "5f0c8a2e",
        }
    ),
    ("GET", "/api/v1/people"): _page(_PERSON),
    ("PUT", "/api/v1/people/{person_id}/role"): _PERSON,
    ("POST", "/api/v1/people/{person_id}/reset"): {"url": _JOIN, "expires_at": LATER},
    ("GET", "/api/v1/invitations"): _page(_INVITATION),
    ("POST", "/api/v1/invitations"): {"invitation": _INVITATION, "url": _JOIN},
    ("GET", "/api/v1/rules"): _RULES,
    ("PUT", "/api/v1/rules"): _RULES,
    ("POST", "/api/v1/rules/trial"): {"text": "Write to [masked email]"},
    ("GET", "/api/v1/prices"): _PRICES,
    ("PUT", "/api/v1/prices"): _PRICES,
    ("GET", "/api/v1/status"): {
        "index": {"state": "caught_up", "lag_spans": 0, "lag_seconds": 0.0, "documents": 84},
        "sizes": {"database_bytes": 1_048_576, "index_bytes": 40_960},
        "rates": {"spans_per_second": 12.5},
    },
    ("GET", "/healthz"): {"status": "ok", "version": "1.0.0"},
    ("GET", "/readyz"): {"status": "ok"},
    ("GET", "/metrics"): "# TYPE stepscope_spans_written_total counter\nstepscope_spans_written_total 84\n",
}
