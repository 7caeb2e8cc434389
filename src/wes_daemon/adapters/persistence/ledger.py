"""What the database knows, for whoever compares it with the providers; and the two writes that mend it."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Engine, Row, Select, and_, exists, func, select, update

from wes_daemon.adapters.persistence.engine import reading
from wes_daemon.adapters.persistence.expressions import in_list, insert_into, is_one_of, store_now
from wes_daemon.adapters.persistence.mapping import provider_from, state_from
from wes_daemon.adapters.persistence.tables import daemons, polls, submissions, workflow_runs
from wes_daemon.adapters.persistence.unit_of_work import SqlUnitOfWork
from wes_daemon.application.ports.errors import ClaimLost
from wes_daemon.application.ports.leases import SessionId
from wes_daemon.application.ports.ledger import UNSETTLED, Entry, FollowedRun
from wes_daemon.application.ports.submissions import Claim, SubmissionState
from wes_daemon.domain.runs import ProviderRunId, ProviderType, RunId
from wes_daemon.domain.states import ENDED, RunState


class SqlLedger:
    """`Ledger` on connections of its own."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def entries(self, run_ids: Collection[RunId]) -> Mapping[RunId, Entry]:
        with reading(self._engine) as connection:
            enrolled = connection.execute(_enrolled().where(in_list(submissions.c.run_id, run_ids))).all()
            unseen = connection.execute(_unseen().where(in_list(workflow_runs.c.run_id, run_ids))).all()
        found = [*(_entry_from(row) for row in enrolled), *(_unseen_from(row) for row in unseen)]
        return {entry.run_id: entry for entry in found}

    def holders(self, provider: ProviderType, ids: Collection[ProviderRunId]) -> Mapping[ProviderRunId, RunId]:
        held = select(submissions.c.provider_run_id, submissions.c.run_id).where(
            submissions.c.provider == provider, in_list(submissions.c.provider_run_id, ids)
        )
        with reading(self._engine) as connection:
            return {ProviderRunId(id): RunId(run_id) for id, run_id in connection.execute(held)}

    def followed(self, provider: ProviderType, *, after: RunId | None, limit: int) -> Sequence[FollowedRun]:
        with reading(self._engine) as connection:
            rows = connection.execute(_followed(provider, after).limit(limit)).all()
        return [_followed_from(row) for row in rows]

    def has_used(self, provider: ProviderType) -> bool:
        held = and_(submissions.c.provider == provider, submissions.c.provider_run_id.is_not(None))
        with reading(self._engine) as connection:
            return bool(connection.execute(select(exists().where(held))).scalar())


class SqlMending(SqlUnitOfWork):
    """`Mending`: a unit of work with two more writes."""

    def take(self, run_id: RunId, owner: SessionId, provider: ProviderType) -> Claim:
        self._enrol(run_id, provider)
        claimed = self._connection.execute(
            update(submissions)
            .where(submissions.c.run_id == run_id, is_one_of(submissions.c.state, *UNSETTLED), ~_is_claimed())
            .values(state=SubmissionState.INTENT, owner=owner, claim_seq=submissions.c.claim_seq + 1)
            .returning(submissions.c.claim_seq)
        ).scalar()
        if claimed is None:
            raise ClaimLost(f"run {run_id}: a daemon is at work on it, or it is settled by now")
        return Claim(run_id=run_id, owner=owner, seq=claimed, resumed=True)

    def hasten(self, run_id: RunId, id: ProviderRunId) -> bool:
        hastened = (
            update(polls)
            .where(polls.c.run_id == run_id, polls.c.provider_run_id == id)
            .values(next_check_at=store_now())
        )
        return self._connection.execute(hastened).rowcount > 0

    def _enrol(self, run_id: RunId, provider: ProviderType) -> None:
        queued = and_(workflow_runs.c.run_id == run_id, is_one_of(workflow_runs.c.state, RunState.QUEUED))
        if self._connection.execute(select(workflow_runs.c.run_id).where(queued)).first() is None:
            return
        ready = {"state": SubmissionState.READY, "returns_to": SubmissionState.READY, "claim_seq": 0, "attempts": 0}
        self._connection.execute(
            insert_into(self._connection.dialect.name, submissions)
            .values(run_id=run_id, provider=provider, not_before=store_now(), enrolled_at=store_now(), **ready)
            .on_conflict_do_nothing()
        )


class SqlMendings:
    """Gives mendings on one database."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def __call__(self) -> SqlMending:
        return SqlMending(self._engine)


def _is_claimed() -> ColumnElement[bool]:
    """Whether a living daemon holds the submission."""
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


def _unseen() -> Select[Any]:
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
            workflow_runs.c.run_id.label("row"),
            workflow_runs.c.state.label("run_state"),
        )
        .select_from(polls.outerjoin(workflow_runs, workflow_runs.c.run_id == polls.c.run_id))
        .where(polls.c.provider == provider, polls.c.known_state.not_in(sorted(ENDED)))
        .order_by(polls.c.run_id)
    )
    return followed if after is None else followed.where(polls.c.run_id > after)


def _entry_from(row: Row[Any]) -> Entry:
    return Entry(
        run_id=RunId(row.run_id),
        state=_state_from(row),
        submission=SubmissionState(row.state),
        provider=provider_from(row.provider),
        provider_run_id=_id_from(row.provider_run_id),
        prepared_id=_id_from(row.prepared_id),
        is_claimed=bool(row.is_claimed),
    )


def _unseen_from(row: Row[Any]) -> Entry:
    return Entry(run_id=RunId(row.run_id), state=state_from(row.state))


def _followed_from(row: Row[Any]) -> FollowedRun:
    return FollowedRun(
        run_id=RunId(row.run_id),
        provider_run_id=ProviderRunId(row.provider_run_id),
        state=_state_from(row),
        known_state=state_from(row.known_state),
    )


def _state_from(row: Row[Any]) -> RunState | None:
    return None if row.row is None else state_from(row.run_state)


def _id_from(found: str | None) -> ProviderRunId | None:
    return None if found is None else ProviderRunId(found)
