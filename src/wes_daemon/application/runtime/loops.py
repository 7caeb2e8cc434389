"""Which loops a daemon runs, how often, and which of them react to hints.

Each provider has its own loops, so that one provider that hangs does not delay the others. Most passes begin with a
work probe, a cheap query, and end there if it finds no work. The time between two passes of a loop:

- heartbeat: a quarter of `DAEMON_LEASE_SECONDS`.
- late-updates: 1 s. A pass writes changes whose row was locked or refused them; without any it reads once a minute.
- submit: 5 s, or `DAEMON_POLL_INTERVAL` if that is shorter. Every `DAEMON_POLL_INTERVAL` the pass submits queued runs;
  the passes in between only take over what other daemons left. After a pass that deferred runs, all passes submit
  queued runs until `DAEMON_POLL_INTERVAL` has passed, so that a run that was deferred for a few seconds does not wait
  for the whole interval.
  On a hint: submits queued runs.
- cancel: `DAEMON_POLL_INTERVAL` or `DAEMON_STATUS_CHECK_INTERVAL`, the shorter one. On a hint: cancels active runs
  whose row was cancelled, ended or deleted. The probe for ended and deleted rows costs more the more runs are followed,
  so that the pause after it is twenty times as long as the probe, half a second at least and five seconds at most. Runs
  that wait for their submission and were ended or deleted are left to the next regular pass.
- refresh: `DAEMON_POLL_INTERVAL` or `DAEMON_STATUS_CHECK_FLOOR`, the shorter one. A pass polls the runs that are due.
- find-ended: `DAEMON_STATUS_CHECK_FLOOR`. A pass reads the provider's list of ended runs.
- delete-drafts: an hour.
- inherited-runs: an hour; every half minute while a run waits for the search, which is only possible after the first
  start on a database. One loop searches all providers.
- unserved-runs: `DAEMON_POLL_INTERVAL`, and on a hint. One loop settles the runs of all providers that no daemon
  serves.
- events: 1 s, because a pass itself waits for messages. Only if a queue is configured.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from wes_daemon.application.ports.environment import Clock
from wes_daemon.application.runtime.daemon import PeriodicTask
from wes_daemon.application.runtime.daemon_session import DaemonSession
from wes_daemon.application.runtime.pacing import IfWorkFound, PacedProbe, UrgentOrFullPass
from wes_daemon.application.runtime.work_probe import ProviderWorkProbe
from wes_daemon.domain.runs import ProviderType

_TAKEOVER_INTERVAL = timedelta(seconds=5)
_DRAFT_DELETION_INTERVAL = timedelta(hours=1)
_EVENTS_INTERVAL = timedelta(seconds=1)
_LATE_UPDATES_INTERVAL = timedelta(seconds=1)
_SEARCH_INTERVAL = timedelta(hours=1)
_SEARCH_RETRY = timedelta(seconds=30)
# The pauses make many commits in a row lead to few passes, and are too short for a person to notice.
_PAUSE_BETWEEN_SUBMIT_HINTS = timedelta(milliseconds=20)
_PAUSE_BETWEEN_CANCEL_HINTS = timedelta(milliseconds=500)
_PAUSE_BETWEEN_UNSERVED_HINTS = timedelta(seconds=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopIntervals:
    """The settings that decide how often the loops of a provider run.

    Attributes:
        poll: `DAEMON_POLL_INTERVAL`.
        status_check: `DAEMON_STATUS_CHECK_INTERVAL`.
        status_check_floor: `DAEMON_STATUS_CHECK_FLOOR`, at most `status_check`.
    """

    poll: timedelta
    status_check: timedelta
    status_check_floor: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderPasses:
    """The passes for one provider; a call executes one pass and returns its report.

    Attributes:
        submit: enrols and submits queued runs, adopts runs that were not submitted here, and takes over submissions.
        submit_queued: the same after a hint; if it enrols queued runs, it leaves the adoption to the next `submit`.
        take_over: only takes over submissions of daemons that are gone.
        has_deferred: whether a report of `submit` or `submit_queued` counts deferred runs.
        cancel: passes cancellations on.
        refresh: polls the runs that are due.
        find_ended: reads the provider's list of ended runs.
        delete_drafts: deletes drafts that will never be started.
    """

    submit: Callable[[], object]
    submit_queued: Callable[[], object]
    take_over: Callable[[], object]
    has_deferred: Callable[[object], bool]
    cancel: Callable[[], object]
    refresh: Callable[[], object]
    find_ended: Callable[[], object]
    delete_drafts: Callable[[], object]


def heartbeat_loop(daemon_session: DaemonSession) -> PeriodicTask:
    """Return the loop that renews the daemon's lease."""
    return PeriodicTask(name="heartbeat", work=daemon_session.renew, every=daemon_session.heartbeat_interval)


def late_updates_loop(write_late_updates: Callable[[], object]) -> PeriodicTask:
    """Return the loop that writes changes to rows that were locked or refused them."""
    return PeriodicTask(name="late-updates", work=write_late_updates, every=_LATE_UPDATES_INTERVAL)


def inherited_runs_loop(
    adopt: Callable[[], object], has_waiting_runs: Callable[[], bool], clock: Clock
) -> PeriodicTask:
    """Return the loop that adopts the runs of the former daemon."""
    work = UrgentOrFullPass(
        full=adopt, urgent=IfWorkFound(adopt, has_waiting_runs), every=_SEARCH_INTERVAL, clock=clock
    )
    return PeriodicTask(name="inherited-runs", work=work, every=_SEARCH_RETRY)


def provider_loops(
    provider: ProviderType,
    passes: ProviderPasses,
    *,
    probe: ProviderWorkProbe,
    intervals: LoopIntervals,
    clock: Clock,
) -> Sequence[PeriodicTask]:
    """Return the loops of one provider."""
    return (
        _submit_loop(provider, passes, probe, intervals, clock),
        _cancel_loop(provider, passes, probe, intervals, clock),
        PeriodicTask(
            name=f"refresh-{provider}",
            work=IfWorkFound(passes.refresh, probe.has_due_polls),
            every=min(intervals.poll, intervals.status_check_floor),
        ),
        PeriodicTask(name=f"find-ended-{provider}", work=passes.find_ended, every=intervals.status_check_floor),
        PeriodicTask(name=f"delete-drafts-{provider}", work=passes.delete_drafts, every=_DRAFT_DELETION_INTERVAL),
    )


def unserved_runs_loop(settle: Callable[[], object], *, intervals: LoopIntervals) -> PeriodicTask:
    """Return the loop that settles the runs of providers that no daemon serves."""
    return PeriodicTask(
        name="unserved-runs",
        work=settle,
        every=intervals.poll,
        on_hint=settle,
        pause_after_hint=_PAUSE_BETWEEN_UNSERVED_HINTS,
    )


def events_loop(provider: ProviderType, follow_events: Callable[[], object]) -> PeriodicTask:
    """Return the loop that receives messages about a provider's runs."""
    return PeriodicTask(name=f"events-{provider}", work=follow_events, every=_EVENTS_INTERVAL)


def _submit_loop(
    provider: ProviderType,
    passes: ProviderPasses,
    probe: ProviderWorkProbe,
    intervals: LoopIntervals,
    clock: Clock,
) -> PeriodicTask:
    work = UrgentOrFullPass(
        full=IfWorkFound(passes.submit, probe.has_queued_runs, probe.has_takeovers, probe.has_runs_to_adopt),
        urgent=IfWorkFound(passes.take_over, probe.has_takeovers),
        every=intervals.poll,
        clock=clock,
        leaves_work=passes.has_deferred,
    )
    queued = IfWorkFound(passes.submit_queued, probe.has_queued_runs)
    return PeriodicTask(
        name=f"submit-{provider}",
        work=work,
        every=min(intervals.poll, _TAKEOVER_INTERVAL),
        on_hint=lambda: work.note_report(queued()),
        pause_after_hint=_PAUSE_BETWEEN_SUBMIT_HINTS,
    )


def _cancel_loop(
    provider: ProviderType,
    passes: ProviderPasses,
    probe: ProviderWorkProbe,
    intervals: LoopIntervals,
    clock: Clock,
) -> PeriodicTask:
    interrupted = PacedProbe(probe.has_interrupted_runs, clock, shortest=_PAUSE_BETWEEN_CANCEL_HINTS)
    return PeriodicTask(
        name=f"cancel-{provider}",
        work=IfWorkFound(passes.cancel, probe.has_cancelled_runs, probe.has_runs_ended_elsewhere),
        every=min(intervals.poll, intervals.status_check),
        on_hint=IfWorkFound(passes.cancel, probe.has_cancelled_runs, interrupted),
        pause_after_hint=interrupted.pause,
    )
