"""The poll schedule in memory."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from wes_daemon.adapters.memory.store import PollRow, Tables
from wes_daemon.application.ports.environment import Clock
from wes_daemon.application.ports.errors import ClaimLost
from wes_daemon.application.ports.polls import DuePoll, PollDelay, PollResult, RunToCancel, no_delay
from wes_daemon.application.ports.submissions import SubmissionState
from wes_daemon.domain.runs import ProviderRunId, ProviderType, RunId
from wes_daemon.domain.states import RunState


class MemoryPollSchedule:
    """`PollSchedule` on the memory tables."""

    def __init__(self, tables: Tables, clock: Clock) -> None:
        self._tables = tables
        self._clock = clock

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
        now = self._clock.now()
        due = [
            (row.next_check_at, run_id)
            for run_id, row in self._tables.polls.items()
            if row.next_check_at <= now + ahead
            and (row.held_until is None or row.held_until <= now)
            and (row.taken_at is None or row.taken_at <= now - not_leased_for)
            and row.provider in serving
        ]
        return [self._lease(run_id, lease, next_poll) for _, run_id in sorted(due)[:limit]]

    def record_unchanged(self, polls: Collection[DuePoll], *, next_poll: PollDelay) -> None:
        for poll in polls:
            if row := self._current(poll):
                self._reschedule(poll.run_id, replace(row, missing_since=None), next_poll(poll))

    def defer(self, polls: Collection[DuePoll], *, delay: timedelta) -> None:
        now = self._clock.now()
        for poll in polls:
            if row := self._current(poll):
                deferred = replace(row, held_until=now + delay, next_check_at=now - poll.overdue)
                self._tables.polls[poll.run_id] = deferred

    def reset_missing(self, provider: ProviderType) -> None:
        for run_id, row in self._tables.polls.items():
            if row.provider == provider:
                self._tables.polls[run_id] = replace(row, missing_since=None)

    def record_missing(self, poll: DuePoll, *, delay: timedelta) -> None:
        if row := self._current(poll):
            since = row.missing_since or self._clock.now()
            self._reschedule(poll.run_id, replace(row, missing_since=since), delay)

    def record_changed(
        self, results: Collection[PollResult], *, delay: Callable[[PollResult], timedelta]
    ) -> set[RunId]:
        latest = [(each, row) for each in results if (row := self._current(each.poll))]
        for each, row in latest:
            report = each.report
            known = replace(row, known_state=report.state, known_status=report.provider_status, missing_since=None)
            self._reschedule(each.poll.run_id, known, delay(each))
        return {each.poll.run_id for each, _ in latest}

    def record_missing_details(self, poll: DuePoll, state: RunState, *, delay: timedelta) -> None:
        row = self._current(poll)
        if row is None:
            raise ClaimLost(f"run {poll.run_id} was leased again after fencing token {poll.fencing_token}")
        row = replace(row, known_state=state, details_failures=row.details_failures + 1)
        self._reschedule(poll.run_id, row, delay)
        self._close(poll.run_id)

    def finish(self, polls: Collection[DuePoll]) -> set[RunId]:
        latest = {poll.run_id for poll in polls if self._current(poll)}
        for run_id in latest:
            del self._tables.polls[run_id]
            self._close(run_id)
        return latest

    def make_due(self, provider: ProviderType, ids: Collection[ProviderRunId]) -> Collection[ProviderRunId]:
        now = self._clock.now()
        followed = {
            run_id: row
            for run_id, row in self._tables.polls.items()
            if row.provider == provider and row.provider_run_id in ids and not row.known_state.has_ended
        }
        for run_id, row in followed.items():
            due_at = min(row.next_check_at, now)
            self._tables.polls[run_id] = replace(row, next_check_at=due_at, held_until=None)
        return {row.provider_run_id for row in followed.values()}

    def to_cancel(self, *, limit: int, lease: timedelta, serving: Collection[ProviderType]) -> Sequence[RunToCancel]:
        now = self._clock.now()
        due = [
            run_id
            for run_id, row in self._tables.polls.items()
            if self._is_to_cancel(run_id, row)
            and row.provider in serving
            and (row.cancel_again_at is None or row.cancel_again_at <= now)
        ]
        return [self._send_cancel(run_id, now + lease) for run_id in due[:limit]]

    def cancel_again(self, run: RunToCancel, *, delay: timedelta) -> None:
        if row := self._tables.polls.get(run.run_id):
            self._tables.polls[run.run_id] = replace(row, cancel_again_at=self._clock.now() + delay)

    def deleted(self) -> Sequence[RunId]:
        return [run_id for run_id, row in self._tables.polls.items() if self._is_undecided(run_id, row)]

    def cancel_deleted(self, run_ids: Collection[RunId]) -> None:
        for run_id in set(run_ids).intersection(self.deleted()):
            self._tables.polls[run_id] = replace(self._tables.polls[run_id], cancel_again_at=self._clock.now())

    def keep_deleted(self, run_ids: Collection[RunId]) -> None:
        for run_id in set(run_ids).intersection(self.deleted()):
            self._tables.polls[run_id] = replace(self._tables.polls[run_id], row_missing_since=self._clock.now())

    def forget_restored(self) -> None:
        for run_id, row in self._tables.polls.items():
            if run_id in self._tables.runs:
                self._tables.polls[run_id] = replace(row, row_missing_since=None)

    def _is_undecided(self, run_id: RunId, row: PollRow) -> bool:
        is_decided = row.cancel_again_at is not None or row.row_missing_since is not None
        return run_id not in self._tables.runs and not row.known_state.has_ended and not is_decided

    def _close(self, run_id: RunId) -> None:
        submission = self._tables.submissions[run_id]
        self._tables.submissions[run_id] = replace(submission, state=SubmissionState.CLOSED)

    def _lease(self, run_id: RunId, lease: timedelta, next_poll: PollDelay) -> DuePoll:
        now = self._clock.now()
        row = self._tables.polls[run_id]
        due = self._due_poll(run_id, replace(row, poll_seq=row.poll_seq + 1))
        next_at = now + max(lease, next_poll(due))
        self._tables.polls[run_id] = replace(
            row, poll_seq=due.fencing_token, taken_at=now, held_until=now + lease, next_check_at=next_at
        )
        return due

    def _due_poll(self, run_id: RunId, row: PollRow) -> DuePoll:
        now = self._clock.now()
        return DuePoll(
            run_id=run_id,
            provider=row.provider,
            provider_run_id=row.provider_run_id,
            known_state=row.known_state,
            known_status=row.known_status,
            missing_for=now - row.missing_since if row.missing_since else None,
            details_failures=row.details_failures,
            fencing_token=row.poll_seq,
            age=now - row.followed_since if row.followed_since else None,
            overdue=now - row.next_check_at,
            cancel_was_sent=row.cancel_again_at is not None,
        )

    def _current(self, poll: DuePoll) -> PollRow | None:
        row = self._tables.polls.get(poll.run_id)
        return row if row and row.poll_seq == poll.fencing_token else None

    def _reschedule(self, run_id: RunId, row: PollRow, wait: timedelta) -> None:
        self._tables.polls[run_id] = replace(row, held_until=None, next_check_at=self._clock.now() + wait)

    def _is_to_cancel(self, run_id: RunId, row: PollRow) -> bool:
        run = self._tables.runs.get(run_id)
        if row.known_state.has_ended:
            return False
        if run is None:
            return row.cancel_again_at is not None
        return run.state is RunState.CANCELING or run.state.has_ended

    def _send_cancel(self, run_id: RunId, again_at: datetime) -> RunToCancel:
        now = self._clock.now()
        row = replace(self._tables.polls[run_id], cancel_again_at=again_at, next_check_at=now, held_until=None)
        self._tables.polls[run_id] = row
        return RunToCancel(run_id=run_id, provider=row.provider, provider_run_id=row.provider_run_id)
