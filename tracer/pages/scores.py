"""What people, code and models think of the traces: by name how scores spread and went, and the newest ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fastapi import APIRouter, Request, Response

from tracer.errors import BadRequest
from tracer.pages.addresses import url
from tracer.pages.page import caller_of, reading, render, unix_now
from tracer.pages.ranges import Range, read_range
from tracer.pages.words import SOURCES
from tracer.queries.added import scores
from tracer.queries.projects import project_by_slug, projects
from tracer.queries.rows import ProjectRow, ScoreLine, ScoreRow, ScoreTable
from tracer.queries.score_table import BARS, score_table
from tracer.search.tree import Is, Pattern, show

router = APIRouter(include_in_schema=False)

PER_PAGE = 50
TALL, WIDE = 20, 90
"""Of a trend, in its own units."""


@dataclass(frozen=True, slots=True)
class ScoresPage:
    """The lines of the table, and the newest scores of those that are asked for."""

    project: ProjectRow
    projects: Sequence[ProjectRow]
    range: Range
    here: str
    name: str | None
    source: str | None
    table: ScoreTable
    newest: Sequence[ScoreRow]
    after: str | None
    next_cursor: str | None

    @property
    def query(self) -> dict[str, str | None]:
        """The address's query."""
        return {**self.range.query, "name": self.name, "source": self.source}

    @property
    def lines(self) -> list[ScoreLine]:
        """Those that are asked for."""
        return [
            line for line in self.table.lines if self.name in (None, line.name) and self.source in (None, line.source)
        ]

    def trend(self, line: ScoreLine) -> str:
        """The points of the trend's line."""
        step = WIDE / (BARS - 1)
        height = line.high - line.low
        return " ".join(
            f"{place * step:.1f},{1 + (TALL - 2) * (1 - (mean - line.low) / height):.1f}" for place, mean in line.means
        )

    def search(self, line: ScoreLine) -> str:
        """The search for the traces with such a score."""
        return show(Is("score", (Pattern(("", "")),), line.name))


@router.get("/p/{slug}/scores")
def show_scores(
    request: Request,
    slug: str,
    range: str | None = None,
    name: str | None = None,
    source: str | None = None,
    after: str | None = None,
) -> Response:
    """The page; `name` and `source` keep some of the scores."""
    if source is not None and source not in SOURCES:
        raise BadRequest(f"{source[:20]!r} is no source: use one of {', '.join(SOURCES)}.", field="source")
    given = request.query_params
    shown = read_range(range, given.get("from"), given.get("to"), now=unix_now(), usual="30d")
    scope = caller_of(request).scope
    with reading(request) as conn:
        project = project_by_slug(conn, scope=scope, slug=slug)
        newest = scores(
            conn, scope=scope, project_id=project.id, name=name or None, source=source, after=after, limit=PER_PAGE
        )
        page = ScoresPage(
            project=project,
            projects=projects(conn, scope=scope),
            range=shown,
            here=url(request, "/p/{slug}/scores", slug=slug),
            name=name or None,
            source=source,
            table=score_table(conn, scope=scope, project_id=project.id, since=shown.since, until=shown.until),
            newest=newest.items,
            after=after,
            next_cursor=newest.next_cursor,
        )
    return render(request, "scores/scores.html", page)
