"""What the core asks of the database.

A `UnitOfWork` is one transaction and gives the stores that take part in it.
`QUEUED` rows of the runs' table are enrolled as submissions; claims, intents and polls live in the daemon's own
narrow tables; the wide row is written only when something that its readers care about has changed.

Durations are counted on the store's own clock, so that daemons whose clocks differ still agree.
Every method may raise `StorageUnavailable`.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType, TracebackType
from typing import NewType, Protocol, Self

from wes_daemon.application.ports.providers import RunDetails
from wes_daemon.domain.runs import (
    Attachment,
    ProviderRunId,
    ProviderType,
    Run,
    RunId,
    TaskLog,
)
from wes_daemon.domain.states import RunState

DaemonId = NewType("DaemonId", str)
"""One incarnation of a daemon process; never used again by another."""


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
    owner: DaemonId
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
    held_since: timedelta | None = None


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


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineEntry:
    """What happened to a run, when, by whom and why.

    Attributes:
        before, after: equal where the state did not change.
        by: the daemon or the person that did it.
        provider_status: the provider's own word, where it had one.
    """

    at: datetime
    before: RunState | None
    after: RunState
    by: str
    why: str
    provider_status: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """What is to be written of one run.

    Attributes:
        before, after: equal where its row stays as it is.
        entry: for the timeline; None for none.
        provider_status, provider_message: the provider's own words; None and empty where they are known.
        details, tasks: once they were had.
    """

    before: Run
    after: Run
    entry: TimelineEntry | None = None
    provider_status: str | None = None
    provider_message: str = ""
    details: RunDetails | None = None
    tasks: Sequence[TaskLog] = ()


class RunRepository(Protocol):
    """The runs themselves, as a WES service reads them. Values longer than a column holds are cut with a mark."""

    def add(self, run: Run, *, attachments: Sequence[Attachment], entry: TimelineEntry) -> None:
        """Store a new run, with everything that its request carries."""

    def get(self, run_id: RunId) -> Run:
        """The run, kept from being changed by others until this unit of work ends.

        Raises:
            RunNotFound: there is none.
        """

    def get_many(self, run_ids: Collection[RunId]) -> Mapping[RunId, Run]:
        """As `get`, for all that have a row, but with `UNREAD` for their requests.

        Who holds a run is as it was when this was asked: nobody else writes that while the run's claim or its poll is
        the caller's, and where it is not, the unit of work must come to nothing.
        """

    def write(self, news: Collection[News]) -> None:
        """Write all of it, in few statements; task logs with known ids are updated in place.

        `before` is what `get_many` gave in this unit of work, so that its row is there and nobody can change it.
        """

    def attachments(self, run_id: RunId) -> Sequence[Attachment]:
        """What came with the request, in the order of names; nothing where the run is unknown."""

    def save(self, before: Run, after: Run, entry: TimelineEntry) -> None:
        """Write what differs between the two and note `entry` in the timeline.

        Raises:
            ConcurrentUpdate: the stored state is no longer that of `before`.
            RunNotFound: the row is gone.
        """


def undivided(run: Run) -> str:
    """The share of every run, where shares are not asked for."""
    del run
    return ""


class SubmissionQueue(Protocol):
    """Who submits what, and how far it has come.

    Every method that takes a claim raises `ClaimLost` if it is gone, and `AlreadyRecorded` if it was given back.
    """

    def enrol(
        self,
        destination: Callable[[Run], ProviderType | None],
        *,
        limit: int,
        share: Callable[[Run], str] = undivided,
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
        destination: Callable[[Run], ProviderType | None],
        *,
        limit: int,
        share: Callable[[Run], str] = undivided,
    ) -> int:
        """As `enrol`, but only `QUEUED` rows that the queue does not know yet: a cheap look where one was announced."""

    def claim(
        self,
        owner: DaemonId,
        *,
        limit: int,
        cap: int,
        excluding: Collection[ProviderType | None],
        destination: Callable[[Run], ProviderType | None],
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


@dataclass(frozen=True, slots=True, kw_only=True)
class DuePoll:
    """A run whose turn has come to be asked for.

    Attributes:
        known_state, known_status: what the provider said at the last poll; the run's row may differ.
        missing_for: how long the provider has not known the run; None while it does.
        details_failures: how often its details could not be had since it ended.
        seq: raised at each taking; a result is only recorded for the latest.
        age: how long ago a provider accepted it; None where that is not known.
        overdue: how long ago its turn came, when it was taken; negative where it was taken ahead of its time.
        is_unwanted: whether its provider was told to cancel it.
    """

    run_id: RunId
    provider: ProviderType
    provider_run_id: ProviderRunId
    known_state: RunState
    known_status: str | None = None
    missing_for: timedelta | None = None
    details_failures: int = 0
    seq: int = 0
    age: timedelta | None = None
    overdue: timedelta = timedelta(0)
    is_unwanted: bool = False


@dataclass(frozen=True, slots=True)
class Move:
    """What a provider says of a run that was taken to be asked for, and after which time to ask again."""

    poll: DuePoll
    state: RunState
    provider_status: str
    again_after: timedelta


Pace = Callable[[DuePoll], timedelta]
"""After which time to ask for a run again."""


def as_soon_as_it_is_free(poll: DuePoll) -> timedelta:
    """The pace of those who say at each look when the next one is to come."""
    del poll
    return timedelta(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldRun:
    """A run that somebody wants cancelled while a provider holds it."""

    run_id: RunId
    provider: ProviderType
    provider_run_id: ProviderRunId


class PollSchedule(Protocol):
    """Which accepted run is to be asked for when. Any daemon may poll any run."""

    def take_due(
        self,
        *,
        limit: int,
        ahead: timedelta,
        hold: timedelta,
        untouched_for: timedelta,
        excluding: Collection[ProviderType],
        again_after: Pace = as_soon_as_it_is_free,
    ) -> Sequence[DuePoll]:
        """Take the runs that are due within `ahead`, longest due first, and keep them from others for `hold`.

        Runs that anybody has taken in the last `untouched_for` are passed over, so that one pass looks at each once.

        Each is due again by itself after `again_after`, and not before `hold` is over: of what is taken in vain,
        or shows nothing new, nothing has to be written.
        """

    def checked(self, polls: Collection[DuePoll], *, again_after: Pace) -> None:
        """Nothing new was heard of these: ask again later. Those taken by others meanwhile are left alone."""

    def put_off(self, polls: Collection[DuePoll], *, wait: timedelta) -> None:
        """These could not be asked for: kept from everybody for `wait`, and then as long due as before."""

    def forgive(self, provider: ProviderType) -> None:
        """Nobody can tell what this provider knows: how long it has not known a run is counted anew."""

    def missing(self, poll: DuePoll, *, again_after: timedelta) -> None:
        """The provider does not know this run: remember since when, ask again later."""

    def moved_all(self, moved: Collection[Move]) -> Collection[RunId]:
        """Remember what was stored of each that nobody else has taken meanwhile, and return these; ask again later."""

    def details_failed(self, poll: DuePoll, state: RunState, *, again_after: timedelta) -> None:
        """The run has ended, so its submission is closed, but its details could not be had: count it, ask again later.

        Raises:
            ClaimLost: the run was taken by somebody else meanwhile.
        """

    def finished(self, poll: DuePoll) -> None:
        """Nothing more is to be learnt: off the schedule, and the submission is closed.

        Raises:
            ClaimLost: the run was taken by somebody else meanwhile.
        """

    def finished_all(self, polls: Collection[DuePoll]) -> Collection[RunId]:
        """As `finished` for each that nobody else has taken meanwhile, and return these."""

    def hurry(self, provider: ProviderType, ids: Collection[ProviderRunId]) -> Collection[ProviderRunId]:
        """There may be news of these: those that are followed are due at once, also from others, and returned.

        Ids that nobody follows, or that are known to have ended, are passed over. An answer that is under way counts
        as long as nobody else has taken the run meanwhile.
        """

    def to_cancel(self, *, limit: int, hold: timedelta, excluding: Collection[ProviderType]) -> Sequence[HeldRun]:
        """Runs that are `CANCELING`, or were ended by others, which a provider still works on.

        Each is kept from others for `hold`, unless `cancel_again` says when it is to be given again, and is due to be
        asked for when it is given.
        """

    def cancel_again(self, run: HeldRun, *, wait: timedelta) -> None:
        """Give the run again after `wait`: it could not be told, or has so long to end what it was told to end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DaemonInfo:
    """A daemon process, for the people who look at the database.

    Attributes:
        lease_left: negative when it ran out.
    """

    id: DaemonId
    host: str
    pid: int
    version: str
    started_at: datetime
    lease_left: timedelta = timedelta(0)


class Lease(Protocol):
    """The heartbeat of daemon processes. What a daemon has claimed is safe while its lease lasts."""

    def open(self, daemon: DaemonInfo, *, lasting: timedelta) -> None:
        """Announce a new incarnation."""

    def renew(self, daemon: DaemonId, *, lasting: timedelta) -> None:
        """Extend the lease.

        Raises:
            LeaseLost: it ran out before; the incarnation is over.
        """

    def close(self, daemon: DaemonId) -> None:
        """End the lease now, so that others may take over at once; unknown ids are no error."""

    def daemons(self) -> Sequence[DaemonInfo]:
        """Those whose lease lasts, oldest first."""


class UnitOfWork(Protocol):
    """One transaction. Leaving the block without `commit` undoes everything.

    Not to be shared between threads, and never one inside another: the inner one might wait for the outer one.
    """

    @property
    def runs(self) -> RunRepository: ...
    @property
    def submissions(self) -> SubmissionQueue: ...
    @property
    def polls(self) -> PollSchedule: ...
    @property
    def leases(self) -> Lease: ...

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def commit(self) -> None:
        """Make everything durable, and end this unit of work: nothing more can be done with it."""


UnitsOfWork = Callable[[], UnitOfWork]
"""Gives a new unit of work, not yet entered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFilter:
    """Which runs to list. Empty collections do not restrict.

    Attributes:
        provider: runs that this provider holds or that are meant for it.
        submissions: runs whose submission has come so far.
        limit: at most this many, newest first.
    """

    states: Collection[RunState] = ()
    provider: ProviderType | None = None
    submissions: Collection[SubmissionState] = ()
    limit: int = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """A run with everything that is known of it, for readers.

    Attributes:
        queued_at: when the daemon first saw it; None before that.
        destination: where it is or will be sent; None while that cannot be told.
        provider_status, provider_message: the provider's own latest words.
        submission: None before the run is enrolled.
        attempts: submissions that were put off.
        last_reason: why the latest of them was.
    """

    run: Run
    queued_at: datetime | None = None
    destination: ProviderType | None = None
    provider_status: str | None = None
    provider_message: str = ""
    submission: SubmissionState | None = None
    attempts: int = 0
    last_reason: str | None = None
    attachments: Sequence[str] = ()
    details: RunDetails = field(default_factory=RunDetails)
    tasks: Sequence[TaskLog] = ()
    timeline: Sequence[TimelineEntry] = ()


class RunQueries(Protocol):
    """Reads for people and services; no locks, no part in a unit of work."""

    def list(self, filter: RunFilter) -> Sequence[RunRecord]:
        """The runs, newest first, without details, tasks, attachments and timeline."""

    def get(self, run_id: RunId) -> RunRecord:
        """One run with everything.

        Raises:
            RunNotFound: there is none.
        """

    def daemons(self) -> Sequence[DaemonInfo]:
        """The daemons whose lease lasts, oldest first."""
