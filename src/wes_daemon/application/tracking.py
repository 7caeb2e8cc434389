"""What one look at one run has shown, written down."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import NoReturn

from wes_daemon.application import fault_points
from wes_daemon.application.events import log_event
from wes_daemon.application.guard import guarded
from wes_daemon.application.ports.environment import Clock
from wes_daemon.application.ports.errors import (
    CircuitOpen,
    ConcurrentUpdate,
    Misconfigured,
    NotNow,
    ProviderError,
    Rejected,
)
from wes_daemon.application.ports.persistence import DuePoll
from wes_daemon.application.ports.providers import ProviderTask, RunDetails, StatusReport, WorkflowProvider
from wes_daemon.application.recording import Recorder, Recording
from wes_daemon.domain.runs import Observation, RunId, TaskLog, task_id

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshPolicy:
    """How runs are followed.

    Attributes:
        interval: how long after one look at a run the next one comes.
        page: runs that are taken at a time.
        lost_after: how long a provider must not know a run before it is given up.
        hold: how long a page is kept from other daemons, longer than one round of calls takes; what a daemon had taken
            when it died is asked for after this time.
        details_tries: how often outputs and tasks of an ended run are asked for before their absence is noted;
            five times as often where a person has to mend the provider first.
    """

    interval: timedelta = timedelta(seconds=300)
    page: int = 500
    lost_after: timedelta = timedelta(hours=1)
    hold: timedelta = timedelta(seconds=90)
    details_tries: int = 5

    @property
    def soon(self) -> timedelta:
        """How long until what did not work is tried again."""
        return min(self.interval, timedelta(minutes=1))

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


class Tracker:
    """Brings one run's row to what its provider says."""

    def __init__(self, *, recorder: Recorder, clock: Clock, policy: RefreshPolicy) -> None:
        self._recorder = recorder
        self._clock = clock
        self._policy = policy

    def write_down(self, provider: WorkflowProvider, poll: DuePoll, report: StatusReport | None) -> Finding:
        """Record news of one run; `report` is None where the provider does not know it."""
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

    def finish(self, provider: WorkflowProvider, poll: DuePoll) -> Finding:
        """Ask again for the details of a run that has ended and whose state is written already."""
        known = StatusReport(state=poll.known_state, provider_status=poll.known_status or "")
        return self.write_down(provider, poll, known)

    def _by_kind(self, provider: WorkflowProvider, poll: DuePoll, report: StatusReport | None) -> Finding:
        if report is None:
            return self._missing(poll)
        if report.state.has_ended:
            return self._ended(provider, poll, report)
        return self._moved(poll, report)

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

    def _moved(self, poll: DuePoll, report: StatusReport) -> Finding:
        def write(recording: Recording) -> None:
            status, again_after = report.provider_status, self._policy.interval
            recording.work.polls.moved(poll, report.state, status, again_after=again_after)
            self._write_report(recording, poll, report)
            fault_points.reached("refresh.before_commit")

        self._recorder.record(write)
        fault_points.reached("refresh.after_commit")
        return Finding.MOVED

    def _ended(self, provider: WorkflowProvider, poll: DuePoll, report: StatusReport) -> Finding:
        """The end of a run is written whether or not its details can be had; those may follow later."""
        details = self._details(provider, poll)

        def write(recording: Recording) -> None:
            there = self._write_report(recording, poll, report)
            if details is None:
                rest = self._policy.wait_for_details(poll.details_failures)
                recording.work.polls.details_failed(poll, report.state, again_after=rest)
                return
            recording.work.polls.finished(poll)
            if there:
                recording.work.runs.save_details(poll.run_id, details, _task_logs(poll.run_id, details.tasks))
            fault_points.reached("refresh.before_commit")

        self._recorder.record(write)
        fault_points.reached("refresh.after_commit")
        if not poll.known_state.has_ended:
            log_event(_log, logging.INFO, "refresh.ended", run_id=poll.run_id, provider_status=report.provider_status)
        return Finding.ENDED if details is not None else Finding.DETAILS_PENDING

    def _write_report(self, recording: Recording, poll: DuePoll, report: StatusReport) -> bool:
        """Whether there is a row to write to."""
        seen = Observation(
            state=report.state,
            at=self._clock.now(),
            started_at=report.started_at,
            ended_at=report.ended_at,
            message=report.message,
        )
        why = report.message or f"{poll.provider} reports {report.provider_status}"
        there = recording.change(poll.run_id, lambda run: run.observed(seen), why, report.provider_status)
        if there and (report.provider_status != poll.known_status or report.message):
            recording.work.runs.note_provider_status(poll.run_id, report.provider_status, report.message)
        return there

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
