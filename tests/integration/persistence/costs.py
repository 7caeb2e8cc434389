"""What is sent to a database, counted: statements and rows, whatever the machine."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Engine, event

WRITING = ("INSERT", "UPDATE", "DELETE")


@dataclass
class Costs:
    """What was sent to the database."""

    statements: int = 0
    rows: dict[str, int] = field(default_factory=dict)

    def note(self, statement: str, rows: int) -> None:
        """Count one statement, and the rows that it wrote."""
        self.statements += 1
        verb, *words = statement.split()
        if verb in WRITING:
            table = words[0] if verb == "UPDATE" else words[1]
            self.rows[table] = self.rows.get(table, 0) + max(rows, 0)


@contextmanager
def costs_of(engine: Engine) -> Iterator[Costs]:
    """Count what is sent within the block."""
    costs = Costs()

    def note(_c: Any, cursor: Any, statement: str, *_rest: Any) -> None:
        costs.note(statement, cursor.rowcount)

    event.listen(engine, "after_cursor_execute", note)
    try:
        yield costs
    finally:
        event.remove(engine, "after_cursor_execute", note)
