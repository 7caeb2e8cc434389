"""The agenda in SQL: whether a row exists, along an index that holds no ended runs."""

from collections.abc import Collection
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Engine, Exists, Select, and_, exists, or_, select, true

from wes_daemon.adapters.persistence.engine import reading
from wes_daemon.adapters.persistence.enrolment import Destination, names_a_provider_run
from wes_daemon.adapters.persistence.expressions import is_one_of, of_same_run, store_now
from wes_daemon.adapters.persistence.mapping import run_summary_from, select_new_runs
from wes_daemon.adapters.persistence.sharing import OPEN, served
from wes_daemon.adapters.persistence.tables import daemons, polls, submissions, workflow_runs
from wes_daemon.application.ports.leases import SessionId
from wes_daemon.application.ports.submissions import SubmissionState
from wes_daemon.domain.runs import ProviderType
from wes_daemon.domain.states import ENDED, RunState

# Whose rows are so many need not be read: some may be for anybody.
_READ_AT_MOST = 20
_FOLLOWED = (RunState.INITIALIZING, RunState.RUNNING, RunState.PAUSED)


class SqlWorkProbe:
    """`Agenda` on connections of its own."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def is_queued(self, destination: Destination, *, excluding: Collection[ProviderType | None]) -> bool:
        with reading(self._engine) as connection:
            unknown = [run_summary_from(row) for row in connection.execute(_unknown())]
            if len(unknown) == _READ_AT_MOST or any(destination(run) not in excluding for run in unknown):
                return True
            return bool(connection.execute(_queued(frozenset(excluding))).scalar())

    def has_takeovers(self, owner: SessionId, *, excluding: Collection[ProviderType | None]) -> bool:
        return self._is_there(_any_of(_orphaned(owner, excluding)))

    def has_runs_to_adopt(self) -> bool:
        return self._is_there(_adoptable())

    def has_cancelled_runs(self, *, excluding: Collection[ProviderType]) -> bool:
        return self._is_there(_cancelling(frozenset(excluding)))

    def has_runs_ended_elsewhere(self, *, excluding: Collection[ProviderType]) -> bool:
        return self._is_there(_overruled(frozenset(excluding)))

    def is_due(self, *, excluding: Collection[ProviderType]) -> bool:
        return self._is_there(_due(frozenset(excluding)))

    def _is_there(self, question: Select[Any]) -> bool:
        with reading(self._engine) as connection:
            return bool(connection.execute(question).scalar())


# To build a statement costs more than to run it, so those that are always the same are built once.


@cache
def _queued(excluding: frozenset[ProviderType | None]) -> Select[Any]:
    return _any_of(_ready(excluding), _queued_again())


@cache
def _adoptable() -> Select[Any]:
    return _any_of(_to_be_followed(*_FOLLOWED), _to_be_followed(RunState.CANCELING))


@cache
def _cancelling(excluding: frozenset[ProviderType]) -> Select[Any]:
    return _any_of(_wanted_cancelled(excluding))


@cache
def _overruled(excluding: frozenset[ProviderType]) -> Select[Any]:
    return _any_of(_withdrawn(), _ended_elsewhere(excluding))


@cache
def _due(excluding: frozenset[ProviderType]) -> Select[Any]:
    return _any_of(_to_be_asked_for(excluding))


def _any_of(*rows: Select[Any]) -> Select[Any]:
    return select(or_(*(each.exists() for each in rows)))


@cache
def _unknown() -> Select[Any]:
    """Queued rows that the queue does not know, a few of them."""
    return select_new_runs().where(is_one_of(workflow_runs.c.state, RunState.QUEUED)).limit(_READ_AT_MOST)


def _queued_again() -> Select[Any]:
    """Queued rows whose submission is closed."""
    return select(workflow_runs.c.run_id).where(is_one_of(workflow_runs.c.state, RunState.QUEUED), _is_closed())


def _ready(excluding: Collection[ProviderType | None]) -> Select[Any]:
    # Not a join: for each of them, a planner might go through all rows that are queued.
    state = of_same_run(workflow_runs.c.state, submissions.c.run_id)
    return select(submissions.c.run_id).where(
        is_one_of(submissions.c.state, SubmissionState.READY),
        served(excluding),
        submissions.c.not_before <= store_now(),
        is_one_of(state, RunState.QUEUED),
    )


def _orphaned(owner: SessionId, excluding: Collection[ProviderType | None]) -> Select[Any]:
    others = select(daemons.c.id).where(daemons.c.lease_until > store_now(), daemons.c.id != owner)
    return select(submissions.c.run_id).where(
        is_one_of(submissions.c.state, *OPEN),
        submissions.c.not_before <= store_now(),
        or_(submissions.c.owner.is_(None), submissions.c.owner.not_in(others)),
        served(excluding),
    )


def _to_be_followed(*states: RunState) -> Select[Any]:
    """Rows that name a provider's run and that the queue does not know, and closed ones that were made active."""
    run_id = workflow_runs.c.run_id
    unknown = and_(of_same_run(submissions.c.run_id, run_id).is_(None), names_a_provider_run())
    again = and_(_is_closed(), of_same_run(submissions.c.provider_run_id, run_id).is_not(None))
    return select(run_id).where(is_one_of(workflow_runs.c.state, *states), run_id.is_not(None), or_(unknown, again))


def _wanted_cancelled(excluding: Collection[ProviderType]) -> Select[Any]:
    unseen = and_(submissions.c.run_id.is_(None), ~names_a_provider_run())
    waiting = is_one_of(submissions.c.state, SubmissionState.READY)
    never_sent = and_(is_one_of(submissions.c.state, SubmissionState.CLOSED), submissions.c.provider_run_id.is_(None))
    known = submissions.c.run_id == workflow_runs.c.run_id
    return (
        select(workflow_runs.c.run_id)
        .select_from(workflow_runs.outerjoin(submissions, known))
        .where(
            is_one_of(workflow_runs.c.state, RunState.CANCELING),
            or_(unseen, waiting, never_sent, _is_held(excluding)),
        )
    )


def _withdrawn() -> Select[Any]:
    """Those that wait and whose row says something else, or is gone."""
    state = of_same_run(workflow_runs.c.state, submissions.c.run_id)
    wanted = is_one_of(state, RunState.QUEUED, RunState.CANCELING)
    ready = is_one_of(submissions.c.state, SubmissionState.READY)
    return select(submissions.c.run_id).where(ready, wanted.is_not(true()))


def _ended_elsewhere(excluding: Collection[ProviderType]) -> Select[Any]:
    state = of_same_run(workflow_runs.c.state, polls.c.run_id)
    return select(polls.c.run_id).where(is_one_of(state, *sorted(ENDED)), _may_be_told(excluding))


def _to_be_asked_for(excluding: Collection[ProviderType]) -> Select[Any]:
    return select(polls.c.run_id).where(
        _is_served(excluding),
        polls.c.next_check_at <= store_now(),
        or_(polls.c.held_until.is_(None), polls.c.held_until <= store_now()),
    )


def _is_closed() -> ColumnElement[bool]:
    """Whether the submission of a row is closed and nothing more is to be learnt of its run."""
    run_id = workflow_runs.c.run_id
    closed = is_one_of(of_same_run(submissions.c.state, run_id), SubmissionState.CLOSED)
    return and_(closed, of_same_run(polls.c.run_id, run_id).is_(None))


def _is_held(excluding: Collection[ProviderType]) -> Exists:
    return exists().where(polls.c.run_id == workflow_runs.c.run_id, _may_be_told(excluding))


def _may_be_told(excluding: Collection[ProviderType]) -> ColumnElement[bool]:
    """Whether a provider works on the run by what is known, and was not told a moment ago to end it."""
    return and_(
        _is_served(excluding),
        polls.c.known_state.not_in(sorted(ENDED)),
        or_(polls.c.cancel_again_at.is_(None), polls.c.cancel_again_at <= store_now()),
    )


def _is_served(excluding: Collection[ProviderType]) -> ColumnElement[bool]:
    return polls.c.provider.in_([provider for provider in ProviderType if provider not in excluding])
