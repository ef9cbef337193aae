"""Looks words up: in the index, and in the texts what the index cannot tell (pieces in a row)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tracer.search.documents import Fragment, digest
from tracer.search.lookup import Index
from tracer.search.query import Reading, Term, meets
from tracer.search.seen import Entry, decode_entries
from tracer.search.slices import StepReader
from tracer.store.sql import Sql

Pair = tuple[int, bytes]
"""(trace's row number, span id)."""

Documents = dict[int, list[tuple[int, int]]]
"""By trace: (entry, side)."""


def is_sure(term: Term) -> bool:
    """Whether the index alone tells who meets a term."""
    return all(reading.sure for reading in term.readings)


class Words:
    """Who meets terms, as one read transaction sees it."""

    def __init__(self, sql: Sql, index: Index) -> None:
        self._sql = sql
        self._index = index

    def likely(self, terms: Sequence[Term], pks: Iterable[int]) -> set[int]:
        """The traces that may meet every term, as far as the index can tell."""
        return self._index.meeting(terms, list(pks))

    def traces(self, terms: Sequence[Term], pks: set[int]) -> set[int]:
        """The traces that meet every term, each in any of their steps."""
        left = self.likely(terms, pks)
        texts: _Texts | None = None
        for term in terms:
            if is_sure(term) or not left:
                continue
            met: set[int] = set()
            for reading in term.readings:
                found = self._index.documents(term, reading, left - met)
                if reading.sure:
                    met |= found.keys()
                    continue
                texts = texts or _Texts(self._sql, left)
                met |= {pk for pk, _ in texts.having(reading, found)}
            left = met
        return left

    def steps(self, term: Term, pks: set[int], *, exact: bool) -> set[Pair]:
        """The steps that brought a text which meets a term; without `exact`, all that may."""
        found: set[Pair] = set()
        texts: _Texts | None = None
        for reading in term.readings:
            documents = self._index.documents(term, reading, pks)
            if not documents:
                continue
            texts = texts or _Texts(self._sql, set(pks))
            found |= texts.having(reading, documents) if exact and not reading.sure else texts.steps(documents)
        return found


class _Texts:
    """The texts that some traces' entries brought to the index."""

    def __init__(self, sql: Sql, pks: set[int]) -> None:
        self._sql = sql
        self._reader = StepReader(sql)
        self._reader.open(sorted(pks))
        self._entries: dict[int, Entry] = {}
        self._found: dict[tuple[int, bytes], list[tuple[bytes, Fragment]]] = {}
        for row in sql.rows_in("SELECT entry, data FROM search_seen WHERE trace_pk IN ({keys})", sorted(pks)):
            self._entries |= dict(enumerate(decode_entries(row.data), row.entry))

    def steps(self, documents: Documents) -> set[Pair]:
        """The steps that brought the named documents."""
        return {(pk, self._entries[entry][0]) for pk, found in documents.items() for entry, _ in found}

    def having(self, reading: Reading, documents: Documents) -> set[Pair]:
        """The steps of the named documents that have a reading's pieces in a row."""
        self._read({pk: {self._entries[entry][0] for entry, _ in found} for pk, found in documents.items()})
        return {
            (pk, self._entries[entry][0])
            for pk, found in documents.items()
            for entry, side in found
            if any(meets(text, reading) for text in self._of(pk, entry, side))
        }

    def _read(self, steps: dict[int, set[bytes]]) -> None:
        rows = self._reader.rows(
            {pk: {one for one in ids if (pk, one) not in self._found} for pk, ids in steps.items()}
        )
        self._reader.fetch_packs(rows)
        for pk, of_trace in rows.items():
            bodies = self._reader.reader(pk)
            for row in of_trace:
                self._found[pk, row.span_id] = [(digest(one), one) for one in self._reader.fragments(row, bodies)]

    def _of(self, pk: int, entry: int, side: int) -> list[str]:
        span_id, digests = self._entries[entry]
        return [text for mark, (where, text) in self._found.get((pk, span_id), ()) if where == side and mark in digests]
