"""Which projects a caller may see: every query takes one."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import ColumnElement, true


@dataclass(frozen=True, slots=True)
class Scope:
    """The projects that a caller may see; `project_ids` None means all of them."""

    project_ids: frozenset[int] | None = None

    def allows(self, project_id: int) -> bool:
        """True when the caller may see the project."""
        return self.project_ids is None or project_id in self.project_ids

    def condition(self, column: ColumnElement[int]) -> ColumnElement[bool]:
        """The condition that holds a query to these projects."""
        return true() if self.project_ids is None else column.in_(sorted(self.project_ids))


EVERYTHING = Scope()

NOTHING = Scope(frozenset())
