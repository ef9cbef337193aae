"""Imports, scores and deletions by a process that opens the database itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from pydantic import ValidationError

from tracer.api import shape
from tracer.api.imports import prepared
from tracer.api.scores import ScoreIn
from tracer.errors import BadRequest, DatabaseAway, NotFound, Unavailable
from tracer.ingest.deleter import Deleter
from tracer.ingest.people import NewScore, put_score
from tracer.ingest.prepare import DEFAULT_PROJECT, PreparedSpan, prepare, project_name, project_of
from tracer.ingest.privacy import Privacy
from tracer.ingest.receipts import Receipt
from tracer.ingest.restore import put_back, read_lines
from tracer.ingest.retention import Retention
from tracer.ingest.writer import Writer
from tracer.otlp.decode import Rejections, decode_logs, decode_traces
from tracer.otlp.records import LogRecord
from tracer.otlp.text import clean
from tracer.prices import PriceBook
from tracer.queries.added import score_by_id
from tracer.queries.projects import project_id_by_name
from tracer.queries.scope import EVERYTHING
from tracer.queries.traces import trace_by_id, traces_of_id
from tracer.queries.walk import Wanted
from tracer.search.status import index_status
from tracer.search.tree import show
from tracer.search.worker import Indexer
from tracer.settings import Settings
from tracer.sources.source import Answer, Batch, Taken
from tracer.store.engine import Store
from tracer.store.projects import ProjectIds
from tracer.store.sql import Sql
from tracer.units import rfc3339

T = TypeVar("T")
TRIES = 30
"""How often, a second apart, a database that is busy or away is asked again."""

LOOK_EVERY_S = 0.5


class LocalChanges:
    """What a command changes in a store, through a writer of its own."""

    def __init__(self, store: Store, settings: Settings, prices: PriceBook) -> None:
        if store.read_only:
            raise DatabaseAway(f"{store.description} cannot be written.")
        self._store = store
        self._prices = prices
        self._retention = Retention(settings.retention_days, settings.max_size)
        self._privacy = Privacy(store)
        self._searching = settings.search == "on"
        self._writer = Writer(store, prices=prices, on_commit=lambda _: None, search=self._searching)
        self._writer.start()

    def close(self) -> None:
        """Write what is under way."""
        self._writer.stop()

    def take(self, batch: Batch, taken: Taken, *, project: str | None = None) -> None:
        """Store a batch; what is there already stays as it is."""
        if batch.kind == "own":
            self._take_own(batch.body, taken, project)
        elif batch.kind == "traces":
            decoded = decode_traces(batch.body, json=batch.json)
            young = self._retention.refuse_old(decoded.spans, lambda span: span.start_time, decoded.rejected)
            young = self._privacy.hold(young, project, decoded.rejected)
            spans = prepare(young, asked_project=project, prices=self._prices)
            self._commit(spans, (), decoded.rejected, taken)
        else:
            found = decode_logs(batch.body, json=batch.json)
            logs = self._privacy.hold(found.logs, project, found.rejected)
            self._commit((), [(project_of(log, project), log) for log in logs], found.rejected, taken)

    def _take_own(self, body: bytes, taken: Taken, project: str | None) -> None:
        restored = read_lines(body, project=project)
        spans, logs = prepared(restored, self._retention, self._privacy, self._prices)
        self._commit(spans, logs, restored.rejected, taken)
        if restored.added:
            writer = self._writer
            _, refused = patiently(
                lambda: writer.run(
                    lambda connection: put_back(Sql(connection), restored.added, now=time.time_ns())
                ).result()
            )
            taken.rejected.update(refused.reasons)
            taken.scores += sum(len(one.scores) for one in restored.added)

    def _commit(
        self,
        spans: Sequence[PreparedSpan],
        logs: Sequence[tuple[str, LogRecord]],
        rejected: Rejections,
        taken: Taken,
    ) -> None:
        writer = self._writer
        if spans or logs:
            rejected.reasons.update(patiently(lambda: writer.submit(spans, logs).result()).reasons)
        taken.spans += len(spans)
        taken.logs += len(logs)
        taken.rejected.update(rejected.reasons)

    def settle(self, told: Callable[[int], None]) -> None:
        """Index what was taken in; ends early where a server on the same database is at it already."""
        if not self._searching:
            return
        indexer = Indexer(self._store, on=True, busy=lambda: False)
        try:
            while patiently(indexer.step):
                with self._store.reading() as conn:
                    told(index_status(Sql(conn), on=True).lag_spans)
        finally:
            indexer.stop()

    def score(self, facts: Answer) -> Answer:
        """Score a trace or a step."""
        try:
            given = ScoreIn.model_validate(facts)
        except ValidationError as problem:
            first = problem.errors()[0]
            where = str(first["loc"][0]) if first["loc"] else "score"
            raise BadRequest(f"{where}: {first['msg'].removeprefix('Value error, ')}.", field=where) from None
        new = NewScore(
            trace_id=bytes.fromhex(given.trace_id),
            span_id=None if given.span_id is None else bytes.fromhex(given.span_id),
            name=clean(given.name).strip(),
            value=given.value,
            comment=clean(given.comment).strip() or None if given.comment else None,
            source=given.source,
            author="",
            id=given.id,
        )
        project = self._project_of(given.trace_id, given.project)

        def work(sql: Sql) -> int:
            now = time.time_ns()
            project_id = ProjectIds().resolve(sql, [project], now)[project]
            put_score(sql, new, project_id=project_id, now=now)
            return project_id

        writer = self._writer
        project_id = patiently(lambda: writer.run(lambda connection: work(Sql(connection))).result())
        with self._store.reading() as conn:
            return shape.score(score_by_id(conn, scope=EVERYTHING, score_id=new.identity, project_id=project_id))

    def _project_of(self, trace_id: str, asked: str | None) -> str:
        if asked and asked.strip():
            return project_name(clean(asked))
        try:
            with self._store.reading() as conn:
                return trace_by_id(conn, scope=EVERYTHING, trace_id=trace_id).project
        except NotFound:
            return DEFAULT_PROJECT

    def delete_trace(self, trace_id: str, *, project: str | None = None) -> Answer:
        """Delete one trace for good."""
        with self._store.reading() as conn:
            project_id = project_id_by_name(conn, scope=EVERYTHING, name=project) if project else None
            found = traces_of_id(conn, scope=EVERYTHING, trace_id=trace_id.lower(), project_id=project_id)
        if len(found) > 1:
            raise BadRequest("This id is in more than one project: name the one that is meant.", field="project")
        deleter = self._deleter()
        return _receipt(
            self._finished(
                deleter, patiently(lambda: deleter.delete_trace(found[0].id, project_id=found[0].project_id))
            )
        )

    def delete_traces(self, wanted: Wanted) -> Answer:
        """Delete what a project has of a time, or what a search finds in it, for good."""
        if wanted.project_id is None:
            raise BadRequest("Name the project whose traces are to be deleted.", field="project")
        deleter = self._deleter()
        q = None if wanted.search is None else show(wanted.search)
        asked = patiently(
            lambda: deleter.ask(project_id=wanted.project_id, since=wanted.since, until=wanted.until, q=q)
        )
        return _receipt(self._finished(deleter, asked))

    def _deleter(self) -> Deleter:
        return Deleter(self._store, self._writer, on_commit=lambda _: None, polite=True)

    @staticmethod
    def _finished(deleter: Deleter, receipt: Receipt) -> Receipt:
        """Carry a deletion out here, or wait until a server that has taken it up is done."""
        while receipt.state not in ("done", "failed"):
            if not patiently(partial(deleter.carry_out, receipt.id)):
                time.sleep(LOOK_EVERY_S)
            receipt = patiently(partial(deleter.receipt, receipt.id))
        return receipt


def patiently(ask: Callable[[], T]) -> T:
    """Ask again while another process has the database, up to half a minute."""
    for _ in range(TRIES):
        try:
            return ask()
        except Unavailable:
            time.sleep(1)
    return ask()


def _receipt(receipt: Receipt) -> Answer:
    return {
        "id": receipt.id,
        "q": receipt.q,
        "state": receipt.state,
        "traces": receipt.traces,
        "spans": receipt.spans,
        "total_traces": receipt.total_traces,
        "started_at": rfc3339(receipt.started_at),
        "finished_at": None if receipt.finished_at is None else rfc3339(receipt.finished_at),
    }
