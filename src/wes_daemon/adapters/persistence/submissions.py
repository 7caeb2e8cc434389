"""Who submits what, and how far it has come."""

from collections.abc import Callable, Collection, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, and_, exists, insert, or_, select, update

from wes_daemon.adapters.persistence import claiming
from wes_daemon.adapters.persistence.enrolment import adopt_active, enrol_queued, names_a_provider_run, take_up_again
from wes_daemon.adapters.persistence.expressions import is_one_of, picked, store_after
from wes_daemon.adapters.persistence.tables import polls, submissions, workflow_runs
from wes_daemon.application.ports.errors import ClaimLost
from wes_daemon.application.ports.persistence import Claim, ClaimedRun, DaemonId, SubmissionState
from wes_daemon.domain.runs import ProviderRunId, ProviderType, Run, RunId
from wes_daemon.domain.states import RunState


class SqlSubmissionQueue:
    """`SubmissionQueue` in the table `submissions`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def enrol(self, destination: Callable[[Run], ProviderType | None], *, limit: int) -> int:
        queued = enrol_queued(self._connection, destination, limit)
        adopted = adopt_active(self._connection, destination, limit - queued) if queued < limit else 0
        return queued + adopted + take_up_again(self._connection, limit - queued - adopted)

    def claim(
        self,
        owner: DaemonId,
        *,
        limit: int,
        cap: int,
        excluding: Collection[ProviderType | None],
        destination: Callable[[Run], ProviderType | None],
    ) -> Sequence[ClaimedRun]:
        return claiming.claim(
            self._connection, owner, limit=limit, cap=cap, excluding=excluding, destination=destination
        )

    def prepared(self, claim: Claim, id: ProviderRunId) -> None:
        prepared = SubmissionState.PREPARED
        self._advance(claim, state=prepared, returns_to=prepared, prepared_id=id)

    def accepted(self, claim: Claim, provider: ProviderType, id: ProviderRunId, *, check_after: timedelta) -> None:
        self._advance(claim, state=SubmissionState.ACCEPTED, owner=None, provider=provider, provider_run_id=id)
        self._connection.execute(
            insert(polls).values(
                run_id=claim.run_id,
                provider=provider,
                provider_run_id=id,
                next_check_at=store_after(check_after),
                poll_seq=0,
                known_state=RunState.INITIALIZING,
                details_failures=0,
            )
        )

    def deferred(self, claim: Claim, *, wait: timedelta, reason: str) -> None:
        self._put_off(claim, wait, reason, state=submissions.c.returns_to)

    def unresolved(self, claim: Claim, *, wait: timedelta, reason: str) -> None:
        self._put_off(claim, wait, reason)

    def released(self, claim: Claim, *, wait: timedelta, reason: str | None = None) -> None:
        said = {} if reason is None else {"last_reason": reason}
        self._advance(claim, state=submissions.c.returns_to, owner=None, not_before=store_after(wait), **said)

    def closed(self, claim: Claim, *, reason: str) -> None:
        self._advance(claim, state=SubmissionState.CLOSED, owner=None, last_reason=reason)

    def withdrawn(self, *, limit: int) -> Sequence[RunId]:
        self._connection.execute(
            update(submissions)
            .where(picked(submissions.c.run_id, _not_wanted_any_more().limit(limit)))
            .values(state=SubmissionState.CLOSED, last_reason="the run is no longer queued")
        )
        return [RunId(id) for id in self._connection.execute(_cancelled_at_once().limit(limit)).scalars()]

    def _put_off(self, claim: Claim, wait: timedelta, reason: str, **values: object) -> None:
        self._advance(
            claim,
            owner=None,
            not_before=store_after(wait),
            attempts=submissions.c.attempts + 1,
            last_reason=reason,
            **values,
        )

    def _advance(self, claim: Claim, **values: object) -> None:
        mine = and_(
            submissions.c.run_id == claim.run_id,
            submissions.c.owner == claim.owner,
            submissions.c.claim_seq == claim.seq,
            is_one_of(submissions.c.state, *claiming.OPEN),
        )
        if self._connection.execute(update(submissions).where(mine).values(**values)).rowcount == 0:
            raise ClaimLost(f"run {claim.run_id}: the claim {claim.seq} of daemon {claim.owner} is gone")


def _not_wanted_any_more() -> Any:
    still_queued = exists().where(
        workflow_runs.c.run_id == submissions.c.run_id, is_one_of(workflow_runs.c.state, RunState.QUEUED)
    )
    return (
        select(submissions.c.run_id)
        .where(is_one_of(submissions.c.state, SubmissionState.READY), ~still_queued)
        .order_by(submissions.c.seq)
    )


def _cancelled_at_once() -> Any:
    """`CANCELING` runs that no provider has or may have.

    Those closed in an earlier unit of work are among them: whoever closed them may have died before ending them.
    """
    known = submissions.c.run_id == workflow_runs.c.run_id
    never_sent = and_(is_one_of(submissions.c.state, SubmissionState.CLOSED), submissions.c.provider_run_id.is_(None))
    # What another daemon may have left with a provider is enrolled first, and then told to that provider.
    unseen = and_(submissions.c.run_id.is_(None), ~names_a_provider_run())
    return (
        select(workflow_runs.c.run_id)
        .select_from(workflow_runs.outerjoin(submissions, known))
        .where(
            is_one_of(workflow_runs.c.state, RunState.CANCELING),
            or_(unseen, never_sent),
        )
        .order_by(submissions.c.seq, workflow_runs.c.run_id)
    )
