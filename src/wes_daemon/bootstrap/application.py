"""The application, which entrypoints and other programs call."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from wes_daemon.adapters.persistence.schema import Schema
from wes_daemon.application.following.cancel_runs import CancelReport
from wes_daemon.application.following.refresh_statuses import RefreshReport
from wes_daemon.application.ports.environment import Clock
from wes_daemon.application.ports.leases import DaemonInfo
from wes_daemon.application.ports.providers import ProviderDirectory
from wes_daemon.application.ports.queries import RunFilter, RunQueries, RunRecord
from wes_daemon.application.ports.runs import TimelineEntry
from wes_daemon.application.ports.wakeup import WakeUp
from wes_daemon.application.reconciling.discrepancies import Tolerances
from wes_daemon.application.reconciling.reconcile import Reconcile
from wes_daemon.application.reconciling.resolve_review import ResolveReview
from wes_daemon.application.reconciling.verify import Verify
from wes_daemon.application.requests.create_run import CreateRun
from wes_daemon.application.requests.request_cancel import RequestCancel
from wes_daemon.application.runtime.daemon import Daemon
from wes_daemon.application.runtime.daemon_session import renewing_lease
from wes_daemon.application.runtime.outage_log import OutageLog
from wes_daemon.application.runtime.stop_signal import StopSignal
from wes_daemon.application.submitting.submit_queued_runs import SubmitReport
from wes_daemon.application.submitting.unserved_runs import UnservedReport
from wes_daemon.bootstrap.container import Container
from wes_daemon.bootstrap.policies import refresh_ahead, tolerances
from wes_daemon.bootstrap.settings import Settings
from wes_daemon.domain.runs import ProviderType, RunId


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOnceReport:
    """The outcome of one pass of each kind."""

    submitted: SubmitReport
    unserved: UnservedReport
    cancelled: CancelReport
    refreshed: RefreshReport

    @property
    def blocked(self) -> Collection[ProviderType]:
        """Providers that cannot work until a person acts."""
        return {*self.submitted.blocked, *self.refreshed.blocked}


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """Everything that entrypoints and other programs call; `build_application` returns one.

    The first call that needs the database connects to it, and a provider is built when it is first used, so that a
    provider that is not configured affects only its own runs. Every call to the database may raise
    `StorageUnavailable`.

    Attributes:
        create_run: queues a run and returns its id.
        request_cancel: requests the cancellation of a run.
        resolve_review: decides about runs that need review.
        reconcile: compares the database with the providers, and repairs.
        tolerances: ages below which a difference is not yet a discrepancy, as the settings define them.
        verify: evaluates all checks on the database.
        daemon: returns the daemon, always the same one; the first call builds it.
        run_once: submits, cancels and refreshes once, under a lease of its own.
        close: closes the connections to the database.
        schema: the schema of the database; it must be current before anything else is called.
        known_before: returns the names of providers that daemons or runs have had before.
        wakeup: lets entrypoints wait until a timeout, or until a stop ends the wait.
        stop: asks the daemon and `run_once` to finish.
    """

    settings: Settings
    create_run: CreateRun
    request_cancel: RequestCancel
    resolve_review: ResolveReview
    reconcile: Reconcile
    tolerances: Tolerances
    verify: Verify
    daemon: Callable[[], Daemon]
    run_once: Callable[[], RunOnceReport]
    close: Callable[[], None]
    schema: Schema
    queries: RunQueries
    providers: ProviderDirectory
    clock: Clock
    wakeup: WakeUp
    stop: StopSignal
    outage_log: OutageLog
    known_before: Callable[[Collection[ProviderType]], Mapping[ProviderType, str]]

    def get_run(self, run_id: RunId) -> RunRecord:
        """Return everything about one run; raises `RunNotFound`."""
        return self.queries.get(run_id)

    def timeline(self, run_id: RunId) -> Sequence[TimelineEntry]:
        """Return the timeline of a run, also of one whose row was deleted; empty if none was recorded."""
        return self.queries.timeline(run_id)

    def list_runs(self, filter: RunFilter) -> Sequence[RunRecord]:
        """Return the runs that the filter selects, newest first, without details, tasks and timeline."""
        return self.queries.list(filter)

    def daemons(self) -> Sequence[DaemonInfo]:
        """Return the daemons whose lease is valid, oldest first."""
        return self.queries.daemons()

    def published_providers(self) -> Mapping[ProviderType, str]:
        """Return the providers that the live daemons know; an empty text for one that is served, else a reason."""
        found: dict[ProviderType, str] = {}
        for daemon in self.daemons():
            for name, problem in (daemon.providers or {}).items():
                found[name] = "" if "" in (problem, found.get(name)) else problem
        return found

    def known_providers(self, names: Collection[ProviderType]) -> Collection[ProviderType]:
        """Return those of the names that are known here, to a live daemon, or from earlier daemons and runs."""
        here = {*self.settings.providers, *self.published_providers()}
        return {name for name in names if name in here} | self.known_before(names).keys()

    def require_provider(self, type: ProviderType) -> None:
        """Check that a provider is configured here.

        Raises:
            Misconfigured: it is not; the message says what is missing.
        """
        self.providers.provider(type)


def build_application(settings: Settings) -> Application:
    """Build the application from the settings.

    Raises:
        ConfigurationError: no database is named, or its URI cannot be used.
    """
    return application_of(Container(settings=settings))


def application_of(container: Container) -> Application:
    """Return the application that a container builds; a caller may have replaced parts of the container."""
    return Application(
        settings=container.settings(),
        create_run=container.create_run(),
        request_cancel=container.request_cancel(),
        resolve_review=container.resolve_review(),
        reconcile=container.reconcile(),
        tolerances=tolerances(container.settings()),
        verify=container.verify(),
        daemon=container.daemon,
        run_once=partial(_run_once, container),
        close=container.engine().dispose,
        schema=container.schema(),
        queries=container.queries(),
        providers=container.directory(),
        clock=container.clock(),
        wakeup=container.wakeup(),
        stop=container.stop(),
        outage_log=container.outage_log(),
        known_before=container.published_providers_store().were_known,
    )


def _run_once(container: Container) -> RunOnceReport:
    session, outage_log = container.daemon_session(), container.outage_log()
    with renewing_lease(session, every=session.heartbeat_interval, outage_log=outage_log):
        container.recorder().write_late_updates()
        # The first session of a database inherits the runs that another daemon has left.
        _ = session.id
        container.adopt_inherited_runs()()
        return RunOnceReport(
            submitted=container.submit_queued_runs()(),
            unserved=container.settle_unserved_runs()(),
            cancelled=container.cancel_runs()(),
            refreshed=container.refresh_statuses()(ahead=refresh_ahead(container.settings())),
        )
