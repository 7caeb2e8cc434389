"""What one look at one run has shown, written down."""

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from hashlib import blake2b
from typing import NoReturn

from wes_daemon.application.ports.environment import Clock
from wes_daemon.application.ports.errors import (
    CircuitOpen,
    ConcurrentUpdate,
    Misconfigured,
    NotNow,
    ProviderError,
    Rejected,
)
from wes_daemon.application.ports.polls import DuePoll, Move
from wes_daemon.application.ports.providers import ProviderTask, RunDetails, StatusReport, WorkflowProvider
from wes_daemon.application.ports.unit_of_work import UnitOfWork
from wes_daemon.application.runtime import fault_points
from wes_daemon.application.runtime.event_log import log_event
from wes_daemon.application.runtime.guard import guarded
from wes_daemon.application.runtime.recording import Change, Recorder, Recording
from wes_daemon.domain.runs import Observation, RunId, TaskLog, task_id
from wes_daemon.domain.states import RunState

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshPolicy:
    """How runs are followed.

    Attributes:
        interval: how long after one look at a run the next one comes at the latest, but for what spreads them out.
        floor: how long after one look at a run the next one comes at the earliest.
        page: runs that are taken at a time.
        lost_after: how long a provider must not know a run before it is given up.
        hold: how long a page is kept from other daemons, longer than one round of calls takes; what a daemon had taken
            when it died is asked for after this time, or when its next look is due, whichever is later.
        details_tries: how often outputs and tasks of an ended run are asked for before their absence is noted;
            five times as often where a person has to mend the provider first.
    """

    interval: timedelta = timedelta(seconds=300)
    floor: timedelta = timedelta(seconds=15)
    page: int = 500
    lost_after: timedelta = timedelta(hours=1)
    hold: timedelta = timedelta(seconds=90)
    details_tries: int = 5

    @property
    def soon(self) -> timedelta:
        """How long until what did not work is tried again."""
        return min(self.interval, timedelta(minutes=1))

    def wait(self, poll: DuePoll, state: RunState | None = None) -> timedelta:
        """How long after a look that showed `state`, or nothing new, the next one comes.

        A tenth of the run's age, so that whatever happens to it is seen after a tenth of its time at the latest; a
        quarter of that while it is being cancelled.
        """
        regular = self.interval if poll.age is None else min(poll.age / 10, self.interval)
        is_ending = poll.is_unwanted or (state or poll.known_state) is RunState.CANCELING
        return max(regular / 4 if is_ending else regular, min(self.floor, self.interval)) * _spread(poll)

    def wait_for_details(self, failures: int) -> timedelta:
        """How long until the details of an ended run are asked for again that could not be had `failures` times."""
        return min(self.soon * (1 << min(failures, 30)), timedelta(hours=1))

    def tries_after(self, error: ProviderError) -> int:
        """How often details are asked for that cannot be had for this reason."""
        return self.details_tries * (5 if isinstance(error, Misconfigured) else 1)


class Finding(StrEnum):
    """What one look at one run has shown."""

    UNCHANGED = "unchanged"
    UNKNOWN = "unknown"
    MOVED = "moved"
    ENDED = "ended"
    DETAILS_PENDING = "details_pending"
    MISSING = "missing"
    LOST = "lost"
    PUT_OFF = "put_off"


@dataclass(frozen=True, slots=True)
class PollResult:
    """What a provider says of a run, to be written down.

    Attributes:
        details: of a run that has ended; without them nothing but its state is written.
    """

    poll: DuePoll
    report: StatusReport
    details: RunDetails | None = None

    @property
    def is_end(self) -> bool:
        """Whether nothing more is to be learnt of the run."""
        return self.details is not None


class StatusRecorder:
    """Brings one run's row to what its provider says."""

    def __init__(self, *, recorder: Recorder, clock: Clock, policy: RefreshPolicy) -> None:
        self._recorder = recorder
        self._clock = clock
        self._policy = policy

    def look(self, provider: WorkflowProvider, poll: DuePoll, report: StatusReport | None) -> Finding | PollResult:
        """What is to be recorded of one run, or what was done with it already.

        Args:
            report: None where the provider does not know the run.
        """
        try:
            return guarded(
                lambda: self._by_kind(provider, poll, report),
                otherwise=lambda _: Finding.PUT_OFF,
                during="refresh",
                of=poll.run_id,
            )
        except ConcurrentUpdate as error:
            log_event(_log, logging.DEBUG, "refresh.overtaken", run_id=poll.run_id, reason=error)
            return Finding.PUT_OFF
        except CircuitOpen as error:
            wait = error.retry_after or self._policy.soon
            self._recorder.record(lambda rec: rec.work.polls.put_off([poll], wait=wait))
            return Finding.PUT_OFF

    def record(self, sightings: Sequence[PollResult]) -> Sequence[Finding]:
        """Write all of it down, in few statements; one that cannot be written keeps no other from being."""
        if not sightings:
            return []
        try:
            return guarded(
                lambda: self._record_together(sightings),
                otherwise=lambda _: self._record_one_by_one(sightings),
                during="refresh",
                of=f"{len(sightings)} runs",
            )
        except ConcurrentUpdate:
            return self._record_one_by_one(sightings)

    def _record_one_by_one(self, sightings: Sequence[PollResult]) -> Sequence[Finding]:
        return [self._record_alone(each) for each in sightings]

    def _record_alone(self, sighting: PollResult) -> Finding:
        run_id = sighting.poll.run_id
        try:
            return guarded(
                lambda: self._record_together([sighting])[0],
                otherwise=lambda _: Finding.PUT_OFF,
                during="refresh",
                of=run_id,
            )
        except ConcurrentUpdate as error:
            log_event(_log, logging.DEBUG, "refresh.overtaken", run_id=run_id, reason=error)
            return Finding.PUT_OFF

    def finish(self, provider: WorkflowProvider, poll: DuePoll) -> Finding | PollResult:
        """Ask again for the details of a run that has ended and whose state is written already."""
        known = StatusReport(state=poll.known_state, provider_status=poll.known_status or "")
        return self.look(provider, poll, known)

    def _by_kind(self, provider: WorkflowProvider, poll: DuePoll, report: StatusReport | None) -> Finding | PollResult:
        if report is None:
            return self._missing(poll)
        if report.state.has_ended:
            return self._ended(provider, poll, report)
        return PollResult(poll, report)

    def _missing(self, poll: DuePoll) -> Finding:
        if poll.missing_for is not None and poll.missing_for >= self._policy.lost_after:
            return self._lost(poll)
        if poll.missing_for is None:
            log_event(_log, logging.WARNING, "refresh.missing", run_id=poll.run_id, provider_id=poll.provider_run_id)
        self._recorder.record(lambda rec: rec.work.polls.missing(poll, again_after=self._policy.soon))
        return Finding.MISSING

    def _lost(self, poll: DuePoll) -> Finding:
        now = self._clock.now()
        reason = f"{poll.provider} no longer knows the run that it accepted as {poll.provider_run_id}"

        def write(recording: Recording) -> None:
            recording.work.polls.finished(poll)
            recording.change(poll.run_id, lambda run: run.lost(reason, now), reason)

        self._recorder.record(write)
        log_event(_log, logging.ERROR, "refresh.lost", run_id=poll.run_id, reason=reason)
        return Finding.LOST

    def _ended(self, provider: WorkflowProvider, poll: DuePoll, report: StatusReport) -> Finding | PollResult:
        """The end of a run is written whether or not its details can be had; those may follow later."""
        details = self._details(provider, poll)
        if details is not None:
            return PollResult(poll, report, details)

        def write(recording: Recording) -> None:
            rest = self._policy.wait_for_details(poll.details_failures)
            recording.work.polls.details_failed(poll, report.state, again_after=rest)
            recording.change_all([self._change(PollResult(poll, report))])

        self._recorder.record(write)
        self._tell_end(PollResult(poll, report))
        return Finding.DETAILS_PENDING

    def _record_together(self, sightings: Sequence[PollResult]) -> Sequence[Finding]:
        recorded: set[RunId] = set()

        def write(recording: Recording) -> None:
            recorded.clear()
            recorded.update(self._reschedule(recording.work, sightings))
            recording.change_all([self._change(each) for each in sightings if each.poll.run_id in recorded])
            fault_points.reached("refresh.before_commit")

        self._recorder.record(write)
        fault_points.reached("refresh.after_commit")
        return [self._told(each, each.poll.run_id in recorded) for each in sightings]

    def _reschedule(self, work: UnitOfWork, sightings: Sequence[PollResult]) -> Collection[RunId]:
        """Take ended runs off the schedule and put off the others; those that nobody else has taken meanwhile."""
        ended = [each.poll for each in sightings if each.is_end]
        moved = [self._move(each.poll, each.report) for each in sightings if not each.is_end]
        off = work.polls.finished_all(ended) if ended else ()
        on = work.polls.moved_all(moved) if moved else ()
        return {*off, *on}

    def _move(self, poll: DuePoll, report: StatusReport) -> Move:
        return Move(poll, report.state, report.provider_status, self._policy.wait(poll, report.state))

    def _change(self, sighting: PollResult) -> Change:
        poll, report, details = sighting.poll, sighting.report, sighting.details
        seen = Observation(
            state=report.state,
            at=self._clock.now(),
            started_at=report.started_at,
            ended_at=report.ended_at,
            message=report.message,
        )
        is_new = report.provider_status != poll.known_status or bool(report.message)
        return Change(
            run_id=poll.run_id,
            verb=lambda run: run.observed(seen),
            why=report.message or f"{poll.provider} reports {report.provider_status}",
            entry_status=report.provider_status,
            new_status=report.provider_status if is_new else None,
            message=report.message,
            details=details,
            tasks=_task_logs(poll.run_id, details.tasks) if details else (),
        )

    def _told(self, sighting: PollResult, is_recorded: bool) -> Finding:
        if not is_recorded:
            log_event(_log, logging.DEBUG, "refresh.overtaken", run_id=sighting.poll.run_id, reason="taken by another")
            return Finding.PUT_OFF
        if sighting.is_end:
            self._tell_end(sighting)
        return Finding.ENDED if sighting.is_end else Finding.MOVED

    def _tell_end(self, sighting: PollResult) -> None:
        poll, status = sighting.poll, sighting.report.provider_status
        if not poll.known_state.has_ended:
            log_event(_log, logging.INFO, "refresh.ended", run_id=poll.run_id, provider_status=status)

    def _details(self, provider: WorkflowProvider, poll: DuePoll) -> RunDetails | None:
        """The details, or a note that there are none to be had, or None: to be tried again.

        Raises:
            CircuitOpen: nothing was tried, and the end itself is written already, so that there is nothing to count.
        """
        try:
            return guarded(
                lambda: provider.details(poll.provider_run_id), otherwise=_as_passing, during="details", of=poll.run_id
            )
        except Rejected as error:
            return _no_details(error)
        except CircuitOpen:
            if poll.known_state.has_ended:
                raise
            return None
        except ProviderError as error:
            given_up = poll.details_failures + 1 >= self._policy.tries_after(error)
            log_event(_log, logging.WARNING, "refresh.no_details", run_id=poll.run_id, reason=error, final=given_up)
            return _no_details(error) if given_up else None


def _spread(poll: DuePoll) -> float:
    """From 0.9 to 1.1, another one for each run and each look: what began together is not asked for together."""
    digest = blake2b(f"{poll.run_id} {poll.seq}".encode(), digest_size=4).digest()
    return 0.9 + 0.2 * int.from_bytes(digest) / 0xFFFFFFFF


def _as_passing(error: Exception) -> NoReturn:
    raise NotNow(f"{error.__class__.__name__}: {error}") from error


def _no_details(error: ProviderError) -> RunDetails:
    return RunDetails(system_logs=(f"outputs and tasks could not be fetched: {error}",))


def _task_logs(run_id: RunId, tasks: Sequence[ProviderTask]) -> Sequence[TaskLog]:
    return [
        TaskLog(
            id=task_id(run_id, task.id),
            name=task.name,
            cmd=task.cmd,
            start_time=task.started_at,
            end_time=task.ended_at,
            stdout=task.stdout,
            stderr=task.stderr,
            exit_code=task.exit_code,
            system_logs=task.system_logs,
        )
        for task in tasks
    ]
