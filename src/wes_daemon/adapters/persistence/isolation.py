"""Isolates the rows that the database refuses, with savepoints and by halves."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from sqlalchemy import Connection

from wes_daemon.application.ports.errors import StorageRefused
from wes_daemon.application.runtime.isolation import by_halves
from wes_daemon.domain.runs import RunId

T = TypeVar("T")
R = TypeVar("R")

_REFUSALS = "wes_daemon_refusals"
"""An execution option of a connection: the runs that were refused in its transaction."""


def isolate_refusals(connection: Connection) -> dict[RunId, StorageRefused]:
    """Let `isolated` leave out refused rows for the rest of the transaction; return where it notes them."""
    refusals: dict[RunId, StorageRefused] = {}
    connection.execution_options(**{_REFUSALS: refusals})
    return refusals


def isolated(
    connection: Connection, rows: Sequence[T], write: Callable[[Sequence[T]], R], *, run_id: Callable[[T], str]
) -> Sequence[R]:
    """Write the rows at once, without further statements; after `isolate_refusals`, without the refused ones.

    Returns:
        The results of the writes that succeeded; without `isolate_refusals` there is one.
    """
    refusals: dict[RunId, StorageRefused] | None = connection.get_execution_options().get(_REFUSALS)
    if refusals is None:
        return [write(rows)]
    return by_halves(
        rows,
        lambda some: _in_savepoint(connection, some, write),
        refused=lambda row, error: refusals.update({RunId(run_id(row)): error}),
    )


def _in_savepoint(connection: Connection, rows: Sequence[T], write: Callable[[Sequence[T]], R]) -> R:
    with connection.begin_nested():
        return write(rows)
