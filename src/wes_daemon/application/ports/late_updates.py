"""Late updates: changes that are recorded and that the row of their run does not show yet."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Protocol, Self

from wes_daemon.application.ports.providers import RunDetails
from wes_daemon.application.ports.runs import RunUpdate
from wes_daemon.domain.changes import RunChange, change_between
from wes_daemon.domain.runs import RunId, TaskLog


@dataclass(frozen=True, slots=True, kw_only=True)
class LateUpdate:
    """What is still to be written about one run.

    Attributes:
        why: the reason of the change, for the timeline.
        provider_status, provider_message, details, tasks: as in `RunUpdate`.
        attempts: how many attempts to write it have failed.
        reason: why the last of them failed; empty before the first.
        tokens: the stored updates that it consists of, in their order.
    """

    run_id: RunId
    change: RunChange
    why: str = ""
    provider_status: str | None = None
    provider_message: str = ""
    details: RunDetails | None = None
    tasks: Sequence[TaskLog] = ()
    attempts: int = 0
    reason: str = ""
    tokens: Sequence[int] = ()

    @classmethod
    def of(cls, update: RunUpdate) -> Self:
        """The whole update, to be written later."""
        return cls(
            run_id=update.before.id,
            change=change_between(update.before, update.after),
            why=update.entry.why if update.entry else "",
            provider_status=update.provider_status,
            provider_message=update.provider_message,
            details=update.details,
            tasks=update.tasks,
        )

    def followed_by(self, later: "LateUpdate") -> Self:
        """Both updates of one run as one."""
        has_status = later.provider_status is not None
        return replace(
            self,
            change=self.change.followed_by(later.change),
            why=later.why or self.why,
            provider_status=later.provider_status if has_status else self.provider_status,
            provider_message=later.provider_message if has_status else self.provider_message,
            details=later.details or self.details,
            tasks=[*self.tasks, *later.tasks],
            attempts=max(self.attempts, later.attempts),
            reason=later.reason or self.reason,
            tokens=(*self.tokens, *later.tokens),
        )


class LateUpdates(Protocol):
    """The late updates of all runs.

    A run with a late update is not enrolled again and not ended as withdrawn: its row is not what the daemon knows.
    """

    def add(self, updates: Collection[LateUpdate], *, wait: timedelta) -> None:
        """Store the updates; each is due after `wait`. Earlier updates of the same run stay."""

    def due(self, *, limit: int) -> Sequence[RunId]:
        """Return runs with due updates, longest overdue first."""

    def get(self, run_ids: Collection[RunId]) -> Mapping[RunId, LateUpdate]:
        """Return and lock what is to be written about each run.

        Updates that another transaction has locked are left out, and runs without any other update are absent.
        """

    def postpone(self, update: LateUpdate, *, wait: timedelta, reason: str) -> None:
        """Count a failed attempt; the update is due again after `wait`.

        Args:
            update: what `get` has returned, possibly without parts that need not be written any more.
        """

    def remove(self, updates: Collection[LateUpdate]) -> None:
        """Remove updates that `get` has returned; those that it left out, or that were added since, stay."""
