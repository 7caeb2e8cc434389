"""The poll schedule: which accepted run is polled when."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from wes_daemon.application.ports.providers import RunDetails
from wes_daemon.domain.runs import ProviderRunId, ProviderType, RunId, StatusReport
from wes_daemon.domain.states import RunState


@dataclass(frozen=True, slots=True, kw_only=True)
class DuePoll:
    """A run that is due and leased for polling.

    Attributes:
        known_state, known_status: what the provider reported at the last poll; the run's row may differ.
        missing_for: how long the provider has not known the run; None while it knows it.
        details_failures: how many requests for its details have failed since it ended.
        fencing_token: grows with each lease; a result is recorded only under the latest token.
        age: how long ago a provider accepted the run; None if that is not known.
        overdue: how long ago the poll was due when it was leased; negative if it was leased early.
        cancel_was_sent: whether its provider was asked to cancel it.
    """

    run_id: RunId
    provider: ProviderType
    provider_run_id: ProviderRunId
    known_state: RunState
    known_status: str | None = None
    missing_for: timedelta | None = None
    details_failures: int = 0
    fencing_token: int = 0
    age: timedelta | None = None
    overdue: timedelta = timedelta(0)
    cancel_was_sent: bool = False


@dataclass(frozen=True, slots=True)
class PollResult:
    """What a provider answered about one leased run, to be recorded.

    Attributes:
        details: of a run that has ended; without them only its state is recorded.
    """

    poll: DuePoll
    report: StatusReport
    details: RunDetails | None = None

    @property
    def is_final(self) -> bool:
        """Whether the run has ended and its details are known, so that it need not be polled again."""
        return self.details is not None


PollDelay = Callable[[DuePoll], timedelta]
"""How long after a poll the next one is due."""


def no_delay(poll: DuePoll) -> timedelta:
    """The delay for callers that set the next poll themselves when they record a result."""
    del poll
    return timedelta(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunToCancel:
    """A run whose cancellation was requested while a provider has it."""

    run_id: RunId
    provider: ProviderType
    provider_run_id: ProviderRunId


class PollSchedule(Protocol):
    """Which accepted run is polled when. Any daemon may poll any run."""

    def lease_due(
        self,
        *,
        limit: int,
        ahead: timedelta,
        lease: timedelta,
        not_leased_for: timedelta,
        serving: Collection[ProviderType],
        next_poll: PollDelay = no_delay,
    ) -> Sequence[DuePoll]:
        """Lease the runs at the served providers that are due within `ahead`, longest overdue first.

        Other daemons skip a leased run for the time `lease`. Its next poll is due after `next_poll` and not before
        the lease ends, so that nothing has to be written for a run that did not change.

        Args:
            limit: at most this many.
            not_leased_for: skip runs that any daemon has leased within this time, so that one pass polls each once.
        """

    def record_unchanged(self, polls: Collection[DuePoll], *, next_poll: PollDelay) -> None:
        """Record that nothing changed and when the next poll is due; runs that were leased again are skipped."""

    def defer(self, polls: Collection[DuePoll], *, delay: timedelta) -> None:
        """Record that these runs could not be polled. No daemon leases them for `delay`, and they stay overdue."""

    def record_missing(self, poll: DuePoll, *, delay: timedelta) -> None:
        """Record that this run is missing, and since when; the next poll is due after `delay`."""

    def reset_missing(self, provider: ProviderType) -> None:
        """Reset how long runs of this provider have been missing, because the provider cannot be polled."""

    def record_changed(
        self, results: Collection[PollResult], *, delay: Callable[[PollResult], timedelta]
    ) -> set[RunId]:
        """Record the reported states of active runs; the next poll of each is due after `delay`.

        Returns:
            The runs that were recorded; runs that were leased again are skipped.
        """

    def record_missing_details(self, poll: DuePoll, state: RunState, *, delay: timedelta) -> None:
        """Record that the run has ended and its details could not be read; close its submission.

        The failure is counted, and the next poll is due after `delay`.

        Raises:
            ClaimLost: the run was leased again.
        """

    def finish(self, polls: Collection[DuePoll]) -> set[RunId]:
        """Take ended runs off the schedule and close their submissions.

        Returns:
            The runs that were finished; runs that were leased again are skipped.
        """

    def make_due(self, provider: ProviderType, ids: Collection[ProviderRunId]) -> Collection[ProviderRunId]:
        """Set the next poll of these runs to now, leased ones included, and return those that are followed.

        Ids that are not followed, or that are known to have ended, are skipped. A result of a poll in progress is
        recorded as long as the run was not leased again.
        """

    def to_cancel(self, *, limit: int, lease: timedelta, serving: Collection[ProviderType]) -> Sequence[RunToCancel]:
        """Return runs that are `CANCELING`, or that a service has ended, and that a provider still executes.

        A run whose row was deleted is returned only after `cancel_deleted`, or if it was returned before that.
        Other daemons skip each for the time `lease`, unless `cancel_again` sets another time. Each becomes due.
        """

    def cancel_again(self, run: RunToCancel, *, delay: timedelta) -> None:
        """Make the run available to `to_cancel` again after `delay`."""

    def deleted(self) -> Sequence[RunId]:
        """Return the runs at all providers whose row was deleted while they were active, until it is decided about.

        `cancel_deleted` and `keep_deleted` decide. A run that was returned by `to_cancel` before is absent.
        """

    def cancel_deleted(self, run_ids: Collection[RunId]) -> None:
        """Let `to_cancel` return these runs, as far as their row is still missing."""

    def keep_deleted(self, run_ids: Collection[RunId]) -> None:
        """Leave these runs at their providers although their row is missing, as long as it is missing."""

    def forget_restored(self) -> None:
        """Forget that runs were kept whose row exists again, so that a later deletion counts."""
