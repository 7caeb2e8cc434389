"""Which accepted run is to be asked for when. A number that each taking raises keeps late answers out."""

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from functools import cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Float,
    Integer,
    Row,
    Select,
    Text,
    Update,
    and_,
    case,
    delete,
    func,
    null,
    or_,
    select,
    update,
)

from wes_daemon.adapters.persistence.expressions import (
    as_seconds,
    by_key,
    in_list,
    in_locked_rows,
    is_one_of,
    json_rows,
    of_same_run,
    pair_in_list,
    rows_from_json,
    seconds_since,
    store_after,
    store_in,
    store_now,
)
from wes_daemon.adapters.persistence.mapping import span, state_from
from wes_daemon.adapters.persistence.tables import polls, submissions, workflow_runs
from wes_daemon.application.ports.errors import ClaimLost
from wes_daemon.application.ports.polls import DuePoll, Move, Pace, RunToCancel, as_soon_as_it_is_free
from wes_daemon.application.ports.submissions import SubmissionState
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
        again_after: Pace = as_soon_as_it_is_free,
    ) -> Sequence[DuePoll]:
        # Locked until the commit: nobody else takes them between the two statements.
        locked = _due(ahead, untouched_for, excluding).limit(limit).with_for_update(skip_locked=True)
        due = [_due_poll_from(row) for row in self._connection.execute(locked).all()]
        waits = [
            {"run_id": poll.run_id, "seq": poll.seq - 1, "wait": as_seconds(max(hold, again_after(poll)))}
            for poll in due
        ]
        if waits:
            taken = {"poll_seq": polls.c.poll_seq + 1, "taken_at": store_now(), "held_until": store_after(hold)}
            self._reschedule(waits, **taken)
        return due

    def checked(self, polls: Collection[DuePoll], *, again_after: Pace) -> None:
        waits = [{"run_id": poll.run_id, "seq": poll.seq, "wait": as_seconds(again_after(poll))} for poll in polls]
        self._reschedule(waits, missing_since=null(), held_until=null())

    def put_off(self, polls: Collection[DuePoll], *, wait: timedelta) -> None:
        # They stay as long due as they are, so that the longest due go first again.
        back = [{"run_id": poll.run_id, "seq": poll.seq, "wait": as_seconds(-poll.overdue)} for poll in polls]
        self._reschedule(back, held_until=store_after(wait))

    def reset_missing(self, provider: ProviderType) -> None:
        missing = (polls.c.provider == provider, polls.c.missing_since.is_not(None))
        self._connection.execute(update(polls).where(*missing).values(missing_since=null()))

    def missing(self, poll: DuePoll, *, again_after: timedelta) -> None:
        since_then = func.coalesce(polls.c.missing_since, store_now())
        self._connection.execute(_rescheduled(poll, again_after).values(missing_since=since_then))

    def moved_all(self, moved: Collection[Move]) -> Collection[RunId]:
        rows = [
            {"run_id": one.poll.run_id, "seq": one.poll.seq, "wait": as_seconds(one.again_after)}
            | {"state": one.state, "status": one.provider_status}
            for one in moved
        ]
        taken = self._connection.execute(_moving(self._connection.dialect.name), json_rows(rows))
        return frozenset(RunId(id) for id in taken.scalars().all())

    def details_failed(self, poll: DuePoll, state: RunState, *, again_after: timedelta) -> None:
        failures = polls.c.details_failures + 1
        self._record(
            poll,
            _rescheduled(poll, again_after).values(known_state=state, details_failures=failures, missing_since=null()),
        )
        self._close_submission(poll)

    def finished(self, poll: DuePoll) -> None:
        latest = and_(polls.c.run_id == poll.run_id, polls.c.poll_seq == poll.seq)
        self._record(poll, delete(polls).where(latest))
        self._close_submission(poll)

    def finished_all(self, polls: Collection[DuePoll]) -> Collection[RunId]:
        ended = self._connection.execute(_deleted(polls)).scalars().all()
        self._connection.execute(
            update(submissions).where(in_list(submissions.c.run_id, ended)).values(state=SubmissionState.CLOSED)
        )
        return frozenset(RunId(id) for id in ended)

    def make_due(self, provider: ProviderType, ids: Collection[ProviderRunId]) -> Collection[ProviderRunId]:
        # A further index on the schedule would be written at every look.
        held = select(submissions.c.run_id).where(
            submissions.c.provider == provider, in_list(submissions.c.provider_run_id, ids)
        )
        # What is due already keeps its place.
        earlier = case((polls.c.next_check_at < store_now(), polls.c.next_check_at), else_=store_now())
        followed = self._connection.execute(
            update(polls)
            .where(polls.c.run_id.in_(held), polls.c.known_state.not_in(sorted(ENDED)))
            .values(next_check_at=earlier, held_until=null())
            .returning(polls.c.provider_run_id)
        )
        return frozenset(ProviderRunId(id) for id in followed.scalars().all())

    def to_cancel(self, *, limit: int, hold: timedelta, excluding: Collection[ProviderType]) -> Sequence[RunToCancel]:
        given = self._connection.execute(
            update(polls)
            .where(in_locked_rows(polls.c.run_id, _unwanted(excluding).limit(limit)))
            .values(cancel_again_at=store_after(hold), next_check_at=store_now(), held_until=null())
            .returning(polls.c.run_id, polls.c.provider, polls.c.provider_run_id)
        )
        return [_held_run_from(row) for row in given]

    def cancel_again(self, run: RunToCancel, *, wait: timedelta) -> None:
        self._connection.execute(
            update(polls).where(polls.c.run_id == run.run_id).values(cancel_again_at=store_after(wait))
        )

    def _reschedule(self, waits: Sequence[Mapping[str, object]], **values: object) -> None:
        """Let each be due after its `wait` in seconds, where nobody has taken it after `seq`."""
        each = _each(self._connection.dialect.name)
        self._connection.execute(each.values(**values), json_rows(waits))

    def _close_submission(self, poll: DuePoll) -> None:
        self._connection.execute(
            update(submissions).where(submissions.c.run_id == poll.run_id).values(state=SubmissionState.CLOSED)
        )

    def _record(self, poll: DuePoll, change: Any) -> None:
        if self._connection.execute(change).rowcount == 0:
            raise ClaimLost(f"run {poll.run_id}: its poll {poll.seq} was taken over by a later one")


# To build a statement takes longer than to send it.


@cache
def _each(dialect: str) -> Update:
    sent = rows_from_json(dialect, run_id=Text(), seq=Integer(), wait=Float())
    latest = (by_key(polls.c.run_id, sent.c.run_id), polls.c.poll_seq == sent.c.seq)
    return update(polls).where(*latest).values(next_check_at=store_in(sent.c.wait))


@cache
def _moving(dialect: str) -> Any:
    sent = rows_from_json(dialect, run_id=Text(), seq=Integer(), wait=Float(), state=Text(), status=Text())
    moved = {"known_state": sent.c.state, "known_status": sent.c.status, "next_check_at": store_in(sent.c.wait)}
    return (
        update(polls)
        .where(by_key(polls.c.run_id, sent.c.run_id), polls.c.poll_seq == sent.c.seq)
        .values(**moved, missing_since=null(), held_until=null())
        .returning(polls.c.run_id)
    )


def _due(ahead: timedelta, untouched_for: timedelta, excluding: Collection[ProviderType]) -> Select[Any]:
    return (
        select(
            polls.c.run_id,
            polls.c.provider,
            polls.c.provider_run_id,
            polls.c.known_state,
            polls.c.known_status,
            polls.c.details_failures,
            polls.c.poll_seq,
            seconds_since(polls.c.missing_since).label("missing_for"),
            seconds_since(polls.c.followed_since).label("age"),
            seconds_since(polls.c.next_check_at).label("overdue"),
            polls.c.cancel_again_at.is_not(None).label("is_unwanted"),
        )
        .where(
            polls.c.next_check_at <= store_after(ahead),
            or_(polls.c.held_until.is_(None), polls.c.held_until <= store_now()),
            or_(polls.c.taken_at.is_(None), polls.c.taken_at <= store_after(-untouched_for)),
            _served(excluding),
        )
        .order_by(polls.c.next_check_at)
    )


def _unwanted(excluding: Collection[ProviderType]) -> Select[Any]:
    """Runs to cancel; not those that have ended at the provider and only wait for their details."""
    return (
        select(polls.c.run_id)
        .where(
            is_one_of(of_same_run(workflow_runs.c.state, polls.c.run_id), RunState.CANCELING, *sorted(ENDED)),
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
    # They are looked up by key; of the pairs alone a planner may make a join with the whole schedule.
    keyed = in_list(polls.c.run_id, [poll.run_id for poll in due])
    return delete(polls).where(keyed, pair_in_list(polls.c.run_id, polls.c.poll_seq, pairs)).returning(polls.c.run_id)


def _rescheduled(poll: DuePoll, wait: timedelta) -> Update:
    return (
        update(polls)
        .where(polls.c.run_id == poll.run_id, polls.c.poll_seq == poll.seq)
        .values(next_check_at=store_after(wait), held_until=null())
    )


def _due_poll_from(row: Row[Any]) -> DuePoll:
    return DuePoll(
        run_id=RunId(row.run_id),
        provider=ProviderType(row.provider),
        provider_run_id=ProviderRunId(row.provider_run_id),
        known_state=state_from(row.known_state),
        known_status=row.known_status,
        missing_for=None if row.missing_for is None else span(row.missing_for),
        details_failures=row.details_failures,
        # As the row will be once it is taken.
        seq=row.poll_seq + 1,
        age=None if row.age is None else span(row.age),
        overdue=timedelta(seconds=row.overdue),
        is_unwanted=bool(row.is_unwanted),
    )


def _held_run_from(row: Row[Any]) -> RunToCancel:
    return RunToCancel(
        run_id=RunId(row.run_id),
        provider=ProviderType(row.provider),
        provider_run_id=ProviderRunId(row.provider_run_id),
    )
