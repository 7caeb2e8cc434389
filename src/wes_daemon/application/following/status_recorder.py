"""Records what a provider reported about polled runs: their rows, timelines, outputs and tasks, and the next poll."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NoReturn

from wes_daemon.application.following.refresh_policy import RefreshPolicy
from wes_daemon.application.ports.environment import Clock
from wes_daemon.application.ports.errors import (
    CircuitOpen,
    ClaimLost,
    ConcurrentUpdate,
    NotNow,
    ProviderError,
    Rejected,
    StorageRefused,
)
from wes_daemon.application.ports.polls import DuePoll, PollResult
from wes_daemon.application.ports.providers import ProviderTask, RunDetails, WorkflowProvider
from wes_daemon.application.ports.runs import RunUpdate
from wes_daemon.application.ports.unit_of_work import UnitOfWork
from wes_daemon.application.runtime.event_log import log_event
from wes_daemon.application.runtime.guard import guarded
from wes_daemon.application.runtime.recording import PlannedUpdate, Recorder, Recording
from wes_daemon.domain.outputs import outputs_for_tag
from wes_daemon.domain.runs import RunId, RunSummary, StatusReport, TaskLog, task_id

_log = logging.getLogger(__name__)


class PollOutcome(StrEnum):
    """What one poll of one run led to."""

    UNCHANGED = "unchanged"
    UNKNOWN = "unknown"
    MOVED = "moved"
    ENDED = "ended"
    DETAILS_PENDING = "details_pending"
    MISSING = "missing"
    LOST = "lost"
    DEFERRED = "deferred"


class StatusRecorder:
    """Updates the rows of runs to what their providers report."""

    def __init__(self, *, recorder: Recorder, clock: Clock, policy: RefreshPolicy) -> None:
        self._recorder = recorder
        self._clock = clock
        self._policy = policy

    def examine(
        self, provider: WorkflowProvider, poll: DuePoll, report: StatusReport | None
    ) -> PollOutcome | PollResult:
        """Return the result to record, with the details of an ended run; or the outcome, if it is recorded already.

        Args:
            report: None if the provider does not know the run.
        """
        try:
            return guarded(
                lambda: self._examined(provider, poll, report),
                otherwise=lambda _: PollOutcome.DEFERRED,
                during="refresh",
                of=poll.run_id,
            )
        except ConcurrentUpdate as error:
            log_event(_log, logging.DEBUG, "refresh.overtaken", run_id=poll.run_id, reason=error)
            return PollOutcome.DEFERRED
        except StorageRefused as error:
            return self._defer_refused(poll, error)
        except CircuitOpen as error:
            delay = error.retry_after or self._policy.retry_delay
            self._recorder.record(lambda recording: recording.work.polls.defer([poll], delay=delay))
            return PollOutcome.DEFERRED

    def examine_ended(self, provider: WorkflowProvider, poll: DuePoll) -> PollOutcome | PollResult:
        """Request again the details of a run whose end is recorded already."""
        known = StatusReport(state=poll.known_state, provider_status=poll.known_status or "")
        return self.examine(provider, poll, known)

    def record(self, results: Sequence[PollResult]) -> Sequence[PollOutcome]:
        """Record all results in few statements; a result that cannot be recorded does not affect the others."""
        if not results:
            return []
        try:
            return guarded(
                lambda: self._record_together(results),
                otherwise=lambda _: self._record_one_by_one(results),
                during="refresh",
                of=f"{len(results)} runs",
            )
        except (ConcurrentUpdate, StorageRefused):
            return self._record_one_by_one(results)

    def _record_one_by_one(self, results: Sequence[PollResult]) -> Sequence[PollOutcome]:
        return [self._record_alone(result) for result in results]

    def _record_alone(self, result: PollResult) -> PollOutcome:
        run_id = result.poll.run_id
        try:
            return guarded(
                lambda: self._record_together([result])[0],
                otherwise=lambda _: PollOutcome.DEFERRED,
                during="refresh",
                of=run_id,
            )
        except ConcurrentUpdate as error:
            log_event(_log, logging.DEBUG, "refresh.overtaken", run_id=run_id, reason=error)
            return PollOutcome.DEFERRED
        except StorageRefused as error:
            return self._defer_refused(result.poll, error)

    def _defer_refused(self, poll: DuePoll, error: StorageRefused) -> PollOutcome:
        """Poll a run later whose result the database refuses even in the daemon's own tables."""
        delay = self._recorder.refusals.add(poll.run_id, error, during="refresh")
        self._recorder.record(lambda recording: recording.work.polls.defer([poll], delay=delay))
        self._recorder.note_refusals({poll.run_id: error}, during="refresh")
        return PollOutcome.DEFERRED

    def _examined(
        self, provider: WorkflowProvider, poll: DuePoll, report: StatusReport | None
    ) -> PollOutcome | PollResult:
        if report is None:
            return self._missing(poll, why_unknown=provider.limits.why_unknown)
        if report.state.has_ended:
            return self._ended(provider, poll, report)
        return PollResult(poll, report)

    def _missing(self, poll: DuePoll, *, why_unknown: str) -> PollOutcome:
        if poll.missing_for is not None and poll.missing_for >= self._policy.lost_after:
            return self._lost(poll, why_unknown=why_unknown)
        if poll.missing_for is None:
            log_event(_log, logging.WARNING, "refresh.missing", run_id=poll.run_id, provider_id=poll.provider_run_id)
        delay = self._policy.retry_delay
        self._recorder.record(lambda recording: recording.work.polls.record_missing(poll, delay=delay))
        return PollOutcome.MISSING

    def _lost(self, poll: DuePoll, *, why_unknown: str) -> PollOutcome:
        now = self._clock.now()
        reason = f"{poll.provider} no longer knows the run that it accepted as {poll.provider_run_id}"
        if why_unknown:
            reason += f": {why_unknown.replace('{id}', poll.provider_run_id)}"

        def write(recording: Recording) -> None:
            if not recording.work.polls.finish([poll]):
                raise ClaimLost(f"run {poll.run_id} was leased again")
            recording.change(poll.run_id, lambda run: run.lost(reason, now), reason)

        self._recorder.record(write)
        log_event(_log, logging.ERROR, "refresh.lost", run_id=poll.run_id, reason=reason)
        return PollOutcome.LOST

    def _ended(self, provider: WorkflowProvider, poll: DuePoll, report: StatusReport) -> PollOutcome | PollResult:
        """Record the end of a run even if its details cannot be read; they may be recorded later."""
        details = self._details(provider, poll)
        result = PollResult(poll, report, details)
        if result.is_final:
            return result

        def write(recording: Recording) -> None:
            delay = self._policy.details_delay(poll.details_failures)
            recording.work.polls.record_missing_details(poll, report.state, delay=delay)
            recording.write({poll.run_id: self._update(recording, result)})

        self._recorder.record(write)
        _log_end(result)
        return PollOutcome.DETAILS_PENDING

    def _record_together(self, results: Sequence[PollResult]) -> Sequence[PollOutcome]:
        recorded: set[RunId] = set()

        def write(recording: Recording) -> None:
            recorded.clear()
            recorded.update(self._reschedule(recording.work, results))
            recording.write(
                {each.poll.run_id: self._update(recording, each) for each in results if each.poll.run_id in recorded}
            )

        self._recorder.record(write)
        return [_outcome(each) if each.poll.run_id in recorded else _overtaken(each) for each in results]

    def _reschedule(self, work: UnitOfWork, results: Sequence[PollResult]) -> set[RunId]:
        """Finish the ended runs, set the next poll of the others, and return the runs that were not leased again."""
        ended = [each.poll for each in results if each.is_final]
        active = [each for each in results if not each.is_final]
        finished = work.polls.finish(ended) if ended else set[RunId]()
        changed = work.polls.record_changed(active, delay=self._next_poll) if active else set[RunId]()
        return finished | changed

    def _next_poll(self, result: PollResult) -> timedelta:
        return self._policy.next_poll(result.poll, result.report.state)

    def _update(self, recording: Recording, result: PollResult) -> PlannedUpdate:
        poll, report, details = result.poll, result.report, result.details
        now = self._clock.now()
        is_new = report.provider_status != poll.known_status or bool(report.message)
        why = report.message or f"{poll.provider} reports {report.provider_status}"

        def build(run: RunSummary) -> RunUpdate:
            return replace(
                recording.update(run, self._updated(run, result, now), why, provider_status=report.provider_status),
                provider_status=report.provider_status if is_new else None,
                provider_message=report.message,
                details=details,
                tasks=_task_logs(poll.run_id, details.tasks) if details else (),
            )

        return why, build

    def _updated(self, run: RunSummary, result: PollResult, now: datetime) -> RunSummary:
        """The run after the report, with the start time and the tag that the policy requires."""
        report, details, tag = result.report, result.details, self._policy.outputs_tag
        if self._policy.keeps_start_time and run.start_time:
            report = replace(report, started_at=run.start_time)
        after = run.updated(report, now)
        return after.with_tag(tag, outputs_for_tag(details.outputs)) if tag and details and details.outputs else after

    def _details(self, provider: WorkflowProvider, poll: DuePoll) -> RunDetails | None:
        """Return the details, or a note that they cannot be read, or None to request them again later.

        Raises:
            CircuitOpen: nothing was requested, and the end itself is recorded already, so that no failure is counted.
        """
        try:
            return guarded(
                lambda: provider.details(poll.provider_run_id), otherwise=_as_not_now, during="details", of=poll.run_id
            )
        except Rejected as error:
            return _no_details(error)
        except CircuitOpen:
            if poll.known_state.has_ended:
                raise
            return None
        except ProviderError as error:
            is_final = poll.details_failures + 1 >= self._policy.details_attempts_after(error)
            log_event(_log, logging.WARNING, "refresh.no_details", run_id=poll.run_id, reason=error, final=is_final)
            return _no_details(error) if is_final else None


def _outcome(result: PollResult) -> PollOutcome:
    if not result.is_final:
        return PollOutcome.MOVED
    _log_end(result)
    return PollOutcome.ENDED


def _overtaken(result: PollResult) -> PollOutcome:
    log_event(_log, logging.DEBUG, "refresh.overtaken", run_id=result.poll.run_id, reason="leased by another daemon")
    return PollOutcome.DEFERRED


def _log_end(result: PollResult) -> None:
    poll, status = result.poll, result.report.provider_status
    if not poll.known_state.has_ended:
        log_event(_log, logging.INFO, "refresh.ended", run_id=poll.run_id, provider_status=status)


def _as_not_now(error: Exception) -> NoReturn:
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
