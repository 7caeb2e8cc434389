"""The work probe in SQL. Each query finds out whether a row exists, by an index that contains no ended runs."""

from collections.abc import Collection
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Engine, Exists, Select, and_, exists, or_, select, true

from wes_daemon.adapters.persistence.claiming import is_served
from wes_daemon.adapters.persistence.enrolment import names_a_provider_run
from wes_daemon.adapters.persistence.expressions import is_one_of, of_same_run, store_now
from wes_daemon.adapters.persistence.late_updates import has_late_update
from wes_daemon.adapters.persistence.mapping import run_summary_from, select_new_runs
from wes_daemon.adapters.persistence.polls import row_is_missing
from wes_daemon.adapters.persistence.tables import daemons, polls, submissions, workflow_runs
from wes_daemon.adapters.persistence.transactions import reading
from wes_daemon.application.ports.leases import SessionId
from wes_daemon.application.ports.submissions import IN_DOUBT, Destination, SubmissionState
from wes_daemon.domain.runs import ProviderType
from wes_daemon.domain.states import ACTIVE, ENDED, RunState

# If this many rows are not enrolled, the probe assumes that every provider has work.
_READ_AT_MOST = 20


class SqlWorkProbe:
    """`WorkProbe` on connections of its own."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def has_queued_runs(self, destination: Destination, *, serving: Collection[ProviderType | None]) -> bool:
        with reading(self._engine) as connection:
            new_runs = [run_summary_from(row) for row in connection.execute(select_few_new_runs())]
            if len(new_runs) == _READ_AT_MOST or any(destination(run) in serving for run in new_runs):
                return True
            return bool(connection.execute(_queued(frozenset(serving))).scalar())

    def has_takeovers(self, owner: SessionId, *, serving: Collection[ProviderType | None]) -> bool:
        return self._exists(_any_of(_takeovers(owner, serving)))

    def has_runs_to_adopt(self) -> bool:
        return self._exists(_to_adopt())

    def has_cancelled_runs(self, *, serving: Collection[ProviderType]) -> bool:
        return self._exists(_cancelled(frozenset(serving)))

    def has_interrupted_runs(self, *, serving: Collection[ProviderType]) -> bool:
        return self._exists(_interrupted(frozenset(serving)))

    def has_runs_ended_elsewhere(self, *, serving: Collection[ProviderType]) -> bool:
        return self._exists(_ended_elsewhere(frozenset(serving)))

    def has_due_polls(self, *, serving: Collection[ProviderType]) -> bool:
        return self._exists(_due(frozenset(serving)))

    def _exists(self, rows_exist: Select[Any]) -> bool:
        with reading(self._engine) as connection:
            return bool(connection.execute(rows_exist).scalar())


# Building a statement takes longer than executing it, so statements that are always the same are built once.


@cache
def _queued(serving: frozenset[ProviderType | None]) -> Select[Any]:
    return _any_of(_ready(serving), _queued_again())


@cache
def _to_adopt() -> Select[Any]:
    return _any_of(_to_follow(*ACTIVE), _to_follow(RunState.CANCELING), _left(RunState.UNKNOWN))


@cache
def _cancelled(serving: frozenset[ProviderType]) -> Select[Any]:
    return _any_of(_to_cancel(serving))


@cache
def _interrupted(serving: frozenset[ProviderType]) -> Select[Any]:
    return _any_of(_restored(), _ended_while_followed(serving))


@cache
def _ended_elsewhere(serving: frozenset[ProviderType]) -> Select[Any]:
    return _any_of(_withdrawn(), _restored(), _ended_while_followed(serving))


@cache
def _due(serving: frozenset[ProviderType]) -> Select[Any]:
    return _any_of(_due_polls(serving))


def _any_of(*rows: Select[Any]) -> Select[Any]:
    return select(or_(*(each.exists() for each in rows)))


@cache
def select_few_new_runs() -> Select[Any]:
    """Rows for `run_summary_from`: a few queued rows that are not enrolled."""
    return select_new_runs().where(is_one_of(workflow_runs.c.state, RunState.QUEUED)).limit(_READ_AT_MOST)


def _queued_again() -> Select[Any]:
    """Queued rows whose submission is closed."""
    return select(workflow_runs.c.run_id).where(is_one_of(workflow_runs.c.state, RunState.QUEUED), _is_closed())


def _ready(serving: Collection[ProviderType | None]) -> Select[Any]:
    # Not a join: a planner might scan all queued rows for each submission.
    state = of_same_run(workflow_runs.c.state, submissions.c.run_id)
    return select(submissions.c.run_id).where(
        is_one_of(submissions.c.state, SubmissionState.READY),
        is_served(serving),
        submissions.c.not_before <= store_now(),
        is_one_of(state, RunState.QUEUED),
    )


def _takeovers(owner: SessionId, serving: Collection[ProviderType | None]) -> Select[Any]:
    others = select(daemons.c.id).where(daemons.c.lease_until > store_now(), daemons.c.id != owner)
    return select(submissions.c.run_id).where(
        is_one_of(submissions.c.state, *IN_DOUBT),
        submissions.c.not_before <= store_now(),
        or_(submissions.c.owner.is_(None), submissions.c.owner.not_in(others)),
        is_served(serving),
    )


def _to_follow(*states: RunState) -> Select[Any]:
    """Rows that name a provider run and are not enrolled, and closed ones that were made active again."""
    run_id = workflow_runs.c.run_id
    not_enrolled = _names_a_run_and_is_not_enrolled()
    again = and_(_is_closed(), of_same_run(submissions.c.provider_run_id, run_id).is_not(None))
    return select(run_id).where(
        is_one_of(workflow_runs.c.state, *states), run_id.is_not(None), or_(not_enrolled, again)
    )


def _left(*states: RunState) -> Select[Any]:
    """Rows that name a provider run and are not enrolled."""
    run_id = workflow_runs.c.run_id
    return select(run_id).where(
        is_one_of(workflow_runs.c.state, *states), run_id.is_not(None), _names_a_run_and_is_not_enrolled()
    )


def _names_a_run_and_is_not_enrolled() -> ColumnElement[bool]:
    return and_(of_same_run(submissions.c.run_id, workflow_runs.c.run_id).is_(None), names_a_provider_run())


def _to_cancel(serving: Collection[ProviderType]) -> Select[Any]:
    not_enrolled = and_(submissions.c.run_id.is_(None), ~names_a_provider_run())
    waiting = is_one_of(submissions.c.state, SubmissionState.READY)
    never_sent = and_(is_one_of(submissions.c.state, SubmissionState.CLOSED), submissions.c.provider_run_id.is_(None))
    same_run = submissions.c.run_id == workflow_runs.c.run_id
    return (
        select(workflow_runs.c.run_id)
        .select_from(workflow_runs.outerjoin(submissions, same_run))
        .where(
            is_one_of(workflow_runs.c.state, RunState.CANCELING),
            or_(
                and_(or_(not_enrolled, waiting, never_sent), ~has_late_update(workflow_runs.c.run_id)),
                _is_active_at_provider(serving),
            ),
        )
    )


def _withdrawn() -> Select[Any]:
    """Ready submissions whose row was ended or deleted."""
    state = of_same_run(workflow_runs.c.state, submissions.c.run_id)
    expected = is_one_of(state, RunState.QUEUED, RunState.CANCELING)
    ready = is_one_of(submissions.c.state, SubmissionState.READY)
    return select(submissions.c.run_id).where(ready, expected.is_not(true()))


def _ended_while_followed(serving: Collection[ProviderType]) -> Select[Any]:
    """Followed runs whose row was ended or deleted, except those that are kept although their row is missing."""
    state = of_same_run(workflow_runs.c.state, polls.c.run_id)
    is_kept = and_(polls.c.row_missing_since.is_not(None), polls.c.cancel_again_at.is_(None))
    deleted = and_(~is_kept, row_is_missing())
    return select(polls.c.run_id).where(or_(is_one_of(state, *sorted(ENDED)), deleted), _can_be_cancelled(serving))


def _restored() -> Select[Any]:
    """Runs that were kept although their row was missing, and whose row exists again."""
    return select(polls.c.run_id).where(polls.c.row_missing_since.is_not(None), ~row_is_missing())


def _due_polls(serving: Collection[ProviderType]) -> Select[Any]:
    return select(polls.c.run_id).where(
        _is_at(serving),
        polls.c.next_check_at <= store_now(),
        or_(polls.c.held_until.is_(None), polls.c.held_until <= store_now()),
    )


def _is_closed() -> ColumnElement[bool]:
    """Whether the submission of a row is closed and its run is no longer polled."""
    run_id = workflow_runs.c.run_id
    closed = is_one_of(of_same_run(submissions.c.state, run_id), SubmissionState.CLOSED)
    return and_(closed, of_same_run(polls.c.run_id, run_id).is_(None), ~has_late_update(run_id))


def _is_active_at_provider(serving: Collection[ProviderType]) -> Exists:
    return exists().where(polls.c.run_id == workflow_runs.c.run_id, _can_be_cancelled(serving))


def _can_be_cancelled(serving: Collection[ProviderType]) -> ColumnElement[bool]:
    """Whether a run is active by its known state, and no cancellation was sent to its provider lately."""
    return and_(
        _is_at(serving),
        polls.c.known_state.not_in(sorted(ENDED)),
        or_(polls.c.cancel_again_at.is_(None), polls.c.cancel_again_at <= store_now()),
    )


def _is_at(serving: Collection[ProviderType]) -> ColumnElement[bool]:
    return polls.c.provider.in_(sorted(serving))
