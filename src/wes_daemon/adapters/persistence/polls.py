"""Which accepted run is to be asked for when. A number that each taking raises keeps late answers out."""

from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Integer,
    Row,
    Select,
    Text,
    Update,
    and_,
    delete,
    func,
    null,
    or_,
    select,
    update,
)

from wes_daemon.adapters.persistence.expressions import (
    among,
    given,
    is_one_of,
    pair_among,
    picked,
    store_after,
    store_now,
)
from wes_daemon.adapters.persistence.mapping import since, state_from
from wes_daemon.adapters.persistence.tables import polls, submissions, workflow_runs
from wes_daemon.application.ports.errors import ClaimLost
from wes_daemon.application.ports.persistence import DuePoll, HeldRun, Move, SubmissionState
from wes_daemon.domain.runs import ProviderRunId, ProviderType, RunId
from wes_daemon.domain.states import ENDED, RunState


class SqlPollSchedule:
    """`PollSchedule` in the table `polls`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def take_due(
        self,
        *,
        limit: int,
        ahead: timedelta,
        hold: timedelta,
        untouched_for: timedelta,
        excluding: Collection[ProviderType],
    ) -> Sequence[DuePoll]:
        taken = self._connection.execute(
            update(polls)
            .where(picked(polls.c.run_id, _due(ahead, untouched_for, excluding).limit(limit)))
            .values(poll_seq=polls.c.poll_seq + 1, held_until=store_after(hold), taken_at=store_now())
            .returning(*polls.c, store_now().label("now"))
        )
        rows = sorted(taken, key=lambda row: (row.next_check_at, row.run_id))
        return [_due_poll_from(row) for row in rows]

    def checked(self, polls: Collection[DuePoll], *, again_after: timedelta) -> None:
        self._connection.execute(_rescheduled(polls, again_after).values(missing_since=null()))

    def put_off(self, polls: Collection[DuePoll], *, wait: timedelta) -> None:
        self._connection.execute(_rescheduled(polls, wait))

    def missing(self, poll: DuePoll, *, again_after: timedelta) -> None:
        since_then = func.coalesce(polls.c.missing_since, store_now())
        self._connection.execute(_rescheduled([poll], again_after).values(missing_since=since_then))

    def moved(self, poll: DuePoll, state: RunState, provider_status: str, *, again_after: timedelta) -> None:
        self._record(
            poll,
            _rescheduled([poll], again_after).values(
                known_state=state, known_status=provider_status, missing_since=null()
            ),
        )

    def moved_all(self, moved: Collection[Move], *, again_after: timedelta) -> Collection[RunId]:
        rows = [
            {"run_id": one.poll.run_id, "seq": one.poll.seq, "state": one.state, "status": one.provider_status}
            for one in moved
        ]
        sent = given(self._connection, rows, run_id=Text, seq=Integer, state=Text, status=Text)
        taken = self._connection.execute(
            update(polls)
            .where(polls.c.run_id == sent.c.run_id, polls.c.poll_seq == sent.c.seq)
            .values(
                known_state=sent.c.state,
                known_status=sent.c.status,
                missing_since=null(),
                next_check_at=store_after(again_after),
                held_until=null(),
            )
            .returning(polls.c.run_id)
        )
        return frozenset(RunId(id) for id in taken.scalars())

    def details_failed(self, poll: DuePoll, state: RunState, *, again_after: timedelta) -> None:
        failures = polls.c.details_failures + 1
        self._record(
            poll,
            _rescheduled([poll], again_after).values(
                known_state=state, details_failures=failures, missing_since=null()
            ),
        )
        self._close_submission(poll)

    def finished(self, poll: DuePoll) -> None:
        latest = and_(polls.c.run_id == poll.run_id, polls.c.poll_seq == poll.seq)
        self._record(poll, delete(polls).where(latest))
        self._close_submission(poll)

    def finished_all(self, polls: Collection[DuePoll]) -> Collection[RunId]:
        ended = self._connection.execute(_deleted(polls)).scalars().all()
        self._connection.execute(
            update(submissions).where(among(submissions.c.run_id, ended)).values(state=SubmissionState.CLOSED)
        )
        return frozenset(RunId(id) for id in ended)

    def to_cancel(self, *, limit: int, hold: timedelta, excluding: Collection[ProviderType]) -> Sequence[HeldRun]:
        given = self._connection.execute(
            update(polls)
            .where(picked(polls.c.run_id, _unwanted(excluding).limit(limit)))
            .values(cancel_again_at=store_after(hold), next_check_at=store_now())
            .returning(polls.c.run_id, polls.c.provider, polls.c.provider_run_id)
        )
        return [_held_run_from(row) for row in given]

    def cancel_again(self, run: HeldRun, *, wait: timedelta) -> None:
        self._connection.execute(
            update(polls).where(polls.c.run_id == run.run_id).values(cancel_again_at=store_after(wait))
        )

    def _close_submission(self, poll: DuePoll) -> None:
        self._connection.execute(
            update(submissions).where(submissions.c.run_id == poll.run_id).values(state=SubmissionState.CLOSED)
        )

    def _record(self, poll: DuePoll, change: Any) -> None:
        if self._connection.execute(change).rowcount == 0:
            raise ClaimLost(f"run {poll.run_id}: its poll {poll.seq} was taken over by a later one")


def _due(ahead: timedelta, untouched_for: timedelta, excluding: Collection[ProviderType]) -> Select[Any]:
    return (
        select(polls.c.run_id)
        .where(
            polls.c.next_check_at <= store_after(ahead),
            or_(polls.c.held_until.is_(None), polls.c.held_until <= store_now()),
            or_(polls.c.taken_at.is_(None), polls.c.taken_at <= store_after(-untouched_for)),
            _served(excluding),
        )
        .order_by(polls.c.next_check_at, polls.c.run_id)
    )


def _unwanted(excluding: Collection[ProviderType]) -> Select[Any]:
    """Runs to cancel; not those that have ended at the provider and only wait for their details."""
    return (
        select(polls.c.run_id)
        .join(workflow_runs, workflow_runs.c.run_id == polls.c.run_id)
        .where(
            is_one_of(workflow_runs.c.state, RunState.CANCELING, *sorted(ENDED)),
            polls.c.known_state.not_in(sorted(ENDED)),
            or_(polls.c.cancel_again_at.is_(None), polls.c.cancel_again_at <= store_now()),
            _served(excluding),
        )
        .order_by(polls.c.cancel_again_at.nulls_first(), polls.c.run_id)
    )


def _served(excluding: Collection[ProviderType]) -> ColumnElement[bool]:
    return polls.c.provider.in_([provider for provider in ProviderType if provider not in excluding])


def _deleted(due: Collection[DuePoll]) -> Any:
    pairs = [(poll.run_id, poll.seq) for poll in due]
    return delete(polls).where(pair_among(polls.c.run_id, polls.c.poll_seq, pairs)).returning(polls.c.run_id)


def _rescheduled(due: Collection[DuePoll], wait: timedelta) -> Update:
    pairs = [(poll.run_id, poll.seq) for poll in due]
    return (
        update(polls)
        .where(pair_among(polls.c.run_id, polls.c.poll_seq, pairs))
        .values(next_check_at=store_after(wait), held_until=null())
    )


def _due_poll_from(row: Row[Any]) -> DuePoll:
    return DuePoll(
        run_id=RunId(row.run_id),
        provider=ProviderType(row.provider),
        provider_run_id=ProviderRunId(row.provider_run_id),
        known_state=state_from(row.known_state),
        known_status=row.known_status,
        missing_for=None if row.missing_since is None else since(row.missing_since, row.now),
        details_failures=row.details_failures,
        seq=row.poll_seq,
    )


def _held_run_from(row: Row[Any]) -> HeldRun:
    return HeldRun(
        run_id=RunId(row.run_id),
        provider=ProviderType(row.provider),
        provider_run_id=ProviderRunId(row.provider_run_id),
    )
