"""Builds the loops of the daemon from the passes that they execute."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol, TypeVar

from wes_daemon.adapters.events.interruptible import InterruptibleSource
from wes_daemon.application.following.cancel_runs import CancelRuns
from wes_daemon.application.following.find_ended import FindEnded
from wes_daemon.application.following.follow_events import FollowEvents
from wes_daemon.application.following.refresh_statuses import RefreshStatuses
from wes_daemon.application.ports.environment import Clock
from wes_daemon.application.ports.providers import ProviderDirectory
from wes_daemon.application.ports.unit_of_work import UnitsOfWork
from wes_daemon.application.ports.work_probe import WorkProbe
from wes_daemon.application.reconciling.adopt_inherited_runs import AdoptInheritedRuns, InheritedReport
from wes_daemon.application.reconciling.delete_drafts import DeleteDrafts
from wes_daemon.application.runtime.daemon import PeriodicTask
from wes_daemon.application.runtime.daemon_session import DaemonSession
from wes_daemon.application.runtime.loops import (
    ProviderPasses,
    events_loop,
    heartbeat_loop,
    inherited_runs_loop,
    late_updates_loop,
    provider_loops,
    unserved_runs_loop,
)
from wes_daemon.application.runtime.recording import Recorder
from wes_daemon.application.runtime.stop_signal import StopSignal
from wes_daemon.application.runtime.work_probe import ProviderWorkProbe
from wes_daemon.application.submitting.submit_queued_runs import SubmitQueuedRuns, SubmitReport
from wes_daemon.application.submitting.unserved_runs import SettleUnservedRuns, UnservedDirectory
from wes_daemon.bootstrap import policies
from wes_daemon.bootstrap.providers import ProviderFactory
from wes_daemon.bootstrap.settings import Settings
from wes_daemon.domain.runs import ProviderType

PassT = TypeVar("PassT", covariant=True)


class MakesPass(Protocol[PassT]):
    """Builds the pass that serves some of the providers."""

    def __call__(self, *, serving: Collection[ProviderType]) -> PassT: ...


class MakesFindEnded(Protocol):
    """Builds the pass that reads lists of ended runs, and then calls `refresh` to poll the runs that it found."""

    def __call__(self, *, serving: Collection[ProviderType], refresh: Callable[[], object]) -> FindEnded: ...


class MakesSubmit(Protocol):
    """Builds the pass that submits the runs of some providers; None stands for runs whose provider is unknown."""

    def __call__(self, *, serving: Collection[ProviderType | None]) -> SubmitQueuedRuns: ...


def daemon_loops(
    settings: Settings,
    *,
    clock: Clock,
    directory: ProviderDirectory,
    daemon_session: DaemonSession,
    recorder: Recorder,
    work_probe: WorkProbe,
    submit: MakesSubmit,
    cancel: MakesPass[CancelRuns],
    refresh: MakesPass[RefreshStatuses],
    find_ended: MakesFindEnded,
    delete_drafts: MakesPass[DeleteDrafts],
    adopt_inherited_runs: AdoptInheritedRuns,
    settle_unserved_runs: SettleUnservedRuns,
    events: Sequence[PeriodicTask],
) -> Sequence[PeriodicTask]:
    loops = [
        heartbeat_loop(daemon_session),
        late_updates_loop(recorder.write_late_updates),
        _inherited_runs_loop(adopt_inherited_runs, daemon_session, clock),
    ]
    for type in sorted(directory.enabled):
        serving = frozenset({type})
        submit_runs, refresh_runs = submit(serving=serving), refresh(serving=serving)
        passes = ProviderPasses(
            submit=submit_runs,
            submit_queued=submit_runs.submit_announced,
            take_over=submit_runs.resolve_takeovers,
            has_deferred=_has_deferred,
            cancel=cancel(serving=serving),
            refresh=refresh_runs,
            find_ended=find_ended(serving=serving, refresh=refresh_runs),
            delete_drafts=delete_drafts(serving=serving),
        )
        probe = ProviderWorkProbe(
            work_probe,
            daemon_session,
            serving=type,
            default=settings.default_provider,
            engines=settings.engine_providers,
        )
        loops += provider_loops(type, passes, probe=probe, intervals=policies.loop_intervals(settings), clock=clock)
    return [*loops, unserved_runs_loop(settle_unserved_runs, intervals=policies.loop_intervals(settings)), *events]


def _inherited_runs_loop(adopt: AdoptInheritedRuns, daemon_session: DaemonSession, clock: Clock) -> PeriodicTask:
    return inherited_runs_loop(lambda: _adopt_inherited_runs(adopt, daemon_session), adopt.has_waiting_runs, clock)


def _adopt_inherited_runs(adopt: AdoptInheritedRuns, daemon_session: DaemonSession) -> InheritedReport:
    # The first session of a database inherits the runs.
    _ = daemon_session.id
    return adopt()


def _has_deferred(report: object) -> bool:
    return isinstance(report, SubmitReport) and report.to_retry > 0


def unserved_submit(
    submit: Callable[..., SubmitQueuedRuns],
) -> Callable[[Mapping[ProviderType, str]], SubmitQueuedRuns]:
    """Return a function that makes the use case for runs in doubt of providers that are not served."""
    return lambda reasons: submit(providers=UnservedDirectory(reasons), serving=frozenset(reasons))


def events_loops(
    factory: ProviderFactory,
    *,
    clock: Clock,
    units: UnitsOfWork,
    stop: StopSignal,
    refresh: MakesPass[RefreshStatuses],
) -> Sequence[PeriodicTask]:
    """Return the loops that receive messages about runs, one for each provider with a source of such messages."""
    follow = {
        provider: FollowEvents(
            source=InterruptibleSource(source, stop),
            provider=provider,
            units=units,
            refresh=refresh(serving=frozenset({provider})),
            clock=clock,
            stop=stop,
        )
        for provider, source in factory.hints().items()
    }
    return [events_loop(provider, follow_events) for provider, follow_events in follow.items()]
