"""Claiming: at most as many runs as the concurrency limits allow, and each by one daemon only."""

from collections.abc import Collection, Sequence
from datetime import timedelta
from functools import cache, partial
from itertools import chain
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Integer,
    Row,
    Select,
    Update,
    bindparam,
    exists,
    or_,
    select,
    update,
)
from sqlalchemy.sql.dml import ReturningUpdate

from wes_daemon.adapters.persistence.bulk import rows_of_table, table_rows, values_from
from wes_daemon.adapters.persistence.expressions import (
    by_key,
    in_list,
    in_list_parameter,
    in_locked_rows,
    is_one_of,
    seconds_since,
    store_now,
)
from wes_daemon.adapters.persistence.isolation import isolated
from wes_daemon.adapters.persistence.mapping import (
    duration_from,
    provider_from,
    request_values,
    run_from,
    select_submitted_runs,
    with_request_values,
)
from wes_daemon.adapters.persistence.sharing import FreeSlots, next_runs
from wes_daemon.adapters.persistence.tables import daemons, run_attachments, submissions, workflow_runs
from wes_daemon.adapters.persistence.transactions import CLAIM_LOCK, acquire_lock
from wes_daemon.adapters.persistence.watching import is_watched
from wes_daemon.application.ports.errors import LeaseLost
from wes_daemon.application.ports.leases import SessionId
from wes_daemon.application.ports.submissions import IN_DOUBT, Claim, ClaimedRun, Destination, SubmissionState
from wes_daemon.domain.runs import ProviderRunId, ProviderType, Run, RunId

_OWNER = "claiming_daemon"
_RUN_IDS = "run_ids"
_LIMIT = "row_limit"


def claim(
    connection: Connection,
    owner: SessionId,
    *,
    limit: int,
    slots: FreeSlots,
    serving: Collection[ProviderType | None],
    destination: Destination,
    under_way: Collection[RunId],
) -> Sequence[ClaimedRun]:
    """Implement `SubmissionQueue.claim`."""
    # The lock comes before the first read: the active runs and the owners must not change until the commit.
    acquire_lock(connection, CLAIM_LOCK)
    _require_lease(connection, owner)
    given = {_OWNER: owner, _RUN_IDS: list(under_way), _LIMIT: limit}
    taken_over = connection.execute(_takeover(frozenset(serving)), given).scalars().all()
    chosen = next_runs(connection, slots, limit=limit - len(taken_over), serving=serving)
    return _resume(connection, taken_over) + _begin(connection, owner, chosen, destination, slots)


def is_served(serving: Collection[ProviderType | None]) -> ColumnElement[bool]:
    """Whether the provider of a submission is one of `serving`; None stands for submissions without a provider."""
    is_named = submissions.c.provider.in_(sorted(provider for provider in serving if provider is not None))
    return or_(submissions.c.provider.is_(None), is_named) if None in serving else is_named


def _require_lease(connection: Connection, owner: SessionId) -> None:
    if connection.execute(_valid_lease(), {_OWNER: owner}).first() is None:
        raise LeaseLost(f"daemon {owner} has no valid lease")


def _resume(connection: Connection, run_ids: Sequence[str]) -> list[ClaimedRun]:
    """The runs taken over, with their first request. A run whose row was deleted needs review instead."""
    if not run_ids:
        return []
    present, deleted = _without_deleted(_submission_rows(connection, run_ids))
    _record_deleted(
        connection,
        deleted,
        state=SubmissionState.REVIEW,
        last_reason="the run's row was deleted while its submission was under way; a provider may have it",
    )
    return [_resumed_run_from(row) for row in present]


def _begin(
    connection: Connection, owner: SessionId, run_ids: Sequence[str], destination: Destination, slots: FreeSlots
) -> list[ClaimedRun]:
    """The runs to submit for the first time. Their providers and requests are recorded before any call."""
    if not run_ids:
        return []
    # The state is not a condition of the statement: a planner might scan all ready submissions for it.
    ready = [row for row in _submission_rows(connection, run_ids) if row.submission_state == SubmissionState.READY]
    present, deleted = _without_deleted(ready)
    _record_deleted(connection, deleted, state=SubmissionState.CLOSED, last_reason="the run's row was deleted")
    begun, waiting = list[ClaimedRun](), list[ClaimedRun]()
    for row in present:
        claimed = _first_claim_from(row, owner, destination)
        # The slot was occupied at the provider that the tags named when the run was enrolled.
        has_slot = slots.move(provider_from(row.provider), claimed.destination)
        (begun if has_slot else waiting).append(claimed)
    recorded = isolated(
        connection, begun, partial(_record_intents, connection, owner), run_id=lambda claimed: claimed.run.id
    )
    _move_to_destination(connection, waiting)
    return list(chain.from_iterable(recorded))


def _submission_rows(connection: Connection, run_ids: Sequence[str]) -> Sequence[Row[Any]]:
    rows = connection.execute(_submissions_with_runs(), {_RUN_IDS: list(run_ids)}).all()
    # A partitioned table may contain several rows with one run id, since its key has further columns.
    return list({row.run_id: row for row in rows}.values())


def _without_deleted(rows: Sequence[Row[Any]]) -> tuple[Sequence[Row[Any]], Sequence[str]]:
    """The submissions whose run has a row, and the run ids of the others."""
    return [row for row in rows if not row.is_gone], [row.run_id for row in rows if row.is_gone]


def _record_intents(connection: Connection, owner: SessionId, begun: Sequence[ClaimedRun]) -> Sequence[ClaimedRun]:
    if not begun:
        return begun
    intents = [
        {"run_id": claimed.run.id, "provider": claimed.destination, "request": request_values(claimed.run)}
        for claimed in begun
    ]
    dialect = connection.dialect.name
    connection.execute(
        _recording_intents(dialect), {_OWNER: owner, **table_rows(connection.dialect, submissions, intents)}
    )
    return begun


def _move_to_destination(connection: Connection, waiting: Sequence[ClaimedRun]) -> None:
    """Record the provider that the tags of each run name now. The runs stay ready: that provider has no free slot."""
    if not waiting:
        return
    dialect = connection.dialect.name
    rows = [{"run_id": claimed.run.id, "provider": claimed.destination} for claimed in waiting]
    given = rows_of_table(dialect, submissions, rows[0])
    moved = update(submissions).where(by_key(submissions.c.run_id, given.c.run_id)).values(provider=given.c.provider)
    connection.execute(moved, table_rows(connection.dialect, submissions, rows))


def _record_deleted(connection: Connection, run_ids: Sequence[str], **values: object) -> None:
    if run_ids:
        changed = update(submissions).where(in_list(submissions.c.run_id, run_ids))
        connection.execute(changed.values(owner=None, **values))


# These statements are built once, because building one takes longer than sending it.


@cache
def _valid_lease() -> Select[Any]:
    return select(daemons.c.id).where(daemons.c.id == bindparam(_OWNER), daemons.c.lease_until > store_now())


@cache
def _takeover(serving: frozenset[ProviderType | None]) -> ReturningUpdate[Any]:
    """Take over submissions in doubt; they keep their state."""
    rows = _available_in_doubt(serving).limit(bindparam(_LIMIT, type_=Integer))
    return (
        update(submissions)
        .where(in_locked_rows(submissions.c.run_id, rows))
        .values(returns_to=submissions.c.state, owner=bindparam(_OWNER), claim_seq=submissions.c.claim_seq + 1)
        .returning(submissions.c.run_id)
    )


def _available_in_doubt(serving: Collection[ProviderType | None]) -> Select[Any]:
    # Not a join: if a locked row has got a new owner meanwhile, PostgreSQL evaluates only a subquery for this owner.
    alive = select(daemons.c.id).where(daemons.c.lease_until > store_now())
    owner = submissions.c.owner
    is_available = or_(owner.is_(None), owner == bindparam(_OWNER), owner.not_in(alive))
    is_due = submissions.c.not_before <= store_now()
    return (
        select(submissions.c.run_id)
        .where(is_one_of(submissions.c.state, *IN_DOUBT), is_due, is_available, is_served(serving))
        .where(~in_list_parameter(submissions.c.run_id, _RUN_IDS))
        .order_by(submissions.c.seq)
    )


@cache
def _submissions_with_runs() -> Select[Any]:
    """The submissions with their runs, oldest first, locked. The row of a run may be missing."""
    return (
        select_submitted_runs()
        .add_columns(
            submissions.c.state.label("submission_state"),
            submissions.c.owner,
            submissions.c.claim_seq,
            submissions.c.attempts,
            submissions.c.prepared_id,
            seconds_since(submissions.c.failing_since).label("failing_for"),
            seconds_since(submissions.c.enrolled_at).label("waiting_for"),
            seconds_since(submissions.c.intent_at).label("in_doubt_for"),
            is_watched().label("is_watched"),
            submissions.c.request,
            exists().where(run_attachments.c.run_id == workflow_runs.c.run_id).label("has_attachments"),
        )
        .where(in_list_parameter(submissions.c.run_id, _RUN_IDS))
        .order_by(submissions.c.seq)
        .with_for_update(of=submissions, skip_locked=True)
    )


@cache
def _recording_intents(dialect: str) -> Update:
    given = rows_of_table(dialect, submissions, ("run_id", "provider", "request"))
    return (
        update(submissions)
        .where(by_key(submissions.c.run_id, given.c.run_id))
        .values(
            state=SubmissionState.INTENT,
            returns_to=SubmissionState.READY,
            owner=bindparam(_OWNER),
            claim_seq=submissions.c.claim_seq + 1,
            intent_at=store_now(),
            provider=given.c.provider,
            **values_from(given, submissions, ["request"]),
        )
    )


def _resumed_run_from(row: Row[Any]) -> ClaimedRun:
    return _claimed_run_from(
        row,
        Claim(run_id=RunId(row.run_id), owner=SessionId(row.owner), fencing_token=row.claim_seq, resumed=True),
        with_request_values(run_from(row), row.request),
        destination=provider_from(row.provider),
        in_doubt_for=duration_from(row.in_doubt_for),
    )


def _first_claim_from(row: Row[Any], owner: SessionId, destination: Destination) -> ClaimedRun:
    """The claimed run as it is once its intent is recorded."""
    run = run_from(row)
    claim = Claim(run_id=run.id, owner=owner, fencing_token=row.claim_seq + 1)
    return _claimed_run_from(row, claim, run, destination=destination(run))


def _claimed_run_from(
    row: Row[Any],
    claim: Claim,
    run: Run,
    *,
    destination: ProviderType | None,
    in_doubt_for: timedelta = timedelta(0),
) -> ClaimedRun:
    return ClaimedRun(
        claim=claim,
        run=run,
        attempts=row.attempts,
        failing_for=duration_from(row.failing_for),
        waiting_for=duration_from(row.waiting_for),
        in_doubt_for=in_doubt_for,
        prepared_id=None if row.prepared_id is None else ProviderRunId(row.prepared_id),
        destination=destination,
        has_attachments=bool(row.has_attachments),
        is_watched=bool(row.is_watched),
    )
