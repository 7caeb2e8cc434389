"""Who submits what, and how far it has come."""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import timedelta
from functools import cache
from types import MappingProxyType
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Executable,
    Float,
    FromClause,
    Integer,
    Select,
    Text,
    and_,
    bindparam,
    case,
    func,
    insert,
    literal_column,
    or_,
    select,
    update,
)

from wes_daemon.adapters.persistence import claiming
from wes_daemon.adapters.persistence.enrolment import adopt_active, enrol_queued, names_a_provider_run, take_up_again
from wes_daemon.adapters.persistence.expressions import (
    as_seconds,
    by_key,
    in_locked_rows,
    is_one_of,
    json_rows,
    of_same_run,
    rows_from_json,
    store_after,
    store_in,
    store_now,
)
from wes_daemon.adapters.persistence.mapping import provider_from
from wes_daemon.adapters.persistence.sharing import OPEN, Room
from wes_daemon.adapters.persistence.tables import polls, submissions, workflow_runs
from wes_daemon.application.ports.errors import AlreadyRecorded, ClaimLost, ConcurrentUpdate, NotInReview
from wes_daemon.application.ports.leases import SessionId
from wes_daemon.application.ports.submissions import (
    Acceptance,
    Claim,
    ClaimedRun,
    Preparation,
    SubmissionState,
    no_share,
)
from wes_daemon.domain.runs import ProviderRunId, ProviderType, RunId, RunSummary
from wes_daemon.domain.states import RunState

# What was sent is kept only for as long as it may have to be sent again.
_ACCEPTED: Mapping[str, object] = {"state": SubmissionState.ACCEPTED, "owner": None, "request": None}


class SqlSubmissionQueue:
    """`SubmissionQueue` in the table `submissions`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def enrol(
        self,
        destination: Callable[[RunSummary], ProviderType | None],
        *,
        limit: int,
        share: Callable[[RunSummary], str] = no_share,
    ) -> int:
        queued = self.enrol_queued(destination, limit=limit, share=share)
        adopted = adopt_active(self._connection, destination, limit - queued) if queued < limit else 0
        return queued + adopted + take_up_again(self._connection, limit - queued - adopted)

    def enrol_queued(
        self,
        destination: Callable[[RunSummary], ProviderType | None],
        *,
        limit: int,
        share: Callable[[RunSummary], str] = no_share,
    ) -> int:
        return enrol_queued(self._connection, destination, share, limit)

    def claim(
        self,
        owner: SessionId,
        *,
        limit: int,
        cap: int,
        excluding: Collection[ProviderType | None],
        destination: Callable[[RunSummary], ProviderType | None],
        provider_caps: Mapping[ProviderType, int] = MappingProxyType({}),
        under_way: Collection[RunId] = (),
    ) -> Sequence[ClaimedRun]:
        return claiming.claim(
            self._connection,
            owner,
            limit=limit,
            room=Room(self._connection, cap, provider_caps),
            excluding=excluding,
            destination=destination,
            under_way=under_way,
        )

    def prepared(self, claim: Claim, id: ProviderRunId) -> None:
        if not self.prepared_all([Preparation(claim, id)]):
            raise self._why_not(claim)

    def prepared_all(self, prepared: Collection[Preparation]) -> Collection[RunId]:
        rows = [
            {"run_id": one.claim.run_id, "owner": one.claim.owner, "seq": one.claim.seq, "prepared_id": one.id}
            for one in prepared
        ]
        return self._ids(_preparing(self._connection.dialect.name), json_rows(rows))

    def accepted(self, claim: Claim, provider: ProviderType, id: ProviderRunId, *, check_after: timedelta) -> None:
        self._advance(claim, **_ACCEPTED, provider=provider, provider_run_id=id)
        self._follow([{"run_id": claim.run_id, "provider": provider, "provider_run_id": id}], check_after)

    def accepted_all(self, accepted: Collection[Acceptance], *, check_after: timedelta) -> Collection[RunId]:
        rows = [
            {"run_id": one.claim.run_id, "owner": one.claim.owner, "seq": one.claim.seq}
            | {"provider": one.provider, "provider_run_id": one.id}
            for one in accepted
        ]
        dialect, parameters = self._connection.dialect.name, json_rows(rows)
        recorded = self._ids(_accepting(dialect), parameters)
        before = self._ids(_accepted_before(dialect), parameters) if len(recorded) < len(rows) else frozenset()
        if before and not recorded:
            raise AlreadyRecorded(f"{len(before)} runs were recorded as accepted before")
        self._follow([row for row in rows if row["run_id"] in recorded], check_after)
        return recorded | before

    def deferred(self, claim: Claim, *, wait: timedelta, reason: str) -> None:
        self._put_off(claim, wait, reason, state=submissions.c.returns_to)

    def unresolved(self, claim: Claim, *, wait: timedelta, reason: str) -> None:
        self._put_off(claim, wait, reason)

    def released(self, claim: Claim, *, wait: timedelta, reason: str | None = None) -> None:
        said = {} if reason is None else {"last_reason": reason}
        self._advance(claim, state=submissions.c.returns_to, owner=None, not_before=store_after(wait), **said)

    def closed(self, claim: Claim, *, reason: str) -> None:
        self._advance(claim, state=SubmissionState.CLOSED, owner=None, request=None, last_reason=reason)

    def review(self, claim: Claim, *, reason: str) -> None:
        self._advance(claim, state=SubmissionState.REVIEW, owner=None, last_reason=reason)

    def adopt(self, run_id: RunId, id: ProviderRunId, *, check_after: timedelta) -> ProviderType:
        provider = self._reviewed_at(run_id)
        self._refuse_held(provider, id)
        self._resolve(run_id, **_ACCEPTED, provider_run_id=id)
        self._follow([{"run_id": run_id, "provider": provider, "provider_run_id": id}], check_after)
        return provider

    def send_again(self, run_id: RunId) -> None:
        # What is prepared is started, not prepared again.
        state = case((submissions.c.prepared_id.is_(None), SubmissionState.INTENT), else_=SubmissionState.PREPARED)
        anew = {"attempts": 0, "failing_since": None, "intent_at": store_now(), "not_before": store_now()}
        self._resolve(run_id, state=state, returns_to=state, **anew)

    def give_up(self, run_id: RunId, *, reason: str) -> None:
        self._resolve(run_id, state=SubmissionState.CLOSED, request=None, last_reason=reason)

    def withdrawn(self, *, limit: int) -> Sequence[RunId]:
        self._connection.execute(
            update(submissions)
            .where(in_locked_rows(submissions.c.run_id, _not_wanted_any_more().limit(limit)))
            .values(state=SubmissionState.CLOSED, last_reason="the run is no longer queued")
        )
        return [RunId(id) for id in self._connection.execute(_cancelled_at_once().limit(limit)).scalars()]

    def _ids(self, statement: Executable, parameters: Mapping[str, str]) -> frozenset[RunId]:
        return frozenset(RunId(id) for id in self._connection.execute(statement, parameters).scalars().all())

    def _reviewed_at(self, run_id: RunId) -> ProviderType:
        asked = select(submissions.c.provider).where(_in_review(run_id)).with_for_update()
        provider = provider_from(self._connection.execute(asked).scalar())
        if provider is None:
            raise _not_in_review(run_id)
        return provider

    def _refuse_held(self, provider: ProviderType, id: ProviderRunId) -> None:
        held = select(submissions.c.run_id).where(
            submissions.c.provider == provider, submissions.c.provider_run_id == id
        )
        if (other := self._connection.execute(held).scalar()) is not None:
            raise NotInReview(f"{provider} run {id} belongs to run {other} already")

    def _resolve(self, run_id: RunId, **values: object) -> None:
        if self._connection.execute(update(submissions).where(_in_review(run_id)).values(**values)).rowcount == 0:
            raise _not_in_review(run_id)

    def _follow(self, runs: Sequence[Mapping[str, object]], check_after: timedelta) -> None:
        """Put these on the poll schedule: `run_id`, `provider` and `provider_run_id` of each."""
        wait = {"wait": as_seconds(check_after)}
        self._connection.execute(_following(self._connection.dialect.name), {**json_rows(runs), **wait})

    def _put_off(self, claim: Claim, wait: timedelta, reason: str, **values: object) -> None:
        self._advance(
            claim,
            owner=None,
            not_before=store_after(wait),
            attempts=submissions.c.attempts + 1,
            failing_since=func.coalesce(submissions.c.failing_since, store_now()),
            last_reason=reason,
            **values,
        )

    def _advance(self, claim: Claim, **values: object) -> None:
        mine = and_(
            submissions.c.run_id == claim.run_id,
            submissions.c.owner == claim.owner,
            submissions.c.claim_seq == claim.seq,
            is_one_of(submissions.c.state, *OPEN),
        )
        if self._connection.execute(update(submissions).where(mine).values(**values)).rowcount == 0:
            raise self._why_not(claim)

    def _why_not(self, claim: Claim) -> ConcurrentUpdate:
        given_back = select(submissions.c.run_id).where(
            submissions.c.run_id == claim.run_id, submissions.c.claim_seq == claim.seq, submissions.c.owner.is_(None)
        )
        if self._connection.execute(given_back).first() is not None:
            return AlreadyRecorded(f"run {claim.run_id}: the claim {claim.seq} was given back by its holder")
        return ClaimLost(f"run {claim.run_id}: the claim {claim.seq} of daemon {claim.owner} is gone")


# To build a statement takes longer than to send it.


def _acceptances(dialect: str) -> FromClause:
    return rows_from_json(dialect, run_id=Text(), owner=Text(), seq=Integer(), provider=Text(), provider_run_id=Text())


@cache
def _accepting(dialect: str) -> Executable:
    sent = _acceptances(dialect)
    return (
        update(submissions)
        .where(by_key(submissions.c.run_id, sent.c.run_id), *_still_held_as(sent))
        .values(**_ACCEPTED, provider=sent.c.provider, provider_run_id=sent.c.provider_run_id)
        .returning(submissions.c.run_id)
    )


@cache
def _preparing(dialect: str) -> Executable:
    sent = rows_from_json(dialect, run_id=Text(), owner=Text(), seq=Integer(), prepared_id=Text())
    prepared = {"state": SubmissionState.PREPARED, "returns_to": SubmissionState.PREPARED}
    return (
        update(submissions)
        .where(by_key(submissions.c.run_id, sent.c.run_id), *_still_held_as(sent))
        .values(**prepared, prepared_id=sent.c.prepared_id)
        .returning(submissions.c.run_id)
    )


def _still_held_as(sent: FromClause) -> Sequence[ColumnElement[bool]]:
    return (
        submissions.c.owner == sent.c.owner,
        submissions.c.claim_seq == sent.c.seq,
        is_one_of(submissions.c.state, *OPEN),
    )


@cache
def _accepted_before(dialect: str) -> Executable:
    """Those that were given back under the same claim, as only its holder can, when the answer was lost."""
    sent = _acceptances(dialect)
    return (
        select(submissions.c.run_id)
        .join(sent, submissions.c.run_id == sent.c.run_id)
        .where(
            submissions.c.claim_seq == sent.c.seq,
            submissions.c.owner.is_(None),
            submissions.c.provider_run_id == sent.c.provider_run_id,
        )
    )


@cache
def _following(dialect: str) -> Executable:
    sent = rows_from_json(dialect, run_id=Text(), provider=Text(), provider_run_id=Text())
    alike = {
        "next_check_at": store_in(bindparam("wait", type_=Float)),
        "followed_since": store_now(),
        "poll_seq": literal_column("0"),
        "known_state": literal_column(f"'{RunState.INITIALIZING}'"),
        "details_failures": literal_column("0"),
    }
    rows: Select[Any] = select(*sent.c, *alike.values())
    return insert(polls).from_select([*sent.c.keys(), *alike], rows)


def _in_review(run_id: RunId) -> ColumnElement[bool]:
    return and_(submissions.c.run_id == run_id, is_one_of(submissions.c.state, SubmissionState.REVIEW))


def _not_in_review(run_id: RunId) -> NotInReview:
    return NotInReview(f"run {run_id}: its submission is not in review, so there is nothing to decide")


def _not_wanted_any_more() -> Any:
    state = of_same_run(workflow_runs.c.state, submissions.c.run_id)
    still_queued = and_(state.is_not(None), is_one_of(state, RunState.QUEUED))
    return (
        select(submissions.c.run_id)
        .where(is_one_of(submissions.c.state, SubmissionState.READY), ~still_queued)
        # As the index has them: those that are ready are found by it alone.
        .order_by(submissions.c.provider, submissions.c.share, submissions.c.seq)
    )


def _cancelled_at_once() -> Any:
    """`CANCELING` runs that no provider has or may have.

    Those closed in an earlier unit of work are among them: whoever closed them may have died before ending them.
    """
    run_id = workflow_runs.c.run_id
    closed = is_one_of(of_same_run(submissions.c.state, run_id), SubmissionState.CLOSED)
    never_sent = and_(closed, of_same_run(submissions.c.provider_run_id, run_id).is_(None))
    # What another daemon may have left with a provider is enrolled first, and then told to that provider.
    unseen = and_(of_same_run(submissions.c.run_id, run_id).is_(None), ~names_a_provider_run())
    return (
        select(run_id)
        .where(is_one_of(workflow_runs.c.state, RunState.CANCELING), or_(unseen, never_sent))
        .order_by(of_same_run(submissions.c.seq, run_id), run_id)
    )
