"""How runs are claimed: at most as many as the cap allows, and each by one daemon only."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, func, or_, select, update

from wes_daemon.adapters.persistence import locks
from wes_daemon.adapters.persistence.enrolment import Destination
from wes_daemon.adapters.persistence.expressions import among, is_one_of, picked, store_now
from wes_daemon.adapters.persistence.mapping import provider_from, run_from, select_runs, since
from wes_daemon.adapters.persistence.tables import daemons, submissions, workflow_runs
from wes_daemon.application.ports.errors import LeaseLost
from wes_daemon.application.ports.persistence import Claim, ClaimedRun, DaemonId, SubmissionState
from wes_daemon.domain.runs import ProviderRunId, ProviderType, RunId
from wes_daemon.domain.states import RunState

OPEN = (SubmissionState.INTENT, SubmissionState.PREPARED)
"""What may have been sent and is not settled."""

COUNTED = (SubmissionState.INTENT, SubmissionState.PREPARED, SubmissionState.ACCEPTED)
"""What the cap counts."""


def claim(
    connection: Connection,
    owner: DaemonId,
    *,
    limit: int,
    cap: int,
    excluding: Collection[ProviderType | None],
    destination: Destination,
) -> Sequence[ClaimedRun]:
    """Claim as the port `SubmissionQueue` says."""
    # Before any row is read: what is counted, and who is seen to own what, must not change until the commit.
    locks.take(connection, locks.CLAIMING)
    _require_lease(connection, owner)
    taken_over = _take(connection, owner, _orphaned(owner, excluding).limit(limit))
    room = min(limit - len(taken_over), cap - _counted(connection))
    fresh = _take(connection, owner, _ready(excluding).limit(room)) if room > 0 else []
    return _claimed(connection, taken_over, None) + _claimed(connection, fresh, destination)


def _require_lease(connection: Connection, owner: DaemonId) -> None:
    alive = select(daemons.c.id).where(daemons.c.id == owner, daemons.c.lease_until > store_now())
    if connection.execute(alive).first() is None:
        raise LeaseLost(f"daemon {owner} has no lease that lasts")


def _orphaned(owner: DaemonId, excluding: Collection[ProviderType | None]) -> Select[Any]:
    # Not a join: when a locked row turns out to have a new owner, only a subquery looks for the new one.
    alive = select(daemons.c.id).where(daemons.c.lease_until > store_now())
    nobody = or_(submissions.c.owner.is_(None), submissions.c.owner == owner, submissions.c.owner.not_in(alive))
    return _due(excluding).where(is_one_of(submissions.c.state, *OPEN), nobody)


def _ready(excluding: Collection[ProviderType | None]) -> Select[Any]:
    return (
        _due(excluding)
        .join(workflow_runs, workflow_runs.c.run_id == submissions.c.run_id)
        .where(
            is_one_of(submissions.c.state, SubmissionState.READY),
            is_one_of(workflow_runs.c.state, RunState.QUEUED),
        )
    )


def _due(excluding: Collection[ProviderType | None]) -> Select[Any]:
    return (
        select(submissions.c.run_id)
        .where(submissions.c.not_before <= store_now(), _served(excluding))
        .order_by(submissions.c.seq)
    )


def _served(excluding: Collection[ProviderType | None]) -> ColumnElement[bool]:
    served = submissions.c.provider.in_([provider for provider in ProviderType if provider not in excluding])
    return served if None in excluding else or_(submissions.c.provider.is_(None), served)


def _counted(connection: Connection) -> int:
    held = select(func.count()).select_from(submissions).where(is_one_of(submissions.c.state, *COUNTED))
    return connection.execute(held).scalar_one()


def _take(connection: Connection, owner: DaemonId, rows: Select[Any]) -> Sequence[str]:
    taken = connection.execute(
        update(submissions)
        .where(picked(submissions.c.run_id, rows))
        .values(
            # What is taken over keeps its state; only what nobody ever called for begins.
            state=_state_once_claimed(),
            returns_to=submissions.c.state,
            owner=owner,
            claim_seq=submissions.c.claim_seq + 1,
        )
        .returning(submissions.c.run_id)
    )
    return taken.scalars().all()


def _state_once_claimed() -> ColumnElement[Any]:
    return func.coalesce(func.nullif(submissions.c.state, SubmissionState.READY.value), SubmissionState.INTENT.value)


def _claimed(connection: Connection, ids: Sequence[str], destination: Destination | None) -> list[ClaimedRun]:
    """The claimed runs as they are now, oldest first; what has no row any more is closed instead.

    Args:
        destination: says where each goes; None leaves what was recorded when it may have been sent.
    """
    if not ids:
        return []
    rows = connection.execute(
        select_runs()
        .add_columns(
            submissions.c.provider.label("destination"),
            submissions.c.owner,
            submissions.c.claim_seq,
            submissions.c.returns_to,
            submissions.c.attempts,
            submissions.c.prepared_id,
            submissions.c.enrolled_at,
            store_now().label("now"),
        )
        .where(among(workflow_runs.c.run_id, ids))
        .order_by(submissions.c.seq)
    ).all()
    _close_vanished(connection, set(ids) - {row.run_id for row in rows})
    found = [_claimed_run_from(row) for row in rows]
    return found if destination is None else [_sent_to(connection, each, destination(each.run)) for each in found]


def _sent_to(connection: Connection, claimed: ClaimedRun, provider: ProviderType | None) -> ClaimedRun:
    """The run with the provider that its tags name now, recorded before anything is sent there."""
    if provider is claimed.destination:
        return claimed
    connection.execute(update(submissions).where(submissions.c.run_id == claimed.run.id).values(provider=provider))
    return replace(claimed, destination=provider)


def _close_vanished(connection: Connection, ids: Collection[str]) -> None:
    if ids:
        connection.execute(
            update(submissions)
            .where(among(submissions.c.run_id, ids))
            .values(state=SubmissionState.CLOSED, owner=None, last_reason="the run's row was deleted")
        )


def _claimed_run_from(row: Row[Any]) -> ClaimedRun:
    claim = Claim(
        run_id=RunId(row.run_id),
        owner=DaemonId(row.owner),
        seq=row.claim_seq,
        resumed=row.returns_to in OPEN,
    )
    return ClaimedRun(
        claim=claim,
        run=run_from(row),
        attempts=row.attempts,
        waited=since(row.enrolled_at, row.now),
        prepared_id=None if row.prepared_id is None else ProviderRunId(row.prepared_id),
        destination=provider_from(row.destination),
    )
