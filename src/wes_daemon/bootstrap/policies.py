"""Policies, limits and timeouts that follow from the settings.

`DAEMON_STATUS_CHECK_FLOOR` takes effect here in four places: the first poll after a submission (`submission_policy`),
the shortest time between two polls of a run (`refresh_policy`), the time between two readings of a list of ended runs
(`search_policy`), and how often the loops `refresh` and `find-ended` execute (`loop_intervals`).
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta

from wes_daemon.application.following.find_ended import SearchPolicy
from wes_daemon.application.following.refresh_policy import RefreshPolicy
from wes_daemon.application.reconciling.discrepancies import Tolerances
from wes_daemon.application.runtime.loops import LoopIntervals
from wes_daemon.application.submitting.submission_policy import SubmissionPolicy
from wes_daemon.application.submitting.unserved_runs import UnservedPolicy
from wes_daemon.bootstrap.settings import Settings
from wes_daemon.domain.runs import ProviderType

FOLLOWING_THREADS = 4
"""Threads of one pass that cancels or refreshes."""

# For the threads of the loops and for people's queries; each worker has a connection of its own.
_FURTHER_DATABASE_CONNECTIONS = 8
# Besides the pools, the threads of the loops call a provider (such as refresh, find-ended and delete-drafts), and so do
# people's commands.
_OTHER_CALLING_THREADS = 8
# Per worker: one run that is being submitted and two that wait, so that no worker waits for the next claim.
_CLAIMED_PER_WORKER = 3
_LONGEST_CONNECT = timedelta(seconds=5)
_LONGEST_READ = timedelta(seconds=60)
# Longer than the time between two passes of `run-once`, and shorter than a site that is shut down on purpose.
_LONGEST_UNSEEN = timedelta(hours=1)
_SHORTEST_CANCEL_REMINDER = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestTimeouts:
    """How long one request to a provider may take.

    Attributes:
        connect: the timeout for establishing a connection.
        read: the timeout for the answer.
    """

    connect: timedelta
    read: timedelta

    @property
    def total(self) -> timedelta:
        """The longest time that one request takes."""
        return self.connect + self.read


def request_timeouts(settings: Settings) -> RequestTimeouts:
    """Return timeouts whose sum is at most half a lease, which is always left of a lease that is renewed regularly."""
    return RequestTimeouts(
        connect=min(_LONGEST_CONNECT, settings.lease / 12), read=min(_LONGEST_READ, settings.lease * 5 / 12)
    )


def provider_connections(settings: Settings) -> int:
    """Return how many requests to one provider may be sent at once: one for every thread that may call it."""
    return settings.workers + 2 * FOLLOWING_THREADS + _OTHER_CALLING_THREADS


def database_connections(settings: Settings) -> int:
    """Return how many connections to the database this process may use at once."""
    return settings.workers + _FURTHER_DATABASE_CONNECTIONS


def submission_policy(settings: Settings) -> SubmissionPolicy:
    """Return how runs are submitted."""
    return SubmissionPolicy(
        concurrency_limit=settings.max_concurrent_workflows,
        per_provider_limits=settings.per_provider_limits,
        share_tag=settings.fair_share_tag,
        timeout=settings.submit_timeout,
        attempts=settings.submit_attempts,
        batch=settings.workers * _CLAIMED_PER_WORKER,
        default_provider=settings.default_provider,
        engine_providers=settings.engine_providers,
        known_providers=known_providers(settings),
        first_poll_after=settings.status_check_floor,
    )


def unserved_policy(settings: Settings, submission: SubmissionPolicy) -> UnservedPolicy:
    """Return when runs end whose provider no live daemon serves."""
    return UnservedPolicy(
        default_provider=settings.default_provider,
        destination=submission.destination,
        timeout=settings.submit_timeout,
        settling_time=settings.lease,
        forget_after=max(settings.poll_interval * 3, _LONGEST_UNSEEN),
    )


def known_providers(settings: Settings) -> Collection[ProviderType]:
    """Return the providers whose active runs are followed that another program has started."""
    return frozenset(settings.providers)


def refresh_policy(settings: Settings) -> RefreshPolicy:
    """Return how active runs are polled."""
    return RefreshPolicy(
        interval=settings.status_check_interval,
        floor=settings.status_check_floor,
        lease=settings.lease,
        lost_after=settings.vanished_after,
        outputs_tag=settings.outputs_tag,
        keeps_start_time=settings.keep_start_time,
    )


def search_policy(settings: Settings) -> SearchPolicy:
    """Return how lists of ended runs are read."""
    return SearchPolicy(every=settings.status_check_floor)


def refresh_ahead(settings: Settings) -> timedelta:
    """Return how far ahead a single pass polls: further than the longest regular time between two polls of a run."""
    return settings.status_check_interval * 2


def cancel_reminder_interval(settings: Settings) -> timedelta:
    """Return how long a provider has to end a cancelled run before the cancellation is sent again."""
    return max(settings.status_check_interval, _SHORTEST_CANCEL_REMINDER)


def tolerances(settings: Settings) -> Tolerances:
    """Return the ages below which a difference is not yet a discrepancy: long enough for two polls of a run."""
    return Tolerances(recent=max(Tolerances().recent, settings.status_check_interval * 2))


def loop_intervals(settings: Settings) -> LoopIntervals:
    """Return the settings that decide how often the loops run."""
    return LoopIntervals(
        poll=settings.poll_interval,
        status_check=settings.status_check_interval,
        status_check_floor=settings.status_check_floor,
    )
