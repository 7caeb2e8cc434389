"""How runs are claimed: at most as many as the caps allow, and each by one daemon only."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, Text, exists, func, or_, select, update

from wes_daemon.adapters.persistence import locks
from wes_daemon.adapters.persistence.enrolment import Destination
from wes_daemon.adapters.persistence.expressions import among, as_json, given, is_one_of, picked, store_now
from wes_daemon.adapters.persistence.mapping import as_first_sent, provider_from, request_values, run_from, select_runs
from wes_daemon.adapters.persistence.mapping import since as time_since
from wes_daemon.adapters.persistence.sharing import OPEN, Room, served, shared_out
from wes_daemon.adapters.persistence.tables import daemons, run_attachments, submissions, workflow_runs
from wes_daemon.adapters.persistence.types import written_json
from wes_daemon.application.ports.errors import LeaseLost
from wes_daemon.application.ports.persistence import Claim, ClaimedRun, DaemonId, SubmissionState
from wes_daemon.domain.runs import ProviderRunId, ProviderType, RunId


def claim(
    connection: Connection,
    owner: DaemonId,
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
    orphaned = _orphaned(owner, excluding).where(~among(submissions.c.run_id, under_way))
    taken_over = _take(connection, owner, orphaned.limit(limit))
    chosen = shared_out(connection, room, limit - len(taken_over), excluding)
    fresh = _take(connection, owner, _still_ready(chosen), intent_at=store_now()) if chosen else []
    return _resumed(connection, taken_over) + _begun(connection, fresh, destination, room)


def _require_lease(connection: Connection, owner: DaemonId) -> None:
    alive = select(daemons.c.id).where(daemons.c.id == owner, daemons.c.lease_until > store_now())
    if connection.execute(alive).first() is None:
        raise LeaseLost(f"daemon {owner} has no lease that lasts")


def _orphaned(owner: DaemonId, excluding: Collection[ProviderType | None]) -> Select[Any]:
    # Not a join: when a locked row turns out to have a new owner, only a subquery looks for the new one.
    alive = select(daemons.c.id).where(daemons.c.lease_until > store_now())
    nobody = or_(submissions.c.owner.is_(None), submissions.c.owner == owner, submissions.c.owner.not_in(alive))
    due = submissions.c.not_before <= store_now()
    return (
        select(submissions.c.run_id)
        .where(is_one_of(submissions.c.state, *OPEN), due, nobody, served(excluding))
        .order_by(submissions.c.seq)
    )


def _still_ready(ids: Collection[str]) -> Select[Any]:
    ready = is_one_of(submissions.c.state, SubmissionState.READY)
    return select(submissions.c.run_id).where(among(submissions.c.run_id, ids), ready).order_by(submissions.c.seq)


def _take(connection: Connection, owner: DaemonId, rows: Select[Any], **values: object) -> Sequence[str]:
    taken = connection.execute(
        update(submissions)
        .where(picked(submissions.c.run_id, rows))
        .values(
            # What is taken over keeps its state; only what nobody ever called for begins.
            state=_state_once_claimed(),
            returns_to=submissions.c.state,
            owner=owner,
            claim_seq=submissions.c.claim_seq + 1,
            **values,
        )
        .returning(submissions.c.run_id)
    )
    return taken.scalars().all()


def _state_once_claimed() -> ColumnElement[Any]:
    return func.coalesce(func.nullif(submissions.c.state, SubmissionState.READY.value), SubmissionState.INTENT.value)


def _resumed(connection: Connection, ids: Sequence[str]) -> list[ClaimedRun]:
    """What may have been sent, as it was sent; what has no row any more is for a person to look at."""
    rows = _rows(connection, ids)
    _set_aside(
        connection,
        set(ids) - {row.run_id for row in rows},
        state=SubmissionState.REVIEW,
        last_reason="the run's row was deleted while its submission was under way; a provider may have it",
    )
    return [_resumed_run_from(row) for row in rows]


def _begun(connection: Connection, ids: Sequence[str], destination: Destination, room: Room) -> list[ClaimedRun]:
    """What goes out for the first time: where, and as what, is recorded before anything is sent."""
    rows = _rows(connection, ids)
    _set_aside(
        connection,
        set(ids) - {row.run_id for row in rows},
        state=SubmissionState.CLOSED,
        last_reason="the run's row was deleted",
    )
    found = [_claimed_run_from(row) for row in rows]
    begun = [replace(each, destination=destination(each.run)) for each in found]
    # Room was looked for at the provider that the tags named when the row was first seen.
    elsewhere = [new for old, new in zip(found, begun, strict=True) if not room.move(old.destination, new.destination)]
    _record_intents(connection, begun)
    _give_back(connection, [each.run.id for each in elsewhere])
    return [each for each in begun if each not in elsewhere]


def _rows(connection: Connection, ids: Sequence[str]) -> Sequence[Row[Any]]:
    """The claimed runs that have a row, oldest first."""
    if not ids:
        return []
    return connection.execute(
        select_runs()
        .add_columns(
            submissions.c.provider.label("destination"),
            submissions.c.owner,
            submissions.c.claim_seq,
            submissions.c.returns_to,
            submissions.c.attempts,
            submissions.c.prepared_id,
            submissions.c.failing_since,
            submissions.c.intent_at,
            submissions.c.request,
            exists().where(run_attachments.c.run_id == workflow_runs.c.run_id).label("has_attachments"),
            store_now().label("now"),
        )
        .where(among(workflow_runs.c.run_id, ids))
        .order_by(submissions.c.seq)
    ).all()


def _record_intents(connection: Connection, begun: Sequence[ClaimedRun]) -> None:
    if begun:
        sent = given(
            connection,
            [
                {"run_id": each.run.id, "provider": each.destination, "request": written_json(request_values(each.run))}
                for each in begun
            ],
            run_id=Text,
            provider=Text,
            request=Text,
        )
        connection.execute(
            update(submissions)
            .where(submissions.c.run_id == sent.c.run_id)
            .values(provider=sent.c.provider, request=as_json(connection, sent.c.request))
        )


def _give_back(connection: Connection, ids: Sequence[str]) -> None:
    if ids:
        ready = {"state": SubmissionState.READY, "owner": None, "request": None}
        connection.execute(update(submissions).where(among(submissions.c.run_id, ids)).values(**ready))


def _set_aside(connection: Connection, ids: Iterable[str], **values: object) -> None:
    if vanished := list(ids):
        connection.execute(
            update(submissions).where(among(submissions.c.run_id, vanished)).values(owner=None, **values)
        )


def _resumed_run_from(row: Row[Any]) -> ClaimedRun:
    claimed = _claimed_run_from(row)
    return replace(
        claimed,
        claim=replace(claimed.claim, resumed=True),
        run=as_first_sent(claimed.run, row.request),
        in_doubt_for=time_since(row.intent_at or row.now, row.now),
    )


def _claimed_run_from(row: Row[Any]) -> ClaimedRun:
    return ClaimedRun(
        claim=Claim(run_id=RunId(row.run_id), owner=DaemonId(row.owner), seq=row.claim_seq),
        run=run_from(row),
        attempts=row.attempts,
        failing_for=time_since(row.failing_since or row.now, row.now),
        prepared_id=None if row.prepared_id is None else ProviderRunId(row.prepared_id),
        destination=provider_from(row.destination),
        has_attachments=bool(row.has_attachments),
    )
