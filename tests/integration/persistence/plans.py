"""How a database carries out the statements that it is sent, by its own word, and what must not be among that."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from sqlalchemy import Engine, event

GROWING = ("workflow_runs", "submissions", "polls", "run_details", "run_events", "task_logs")
"""Tables that hold, or have to do with, more runs each day."""

_numbers = count(1)

_EXPLAINED = re.compile(r"\s*(SELECT|WITH|INSERT|UPDATE|DELETE)\b", re.IGNORECASE)
_POSTGRESQL_SCANS = ("Seq Scan", "Index Scan", "Index Only Scan", "Bitmap Heap Scan", "Bitmap Index Scan", "Tid Scan")
_SQLITE_ACCESS = re.compile(r"(?P<how>SCAN|SEARCH) (?P<table>\w+)(?: USING (?P<index>.*))?")
_INDEX_NAME = re.compile(r"INDEX (\w+)")


@dataclass(frozen=True, slots=True)
class Access:
    """One way in which a statement comes to the rows of a table.

    Attributes:
        is_limited: whether only a part of the table, or of an index, is gone through.
        rows: how many were gone through; None where the database does not tell.
        words: the database's own.
    """

    table: str
    is_limited: bool
    rows: int | None
    words: str


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement that was sent, and how it is carried out."""

    sql: str
    accesses: Sequence[Access]

    def complaints(self, *, most_rows: int) -> Iterator[str]:
        """Ways to the rows of growing tables that cost more with each run that has ever been."""
        for access in self.accesses:
            is_whole = not access.is_limited and not self._may_go_through(access.table)
            if access.table in GROWING and (is_whole or (access.rows or 0) > most_rows):
                yield f"{access.words} [{access.rows} rows] in: {' '.join(self.sql.split())}"

    def _may_go_through(self, table: str) -> bool:
        """Whether a service has ended a run by itself is told by its row alone: each that is followed is looked at."""
        return table == "polls" and "polls.cancel_again_at IS NULL" in self.sql


@dataclass
class Watch:
    """Notes how each statement is carried out that goes to the driver."""

    engine: Engine
    statements: list[Statement] = field(default_factory=list)

    @contextmanager
    def listening(self) -> Iterator["Watch"]:
        """Take note for a while."""
        event.listen(self.engine, "before_cursor_execute", self._note)
        try:
            yield self
        finally:
            event.remove(self.engine, "before_cursor_execute", self._note)

    def _note(self, connection: Any, _cursor: Any, sql: str, parameters: Any, _context: Any, _many: bool) -> None:
        if not _EXPLAINED.match(sql):
            return
        explain = _postgresql_accesses if self.engine.dialect.name == "postgresql" else _sqlite_accesses
        cursor = connection.connection.cursor()
        try:
            accesses = explain(cursor, sql, parameters[0] if isinstance(parameters, list) else parameters)
        finally:
            cursor.close()
        self.statements.append(Statement(sql, list(accesses)))


def _postgresql_accesses(cursor: Any, sql: str, parameters: Any) -> Sequence[Access]:
    """It is carried out for once, and undone: only that tells how many rows were gone through."""
    cursor.execute("SELECT indexrelid::regclass::text FROM pg_index WHERE indpred IS NOT NULL")
    partial = {name for (name,) in cursor.fetchall()}
    cursor.execute("SAVEPOINT look")
    cursor.execute(f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {sql}", parameters)
    [[plans]] = cursor.fetchall()
    cursor.execute("ROLLBACK TO SAVEPOINT look")
    cursor.execute("RELEASE SAVEPOINT look")
    return list(_accesses_in((plans if isinstance(plans, list) else json.loads(plans))[0]["Plan"], partial))


def _accesses_in(node: Mapping[str, Any], partial: set[str], table: str = "") -> Iterator[Access]:
    table = node.get("Relation Name", table)
    if node["Node Type"] in _POSTGRESQL_SCANS:
        yield _access(node, partial, table)
    for child in node.get("Plans", ()):
        yield from _accesses_in(child, partial, table)


def _access(node: Mapping[str, Any], partial: set[str], table: str) -> Access:
    kind, index = node["Node Type"], node.get("Index Name")
    is_by_bitmap = kind == "Bitmap Heap Scan"
    is_limited = is_by_bitmap or "Index Cond" in node or index in partial
    removed = node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
    rows = round((node.get("Actual Rows", 0) + removed) * node.get("Actual Loops", 1))
    return Access(table, is_limited, rows, f"{kind} on {table} using {index or 'nothing'}")


def _sqlite_accesses(cursor: Any, sql: str, parameters: Any) -> Sequence[Access]:
    cursor.execute("SELECT name FROM sqlite_master WHERE type = 'index' AND sql LIKE '% WHERE %'")
    partial = {name for (name,) in cursor.fetchall()}
    # The driver keeps what it has prepared, and an explanation that is kept knows nothing of later changes.
    cursor.execute(f"EXPLAIN QUERY PLAN {sql} -- {next(_numbers)}", parameters)
    steps = [str(row[3]) for row in cursor.fetchall()]
    return [_sqlite_access(found, step, partial) for step in steps if (found := _SQLITE_ACCESS.match(step))]


def _sqlite_access(found: re.Match[str], words: str, partial: set[str]) -> Access:
    index = _INDEX_NAME.search(found["index"] or "")
    # An index that is made for one statement takes every row to make.
    is_made_for_it = "AUTOMATIC" in (found["index"] or "")
    is_search = found["how"] == "SEARCH" and not is_made_for_it
    return Access(found["table"], is_search or (index is not None and index[1] in partial), None, words)
