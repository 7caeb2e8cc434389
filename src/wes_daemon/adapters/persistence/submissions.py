"""The submission queue in SQL."""

from collections.abc import Collection, Mapping, Sequence
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
from wes_daemon.adapters.persistence.enrolment import adopt_active, enrol_again, enrol_queued, names_a_provider_run
from wes_daemon.adapters.persistence.expressions import (
    as_seconds,
    by_key,
    in_list,
    in_locked_rows,
    is_one_of,
    json_rows,
    of_same_run,
    rows_from_json,
    store_after,
    store_in,
    store_now,
)
from wes_daemon.adapters.persistence.inheritance import inherit
from wes_daemon.adapters.persistence.keys import RunKey
from wes_daemon.adapters.persistence.late_updates import has_late_update
from wes_daemon.adapters.persistence.mapping import provider_from
from wes_daemon.adapters.persistence.sharing import FreeSlots
from wes_daemon.adapters.persistence.tables import polls, submissions, workflow_runs
from wes_daemon.adapters.persistence.watching import watch
from wes_daemon.application.ports.errors import AlreadyRecorded, ClaimLost, ConcurrentUpdate, NotInReview
from wes_daemon.application.ports.leases import SessionId
from wes_daemon.application.ports.submissions import (
    IN_DOUBT,
    Acceptance,
    Claim,
    ClaimedRun,
    Destination,
    Share,
    SubmissionState,
    no_share,
)
from wes_daemon.domain.runs import ProviderRunId, ProviderType, RunId
from wes_daemon.domain.states import ENDED, RunState

_WAIT = "wait"
# The request is kept only while it may have to be sent again.
_ACCEPTED: Mapping[str, object] = {"state": SubmissionState.ACCEPTED, "owner": None, "request": None}


class SqlSubmissionQueue:
    """`SubmissionQueue` in the table `submissions`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def inherit(self) -> int:
        return inherit(self._connection)

    def watch(self) -> bool:
        return watch(self._connection)

    def enrol(
        self, destination: Destination, *, limit: int, share: Share = no_share, leaving_out: Collection[RunId] = ()
    ) -> int:
        queued = self.enrol_queued(destination, limit=limit, share=share, leaving_out=leaving_out)
        adopted = adopt_active(self._connection, destination, limit - queued, leaving_out) if queued < limit else 0
        return queued + adopted + enrol_again(self._connection, limit - queued - adopted)

    def enrol_queued(
        self, destination: Destination, *, limit: int, share: Share = no_share, leaving_out: Collection[RunId] = ()
    ) -> int:
        return enrol_queued(self._connection, destination, share, limit, leaving_out)

    def claim(
        self,
        owner: SessionId,
        *,
        limit: int,
        concurrency_limit: int,
        serving: Collection[ProviderType | None],
        destination: Destination,
        per_provider_limits: Mapping[ProviderType, int] = MappingProxyType({}),
        under_way: Collection[RunId] = (),
    ) -> Sequence[ClaimedRun]:
        return claiming.claim(
            self._connection,
            owner,
            limit=limit,
            slots=FreeSlots(self._connection, concurrency_limit, per_provider_limits),
            serving=serving,
            destination=destination,
            under_way=under_way,
        )

    def record_drafts(self, drafts: Mapping[Claim, ProviderRunId]) -> Collection[RunId]:
        rows = [{**_claim_values(claim), "prepared_id": draft_id} for claim, draft_id in drafts.items()]
        return self._run_ids(_recording_drafts(self._connection.dialect.name), json_rows(rows))

    def record_acceptances(
        self, acceptances: Collection[Acceptance], *, first_poll_after: timedelta
    ) -> Collection[RunId]:
        rows = [
            {
                **_claim_values(acceptance.claim),
                "provider": acceptance.provider,
                "provider_run_id": acceptance.provider_run_id,
            }
            for acceptance in acceptances
        ]
        dialect, parameters = self._connection.dialect.name, json_rows(rows)
        recorded = self._run_ids(_recording_acceptances(dialect), parameters)
        earlier = frozenset[RunId]()
        if len(recorded) < len(rows):
            earlier = self._run_ids(_recorded_acceptances(dialect), parameters)
        if earlier and not recorded:
            raise AlreadyRecorded(f"{len(earlier)} runs were recorded as accepted before")
        self._schedule_polls([row for row in rows if row["run_id"] in recorded], first_poll_after)
        return recorded | earlier

    def defer(self, claim: Claim, *, wait: timedelta, reason: str) -> None:
        self._end_attempt(claim, wait, reason, state=submissions.c.returns_to)

    def mark_in_doubt(self, claim: Claim, *, wait: timedelta, reason: str) -> None:
        self._end_attempt(claim, wait, reason)

    def return_claim(self, claim: Claim, *, wait: timedelta, reason: str | None = None) -> None:
        last_reason = {} if reason is None else {"last_reason": reason}
        self._update(claim, state=submissions.c.returns_to, owner=None, not_before=store_after(wait), **last_reason)

    def return_misconfigured(self, claim: Claim, *, wait: timedelta, reason: str) -> None:
        self._update(
            claim,
            state=submissions.c.returns_to,
            owner=None,
            not_before=store_after(wait),
            failing_since=func.coalesce(submissions.c.failing_since, store_now()),
            last_reason=reason,
        )

    def close(self, claim: Claim, *, reason: str) -> None:
        self._update(claim, state=SubmissionState.CLOSED, owner=None, request=None, last_reason=reason)

    def require_review(self, claim: Claim, *, reason: str) -> None:
        self._update(claim, state=SubmissionState.REVIEW, owner=None, last_reason=reason)

    def hold_back(self, run_id: RunId, *, wait: timedelta, reason: str) -> None:
        ready = (submissions.c.run_id == run_id, is_one_of(submissions.c.state, SubmissionState.READY))
        held_back = {"not_before": store_after(wait), "last_reason": reason}
        self._connection.execute(update(submissions).where(*ready).values(**held_back))

    def explain(self, run_id: RunId, reason: str) -> None:
        explained = update(submissions).where(submissions.c.run_id == run_id).values(last_reason=reason)
        self._connection.execute(explained)

    def adopt(self, run_id: RunId, id: ProviderRunId, *, first_poll_after: timedelta) -> ProviderType:
        provider = self._provider_in_review(run_id)
        self._require_unassigned(provider, id)
        self._resolve_review(run_id, **_ACCEPTED, provider_run_id=id)
        self._schedule_polls([{"run_id": run_id, "provider": provider, "provider_run_id": id}], first_poll_after)
        return provider

    def send_again(self, run_id: RunId) -> None:
        # A recorded draft is started; no second one is prepared.
        state = case((submissions.c.prepared_id.is_(None), SubmissionState.INTENT), else_=SubmissionState.PREPARED)
        restarted = {"attempts": 0, "failing_since": None, "intent_at": store_now(), "not_before": store_now()}
        self._resolve_review(run_id, state=state, returns_to=state, **restarted)

    def give_up(self, run_id: RunId, *, reason: str) -> None:
        self._resolve_review(run_id, state=SubmissionState.CLOSED, request=None, last_reason=reason)

    def close_unserved(self, provider: ProviderType, *, waiting_for: timedelta, limit: int) -> Sequence[RunId]:
        closing = (
            update(submissions)
            .where(in_locked_rows(submissions.c.run_id, _waiting_for(provider, waiting_for).limit(limit)))
            .values(state=SubmissionState.CLOSED, last_reason="no daemon serves its provider")
            .returning(submissions.c.run_id)
        )
        return [RunId(id) for id in self._connection.execute(closing).scalars().all()]

    def close_withdrawn(self, *, limit: int) -> Sequence[RunId]:
        closing = (
            update(submissions)
            .where(in_locked_rows(submissions.c.run_id, _withdrawn().limit(limit)))
            .values(state=SubmissionState.CLOSED, last_reason="the run is no longer queued")
            .returning(submissions.c.run_id)
        )
        closed = self._connection.execute(closing).scalars().all()
        cancelled = self._connection.execute(_cancelled_before_submission().limit(limit)).scalars().all()
        ended = self._connection.execute(_without_end_time(closed)).scalars().all() if closed else ()
        return [RunId(id) for id in (*cancelled, *ended)]

    def _run_ids(self, statement: Executable, parameters: Mapping[str, str]) -> frozenset[RunId]:
        return frozenset(RunId(id) for id in self._connection.execute(statement, parameters).scalars().all())

    def _provider_in_review(self, run_id: RunId) -> ProviderType:
        locked = select(submissions.c.provider).where(_needs_review(run_id)).with_for_update()
        provider = provider_from(self._connection.execute(locked).scalar())
        if provider is None:
            raise _not_in_review(run_id)
        return provider

    def _require_unassigned(self, provider: ProviderType, id: ProviderRunId) -> None:
        assigned = select(submissions.c.run_id).where(
            submissions.c.provider == provider, submissions.c.provider_run_id == id
        )
        if (other := self._connection.execute(assigned).scalar()) is not None:
            raise NotInReview(f"{provider} run {id} belongs to run {other} already")

    def _resolve_review(self, run_id: RunId, **values: object) -> None:
        if self._connection.execute(update(submissions).where(_needs_review(run_id)).values(**values)).rowcount == 0:
            raise _not_in_review(run_id)

    def _schedule_polls(self, runs: Sequence[Mapping[str, object]], first_poll_after: timedelta) -> None:
        """Put runs on the poll schedule, each with `run_id`, `provider` and `provider_run_id`."""
        wait = {_WAIT: as_seconds(first_poll_after)}
        self._connection.execute(_scheduling_polls(self._connection.dialect.name), {**json_rows(runs), **wait})

    def _end_attempt(self, claim: Claim, wait: timedelta, reason: str, **values: object) -> None:
        self._update(
            claim,
            owner=None,
            not_before=store_after(wait),
            attempts=submissions.c.attempts + 1,
            failing_since=func.coalesce(submissions.c.failing_since, store_now()),
            last_reason=reason,
            **values,
        )

    def _update(self, claim: Claim, **values: object) -> None:
        is_valid = and_(
            submissions.c.run_id == claim.run_id,
            submissions.c.owner == claim.owner,
            submissions.c.claim_seq == claim.fencing_token,
            is_one_of(submissions.c.state, *IN_DOUBT),
        )
        if self._connection.execute(update(submissions).where(is_valid).values(**values)).rowcount == 0:
            raise self._invalid_claim(claim)

    def _invalid_claim(self, claim: Claim) -> ConcurrentUpdate:
        ended_by_owner = select(submissions.c.run_id).where(
            submissions.c.run_id == claim.run_id,
            submissions.c.claim_seq == claim.fencing_token,
            submissions.c.owner.is_(None),
        )
        if self._connection.execute(ended_by_owner).first() is not None:
            return AlreadyRecorded(f"run {claim.run_id}: its owner has ended the claim {claim.fencing_token} before")
        return ClaimLost(f"run {claim.run_id}: the claim {claim.fencing_token} of daemon {claim.owner} is lost")


def _claim_values(claim: Claim) -> dict[str, object]:
    return {"run_id": claim.run_id, "owner": claim.owner, "claim_seq": claim.fencing_token}


# These statements are built once, because building one takes longer than sending it.


def _acceptance_rows(dialect: str) -> FromClause:
    return rows_from_json(
        dialect, run_id=RunKey(), owner=Text(), claim_seq=Integer(), provider=Text(), provider_run_id=Text()
    )


@cache
def _recording_acceptances(dialect: str) -> Executable:
    given = _acceptance_rows(dialect)
    return (
        update(submissions)
        .where(by_key(submissions.c.run_id, given.c.run_id), *_has_valid_claim(given))
        .values(**_ACCEPTED, provider=given.c.provider, provider_run_id=given.c.provider_run_id)
        .returning(submissions.c.run_id)
    )


@cache
def _recording_drafts(dialect: str) -> Executable:
    given = rows_from_json(dialect, run_id=RunKey(), owner=Text(), claim_seq=Integer(), prepared_id=Text())
    prepared = {"state": SubmissionState.PREPARED, "returns_to": SubmissionState.PREPARED}
    return (
        update(submissions)
        .where(by_key(submissions.c.run_id, given.c.run_id), *_has_valid_claim(given))
        .values(**prepared, prepared_id=given.c.prepared_id)
        .returning(submissions.c.run_id)
    )


def _has_valid_claim(given: FromClause) -> Sequence[ColumnElement[bool]]:
    return (
        submissions.c.owner == given.c.owner,
        submissions.c.claim_seq == given.c.claim_seq,
        is_one_of(submissions.c.state, *IN_DOUBT),
    )


@cache
def _recorded_acceptances(dialect: str) -> Executable:
    """Acceptances that the claim's owner has recorded already, in a commit whose answer was lost."""
    given = _acceptance_rows(dialect)
    return (
        select(submissions.c.run_id)
        .join(given, submissions.c.run_id == given.c.run_id)
        .where(
            submissions.c.claim_seq == given.c.claim_seq,
            submissions.c.owner.is_(None),
            submissions.c.provider_run_id == given.c.provider_run_id,
        )
    )


@cache
def _scheduling_polls(dialect: str) -> Executable:
    given = rows_from_json(dialect, run_id=RunKey(), provider=Text(), provider_run_id=Text())
    same_in_all = {
        "next_check_at": store_in(bindparam(_WAIT, type_=Float)),
        "followed_since": store_now(),
        "poll_seq": literal_column("0"),
        "known_state": literal_column(f"'{RunState.INITIALIZING}'"),
        "details_failures": literal_column("0"),
    }
    rows: Select[Any] = select(*given.c, *same_in_all.values())
    return insert(polls).from_select([*given.c.keys(), *same_in_all], rows)


def _needs_review(run_id: RunId) -> ColumnElement[bool]:
    return and_(submissions.c.run_id == run_id, is_one_of(submissions.c.state, SubmissionState.REVIEW))


def _not_in_review(run_id: RunId) -> NotInReview:
    return NotInReview(f"run {run_id}: it does not need review, so there is nothing to decide")


def _withdrawn() -> Select[Any]:
    state = of_same_run(workflow_runs.c.state, submissions.c.run_id)
    still_queued = and_(state.is_not(None), is_one_of(state, RunState.QUEUED))
    return (
        select(submissions.c.run_id)
        .where(is_one_of(submissions.c.state, SubmissionState.READY), ~still_queued)
        # In the order of the index, so that a planner finds the ready submissions by this index alone.
        .order_by(submissions.c.provider, submissions.c.share, submissions.c.seq)
    )


def _waiting_for(provider: ProviderType, duration: timedelta) -> Select[Any]:
    state = of_same_run(workflow_runs.c.state, submissions.c.run_id)
    ready = is_one_of(submissions.c.state, SubmissionState.READY), submissions.c.provider == provider
    waits = submissions.c.enrolled_at <= store_after(-duration), is_one_of(state, RunState.QUEUED)
    return select(submissions.c.run_id).where(*ready, *waits).order_by(submissions.c.share, submissions.c.seq)


def _without_end_time(run_ids: Sequence[str]) -> Select[Any]:
    """Those of the runs that a service has ended without an end time."""
    has_ended = is_one_of(workflow_runs.c.state, *sorted(ENDED))
    ended = in_list(workflow_runs.c.run_id, run_ids), has_ended, workflow_runs.c.end_time.is_(None)
    return select(workflow_runs.c.run_id).where(*ended).order_by(workflow_runs.c.run_id)


def _cancelled_before_submission() -> Select[Any]:
    """`CANCELING` runs that no provider can have.

    They include runs whose submission was closed earlier, by a daemon that may have died before it ended them.
    """
    run_id = workflow_runs.c.run_id
    closed = is_one_of(of_same_run(submissions.c.state, run_id), SubmissionState.CLOSED)
    never_sent = and_(closed, of_same_run(submissions.c.provider_run_id, run_id).is_(None))
    # A run that another daemon may have left with a provider is enrolled first and then cancelled there.
    not_enrolled = and_(of_same_run(submissions.c.run_id, run_id).is_(None), ~names_a_provider_run())
    return (
        select(run_id)
        .where(
            is_one_of(workflow_runs.c.state, RunState.CANCELING),
            or_(not_enrolled, never_sent),
            ~has_late_update(run_id),
        )
        .order_by(of_same_run(submissions.c.seq, run_id), run_id)
    )
