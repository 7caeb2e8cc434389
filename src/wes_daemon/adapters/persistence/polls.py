"""The poll schedule. Each lease increments a fencing token, so that late results are not recorded."""

from collections.abc import Callable, Collection, Mapping, Sequence
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
from sqlalchemy.sql.dml import ReturningDelete, ReturningUpdate

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
from wes_daemon.adapters.persistence.mapping import duration_from, state_from
from wes_daemon.adapters.persistence.tables import polls, submissions, workflow_runs
from wes_daemon.application.ports.errors import ClaimLost
from wes_daemon.application.ports.polls import DuePoll, PollDelay, PollResult, RunToCancel, no_delay
from wes_daemon.application.ports.submissions import SubmissionState
from wes_daemon.domain.runs import ProviderRunId, ProviderType, RunId
from wes_daemon.domain.states import ENDED, RunState


class SqlPollSchedule:
    """`PollSchedule` in the table `polls`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

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
        # The rows are locked until the commit, so that no other daemon leases them between the two statements.
        locked = _select_due(ahead, not_leased_for, serving).limit(limit).with_for_update(skip_locked=True)
        due = [_due_poll_from(row) for row in self._connection.execute(locked).all()]
        waits = [
            {"run_id": poll.run_id, "token": poll.fencing_token - 1, "wait": as_seconds(max(lease, next_poll(poll)))}
            for poll in due
        ]
        if waits:
            leased = {"poll_seq": polls.c.poll_seq + 1, "taken_at": store_now(), "held_until": store_after(lease)}
            self._reschedule(waits, **leased)
        return due

    def record_unchanged(self, polls: Collection[DuePoll], *, next_poll: PollDelay) -> None:
        waits = [_token_row(poll, next_poll(poll)) for poll in polls]
        self._reschedule(waits, missing_since=null(), held_until=null())

    def defer(self, polls: Collection[DuePoll], *, delay: timedelta) -> None:
        # The runs stay overdue by the same time, so that the longest overdue runs are polled first again.
        waits = [_token_row(poll, -poll.overdue) for poll in polls]
        self._reschedule(waits, held_until=store_after(delay))

    def reset_missing(self, provider: ProviderType) -> None:
        missing = (polls.c.provider == provider, polls.c.missing_since.is_not(None))
        self._connection.execute(update(polls).where(*missing).values(missing_since=null()))

    def record_missing(self, poll: DuePoll, *, delay: timedelta) -> None:
        since = func.coalesce(polls.c.missing_since, store_now())
        self._connection.execute(_update_next_poll(poll, delay).values(missing_since=since))

    def record_changed(
        self, results: Collection[PollResult], *, delay: Callable[[PollResult], timedelta]
    ) -> set[RunId]:
        rows = [
            {**_token_row(each.poll, delay(each)), "state": each.report.state, "status": each.report.provider_status}
            for each in results
        ]
        recorded = self._connection.execute(_record_changed_statement(self._connection.dialect.name), json_rows(rows))
        return {RunId(id) for id in recorded.scalars().all()}

    def record_missing_details(self, poll: DuePoll, state: RunState, *, delay: timedelta) -> None:
        counted = {"known_state": state, "details_failures": polls.c.details_failures + 1, "missing_since": null()}
        if self._connection.execute(_update_next_poll(poll, delay).values(**counted)).rowcount == 0:
            raise ClaimLost(f"run {poll.run_id} was leased again after fencing token {poll.fencing_token}")
        self._close_submissions([poll.run_id])

    def finish(self, polls: Collection[DuePoll]) -> set[RunId]:
        finished = self._connection.execute(_finish_statement(polls)).scalars().all()
        self._close_submissions(finished)
        return {RunId(id) for id in finished}

    def make_due(self, provider: ProviderType, ids: Collection[ProviderRunId]) -> Collection[ProviderRunId]:
        # Found through `submissions`: an index on the provider run id in `polls` would be written at every poll.
        accepted = select(submissions.c.run_id).where(
            submissions.c.provider == provider, in_list(submissions.c.provider_run_id, ids)
        )
        # Runs that are due already keep their place.
        earlier = case((polls.c.next_check_at < store_now(), polls.c.next_check_at), else_=store_now())
        followed = self._connection.execute(
            update(polls)
            .where(polls.c.run_id.in_(accepted), polls.c.known_state.not_in(sorted(ENDED)))
            .values(next_check_at=earlier, held_until=null())
            .returning(polls.c.provider_run_id)
        )
        return frozenset(ProviderRunId(id) for id in followed.scalars().all())

    def to_cancel(self, *, limit: int, lease: timedelta, serving: Collection[ProviderType]) -> Sequence[RunToCancel]:
        leased = self._connection.execute(
            update(polls)
            .where(in_locked_rows(polls.c.run_id, _select_to_cancel(serving).limit(limit)))
            .values(cancel_again_at=store_after(lease), next_check_at=store_now(), held_until=null())
            .returning(polls.c.run_id, polls.c.provider, polls.c.provider_run_id)
        )
        return [_run_to_cancel_from(row) for row in leased]

    def cancel_again(self, run: RunToCancel, *, delay: timedelta) -> None:
        self._connection.execute(
            update(polls).where(polls.c.run_id == run.run_id).values(cancel_again_at=store_after(delay))
        )

    def deleted(self) -> Sequence[RunId]:
        return [RunId(id) for id in self._connection.execute(_undecided()).scalars()]

    def cancel_deleted(self, run_ids: Collection[RunId]) -> None:
        self._decide(run_ids, cancel_again_at=store_now())

    def keep_deleted(self, run_ids: Collection[RunId]) -> None:
        self._decide(run_ids, row_missing_since=store_now())

    def forget_restored(self) -> None:
        restored = (polls.c.row_missing_since.is_not(None), ~row_is_missing())
        self._connection.execute(update(polls).where(*restored).values(row_missing_since=null()))

    def _decide(self, run_ids: Collection[RunId], **decision: object) -> None:
        undecided = (polls.c.cancel_again_at.is_(None), polls.c.row_missing_since.is_(None), row_is_missing())
        self._connection.execute(update(polls).where(in_list(polls.c.run_id, run_ids), *undecided).values(**decision))

    def _reschedule(self, waits: Sequence[Mapping[str, object]], **values: object) -> None:
        """Set the next poll of each run to `wait` seconds from now, unless the run was leased again."""
        statement = _reschedule_statement(self._connection.dialect.name).values(**values)
        self._connection.execute(statement, json_rows(waits))

    def _close_submissions(self, run_ids: Sequence[str]) -> None:
        self._connection.execute(
            update(submissions).where(in_list(submissions.c.run_id, run_ids)).values(state=SubmissionState.CLOSED)
        )


def row_is_missing() -> ColumnElement[bool]:
    """Whether the row of a polled run was deleted."""
    return of_same_run(workflow_runs.c.run_id, polls.c.run_id).is_(None)


# These statements are built once, because building one takes longer than sending it.


@cache
def _reschedule_statement(dialect: str) -> Update:
    rows = rows_from_json(dialect, run_id=Text(), token=Integer(), wait=Float())
    latest = (by_key(polls.c.run_id, rows.c.run_id), polls.c.poll_seq == rows.c.token)
    return update(polls).where(*latest).values(next_check_at=store_in(rows.c.wait))


@cache
def _record_changed_statement(dialect: str) -> ReturningUpdate[Any]:
    rows = rows_from_json(dialect, run_id=Text(), token=Integer(), wait=Float(), state=Text(), status=Text())
    changed = {"known_state": rows.c.state, "known_status": rows.c.status, "next_check_at": store_in(rows.c.wait)}
    return (
        update(polls)
        .where(by_key(polls.c.run_id, rows.c.run_id), polls.c.poll_seq == rows.c.token)
        .values(**changed, missing_since=null(), held_until=null())
        .returning(polls.c.run_id)
    )


def _select_due(ahead: timedelta, not_leased_for: timedelta, serving: Collection[ProviderType]) -> Select[Any]:
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
            polls.c.cancel_again_at.is_not(None).label("cancel_was_sent"),
        )
        .where(
            polls.c.next_check_at <= store_after(ahead),
            or_(polls.c.held_until.is_(None), polls.c.held_until <= store_now()),
            or_(polls.c.taken_at.is_(None), polls.c.taken_at <= store_after(-not_leased_for)),
            _served(serving),
        )
        .order_by(polls.c.next_check_at)
    )


def _select_to_cancel(serving: Collection[ProviderType]) -> Select[Any]:
    """Select the runs to cancel, without those that have ended at the provider and wait for their details."""
    withdrawn = is_one_of(of_same_run(workflow_runs.c.state, polls.c.run_id), RunState.CANCELING, *sorted(ENDED))
    return (
        select(polls.c.run_id)
        .where(
            or_(withdrawn, _is_deleted_and_to_cancel()),
            polls.c.known_state.not_in(sorted(ENDED)),
            or_(polls.c.cancel_again_at.is_(None), polls.c.cancel_again_at <= store_now()),
            _served(serving),
        )
        .order_by(polls.c.cancel_again_at.nulls_first(), polls.c.run_id)
    )


def _is_deleted_and_to_cancel() -> ColumnElement[bool]:
    return and_(polls.c.cancel_again_at.is_not(None), row_is_missing())


@cache
def _undecided() -> Select[Any]:
    """The followed runs whose row was deleted, before it is decided whether their provider runs are cancelled."""
    return select(polls.c.run_id).where(
        polls.c.known_state.not_in(sorted(ENDED)),
        polls.c.cancel_again_at.is_(None),
        polls.c.row_missing_since.is_(None),
        row_is_missing(),
    )


def _served(serving: Collection[ProviderType]) -> ColumnElement[bool]:
    return polls.c.provider.in_(sorted(serving))


def _finish_statement(due: Collection[DuePoll]) -> ReturningDelete[Any]:
    pairs = [(poll.run_id, poll.fencing_token) for poll in due]
    # The ids are a condition, too: for the pairs alone a planner may choose a join with the whole schedule.
    has_id = in_list(polls.c.run_id, [poll.run_id for poll in due])
    return delete(polls).where(has_id, pair_in_list(polls.c.run_id, polls.c.poll_seq, pairs)).returning(polls.c.run_id)


def _token_row(poll: DuePoll, wait: timedelta) -> dict[str, object]:
    return {"run_id": poll.run_id, "token": poll.fencing_token, "wait": as_seconds(wait)}


def _update_next_poll(poll: DuePoll, wait: timedelta) -> Update:
    return (
        update(polls)
        .where(polls.c.run_id == poll.run_id, polls.c.poll_seq == poll.fencing_token)
        .values(next_check_at=store_after(wait), held_until=null())
    )


def _due_poll_from(row: Row[Any]) -> DuePoll:
    return DuePoll(
        run_id=RunId(row.run_id),
        provider=ProviderType(row.provider),
        provider_run_id=ProviderRunId(row.provider_run_id),
        known_state=state_from(row.known_state),
        known_status=row.known_status,
        missing_for=None if row.missing_for is None else duration_from(row.missing_for),
        details_failures=row.details_failures,
        # The token that the row has after this lease.
        fencing_token=row.poll_seq + 1,
        age=None if row.age is None else duration_from(row.age),
        overdue=timedelta(seconds=row.overdue),
        cancel_was_sent=bool(row.cancel_was_sent),
    )


def _run_to_cancel_from(row: Row[Any]) -> RunToCancel:
    return RunToCancel(
        run_id=RunId(row.run_id),
        provider=ProviderType(row.provider),
        provider_run_id=ProviderRunId(row.provider_run_id),
    )
