"""The submission queue in memory."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import chain, islice
from types import MappingProxyType

from wes_daemon.adapters.memory.faults import MemoryFaults, refusal
from wes_daemon.adapters.memory.late_updates import has_late_update
from wes_daemon.adapters.memory.repository import stored_run, summary_of
from wes_daemon.adapters.memory.rows import (
    ENROLLED_AS_ACCEPTED,
    known_state,
    lacks_end_time,
    may_be_left,
    next_runs,
    not_in_review,
    provider_id_in_tags,
    run_state,
    waiting_runs,
    withdrawn_runs,
)
from wes_daemon.adapters.memory.store import PollRow, SubmissionRow, Tables
from wes_daemon.adapters.memory.watching import is_watched, was_queued_here, watch
from wes_daemon.application.ports.environment import Clock
from wes_daemon.application.ports.errors import AlreadyRecorded, ClaimLost, LeaseLost, NotInReview, StorageRefused
from wes_daemon.application.ports.leases import SessionId
from wes_daemon.application.ports.submissions import (
    COUNTED,
    IN_DOUBT,
    Acceptance,
    Claim,
    ClaimedRun,
    Destination,
    Share,
    SubmissionState,
    no_share,
)
from wes_daemon.domain.runs import ProviderRunId, ProviderType, Run, RunId, RunSummary
from wes_daemon.domain.states import RunState

_MADE_ACTIVE_AGAIN = (RunState.QUEUED, *(state for state in ENROLLED_AS_ACCEPTED if state is not RunState.UNKNOWN))


class MemorySubmissionQueue:
    """`SubmissionQueue` over dictionaries. Submissions are in the order of their enrolment."""

    def __init__(
        self,
        tables: Tables,
        clock: Clock,
        faults: MemoryFaults | None = None,
        refusals: dict[RunId, StorageRefused] | None = None,
    ) -> None:
        """Use the tables. `refusals` takes the refused runs, which are left out; without it a refusal is an error."""
        self._tables = tables
        self._clock = clock
        self._faults = faults or MemoryFaults()
        self._refusals = refusals

    def inherit(self) -> int:
        if self._tables.daemons:
            return 0
        left = [run for run in self._new_runs() if may_be_left(run) and not was_queued_here(self._tables, run.id)]
        for run in left:
            self._tables.submissions[run.id] = replace(self._ready_row(None), state=SubmissionState.INHERITED)
        return len(left)

    def watch(self) -> bool:
        return watch(self._tables, self._clock.now())

    def enrol(
        self, destination: Destination, *, limit: int, share: Share = no_share, leaving_out: Collection[RunId] = ()
    ) -> int:
        new_runs = [run for run in self._new_runs() if run.id not in leaving_out]
        queued = self.enrol_queued(destination, limit=limit, share=share, leaving_out=leaving_out)
        return queued + sum(1 for _ in islice(self._adopt_or_reopen(new_runs, destination), limit - queued))

    def enrol_queued(
        self, destination: Destination, *, limit: int, share: Share = no_share, leaving_out: Collection[RunId] = ()
    ) -> int:
        new_runs = [run for run in self._new_runs() if run.id not in leaving_out]
        queued = [run for run in new_runs if run.state is RunState.QUEUED][:limit]
        accepted = [run for run in queued if not self._is_refused(run.id)]
        for run in accepted:
            row = self._ready_row(destination(summary_of(run)))
            self._tables.submissions[run.id] = replace(row, share=share(summary_of(run)))
        return len(accepted)

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
        self._require_lease(owner)
        served = {run_id: row for run_id, row in self._tables.submissions.items() if row.provider in serving}
        in_doubt = [run_id for run_id, row in served.items() if self._may_be_taken_over(row, owner)]
        taken_over = [run_id for run_id in in_doubt if run_id not in under_way][:limit]
        ready = {run_id: row for run_id, row in served.items() if self._is_ready(run_id, row)}
        in_order = next_runs(self._tables.submissions.values(), ready, concurrency_limit, per_provider_limits)
        chosen = list(islice(in_order, limit - len(taken_over)))
        begun = self._with_free_slot(chosen, per_provider_limits, destination)
        return list(self._claimed(chain(taken_over, begun), owner, destination))

    def record_drafts(self, drafts: Mapping[Claim, ProviderRunId]) -> Collection[RunId]:
        recorded = set()
        for claim, draft_id in drafts.items():
            with suppress(ClaimLost, AlreadyRecorded):
                row = self._claimed_row(claim)
                self._write(claim, replace(row, state=SubmissionState.PREPARED, prepared_id=draft_id))
                recorded.add(claim.run_id)
        return recorded

    def record_acceptances(
        self, acceptances: Collection[Acceptance], *, first_poll_after: timedelta
    ) -> Collection[RunId]:
        if any(acceptance.claim.run_id in self._faults.acceptances for acceptance in acceptances):
            raise refusal("submissions")
        earlier = {acceptance.claim.run_id for acceptance in acceptances if self._is_recorded(acceptance)}
        for acceptance in acceptances:
            with suppress(ClaimLost, AlreadyRecorded):
                self._record_acceptance(acceptance, first_poll_after)
        recorded = {acceptance.claim.run_id for acceptance in acceptances if self._is_recorded(acceptance)}
        if recorded and recorded == earlier:
            raise AlreadyRecorded(f"{len(earlier)} runs were recorded as accepted before")
        return recorded

    def defer(self, claim: Claim, *, wait: timedelta, reason: str) -> None:
        self._write(claim, self._with_attempt(self._returned_row(claim), wait, reason))

    def mark_in_doubt(self, claim: Claim, *, wait: timedelta, reason: str) -> None:
        self._write(claim, self._with_attempt(self._claimed_row(claim), wait, reason))

    def return_claim(self, claim: Claim, *, wait: timedelta, reason: str | None = None) -> None:
        row = self._returned_row(claim)
        not_before = self._clock.now() + wait
        self._write(claim, replace(row, owner=None, not_before=not_before, last_reason=reason or row.last_reason))

    def return_misconfigured(self, claim: Claim, *, wait: timedelta, reason: str) -> None:
        row = self._returned_row(claim)
        self._write(claim, replace(self._with_attempt(row, wait, reason), attempts=row.attempts))

    def close(self, claim: Claim, *, reason: str) -> None:
        row = self._claimed_row(claim)
        self._write(claim, replace(row, state=SubmissionState.CLOSED, owner=None, last_reason=reason))

    def require_review(self, claim: Claim, *, reason: str) -> None:
        row = self._claimed_row(claim)
        self._write(claim, replace(row, state=SubmissionState.REVIEW, owner=None, last_reason=reason))

    def hold_back(self, run_id: RunId, *, wait: timedelta, reason: str) -> None:
        row = self._tables.submissions.get(run_id)
        if row is not None and row.state is SubmissionState.READY:
            held_back = replace(row, not_before=self._clock.now() + wait, last_reason=reason)
            self._tables.submissions[run_id] = held_back

    def explain(self, run_id: RunId, reason: str) -> None:
        if run_id in self._tables.submissions:
            self._tables.submissions[run_id] = replace(self._tables.submissions[run_id], last_reason=reason)

    def adopt(self, run_id: RunId, id: ProviderRunId, *, first_poll_after: timedelta) -> ProviderType:
        provider = self._row_in_review(run_id).provider
        if provider is None:
            raise not_in_review(run_id)
        if (provider, id) in self._assigned():
            raise NotInReview(f"{provider} run {id} belongs to another run already")
        self._follow(run_id, provider, id, first_poll_after)
        return provider

    def send_again(self, run_id: RunId) -> None:
        row, now = self._row_in_review(run_id), self._clock.now()
        state = SubmissionState.INTENT if row.prepared_id is None else SubmissionState.PREPARED
        self._tables.submissions[run_id] = replace(
            row, state=state, attempts=0, failing_since=None, intent_at=now, not_before=now
        )

    def give_up(self, run_id: RunId, *, reason: str) -> None:
        closed = replace(self._row_in_review(run_id), state=SubmissionState.CLOSED, last_reason=reason)
        self._tables.submissions[run_id] = closed

    def close_unserved(self, provider: ProviderType, *, waiting_for: timedelta, limit: int) -> Sequence[RunId]:
        waiting = waiting_runs(self._tables, provider, enrolled_until=self._clock.now() - waiting_for)[:limit]
        for run_id in waiting:
            self._tables.submissions[run_id] = replace(self._tables.submissions[run_id], state=SubmissionState.CLOSED)
        return waiting

    def close_withdrawn(self, *, limit: int) -> Sequence[RunId]:
        runs, submissions = self._tables.runs, self._tables.submissions
        withdrawn = withdrawn_runs(self._tables)[:limit]
        never_sent = [run.id for run in runs.values() if run.state is RunState.CANCELING and self._never_sent(run)]
        for run_id in withdrawn:
            submissions[run_id] = replace(submissions[run_id], state=SubmissionState.CLOSED)
        candidates = list(dict.fromkeys(chain(withdrawn, never_sent)))
        candidates = [run_id for run_id in candidates if not has_late_update(self._tables, run_id)]
        cancelled = [run_id for run_id in candidates if run_state(runs, run_id) is RunState.CANCELING][:limit]
        ended = [run_id for run_id in withdrawn if run_id in runs and lacks_end_time(runs[run_id])]
        return [*cancelled, *ended]

    def _require_lease(self, owner: SessionId) -> None:
        daemon = self._tables.daemons.get(owner)
        if daemon is None or daemon.lease_until <= self._clock.now():
            raise LeaseLost(f"daemon {owner} has no valid lease")

    def _is_refused(self, run_id: RunId) -> bool:
        """Whether the run is refused and left out; raises the refusal if refused runs are not left out."""
        if run_id not in self._faults.submissions:
            return False
        if self._refusals is None:
            raise refusal("submissions")
        self._refusals[run_id] = refusal("submissions")
        return True

    def _never_sent(self, run: RunSummary) -> bool:
        """Whether no provider has the run, according to its submission or its tags."""
        row = self._tables.submissions.get(run.id)
        if row is None:
            return provider_id_in_tags(run) is None
        return row.state is SubmissionState.CLOSED and row.provider_run_id is None

    def _new_runs(self) -> Sequence[Run]:
        return [run for run in self._tables.runs.values() if run.id not in self._tables.submissions]

    def _adopt_or_reopen(self, new_runs: Sequence[Run], destination: Destination) -> Iterable[RunId]:
        for run in new_runs:
            if run.state in ENROLLED_AS_ACCEPTED and self._adopt(run, destination(summary_of(run))):
                yield run.id
        for run_id, row in list(self._tables.submissions.items()):
            if row.state is SubmissionState.CLOSED and self._reopen(run_id, row):
                yield run_id

    def _reopen(self, run_id: RunId, row: SubmissionRow) -> bool:
        """Reopen the submission if the service has made its run active again; return whether it was reopened."""
        run = self._tables.runs.get(run_id)
        if run is None or run.state not in _MADE_ACTIVE_AGAIN or run_id in self._tables.polls:
            return False
        if has_late_update(self._tables, run_id):
            return False
        if row.provider is not None and row.provider_run_id is not None:
            self._tables.submissions[run_id] = replace(row, state=SubmissionState.ACCEPTED)
            self._schedule(
                run_id, row.provider, row.provider_run_id, at=self._clock.now(), known_state=RunState.INITIALIZING
            )
            return True
        if run.state is RunState.QUEUED:
            ready = self._ready_row(row.provider)
            self._tables.submissions[run_id] = replace(ready, claim_seq=row.claim_seq, enrolled_at=row.enrolled_at)
        return run.state is RunState.QUEUED

    def _ready_row(self, provider: ProviderType | None) -> SubmissionRow:
        now = self._clock.now()
        return SubmissionRow(provider=provider, state=SubmissionState.READY, enrolled_at=now, not_before=now)

    def _adopt(self, run: Run, provider: ProviderType | None) -> bool:
        """Adopt the run if its tags name a provider run that no other run has; return whether it was adopted."""
        id = provider_id_in_tags(run)
        if id is None or provider is None:
            return False
        if (provider, id) in self._assigned():
            # A cancelled copy of a run that is followed already: no provider has it.
            if run.state is RunState.CANCELING:
                self._tables.submissions[run.id] = self._ready_row(provider)
            return False
        row = replace(self._ready_row(provider), state=SubmissionState.ACCEPTED, provider_run_id=id)
        self._tables.submissions[run.id] = row
        self._schedule(run.id, provider, id, at=self._clock.now(), known_state=known_state(run.state))
        return True

    def _assigned(self) -> Collection[tuple[ProviderType | None, ProviderRunId | None]]:
        return {(row.provider, row.provider_run_id) for row in self._tables.submissions.values()}

    def _schedule(
        self, run_id: RunId, provider: ProviderType, id: ProviderRunId, *, at: datetime, known_state: RunState
    ) -> None:
        self._tables.polls[run_id] = PollRow(
            provider=provider,
            provider_run_id=id,
            next_check_at=at,
            known_state=known_state,
            followed_since=self._clock.now(),
        )

    def _may_be_taken_over(self, row: SubmissionRow, owner: SessionId) -> bool:
        now = self._clock.now()
        if row.state not in IN_DOUBT or row.not_before > now:
            return False
        daemon = self._tables.daemons.get(row.owner) if row.owner else None
        return row.owner in (None, owner) or daemon is None or daemon.lease_until <= now

    def _is_ready(self, run_id: RunId, row: SubmissionRow) -> bool:
        waiting = row.state is SubmissionState.READY and row.not_before <= self._clock.now()
        return waiting and run_state(self._tables.runs, run_id) is RunState.QUEUED

    def _with_free_slot(
        self, chosen: Sequence[RunId], per_provider_limits: Mapping[ProviderType, int], destination: Destination
    ) -> Sequence[RunId]:
        """Leave out runs whose tags now name another provider that has no free slot; they wait for that provider."""
        rows = self._tables.submissions
        active = Counter(row.provider for row in rows.values() if row.state in COUNTED)
        active.update(rows[run_id].provider for run_id in chosen)
        begun = []
        for run_id in chosen:
            named = destination(stored_run(self._tables, run_id))
            if named != rows[run_id].provider:
                active[rows[run_id].provider] -= 1
                if named is not None and active[named] >= per_provider_limits.get(named, active[named] + 1):
                    rows[run_id] = replace(rows[run_id], provider=named)
                    continue
                active[named] += 1
            begun.append(run_id)
        return begun

    def _claimed(self, run_ids: Iterable[RunId], owner: SessionId, destination: Destination) -> Iterable[ClaimedRun]:
        for run_id in run_ids:
            row = self._tables.submissions[run_id]
            if run_id not in self._tables.runs:
                state = SubmissionState.REVIEW if row.state in IN_DOUBT else SubmissionState.CLOSED
                self._tables.submissions[run_id] = replace(row, state=state, owner=None)
                continue
            if row.state is SubmissionState.READY and self._is_refused(run_id):
                continue
            yield self._claim_one(run_id, row, owner, destination)

    def _claim_one(self, run_id: RunId, row: SubmissionRow, owner: SessionId, destination: Destination) -> ClaimedRun:
        run, resumed = stored_run(self._tables, run_id), row.state in IN_DOUBT
        row = replace(row, owner=owner, claim_seq=row.claim_seq + 1)
        now = self._clock.now()
        if resumed and row.sent is not None:
            run = replace(run, request=row.sent.request, tags=row.sent.tags)
        if not resumed:
            row = replace(row, state=SubmissionState.INTENT, provider=destination(run), sent=run, intent_at=now)
        self._tables.submissions[run_id] = row
        return ClaimedRun(
            claim=Claim(run_id=run_id, owner=owner, fencing_token=row.claim_seq, resumed=resumed),
            run=run,
            attempts=row.attempts,
            failing_for=now - (row.failing_since or now),
            waiting_for=now - row.enrolled_at,
            in_doubt_for=now - (row.intent_at or now) if resumed else timedelta(0),
            prepared_id=row.prepared_id,
            destination=row.provider,
            has_attachments=bool(self._tables.attachments.get(run_id)),
            is_watched=is_watched(self._tables, row),
        )

    def _record_acceptance(self, acceptance: Acceptance, first_poll_after: timedelta) -> None:
        claim = acceptance.claim
        self._write(claim, replace(self._claimed_row(claim), owner=None, provider=acceptance.provider))
        self._follow(claim.run_id, acceptance.provider, acceptance.provider_run_id, first_poll_after)

    def _returned_row(self, claim: Claim) -> SubmissionRow:
        row = self._claimed_row(claim)
        was_not_sent = row.state is SubmissionState.INTENT and not claim.resumed
        return replace(row, state=SubmissionState.READY) if was_not_sent else row

    def _with_attempt(self, row: SubmissionRow, wait: timedelta, reason: str) -> SubmissionRow:
        return replace(
            row,
            owner=None,
            not_before=self._clock.now() + wait,
            attempts=row.attempts + 1,
            failing_since=row.failing_since or self._clock.now(),
            last_reason=reason,
        )

    def _is_recorded(self, acceptance: Acceptance) -> bool:
        row = self._tables.submissions.get(acceptance.claim.run_id)
        recorded = (acceptance.claim.fencing_token, acceptance.provider_run_id)
        return row is not None and (row.claim_seq, row.provider_run_id) == recorded

    def _row_in_review(self, run_id: RunId) -> SubmissionRow:
        row = self._tables.submissions.get(run_id)
        if row is None or row.state is not SubmissionState.REVIEW:
            raise not_in_review(run_id)
        return row

    def _follow(self, run_id: RunId, provider: ProviderType, id: ProviderRunId, first_poll_after: timedelta) -> None:
        accepted = replace(self._tables.submissions[run_id], state=SubmissionState.ACCEPTED, provider_run_id=id)
        self._tables.submissions[run_id] = accepted
        self._schedule(run_id, provider, id, at=self._clock.now() + first_poll_after, known_state=RunState.INITIALIZING)

    def _claimed_row(self, claim: Claim) -> SubmissionRow:
        row = self._tables.submissions.get(claim.run_id)
        if row is not None and (row.owner, row.claim_seq) == (None, claim.fencing_token):
            raise AlreadyRecorded(f"run {claim.run_id}: its owner has ended the claim {claim.fencing_token} before")
        if row is None or (row.owner, row.claim_seq) != (claim.owner, claim.fencing_token) or row.state not in IN_DOUBT:
            raise ClaimLost(f"run {claim.run_id}: the claim {claim.fencing_token} of daemon {claim.owner} is lost")
        return row

    def _write(self, claim: Claim, row: SubmissionRow) -> None:
        self._tables.submissions[claim.run_id] = row
