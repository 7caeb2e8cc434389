"""How runs are claimed: at most as many as the caps allow, and each by one daemon only."""

from collections.abc import Collection, Sequence
from datetime import timedelta
from functools import cache
from typing import Any

from sqlalchemy import Connection, Integer, Row, Select, Update, bindparam, exists, or_, select, update
from sqlalchemy.sql.dml import ReturningUpdate

from wes_daemon.adapters.persistence import locks
from wes_daemon.adapters.persistence.bulk import rows_of_table, table_rows
from wes_daemon.adapters.persistence.enrolment import Destination
from wes_daemon.adapters.persistence.expressions import (
    by_key,
    in_list,
    in_list_parameter,
    in_locked_rows,
    is_one_of,
    seconds_since,
    store_now,
)
from wes_daemon.adapters.persistence.mapping import (
    as_first_sent,
    provider_from,
    request_values,
    run_from,
    select_submitted_runs,
    span,
)
from wes_daemon.adapters.persistence.sharing import OPEN, Room, served, shared_out
from wes_daemon.adapters.persistence.tables import daemons, run_attachments, submissions, workflow_runs
from wes_daemon.application.ports.errors import LeaseLost
from wes_daemon.application.ports.leases import SessionId
from wes_daemon.application.ports.submissions import Claim, ClaimedRun, SubmissionState
from wes_daemon.domain.runs import ProviderRunId, ProviderType, Run, RunId

_ME = "claiming_daemon"
_IDS = "run_ids"


def claim(
    connection: Connection,
    owner: SessionId,
    *,
    limit: int,
    room: Room,
    excluding: Collection[ProviderType | None],
    destination: Destination,
    under_way: Collection[RunId],
) -> Sequence[ClaimedRun]:
    """Claim as the port `SubmissionQueue` says."""
    # Before any row is read: what is counted, and who is seen to own what, must not change until the commit.
    locks.take(connection, locks.CLAIMING)
    _require_lease(connection, owner)
    taken_over = _taken_over(connection, owner, excluding, under_way, limit)
    chosen = shared_out(connection, room, limit - len(taken_over), excluding)
    return _resumed(connection, taken_over) + _begun(connection, owner, chosen, destination, room)


def _require_lease(connection: Connection, owner: SessionId) -> None:
    if connection.execute(_lease(), {_ME: owner}).first() is None:
        raise LeaseLost(f"daemon {owner} has no lease that lasts")


def _taken_over(
    connection: Connection,
    owner: SessionId,
    excluding: Collection[ProviderType | None],
    under_way: Collection[RunId],
    limit: int,
) -> Sequence[str]:
    """What may have been sent and nobody works on; it keeps its state."""
    given = {_ME: owner, _IDS: list(under_way), "most": limit}
    return connection.execute(_taking_over(frozenset(excluding)), given).scalars().all()


def _resumed(connection: Connection, ids: Sequence[str]) -> list[ClaimedRun]:
    """What may have been sent, as it was sent; what has no row any more is for a person to look at."""
    if not ids:
        return []
    found, vanished = _parted(_rows(connection, ids))
    _set_aside(
        connection,
        vanished,
        state=SubmissionState.REVIEW,
        last_reason="the run's row was deleted while its submission was under way; a provider may have it",
    )
    return [_resumed_run_from(row) for row in found]


def _begun(
    connection: Connection, owner: SessionId, chosen: Sequence[str], destination: Destination, room: Room
) -> list[ClaimedRun]:
    """What goes out for the first time: where, and as what, is recorded before anything is sent."""
    if not chosen:
        return []
    # Not a condition of the statement: a planner might go through all that are ready for it.
    ready = [row for row in _rows(connection, chosen) if row.submission_state == SubmissionState.READY]
    found, vanished = _parted(ready)
    _set_aside(connection, vanished, state=SubmissionState.CLOSED, last_reason="the run's row was deleted")
    begun, elsewhere = list[ClaimedRun](), list[ClaimedRun]()
    for row in found:
        fresh = _fresh_run_from(row, owner, destination)
        # Room was looked for at the provider that the tags named when the row was first seen.
        is_room = room.move(provider_from(row.provider), fresh.destination)
        (begun if is_room else elsewhere).append(fresh)
    _record_intents(connection, owner, begun)
    _send_elsewhere(connection, elsewhere)
    return begun


def _rows(connection: Connection, ids: Sequence[str]) -> Sequence[Row[Any]]:
    return connection.execute(_submitted(), {_IDS: list(ids)}).all()


def _parted(rows: Sequence[Row[Any]]) -> tuple[Sequence[Row[Any]], Sequence[str]]:
    """Those whose run has a row, and the ids of those whose run has none any more."""
    return [row for row in rows if not row.is_gone], [row.run_id for row in rows if row.is_gone]


def _record_intents(connection: Connection, owner: SessionId, begun: Sequence[ClaimedRun]) -> None:
    if not begun:
        return
    intents = [
        {"run_id": each.run.id, "provider": each.destination, "request": request_values(each.run)} for each in begun
    ]
    dialect = connection.dialect.name
    connection.execute(_beginning(dialect), {_ME: owner, **table_rows(dialect, submissions, intents)})


def _send_elsewhere(connection: Connection, runs: Sequence[ClaimedRun]) -> None:
    """There is no room for these at the provider that their tags name by now: they wait for it there."""
    if runs:
        dialect, wanted = (
            connection.dialect.name,
            [{"run_id": each.run.id, "provider": each.destination} for each in runs],
        )
        given = rows_of_table(dialect, submissions, wanted[0])
        moved = (
            update(submissions).where(by_key(submissions.c.run_id, given.c.run_id)).values(provider=given.c.provider)
        )
        connection.execute(moved, table_rows(dialect, submissions, wanted))


def _set_aside(connection: Connection, ids: Sequence[str], **values: object) -> None:
    if ids:
        connection.execute(update(submissions).where(in_list(submissions.c.run_id, ids)).values(owner=None, **values))


# To build a statement takes longer than to send it.


@cache
def _lease() -> Select[Any]:
    return select(daemons.c.id).where(daemons.c.id == bindparam(_ME), daemons.c.lease_until > store_now())


@cache
def _taking_over(excluding: Collection[ProviderType | None]) -> ReturningUpdate[Any]:
    rows = _orphaned(excluding).limit(bindparam("most", type_=Integer))
    return (
        update(submissions)
        .where(in_locked_rows(submissions.c.run_id, rows))
        .values(returns_to=submissions.c.state, owner=bindparam(_ME), claim_seq=submissions.c.claim_seq + 1)
        .returning(submissions.c.run_id)
    )


def _orphaned(excluding: Collection[ProviderType | None]) -> Select[Any]:
    # Not a join: when a locked row turns out to have a new owner, only a subquery looks for the new one.
    alive = select(daemons.c.id).where(daemons.c.lease_until > store_now())
    owner = submissions.c.owner
    nobody = or_(owner.is_(None), owner == bindparam(_ME), owner.not_in(alive))
    due = submissions.c.not_before <= store_now()
    return (
        select(submissions.c.run_id)
        .where(is_one_of(submissions.c.state, *OPEN), due, nobody, served(excluding))
        .where(~in_list_parameter(submissions.c.run_id, _IDS))
        .order_by(submissions.c.seq)
    )


@cache
def _submitted() -> Select[Any]:
    """The submissions with their runs, oldest first, locked; the row of a run may be missing."""
    return (
        select_submitted_runs()
        .add_columns(
            submissions.c.state.label("submission_state"),
            submissions.c.owner,
            submissions.c.claim_seq,
            submissions.c.attempts,
            submissions.c.prepared_id,
            seconds_since(submissions.c.failing_since).label("failing_for"),
            seconds_since(submissions.c.intent_at).label("in_doubt_for"),
            submissions.c.request,
            exists().where(run_attachments.c.run_id == workflow_runs.c.run_id).label("has_attachments"),
        )
        .where(in_list_parameter(submissions.c.run_id, _IDS))
        .order_by(submissions.c.seq)
        .with_for_update(of=submissions, skip_locked=True)
    )


@cache
def _beginning(dialect: str) -> Update:
    given = rows_of_table(dialect, submissions, ("run_id", "provider", "request"))
    return (
        update(submissions)
        .where(by_key(submissions.c.run_id, given.c.run_id))
        .values(
            state=SubmissionState.INTENT,
            returns_to=SubmissionState.READY,
            owner=bindparam(_ME),
            claim_seq=submissions.c.claim_seq + 1,
            intent_at=store_now(),
            provider=given.c.provider,
            request=given.c.request,
        )
    )


def _resumed_run_from(row: Row[Any]) -> ClaimedRun:
    return _claimed(
        row,
        Claim(run_id=RunId(row.run_id), owner=SessionId(row.owner), seq=row.claim_seq, resumed=True),
        as_first_sent(run_from(row), row.request),
        destination=provider_from(row.provider),
        in_doubt_for=span(row.in_doubt_for),
    )


def _fresh_run_from(row: Row[Any], owner: SessionId, destination: Destination) -> ClaimedRun:
    """As it will be once its intent is recorded."""
    run = run_from(row)
    claim = Claim(run_id=run.id, owner=owner, seq=row.claim_seq + 1)
    return _claimed(row, claim, run, destination=destination(run))


def _claimed(
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
        failing_for=span(row.failing_for),
        in_doubt_for=in_doubt_for,
        prepared_id=None if row.prepared_id is None else ProviderRunId(row.prepared_id),
        destination=destination,
        has_attachments=bool(row.has_attachments),
    )
