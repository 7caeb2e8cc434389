"""When an accepted run is polled next, and when a run or its details are given up."""

from dataclasses import dataclass
from datetime import timedelta
from hashlib import blake2b

from wes_daemon.application.ports.errors import Misconfigured, ProviderError
from wes_daemon.application.ports.polls import DuePoll
from wes_daemon.domain.states import RunState


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshPolicy:
    """How runs are followed.

    Attributes:
        interval: the longest time between two polls of one run, before the random spread.
        floor: the shortest regular time between two polls of one run, before the random spread.
        page: how many runs are leased at a time.
        lost_after: how long a run may be missing before it is lost.
        lease: how long a page of runs is leased, longer than one round of calls takes. Runs that a daemon had leased
            when it died are polled after this time, or when their next poll is due, whichever is later.
        details_attempts: how often outputs and tasks of an ended run are requested before their absence is recorded;
            five times as often if a person has to repair the provider first.
        outputs_tag: the tag into which the outputs of ended runs are written; None for no tag.
        keeps_start_time: whether a start time that the row has already remains, whatever the provider reports.
    """

    interval: timedelta = timedelta(seconds=300)
    floor: timedelta = timedelta(seconds=15)
    page: int = 500
    lost_after: timedelta = timedelta(hours=1)
    lease: timedelta = timedelta(seconds=90)
    details_attempts: int = 5
    outputs_tag: str | None = None
    keeps_start_time: bool = False

    @property
    def retry_delay(self) -> timedelta:
        """The time from a failed request to the next attempt."""
        return min(self.interval, timedelta(minutes=1))

    def next_poll(self, poll: DuePoll, state: RunState | None = None) -> timedelta:
        """Return how long after a poll that reported `state`, or no change, the next one is due.

        The time is a tenth of the run's age, so that a change is noticed within a tenth of the run's duration. It is a
        quarter of that while the run is being cancelled. The result is at least `floor` and at most `interval`; then it
        is spread by up to a tenth.
        """
        regular = self.interval if poll.age is None else min(poll.age / 10, self.interval)
        is_ending = poll.cancel_was_sent or (state or poll.known_state) is RunState.CANCELING
        return max(regular / 4 if is_ending else regular, min(self.floor, self.interval)) * _spread(poll)

    def details_delay(self, failures: int) -> timedelta:
        """Return how long after `failures` failed requests the details of an ended run are requested again."""
        return min(self.retry_delay * (1 << min(failures, 30)), timedelta(hours=1))

    def details_attempts_after(self, error: ProviderError) -> int:
        """Return after how many failed requests details are recorded as absent, if the last one raised `error`."""
        return self.details_attempts * (5 if isinstance(error, Misconfigured) else 1)


def _spread(poll: DuePoll) -> float:
    """Return a factor from 0.9 to 1.1 that differs for each run and each poll.

    Runs that started together are not polled together.
    """
    digest = blake2b(f"{poll.run_id} {poll.fencing_token}".encode(), digest_size=4).digest()
    return 0.9 + 0.2 * int.from_bytes(digest) / 0xFFFFFFFF
