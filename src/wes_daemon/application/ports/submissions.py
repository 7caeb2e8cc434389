"""Submissions: which daemon submits which run, and how far each submission has come."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Protocol

from wes_daemon.application.ports.leases import SessionId
from wes_daemon.domain.runs import ProviderRunId, ProviderType, Run, RunId, RunSummary


class SubmissionState(StrEnum):
    """How far a run's submission has come.

    `READY` → `INTENT` (claimed; a call may have been made) → [`PREPARED` →] `ACCEPTED` → `CLOSED`.
    From `INTENT` and `PREPARED` it goes to `REVIEW` where nobody can prove whether a provider has the run;
    from there a person resolves it.
    """

    READY = "READY"
    INTENT = "INTENT"
    PREPARED = "PREPARED"
    REVIEW = "REVIEW"
    ACCEPTED = "ACCEPTED"
    CLOSED = "CLOSED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """The right to submit one run. Each claim and each takeover of a run has a higher `seq` than the one before.

    Attributes:
        resumed: the run was `INTENT` or `PREPARED` before, so an earlier call may have started it.
    """

    run_id: RunId
    owner: SessionId
    seq: int
    resumed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimedRun:
    """A claimed run.

    Attributes:
        run: as it was when it was claimed; with the request and the tags that were first sent where something may have
            been sent before, for a service may change its row, but what is sent again must be the same.
        attempts: how many submissions were put off before this one.
        failing_for: how long ago the first of them was put off; zero where none was.
        in_doubt_for: how long ago the first was begun that may have started something; zero where none was.
        prepared_id: recorded by an earlier attempt, to be submitted with.
        destination: the provider that was recorded before anything was sent, the same at every attempt;
            None where it cannot be told, and then nothing was ever sent.
        has_attachments: whether files came with the request.
        held_since: when the claim was committed at the latest, on this process's monotonic clock; no store knows it.
    """

    claim: Claim
    run: Run
    attempts: int = 0
    failing_for: timedelta = timedelta(0)
    in_doubt_for: timedelta = timedelta(0)
    prepared_id: ProviderRunId | None = None
    destination: ProviderType | None = None
    has_attachments: bool = False
    claimed_since: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Preparation:
    """A provider has prepared a claimed run under this id, and not started it."""

    claim: Claim
    id: ProviderRunId


@dataclass(frozen=True, slots=True)
class Acceptance:
    """A provider holds a claimed run under this id."""

    claim: Claim
    provider: ProviderType
    id: ProviderRunId


def no_share(run: RunSummary) -> str:
    """The share of every run, where shares are not asked for."""
    del run
    return ""


class SubmissionQueue(Protocol):
    """Who submits what, and how far it has come.

    Every method that takes a claim raises `ClaimLost` if it is gone, and `AlreadyRecorded` if it was given back.
    """

    def enrol(
        self,
        destination: Callable[[RunSummary], ProviderType | None],
        *,
        limit: int,
        share: Callable[[RunSummary], str] = no_share,
    ) -> int:
        """Take up rows that the queue does not know yet, oldest first; return how many (0: there were no more).

        A `QUEUED` row becomes `READY` for the provider that `destination` gives (None: it cannot be told),
        in the share that `share` gives, where it stays. Both see the run with `UNREAD` for its request.
        A row in an active state (`CANCELING` included) whose tags name a provider and the provider's id, left by
        another daemon, becomes `ACCEPTED` and is followed from then on. Other rows are left alone.

        A row that was closed and that the service has made active again is taken up anew: followed, where a provider
        had it, or `READY` where none had and it is `QUEUED`.
        """

    def enrol_queued(
        self,
        destination: Callable[[RunSummary], ProviderType | None],
        *,
        limit: int,
        share: Callable[[RunSummary], str] = no_share,
    ) -> int:
        """As `enrol`, but only `QUEUED` rows that the queue does not know yet: a cheap look where one was announced."""

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
        """Claim what is to be submitted now; when this is committed the intent is, too.

        What nobody has sent yet goes to the provider that `destination` gives for the row as it is now, and that is
        recorded with the intent, together with the request; what may have been sent stays with the provider that it
        was sent to, and as it was sent.

        First what may have been sent already and whose owner is gone (its lease ran out), let go of it, or is
        `owner` itself, except for what that has `under_way`: such runs are taken over whatever the cap says, for they
        are counted in it. Then `READY` rows whose run is still `QUEUED` and whose
        time has come, as long as fewer than `cap` runs, and fewer than the cap of the row's own provider where it has
        one, are claimed, in review or held by a provider, over all daemons. The next one comes from the share that
        has the fewest such runs, and is the oldest there; between equal shares the oldest goes first.

        A run whose row is gone is not handed out: it is closed, or put in review where it may have been sent.
        No run is ever claimed by two owners at once. Runs for the providers in `excluding` are passed over; None
        stands for runs whose provider cannot be told.

        Raises:
            LeaseLost: the owner has no lease that lasts, so its claims would be good for nothing.
        """

    def prepared(self, claim: Claim, id: ProviderRunId) -> None:
        """Record what the provider has prepared; the claim stays."""

    def prepared_all(self, prepared: Collection[Preparation]) -> Collection[RunId]:
        """As `prepared` for each whose claim is still there, and return these."""

    def accepted(self, claim: Claim, provider: ProviderType, id: ProviderRunId, *, check_after: timedelta) -> None:
        """Record that the provider holds the run, give the claim back, and put the run on the poll schedule.

        Known of it is `INITIALIZING`, whatever the row says by now, or whether there still is one.
        """

    def accepted_all(self, accepted: Collection[Acceptance], *, check_after: timedelta) -> Collection[RunId]:
        """As `accepted` for each whose claim is still there, and return these, and those recorded so before.

        Raises:
            AlreadyRecorded: no claim is there any more, and some were recorded so before.
        """

    def deferred(self, claim: Claim, *, wait: timedelta, reason: str) -> None:
        """Nothing was started this time: give the claim back, to be taken again after `wait`, one attempt more.

        Back to `READY`, except where an earlier call may have started it (`claim.resumed`) or something is prepared:
        such a run stays `INTENT` or `PREPARED`.
        """

    def unresolved(self, claim: Claim, *, wait: timedelta, reason: str) -> None:
        """Perhaps it was started: keep the intent, let anybody resolve it after `wait`, one attempt more."""

    def released(self, claim: Claim, *, wait: timedelta, reason: str | None = None) -> None:
        """Nothing was tried this time: as `deferred`, but no attempt is counted, and None keeps the last reason."""

    def closed(self, claim: Claim, *, reason: str) -> None:
        """The run has ended without a provider."""

    def review(self, claim: Claim, *, reason: str) -> None:
        """Whether a provider has the run cannot be proved: nobody claims it until a person has decided."""

    def adopt(self, run_id: RunId, id: ProviderRunId, *, check_after: timedelta) -> ProviderType:
        """A person says that the run in review is this one at its provider, which is returned: follow it.

        Raises:
            NotInReview: the run is not in review, or another run has this one already.
        """

    def send_again(self, run_id: RunId) -> None:
        """A person says that the run in review may be sent once more, under the same key; doubt begins anew.

        Raises:
            NotInReview: the run is not in review.
        """

    def give_up(self, run_id: RunId, *, reason: str) -> None:
        """A person says that no provider has the run in review.

        Raises:
            NotInReview: the run is not in review.
        """

    def withdrawn(self, *, limit: int) -> Sequence[RunId]:
        """Close submissions of runs that are no longer `QUEUED` and that no provider was ever asked to run.

        Returns the ids of those closed whose run is `CANCELING` and so has yet to be ended, and of `CANCELING` runs
        that were never enrolled.
        """
