"""The poll schedule: which accepted run is polled when."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from wes_daemon.domain.runs import ProviderRunId, ProviderType, RunId
from wes_daemon.domain.states import RunState


@dataclass(frozen=True, slots=True, kw_only=True)
class DuePoll:
    """A run whose turn has come to be asked for.

    Attributes:
        known_state, known_status: what the provider said at the last poll; the run's row may differ.
        missing_for: how long the provider has not known the run; None while it does.
        details_failures: how often its details could not be had since it ended.
        seq: raised at each taking; a result is only recorded for the latest.
        age: how long ago a provider accepted it; None where that is not known.
        overdue: how long ago its turn came, when it was taken; negative where it was taken ahead of its time.
        is_unwanted: whether its provider was told to cancel it.
    """

    run_id: RunId
    provider: ProviderType
    provider_run_id: ProviderRunId
    known_state: RunState
    known_status: str | None = None
    missing_for: timedelta | None = None
    details_failures: int = 0
    seq: int = 0
    age: timedelta | None = None
    overdue: timedelta = timedelta(0)
    is_unwanted: bool = False


@dataclass(frozen=True, slots=True)
class Move:
    """What a provider says of a run that was taken to be asked for, and after which time to ask again."""

    poll: DuePoll
    state: RunState
    provider_status: str
    again_after: timedelta


Pace = Callable[[DuePoll], timedelta]
"""After which time to ask for a run again."""


def as_soon_as_it_is_free(poll: DuePoll) -> timedelta:
    """The pace of those who say at each look when the next one is to come."""
    del poll
    return timedelta(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunToCancel:
    """A run that somebody wants cancelled while a provider holds it."""

    run_id: RunId
    provider: ProviderType
    provider_run_id: ProviderRunId


class PollSchedule(Protocol):
    """Which accepted run is to be asked for when. Any daemon may poll any run."""

    def take_due(
        self,
        *,
        limit: int,
        ahead: timedelta,
        hold: timedelta,
        untouched_for: timedelta,
        excluding: Collection[ProviderType],
        again_after: Pace = as_soon_as_it_is_free,
    ) -> Sequence[DuePoll]:
        """Take the runs that are due within `ahead`, longest due first, and keep them from others for `hold`.

        Runs that anybody has taken in the last `untouched_for` are passed over, so that one pass looks at each once.

        Each is due again by itself after `again_after`, and not before `hold` is over: of what is taken in vain,
        or shows nothing new, nothing has to be written.
        """

    def checked(self, polls: Collection[DuePoll], *, again_after: Pace) -> None:
        """Nothing new was heard of these: ask again later. Those taken by others meanwhile are left alone."""

    def put_off(self, polls: Collection[DuePoll], *, wait: timedelta) -> None:
        """These could not be asked for: kept from everybody for `wait`, and then as long due as before."""

    def reset_missing(self, provider: ProviderType) -> None:
        """Nobody can tell what this provider knows: how long it has not known a run is counted anew."""

    def missing(self, poll: DuePoll, *, again_after: timedelta) -> None:
        """The provider does not know this run: remember since when, ask again later."""

    def moved_all(self, moved: Collection[Move]) -> Collection[RunId]:
        """Remember what was stored of each that nobody else has taken meanwhile, and return these; ask again later."""

    def details_failed(self, poll: DuePoll, state: RunState, *, again_after: timedelta) -> None:
        """The run has ended, so its submission is closed, but its details could not be had: count it, ask again later.

        Raises:
            ClaimLost: the run was taken by somebody else meanwhile.
        """

    def finished(self, poll: DuePoll) -> None:
        """Nothing more is to be learnt: off the schedule, and the submission is closed.

        Raises:
            ClaimLost: the run was taken by somebody else meanwhile.
        """

    def finished_all(self, polls: Collection[DuePoll]) -> Collection[RunId]:
        """As `finished` for each that nobody else has taken meanwhile, and return these."""

    def make_due(self, provider: ProviderType, ids: Collection[ProviderRunId]) -> Collection[ProviderRunId]:
        """There may be news of these: those that are followed are due at once, also from others, and returned.

        Ids that nobody follows, or that are known to have ended, are passed over. An answer that is under way counts
        as long as nobody else has taken the run meanwhile.
        """

    def to_cancel(self, *, limit: int, hold: timedelta, excluding: Collection[ProviderType]) -> Sequence[RunToCancel]:
        """Runs that are `CANCELING`, or were ended by others, which a provider still works on.

        Each is kept from others for `hold`, unless `cancel_again` says when it is to be given again, and is due to be
        asked for when it is given.
        """

    def cancel_again(self, run: RunToCancel, *, wait: timedelta) -> None:
        """Give the run again after `wait`: it could not be told, or has so long to end what it was told to end."""
