"""The poll schedule in memory."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from wes_daemon.adapters.memory.store import PollRow, Tables
from wes_daemon.application.ports.environment import Clock
from wes_daemon.application.ports.errors import ClaimLost
from wes_daemon.application.ports.polls import DuePoll, Move, Pace, RunToCancel, as_soon_as_it_is_free
from wes_daemon.application.ports.submissions import SubmissionState
from wes_daemon.domain.runs import ProviderRunId, ProviderType, RunId
from wes_daemon.domain.states import RunState


class MemoryPollSchedule:
    """A `PollSchedule` over dictionaries."""

    def __init__(self, tables: Tables, clock: Clock) -> None:
        self._tables = tables
        self._clock = clock

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
        """As the port says."""
        now = self._clock.now()
        due = [
            (row.next_check_at, run_id)
            for run_id, row in self._tables.polls.items()
            if row.next_check_at <= now + ahead
            and (row.held_until is None or row.held_until <= now)
            and (row.taken_at is None or row.taken_at <= now - untouched_for)
            and row.provider not in excluding
        ]
        return [self._take(run_id, hold, again_after) for _, run_id in sorted(due)[:limit]]

    def checked(self, polls: Collection[DuePoll], *, again_after: Pace) -> None:
        """As the port says."""
        for poll in polls:
            if row := self._current(poll):
                self._reschedule(poll.run_id, replace(row, missing_since=None), again_after(poll))

    def put_off(self, polls: Collection[DuePoll], *, wait: timedelta) -> None:
        """As the port says."""
        now = self._clock.now()
        for poll in polls:
            if row := self._current(poll):
                back = replace(row, held_until=now + wait, next_check_at=now - poll.overdue)
                self._tables.polls[poll.run_id] = back

    def reset_missing(self, provider: ProviderType) -> None:
        """As the port says."""
        for run_id, row in self._tables.polls.items():
            if row.provider is provider:
                self._tables.polls[run_id] = replace(row, missing_since=None)

    def missing(self, poll: DuePoll, *, again_after: timedelta) -> None:
        """As the port says."""
        if row := self._current(poll):
            since = row.missing_since or self._clock.now()
            self._reschedule(poll.run_id, replace(row, missing_since=since), again_after)

    def moved_all(self, moved: Collection[Move]) -> Collection[RunId]:
        """As the port says."""
        latest = [(one, row) for one in moved if (row := self._current(one.poll))]
        for one, row in latest:
            known = replace(row, known_state=one.state, known_status=one.provider_status, missing_since=None)
            self._reschedule(one.poll.run_id, known, one.again_after)
        return {one.poll.run_id for one, _ in latest}

    def details_failed(self, poll: DuePoll, state: RunState, *, again_after: timedelta) -> None:
        """As the port says."""
        row = self._held(poll)
        row = replace(row, known_state=state, details_failures=row.details_failures + 1)
        self._reschedule(poll.run_id, row, again_after)
        self._close(poll.run_id)

    def finished(self, poll: DuePoll) -> None:
        """As the port says."""
        self._held(poll)
        del self._tables.polls[poll.run_id]
        self._close(poll.run_id)

    def finished_all(self, polls: Collection[DuePoll]) -> Collection[RunId]:
        """As the port says."""
        latest = [poll for poll in polls if self._current(poll)]
        for poll in latest:
            self.finished(poll)
        return {poll.run_id for poll in latest}

    def make_due(self, provider: ProviderType, ids: Collection[ProviderRunId]) -> Collection[ProviderRunId]:
        """As the port says."""
        now = self._clock.now()
        followed = {
            run_id: row
            for run_id, row in self._tables.polls.items()
            if row.provider is provider and row.provider_run_id in ids and not row.known_state.has_ended
        }
        for run_id, row in followed.items():
            due_at = min(row.next_check_at, now)
            self._tables.polls[run_id] = replace(row, next_check_at=due_at, held_until=None)
        return {row.provider_run_id for row in followed.values()}

    def to_cancel(self, *, limit: int, hold: timedelta, excluding: Collection[ProviderType]) -> Sequence[RunToCancel]:
        """As the port says."""
        now = self._clock.now()
        due = [
            run_id
            for run_id, row in self._tables.polls.items()
            if self._is_unwanted(run_id, row)
            and row.provider not in excluding
            and (row.cancel_again_at is None or row.cancel_again_at <= now)
        ]
        return [self._send_cancel(run_id, now + hold) for run_id in due[:limit]]

    def cancel_again(self, run: RunToCancel, *, wait: timedelta) -> None:
        """As the port says."""
        if row := self._tables.polls.get(run.run_id):
            self._tables.polls[run.run_id] = replace(row, cancel_again_at=self._clock.now() + wait)

    def _close(self, run_id: RunId) -> None:
        submission = self._tables.submissions[run_id]
        self._tables.submissions[run_id] = replace(submission, state=SubmissionState.CLOSED)

    def _take(self, run_id: RunId, hold: timedelta, again_after: Pace) -> DuePoll:
        now = self._clock.now()
        row = self._tables.polls[run_id]
        due = self._due_poll(run_id, replace(row, seq=row.seq + 1))
        next_at = now + max(hold, again_after(due))
        self._tables.polls[run_id] = replace(
            row, seq=due.seq, taken_at=now, held_until=now + hold, next_check_at=next_at
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
            seq=row.seq,
            age=now - row.followed_since if row.followed_since else None,
            overdue=now - row.next_check_at,
            is_unwanted=row.cancel_again_at is not None,
        )

    def _current(self, poll: DuePoll) -> PollRow | None:
        row = self._tables.polls.get(poll.run_id)
        return row if row and row.seq == poll.seq else None

    def _held(self, poll: DuePoll) -> PollRow:
        row = self._current(poll)
        if row is None:
            raise ClaimLost(f"run {poll.run_id}: poll {poll.seq} is over")
        return row

    def _reschedule(self, run_id: RunId, row: PollRow, wait: timedelta) -> None:
        self._tables.polls[run_id] = replace(row, held_until=None, next_check_at=self._clock.now() + wait)

    def _is_unwanted(self, run_id: RunId, row: PollRow) -> bool:
        run = self._tables.runs.get(run_id)
        if run is None or row.known_state.has_ended:
            return False
        return run.state is RunState.CANCELING or run.state.has_ended

    def _send_cancel(self, run_id: RunId, again_at: datetime) -> RunToCancel:
        now = self._clock.now()
        row = replace(self._tables.polls[run_id], cancel_again_at=again_at, next_check_at=now, held_until=None)
        self._tables.polls[run_id] = row
        return RunToCancel(run_id=run_id, provider=row.provider, provider_run_id=row.provider_run_id)
