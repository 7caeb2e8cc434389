"""The reads and writes of reconciliation, on SQL."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Engine, Row, Select, and_, exists, func, or_, select, update

from wes_daemon.adapters.persistence import inheritance
from wes_daemon.adapters.persistence.expressions import (
    in_list,
    insert_into,
    is_one_of,
    of_same_run,
    store_after,
    store_now,
)
from wes_daemon.adapters.persistence.mapping import provider_from, state_from
from wes_daemon.adapters.persistence.polls import row_is_missing
from wes_daemon.adapters.persistence.tables import daemons, polls, submissions, workflow_runs
from wes_daemon.adapters.persistence.transactions import reading
from wes_daemon.adapters.persistence.unit_of_work import SqlUnitOfWork
from wes_daemon.application.ports.errors import ClaimLost
from wes_daemon.application.ports.leases import SessionId
from wes_daemon.application.ports.reconcile_queries import NOT_ACCEPTED, FollowedRun, RecordedRun, UnexplainedRun
from wes_daemon.application.ports.submissions import Claim, SubmissionState
from wes_daemon.domain.runs import ProviderRunId, ProviderType, RunId
from wes_daemon.domain.states import ENDED, RunState

_CANCEL_REPETITION = timedelta(minutes=1)
_NOT_ENDED = sorted(set(RunState) - ENDED)


class SqlReconcileQueries:
    """`ReconcileQueries`. Each call uses a connection of its own."""

    def __init__(self, engine: Engine, *, known_providers: Collection[ProviderType] | None = None) -> None:
        """Send no statement yet.

        Args:
            known_providers: the providers whose active runs are followed that another program has started; None for
                all.
        """
        self._engine = engine
        self._known_providers = known_providers

    def recorded_runs(self, run_ids: Collection[RunId]) -> Mapping[RunId, RecordedRun]:
        with reading(self._engine) as connection:
            enrolled = connection.execute(_enrolled().where(in_list(submissions.c.run_id, run_ids))).all()
            not_enrolled = connection.execute(_not_enrolled().where(in_list(workflow_runs.c.run_id, run_ids))).all()
        records = [*(_enrolled_from(row) for row in enrolled), *(_not_enrolled_from(row) for row in not_enrolled)]
        return {record.run_id: record for record in records}

    def run_ids_of(self, provider: ProviderType, ids: Collection[ProviderRunId]) -> Mapping[ProviderRunId, RunId]:
        recorded = select(submissions.c.provider_run_id, submissions.c.run_id).where(
            submissions.c.provider == provider, in_list(submissions.c.provider_run_id, ids)
        )
        with reading(self._engine) as connection:
            return {ProviderRunId(id): RunId(run_id) for id, run_id in connection.execute(recorded)}

    def followed_runs(self, provider: ProviderType, *, after: RunId | None, limit: int) -> Sequence[FollowedRun]:
        with reading(self._engine) as connection:
            rows = connection.execute(_followed(provider, after).limit(limit)).all()
        return [_followed_from(row) for row in rows]

    def unexplained_runs(self) -> Sequence[UnexplainedRun]:
        with reading(self._engine) as connection:
            return inheritance.unexplained_runs(connection, self._known_providers)

    def has_inherited_runs(self) -> bool:
        with reading(self._engine) as connection:
            return inheritance.has_inherited(connection, only_ended=False)

    def has_inherited_ended_runs(self) -> bool:
        with reading(self._engine) as connection:
            return inheritance.has_inherited(connection, only_ended=True)

    def ended_runs_naming(self, provider: ProviderType, *, since: datetime) -> Sequence[FollowedRun]:
        with reading(self._engine) as connection:
            return inheritance.ended_runs_naming(connection, provider, since)

    def has_accepted(self, provider: ProviderType) -> bool:
        accepted = and_(submissions.c.provider == provider, submissions.c.provider_run_id.is_not(None))
        with reading(self._engine) as connection:
            return bool(connection.execute(select(exists().where(accepted))).scalar())


class SqlRepairUnit(SqlUnitOfWork):
    """`RepairUnit`."""

    def claim_for_repair(self, run_id: RunId, owner: SessionId, provider: ProviderType) -> Claim:
        self._enrol(run_id, provider)
        claimed = self._connection.execute(
            update(submissions)
            .where(submissions.c.run_id == run_id, is_one_of(submissions.c.state, *NOT_ACCEPTED), ~_is_claimed())
            .values(state=SubmissionState.INTENT, owner=owner, claim_seq=submissions.c.claim_seq + 1)
            .returning(submissions.c.claim_seq)
        ).scalar()
        if claimed is None:
            raise ClaimLost(f"run {run_id}: a live daemon has claimed it, or its submission is finished")
        return Claim(run_id=run_id, owner=owner, fencing_token=claimed, resumed=True)

    def release(self, run_ids: Collection[RunId]) -> int:
        return inheritance.release(self._connection, run_ids)

    def release_ended(self) -> int:
        return inheritance.release_ended(self._connection)

    def make_due(self, run_id: RunId, id: ProviderRunId) -> bool:
        due_now = (
            update(polls)
            .where(polls.c.run_id == run_id, polls.c.provider_run_id == id)
            .values(next_check_at=store_now())
        )
        return self._connection.execute(due_now).rowcount > 0

    def record_cancel(self, run_id: RunId, id: ProviderRunId) -> bool:
        ended = is_one_of(of_same_run(workflow_runs.c.state, polls.c.run_id), *sorted(ENDED))
        cancelled = (
            update(polls)
            .where(
                polls.c.run_id == run_id,
                polls.c.provider_run_id == id,
                polls.c.known_state.not_in(sorted(ENDED)),
                or_(ended, row_is_missing()),
            )
            .values(cancel_again_at=store_after(_CANCEL_REPETITION), next_check_at=store_now())
        )
        return self._connection.execute(cancelled).rowcount > 0

    def _enrol(self, run_id: RunId, provider: ProviderType) -> None:
        is_active = is_one_of(workflow_runs.c.state, *_NOT_ENDED)
        active = select(workflow_runs.c.run_id).where(workflow_runs.c.run_id == run_id, is_active)
        if self._connection.execute(active).first() is None:
            return
        ready = {"state": SubmissionState.READY, "returns_to": SubmissionState.READY, "claim_seq": 0, "attempts": 0}
        self._connection.execute(
            insert_into(self._connection.dialect.name, submissions)
            .values(run_id=run_id, provider=provider, not_before=store_now(), enrolled_at=store_now(), **ready)
            .on_conflict_do_nothing()
        )


class SqlRepairUnits:
    """Makes repair units on one database."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def __call__(self) -> SqlRepairUnit:
        return SqlRepairUnit(self._engine)


def _is_claimed() -> ColumnElement[bool]:
    """Whether a daemon whose lease is valid owns the submission."""
    alive = select(daemons.c.id).where(daemons.c.lease_until > store_now())
    return func.coalesce(submissions.c.owner.in_(alive), False)


def _enrolled() -> Select[Any]:
    return select(
        submissions.c.run_id,
        submissions.c.state,
        submissions.c.provider,
        submissions.c.provider_run_id,
        submissions.c.prepared_id,
        _is_claimed().label("is_claimed"),
        workflow_runs.c.run_id.label("row"),
        workflow_runs.c.state.label("run_state"),
    ).select_from(submissions.outerjoin(workflow_runs, workflow_runs.c.run_id == submissions.c.run_id))


def _not_enrolled() -> Select[Any]:
    return (
        select(workflow_runs.c.run_id, workflow_runs.c.state)
        .select_from(workflow_runs.outerjoin(submissions, workflow_runs.c.run_id == submissions.c.run_id))
        .where(submissions.c.run_id.is_(None))
    )


def _followed(provider: ProviderType, after: RunId | None) -> Select[Any]:
    followed = (
        select(
            polls.c.run_id,
            polls.c.provider_run_id,
            polls.c.known_state,
            polls.c.cancel_again_at.is_not(None).label("cancel_was_sent"),
            workflow_runs.c.run_id.label("row"),
            workflow_runs.c.state.label("run_state"),
        )
        .select_from(polls.outerjoin(workflow_runs, workflow_runs.c.run_id == polls.c.run_id))
        .where(polls.c.provider == provider, polls.c.known_state.not_in(sorted(ENDED)))
        .order_by(polls.c.run_id)
    )
    return followed if after is None else followed.where(polls.c.run_id > after)


def _enrolled_from(row: Row[Any]) -> RecordedRun:
    return RecordedRun(
        run_id=RunId(row.run_id),
        state=_run_state_from(row),
        submission=SubmissionState(row.state),
        provider=provider_from(row.provider),
        provider_run_id=_id_from(row.provider_run_id),
        prepared_id=_id_from(row.prepared_id),
        is_claimed=bool(row.is_claimed),
    )


def _not_enrolled_from(row: Row[Any]) -> RecordedRun:
    return RecordedRun(run_id=RunId(row.run_id), state=state_from(row.state))


def _followed_from(row: Row[Any]) -> FollowedRun:
    return FollowedRun(
        run_id=RunId(row.run_id),
        provider_run_id=ProviderRunId(row.provider_run_id),
        state=_run_state_from(row),
        known_state=state_from(row.known_state),
        cancel_was_sent=bool(row.cancel_was_sent),
    )


def _run_state_from(row: Row[Any]) -> RunState | None:
    return None if row.row is None else state_from(row.run_state)


def _id_from(text: str | None) -> ProviderRunId | None:
    return None if text is None else ProviderRunId(text)
