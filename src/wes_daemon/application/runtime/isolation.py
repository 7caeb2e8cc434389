"""Finds the few rows that a store refuses, so that all others are written."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from wes_daemon.application.ports.errors import StorageRefused
from wes_daemon.application.ports.unit_of_work import UnitOfWork, UnitsOfWork
from wes_daemon.domain.runs import RunId

T = TypeVar("T")
R = TypeVar("R")


def by_halves(
    items: Sequence[T], write: Callable[[Sequence[T]], R], *, refused: Callable[[T, StorageRefused], object]
) -> Sequence[R]:
    """Write all items at once; if the store refuses them, write them by halves until the refused ones are alone.

    Args:
        write: writes some of the items, all of them or none.
        refused: called with each item that is refused alone.

    Returns:
        The results of the writes that succeeded.
    """
    if not items:
        return []
    try:
        return [write(items)]
    except StorageRefused as error:
        if len(items) == 1:
            refused(items[0], error)
            return []
    middle = len(items) // 2
    return [
        *by_halves(items[:middle], write, refused=refused),
        *by_halves(items[middle:], write, refused=refused),
    ]


def commit_isolated(
    units: UnitsOfWork,
    write: Callable[[UnitOfWork], T],
    *,
    settle: Callable[[UnitOfWork, Mapping[RunId, StorageRefused]], None],
) -> tuple[T, Mapping[RunId, StorageRefused]]:
    """Commit what `write` writes. If the store refuses a row, repeat the transaction without the refused rows.

    Args:
        settle: records in the same transaction what becomes of the refused runs.

    Returns:
        The result of `write`, and the runs that the store refused, with the reasons.
    """
    refused: Mapping[RunId, StorageRefused] = {}

    def write_isolated(work: UnitOfWork) -> T:
        nonlocal refused
        refused = work.isolate_refusals()
        result = write(work)
        settle(work, refused)
        return result

    try:
        return _commit(units, write), refused
    except StorageRefused:
        return _commit(units, write_isolated), refused


def _commit(units: UnitsOfWork, write: Callable[[UnitOfWork], T]) -> T:
    with units() as work:
        result = write(work)
        work.commit()
    return result
