"""How the persistence contract reaches a store: the little that every implementation has to offer."""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from threading import Barrier, BrokenBarrierError

from tests.builders import ALL_DESTINATIONS, ALL_PROVIDERS, NOON
from wes_daemon.application.ports.leases import DaemonInfo, SessionId
from wes_daemon.application.ports.polls import DuePoll, PollDelay, no_delay
from wes_daemon.application.ports.queries import RunQueries
from wes_daemon.application.ports.runs import RunUpdate, TimelineEntry
from wes_daemon.application.ports.submissions import Acceptance, Claim, ClaimedRun
from wes_daemon.application.ports.unit_of_work import UnitsOfWork
from wes_daemon.domain.errors import InvalidRequest
from wes_daemon.domain.runs import ProviderRunId, ProviderType, Run, RunId, RunSummary
from wes_daemon.domain.states import RunState

ME = SessionId("daemon-me")
OTHER = SessionId("daemon-other")
SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


@dataclass(frozen=True, kw_only=True)
class ServiceRow:
    """A row of `workflow_runs` as a WES service writes and reads it: JSON as text, times aware."""

    run_id: str
    state: str = "QUEUED"
    tags: str | None = "{}"
    workflow_params: str | None = "{}"
    workflow_url: str = "file:///workflows/echo.cwl"
    start_time: datetime | None = None
    end_time: datetime | None = None


class PersistenceHarness(ABC):
    """A fresh, empty store. What is not abstract is said in terms of what is."""

    holds_any_text = False
    """Whether a column for JSON can hold text that is none."""

    holds_any_state = True
    """Whether a row can have a word for its state that is none, and gives it back as it was."""

    moment = 0.2
    """Seconds in which threads that nothing keeps apart have surely met."""

    has_widths = True
    """Whether columns have a width, so that longer text is cut."""

    @property
    @abstractmethod
    def units(self) -> UnitsOfWork:
        """Units of work on the store, for any number of threads."""

    @property
    @abstractmethod
    def queries(self) -> RunQueries:
        """Reads on the same store."""

    @abstractmethod
    def tamper(self, table: str, run_id: str, **values: object) -> None:
        """Overwrite values in a row of `submissions` or `polls`, as a person might by hand."""

    @abstractmethod
    def let_pass(self, time: timedelta) -> None:
        """Let that much time pass on the store's clock."""

    @abstractmethod
    def put(self, row: ServiceRow) -> None:
        """Insert the row, or write all its columns where it is there, as a service that knows nothing of daemons."""

    @abstractmethod
    def row(self, run_id: str) -> ServiceRow:
        """The row as the service would read it; KeyError where there is none."""

    @abstractmethod
    def remove(self, run_id: str) -> None:
        """Delete the row as the service would, with its task logs."""

    def now(self) -> datetime:
        """The time on the store's clock."""
        return datetime.now(UTC)

    def queue(self, *ids: str) -> None:
        """The service queues runs, one after the other."""
        for id in ids:
            self.put(ServiceRow(run_id=id))

    def tags(self, run_id: str) -> object:
        """The run's tags as the service would read them."""
        return json.loads(self.row(run_id).tags or "null")

    def live(self, daemon: SessionId, lasting: timedelta = MINUTE) -> SessionId:
        """A daemon whose lease lasts so long."""
        info = DaemonInfo(id=daemon, host="node-1", pid=7, version="1.0", started_at=NOON)
        with self.units() as unit:
            unit.leases.open(info, lasting=lasting)
            unit.commit()
        return daemon

    def keep_alive(self, daemon: SessionId) -> None:
        """Give the daemon a lease where it has none that lasts."""
        if daemon not in {alive.id for alive in self.queries.daemons()}:
            self.forget(daemon)
            self.strike_out(daemon)
            self.live(daemon)

    def strike_out(self, daemon: SessionId) -> None:
        """Remove what a store keeps of a dead daemon, so that a test may let it live again under the same name."""

    def forget(self, daemon: SessionId) -> None:
        """The daemon dies, and its lease is over."""
        with self.units() as unit:
            unit.leases.close(daemon)
            unit.commit()

    def enrol(self, *, limit: int = 100) -> int:
        """Enrol; what names no provider is meant for the local one."""
        with self.units() as unit:
            count = unit.submissions.enrol(destination, limit=limit, share=share)
            unit.commit()
        return count

    def claim(
        self,
        owner: SessionId = ME,
        *,
        limit: int = 100,
        concurrency_limit: int = 100,
        serving: Collection[ProviderType | None] = ALL_DESTINATIONS,
        **per_provider_limits: int,
    ) -> Sequence[ClaimedRun]:
        """Claim in a unit of work of its own, under a lease."""
        self.keep_alive(owner)
        with self.units() as unit:
            claimed = unit.submissions.claim(
                owner,
                limit=limit,
                concurrency_limit=concurrency_limit,
                serving=serving,
                destination=destination,
                per_provider_limits={ProviderType(name): limit for name, limit in per_provider_limits.items()},
            )
            unit.commit()
        return list(claimed)

    def claimed(self, run_id: str = "run-1", owner: SessionId = ME) -> ClaimedRun:
        """A run that a live daemon has claimed a moment ago."""
        self.keep_alive(owner)
        self.queue(run_id)
        self.enrol()
        [claimed] = self.claim(owner)
        return claimed

    def accepted(self, *ids: str, provider: ProviderType = ProviderType.LOCAL) -> None:
        """Runs that the provider holds as `at-<id>` and that are due to be asked for, in this order."""
        self.queue(*ids)
        self.enrol()
        for claimed in self.claim():
            id = claimed.run.id
            with self.units() as unit:
                accepted = acceptance(claimed.claim, f"at-{id}", provider)
                unit.submissions.record_acceptances([accepted], first_poll_after=0 * SECOND)
                before = unit.runs.get(id)
                after = before.accepted(provider, ProviderRunId(f"at-{id}"))
                unit.runs.write([RunUpdate(before=before, after=after, entry=an_entry(before))])
                unit.commit()
            self.let_pass(SECOND)

    def due(
        self,
        *,
        limit: int = 100,
        ahead: timedelta = 0 * SECOND,
        lease: timedelta = MINUTE,
        next_poll: PollDelay = no_delay,
    ) -> Sequence[DuePoll]:
        """Take what is due."""
        with self.units() as unit:
            due = unit.polls.lease_due(
                limit=limit,
                ahead=ahead,
                lease=lease,
                not_leased_for=0 * SECOND,
                serving=ALL_PROVIDERS,
                next_poll=next_poll,
            )
            unit.commit()
        return list(due)

    def polled(self, run_id: str = "run-1") -> DuePoll:
        """A run that a provider holds, taken to be asked for a moment ago."""
        self.accepted(run_id)
        [due] = self.due()
        return due

    def run(self, run_id: str) -> Run:
        """The run as the daemon reads it."""
        return self.queries.get(RunId(run_id)).run

    def move(self, run_id: str, state: RunState) -> None:
        """The service sets another state."""
        row = self.row(run_id)
        self.put(ServiceRow(**{**vars(row), "state": state}))


def destination(run: RunSummary) -> ProviderType | None:
    """The provider that the tags name, else the local one; None where they name none that exists."""
    try:
        return run.destination(ProviderType.LOCAL)
    except InvalidRequest:
        return None


def acceptance(claim: Claim, id: str, provider: ProviderType = ProviderType.LOCAL) -> Acceptance:
    """The provider has accepted the claimed run under this id."""
    return Acceptance(claim=claim, provider=provider, provider_run_id=ProviderRunId(id))


def all_but(*providers: ProviderType | None) -> Collection[ProviderType | None]:
    """All providers except these."""
    return frozenset(ALL_DESTINATIONS) - frozenset(providers)


def share(run: RunSummary) -> str:
    """What the tag `project` says."""
    return str(run.tags.get("project", "")) if isinstance(run.tags, Mapping) else ""


def an_entry(run: RunSummary, why: str = "test") -> TimelineEntry:
    """A note in the timeline."""
    return TimelineEntry(at=NOON, before=run.state, after=run.state, by="a test", why=why)


def ids_of(claimed: Sequence[ClaimedRun]) -> list[str]:
    """Which runs these are."""
    return [each.run.id for each in claimed]


class Race:
    """Several threads that do the same thing at once, each held between its act and its commit.

    `together` lets them wait for each other, so that without a lock all have acted before the first commits;
    where a lock keeps them apart, nobody else comes and they go on after a moment.
    """

    def __init__(self, threads: int, moment: float = 0.2) -> None:
        self._threads = threads
        self._moment = moment
        self._barrier = Barrier(threads)

    def together(self) -> None:
        """Wait for the others, or for a moment."""
        with suppress(BrokenBarrierError):
            self._barrier.wait(timeout=self._moment)

    def run(self, work: Callable[[int], None]) -> None:
        """Let each thread do the work, given its number; raise what one of them raised."""
        with ThreadPoolExecutor(self._threads) as threads:
            for ended in [threads.submit(work, number) for number in range(self._threads)]:
                ended.result()
