"""The submission queue in memory."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import chain, islice
from types import MappingProxyType

from wes_daemon.adapters.memory.repository import has_been_sent, stored_run, summary_of
from wes_daemon.adapters.memory.store import PollRow, SubmissionRow, Tables
from wes_daemon.application.ports.environment import Clock
from wes_daemon.application.ports.errors import AlreadyRecorded, ClaimLost, LeaseLost, NotInReview
from wes_daemon.application.ports.leases import SessionId
from wes_daemon.application.ports.submissions import (
    Acceptance,
    Claim,
    ClaimedRun,
    Preparation,
    SubmissionState,
    no_share,
)
from wes_daemon.domain.runs import PROVIDER_ID_TAG, ProviderRunId, ProviderType, Run, RunId, RunSummary
from wes_daemon.domain.states import RunState

_ADOPTABLE = (RunState.INITIALIZING, RunState.RUNNING, RunState.PAUSED, RunState.CANCELING)
_OPEN = (SubmissionState.INTENT, SubmissionState.PREPARED)


class MemorySubmissionQueue:
    """A `SubmissionQueue` over dictionaries; the order of insertion is the age."""

    def __init__(self, tables: Tables, clock: Clock) -> None:
        self._tables = tables
        self._clock = clock

    def enrol(
        self,
        destination: Callable[[RunSummary], ProviderType | None],
        *,
        limit: int,
        share: Callable[[RunSummary], str] = no_share,
    ) -> int:
        """As the port says."""
        unknown = self._unknown()
        queued = self.enrol_queued(destination, limit=limit, share=share)
        return queued + sum(1 for _ in islice(self._taken_up(unknown, destination), limit - queued))

    def enrol_queued(
        self,
        destination: Callable[[RunSummary], ProviderType | None],
        *,
        limit: int,
        share: Callable[[RunSummary], str] = no_share,
    ) -> int:
        """As the port says."""
        queued = [run for run in self._unknown() if run.state is RunState.QUEUED][:limit]
        for run in queued:
            self._tables.submissions[run.id] = replace(
                self._new(destination(summary_of(run))), share=share(summary_of(run))
            )
        return len(queued)

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
        """As the port says."""
        self._require_lease(owner)
        wanted = [(run_id, row) for run_id, row in self._tables.submissions.items() if row.provider not in excluding]
        free = [(run_id, row) for run_id, row in wanted if run_id not in under_way]
        overtaken = [run_id for run_id, row in free if self._may_be_taken_over(row, owner)][:limit]
        ready = {run_id: row for run_id, row in wanted if self._is_ready(run_id, row)}
        fresh = list(islice(self._shared_out(ready, cap, provider_caps), limit - len(overtaken)))
        going = self._with_room_elsewhere(fresh, provider_caps, destination)
        return list(self._claimed(chain(overtaken, going), owner, destination))

    def prepared(self, claim: Claim, id: ProviderRunId) -> None:
        """As the port says."""
        self._write(claim, replace(self._held(claim), state=SubmissionState.PREPARED, prepared_id=id))

    def prepared_all(self, prepared: Collection[Preparation]) -> Collection[RunId]:
        """As the port says."""
        recorded = set()
        for one in prepared:
            with suppress(ClaimLost, AlreadyRecorded):
                self.prepared(one.claim, one.id)
                recorded.add(one.claim.run_id)
        return recorded

    def accepted(self, claim: Claim, provider: ProviderType, id: ProviderRunId, *, check_after: timedelta) -> None:
        """As the port says."""
        row = self._held(claim)
        self._write(claim, replace(row, owner=None, provider=provider))
        self._follow(claim.run_id, provider, id, check_after)

    def accepted_all(self, accepted: Collection[Acceptance], *, check_after: timedelta) -> Collection[RunId]:
        """As the port says."""
        before = {one.claim.run_id for one in accepted if self._is_recorded(one)}
        for one in accepted:
            with suppress(ClaimLost, AlreadyRecorded):
                self.accepted(one.claim, one.provider, one.id, check_after=check_after)
        recorded = {one.claim.run_id for one in accepted if self._is_recorded(one)}
        if recorded and recorded == before:
            raise AlreadyRecorded(f"{len(before)} runs were recorded as accepted before")
        return recorded

    def deferred(self, claim: Claim, *, wait: timedelta, reason: str) -> None:
        """As the port says."""
        self._write(claim, self._put_off(self._given_back(claim), wait, reason))

    def unresolved(self, claim: Claim, *, wait: timedelta, reason: str) -> None:
        """As the port says."""
        self._write(claim, self._put_off(self._held(claim), wait, reason))

    def released(self, claim: Claim, *, wait: timedelta, reason: str | None = None) -> None:
        """As the port says."""
        row = self._given_back(claim)
        not_before = self._clock.now() + wait
        self._write(claim, replace(row, owner=None, not_before=not_before, last_reason=reason or row.last_reason))

    def closed(self, claim: Claim, *, reason: str) -> None:
        """As the port says."""
        self._write(claim, replace(self._held(claim), state=SubmissionState.CLOSED, owner=None, last_reason=reason))

    def review(self, claim: Claim, *, reason: str) -> None:
        """As the port says."""
        self._write(claim, replace(self._held(claim), state=SubmissionState.REVIEW, owner=None, last_reason=reason))

    def adopt(self, run_id: RunId, id: ProviderRunId, *, check_after: timedelta) -> ProviderType:
        """As the port says."""
        provider = self._in_review(run_id).provider
        if provider is None:
            raise _not_in_review(run_id)
        if (provider, id) in self._followed():
            raise NotInReview(f"{provider} run {id} belongs to another run already")
        self._follow(run_id, provider, id, check_after)
        return provider

    def send_again(self, run_id: RunId) -> None:
        """As the port says."""
        row, now = self._in_review(run_id), self._clock.now()
        state = SubmissionState.INTENT if row.prepared_id is None else SubmissionState.PREPARED
        self._tables.submissions[run_id] = replace(
            row, state=state, attempts=0, failing_since=None, intent_at=now, not_before=now
        )

    def give_up(self, run_id: RunId, *, reason: str) -> None:
        """As the port says."""
        closed = replace(self._in_review(run_id), state=SubmissionState.CLOSED, last_reason=reason)
        self._tables.submissions[run_id] = closed

    def withdrawn(self, *, limit: int) -> Sequence[RunId]:
        """As the port says."""
        runs, submissions = self._tables.runs, self._tables.submissions
        gone = [
            run_id
            for run_id, row in submissions.items()
            if row.state is SubmissionState.READY and _state(runs, run_id) is not RunState.QUEUED
        ]
        never_sent = [run.id for run in runs.values() if run.state is RunState.CANCELING and self._never_sent(run)]
        for run_id in gone[:limit]:
            submissions[run_id] = replace(submissions[run_id], state=SubmissionState.CLOSED)
        both = dict.fromkeys(chain(gone[:limit], never_sent))
        return [run_id for run_id in both if _state(runs, run_id) is RunState.CANCELING][:limit]

    def _require_lease(self, owner: SessionId) -> None:
        daemon = self._tables.daemons.get(owner)
        if daemon is None or daemon.lease_until <= self._clock.now():
            raise LeaseLost(f"daemon {owner} has no lease that lasts")

    def _never_sent(self, run: Run) -> bool:
        """Whether no provider has the run, as far as anybody can tell."""
        row = self._tables.submissions.get(run.id)
        if row is None:
            return _provider_id(run) is None
        return row.state is SubmissionState.CLOSED and row.provider_run_id is None

    def _unknown(self) -> Sequence[Run]:
        return [run for run in self._tables.runs.values() if run.id not in self._tables.submissions]

    def _taken_up(
        self, unknown: Sequence[Run], destination: Callable[[RunSummary], ProviderType | None]
    ) -> Iterable[RunId]:
        for run in unknown:
            if run.state in _ADOPTABLE and self._adopt(run, destination(summary_of(run))):
                yield run.id
        for run_id, row in list(self._tables.submissions.items()):
            if row.state is SubmissionState.CLOSED and self._reopen(run_id, row):
                yield run_id

    def _reopen(self, run_id: RunId, row: SubmissionRow) -> bool:
        """Whether the service has made a run active again that was closed."""
        run = self._tables.runs.get(run_id)
        if run is None or run.state not in (RunState.QUEUED, *_ADOPTABLE) or run_id in self._tables.polls:
            return False
        if row.provider is not None and row.provider_run_id is not None:
            self._tables.submissions[run_id] = replace(row, state=SubmissionState.ACCEPTED)
            self._schedule(
                run_id, row.provider, row.provider_run_id, at=self._clock.now(), known_state=RunState.INITIALIZING
            )
            return True
        if run.state is RunState.QUEUED:
            fresh = replace(self._new(row.provider), claim_seq=row.claim_seq)
            self._tables.submissions[run_id] = fresh
        return run.state is RunState.QUEUED

    def _new(self, provider: ProviderType | None) -> SubmissionRow:
        now = self._clock.now()
        return SubmissionRow(provider=provider, state=SubmissionState.READY, enrolled_at=now, not_before=now)

    def _adopt(self, run: Run, provider: ProviderType | None) -> bool:
        """Whether the run could be adopted: its tags say who holds it, and no other run says the same."""
        id = _provider_id(run)
        if id is None or provider is None:
            return False
        if (provider, id) in self._followed():
            # A cancelled copy of a run that is followed already: nobody has it.
            if run.state is RunState.CANCELING:
                self._tables.submissions[run.id] = self._new(provider)
            return False
        row = replace(self._new(provider), state=SubmissionState.ACCEPTED, provider_run_id=id)
        self._tables.submissions[run.id] = row
        self._schedule(run.id, provider, id, at=self._clock.now(), known_state=_known(run.state))
        return True

    def _followed(self) -> Collection[tuple[ProviderType | None, ProviderRunId | None]]:
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
        if row.state not in _OPEN or row.not_before > now:
            return False
        daemon = self._tables.daemons.get(row.owner) if row.owner else None
        return row.owner in (None, owner) or daemon is None or daemon.lease_until <= now

    def _is_ready(self, run_id: RunId, row: SubmissionRow) -> bool:
        waiting = row.state is SubmissionState.READY and row.not_before <= self._clock.now()
        return waiting and _state(self._tables.runs, run_id) is RunState.QUEUED

    def _shared_out(
        self, ready: dict[RunId, SubmissionRow], cap: int, provider_caps: Mapping[ProviderType, int]
    ) -> Iterator[RunId]:
        """Those whose turn it is, one after the other, as long as there is room."""
        held = [row for row in self._tables.submissions.values() if has_been_sent(row.state)]
        by_provider, by_share = Counter(row.provider for row in held), Counter(row.share for row in held)
        while by_provider.total() < cap and (open_ones := _within(ready, by_provider, provider_caps)):
            run_id = min(open_ones, key=lambda id: by_share[ready[id].share])
            row = ready.pop(run_id)
            by_provider[row.provider] += 1
            by_share[row.share] += 1
            yield run_id

    def _with_room_elsewhere(
        self,
        fresh: Sequence[RunId],
        caps: Mapping[ProviderType, int],
        destination: Callable[[RunSummary], ProviderType | None],
    ) -> Sequence[RunId]:
        """Without those whose tags name another provider by now, which may hold no more; they wait for that one."""
        rows = self._tables.submissions
        held = Counter(row.provider for row in rows.values() if has_been_sent(row.state))
        held.update(rows[run_id].provider for run_id in fresh)
        going = []
        for run_id in fresh:
            wanted = destination(stored_run(self._tables, run_id))
            if wanted is not rows[run_id].provider:
                held[rows[run_id].provider] -= 1
                if wanted is not None and held[wanted] >= caps.get(wanted, held[wanted] + 1):
                    rows[run_id] = replace(rows[run_id], provider=wanted)
                    continue
                held[wanted] += 1
            going.append(run_id)
        return going

    def _claimed(
        self, run_ids: Iterable[RunId], owner: SessionId, destination: Callable[[RunSummary], ProviderType | None]
    ) -> Iterable[ClaimedRun]:
        for run_id in run_ids:
            row = self._tables.submissions[run_id]
            if run_id not in self._tables.runs:
                left = SubmissionState.REVIEW if row.state in _OPEN else SubmissionState.CLOSED
                self._tables.submissions[run_id] = replace(row, state=left, owner=None)
                continue
            yield self._claim_one(run_id, row, owner, destination)

    def _claim_one(
        self,
        run_id: RunId,
        row: SubmissionRow,
        owner: SessionId,
        destination: Callable[[RunSummary], ProviderType | None],
    ) -> ClaimedRun:
        run, resumed = stored_run(self._tables, run_id), row.state in _OPEN
        row = replace(row, owner=owner, claim_seq=row.claim_seq + 1)
        now = self._clock.now()
        if resumed and row.sent is not None:
            run = replace(run, request=row.sent.request, tags=row.sent.tags)
        if not resumed:
            row = replace(row, state=SubmissionState.INTENT, provider=destination(run), sent=run, intent_at=now)
        self._tables.submissions[run_id] = row
        return ClaimedRun(
            claim=Claim(run_id=run_id, owner=owner, seq=row.claim_seq, resumed=resumed),
            run=run,
            attempts=row.attempts,
            failing_for=now - (row.failing_since or now),
            in_doubt_for=now - (row.intent_at or now) if resumed else timedelta(0),
            prepared_id=row.prepared_id,
            destination=row.provider,
            has_attachments=bool(self._tables.attachments.get(run_id)),
        )

    def _given_back(self, claim: Claim) -> SubmissionRow:
        row = self._held(claim)
        untouched = row.state is SubmissionState.INTENT and not claim.resumed
        return replace(row, state=SubmissionState.READY) if untouched else row

    def _put_off(self, row: SubmissionRow, wait: timedelta, reason: str) -> SubmissionRow:
        return replace(
            row,
            owner=None,
            not_before=self._clock.now() + wait,
            attempts=row.attempts + 1,
            failing_since=row.failing_since or self._clock.now(),
            last_reason=reason,
        )

    def _is_recorded(self, one: Acceptance) -> bool:
        row = self._tables.submissions.get(one.claim.run_id)
        return row is not None and (row.claim_seq, row.provider_run_id) == (one.claim.seq, one.id)

    def _in_review(self, run_id: RunId) -> SubmissionRow:
        row = self._tables.submissions.get(run_id)
        if row is None or row.state is not SubmissionState.REVIEW:
            raise _not_in_review(run_id)
        return row

    def _follow(self, run_id: RunId, provider: ProviderType, id: ProviderRunId, check_after: timedelta) -> None:
        accepted = replace(self._tables.submissions[run_id], state=SubmissionState.ACCEPTED, provider_run_id=id)
        self._tables.submissions[run_id] = accepted
        at = self._clock.now() + check_after
        self._schedule(run_id, provider, id, at=at, known_state=RunState.INITIALIZING)

    def _held(self, claim: Claim) -> SubmissionRow:
        row = self._tables.submissions.get(claim.run_id)
        if row is not None and (row.owner, row.claim_seq) == (None, claim.seq):
            raise AlreadyRecorded(f"run {claim.run_id}: claim {claim.seq} was given back by its holder")
        if row is None or (row.owner, row.claim_seq) != (claim.owner, claim.seq) or row.state not in _OPEN:
            raise ClaimLost(f"run {claim.run_id}: claim {claim.seq} of daemon {claim.owner} is over")
        return row

    def _write(self, claim: Claim, row: SubmissionRow) -> None:
        self._tables.submissions[claim.run_id] = row


def _within(
    ready: Mapping[RunId, SubmissionRow],
    held: Mapping[ProviderType | None, int],
    caps: Mapping[ProviderType, int],
) -> Sequence[RunId]:
    """The runs whose provider may hold one more."""
    full = {provider for provider, cap in caps.items() if held.get(provider, 0) >= cap}
    return [run_id for run_id, row in ready.items() if row.provider not in full]


def _not_in_review(run_id: RunId) -> NotInReview:
    return NotInReview(f"run {run_id}: its submission is not in review, so there is nothing to decide")


def _provider_id(run: Run) -> ProviderRunId | None:
    found = run.tags.get(PROVIDER_ID_TAG) if isinstance(run.tags, Mapping) else None
    return ProviderRunId(found) if isinstance(found, str) and found.strip() else None


def _state(runs: Mapping[RunId, Run], run_id: RunId) -> RunState | None:
    run = runs.get(run_id)
    return run.state if run else None


def _known(state: RunState) -> RunState:
    """What is known of a run at its provider; that somebody wants it cancelled says nothing about that."""
    return RunState.INITIALIZING if state is RunState.CANCELING else state
