"""The only place that knows everything: settings in, use cases out."""

import getpass
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from importlib.metadata import version
from typing import Any

from dependency_injector import containers, providers
from pydantic import SecretStr
from sqlalchemy import Engine

from wes_daemon.adapters.events.interruptible import InterruptibleSource
from wes_daemon.adapters.events.sqs import SqsHints
from wes_daemon.adapters.persistence.change_feed import DatabaseChangeFeed
from wes_daemon.adapters.persistence.checks import SqlChecks
from wes_daemon.adapters.persistence.engine import make_engine
from wes_daemon.adapters.persistence.queries import SqlRunQueries
from wes_daemon.adapters.persistence.quotas import SqlQuotas
from wes_daemon.adapters.persistence.reconcile_queries import SqlReconcileQueries, SqlRepairUnits
from wes_daemon.adapters.persistence.schema import Schema
from wes_daemon.adapters.persistence.unit_of_work import SqlUnitsOfWork
from wes_daemon.adapters.persistence.watermarks import SqlWatermarks
from wes_daemon.adapters.persistence.work_probe import SqlWorkProbe
from wes_daemon.adapters.providers.directory import LazyProviderDirectory
from wes_daemon.adapters.providers.healthomics.config import CALLS_PER_SECOND, HealthOmicsConfig
from wes_daemon.adapters.providers.healthomics.provider import HealthOmicsProvider
from wes_daemon.adapters.providers.local.provider import LocalProvider
from wes_daemon.adapters.providers.sevenbridges.config import SevenBridgesConfig
from wes_daemon.adapters.providers.sevenbridges.provider import SevenBridgesProvider
from wes_daemon.adapters.resilience.call_gate import LeaseCheckedGate, RateLimiter, account_name
from wes_daemon.adapters.resilience.rates import Rate, read_rates, read_window
from wes_daemon.adapters.resilience.stack import decorated
from wes_daemon.adapters.system import RandomIds, SilentChangeFeed, SystemClock, TimedWakeUp, sleep
from wes_daemon.adapters.telemetry import LoggingTelemetry
from wes_daemon.application.following.cancel_runs import CancelRuns
from wes_daemon.application.following.find_ended import FindEnded, SearchPolicy
from wes_daemon.application.following.follow_events import FollowEvents
from wes_daemon.application.following.refresh_policy import RefreshPolicy
from wes_daemon.application.following.refresh_statuses import RefreshStatuses
from wes_daemon.application.following.status_recorder import StatusRecorder
from wes_daemon.application.ports.call_gate import ALL_OPERATIONS
from wes_daemon.application.ports.environment import Clock
from wes_daemon.application.ports.errors import Rejected
from wes_daemon.application.ports.providers import WorkflowProvider
from wes_daemon.application.ports.quotas import SharedQuotas
from wes_daemon.application.ports.telemetry import Telemetry
from wes_daemon.application.ports.unit_of_work import UnitsOfWork
from wes_daemon.application.ports.wakeup import ChangeFeed
from wes_daemon.application.ports.work_probe import WorkProbe
from wes_daemon.application.reconciling.delete_drafts import DeleteDrafts
from wes_daemon.application.reconciling.discrepancies import Tolerances
from wes_daemon.application.reconciling.reconcile import Reconcile
from wes_daemon.application.reconciling.repairing import Repairer
from wes_daemon.application.reconciling.resolve_review import ResolveReview
from wes_daemon.application.reconciling.verify import Verify
from wes_daemon.application.requests.create_run import CreateRun
from wes_daemon.application.requests.get_run import GetRun
from wes_daemon.application.requests.list_runs import ListRuns
from wes_daemon.application.requests.request_cancel import RequestCancel
from wes_daemon.application.runtime.daemon import Daemon, PeriodicTask
from wes_daemon.application.runtime.daemon_session import DaemonSession, HostProcess
from wes_daemon.application.runtime.outage_log import OutageLog
from wes_daemon.application.runtime.pacing import IfWorkFound, UrgentOrFullPass
from wes_daemon.application.runtime.recording import Recorder
from wes_daemon.application.runtime.stop_signal import StopSignal
from wes_daemon.application.runtime.work_probe import ProviderWorkProbe
from wes_daemon.application.submitting.submission_policy import SubmissionPolicy
from wes_daemon.application.submitting.submit_queued_runs import SubmitQueuedRuns, SubmitReport
from wes_daemon.bootstrap.settings import ConfigurationError, Settings
from wes_daemon.domain.runs import ProviderType

# Beside the workers: heartbeat, refresh, cancel, and somebody who reads.
_FURTHER_CONNECTIONS = 8
_FOLLOWING_THREADS = 4
# Beats call providers in their own threads, too: submit, cancel, refresh, the removal of drafts; and somebody may ask.
_CALLING_BEATS = 8
# One that is called, and two that wait, lest a worker waits for the next claim.
_CLAIMED_PER_WORKER = 3
_TIDY_UP = timedelta(hours=1)
_BETWEEN_EVENTS = timedelta(seconds=1)
_LONGEST_CONNECT = timedelta(seconds=5)
_LONGEST_READ = timedelta(seconds=60)
# How soon after the end of a lease somebody looks what its daemon has left.
_LOOK_FOR_ORPHANS = timedelta(seconds=5)
# Many commits in a row make one pass; both are short for a person.
_BETWEEN_HINTS = timedelta(milliseconds=20)
_BETWEEN_CANCELS = timedelta(seconds=1)


def _engine(settings: Settings) -> Engine:
    if settings.database_uri is None:
        raise ConfigurationError(
            "DATABASE_URI: not set. Name the database, such as postgresql://user:password@host/name or "
            "sqlite:////path/to/file, in the environment, in .env, or by --db-uri"
        )
    return make_engine(settings.database_uri.get_secret_value(), connections=settings.workers + _FURTHER_CONNECTIONS)


def _change_feed(settings: Settings, engine: Engine) -> ChangeFeed:
    if not settings.wake_up:
        return SilentChangeFeed()
    # An engine that connects as the other one does, for a connection that belongs to nobody else.
    return DatabaseChangeFeed(make_engine(engine.url.render_as_string(hide_password=False), connections=1))


def _host_process() -> HostProcess:
    return HostProcess(host=socket.gethostname(), pid=os.getpid(), version=version("wes-daemon"))


def _person() -> str:
    """Who is at the command line, for timelines."""
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"
    except (KeyError, OSError):
        return f"uid-{os.getuid()}@{socket.gethostname()}"


def _sevenbridges(
    settings: Settings, telemetry: Telemetry, clock: Clock, daemon_session: DaemonSession, quotas: SharedQuotas
) -> WorkflowProvider:
    credentials, project = settings.sevenbridges_credentials, settings.sevenbridges_project
    if credentials is None or project is None:
        raise Rejected(
            "Seven Bridges is not set up here: set SEVENBRIDGES_API_TOKEN and SEVENBRIDGES_PROJECT, "
            "or name another provider by the tag provider_type or by DAEMON_DEFAULT_PROVIDER"
        )
    limit = settings.sevenbridges_rate_limit
    limiter = RateLimiter(
        {} if limit == "off" else {ALL_OPERATIONS: read_window(limit)},
        quotas=quotas,
        account=account_name("sevenbridges", credentials.endpoint, credentials.token),
        clock=clock,
        sleep=sleep,
    )
    connect, read = _timeouts(settings)
    config = SevenBridgesConfig(
        endpoint=credentials.endpoint,
        token=credentials.token,
        project=project,
        connect_timeout=connect,
        read_timeout=read,
        connections=_calls_at_once(settings),
    )
    gate = LeaseCheckedGate(limiter, require_trust=daemon_session.require_trust, longest_request=connect + read)
    provider = SevenBridgesProvider(config, clock=clock, gate=gate)
    return decorated(provider, ProviderType.SEVENBRIDGES, telemetry=telemetry, clock=clock, sleep=sleep)


def _healthomics(
    settings: Settings, telemetry: Telemetry, clock: Clock, daemon_session: DaemonSession, quotas: SharedQuotas
) -> WorkflowProvider:
    limits = settings.aws_healthomics_rate_limits
    defaults = {operation: Rate(calls=calls) for operation, calls in CALLS_PER_SECOND.items()}
    limiter = RateLimiter(
        {} if limits == "off" else defaults | read_rates(limits),
        quotas=quotas,
        account=account_name("healthomics", settings.aws_region, _aws_account(settings)),
        clock=clock,
        sleep=sleep,
    )
    config = _healthomics_config(settings)
    gate = LeaseCheckedGate(
        limiter, require_trust=daemon_session.require_trust, longest_request=_longest_request(settings)
    )
    provider = HealthOmicsProvider(config, clock=clock, gate=gate)
    return decorated(provider, ProviderType.HEALTHOMICS, telemetry=telemetry, clock=clock, sleep=sleep)


def _healthomics_config(settings: Settings) -> HealthOmicsConfig:
    connect, read = _timeouts(settings)
    return HealthOmicsConfig(
        region=settings.aws_region,
        role_arn=settings.aws_healthomics_workflow_role_arn,
        output_uri=settings.aws_healthomics_output_uri,
        access_key_id=_revealed(settings.aws_access_key_id),
        secret_access_key=_revealed(settings.aws_secret_access_key),
        session_token=_revealed(settings.aws_session_token),
        resend_horizon=timedelta(seconds=settings.aws_healthomics_resend_horizon_seconds),
        connect_timeout=connect,
        read_timeout=read,
        connections=_calls_at_once(settings),
    )


def _aws_account(settings: Settings) -> str:
    """What tells one account from another without asking AWS: keys come and go, the role's account stays."""
    role = (settings.aws_healthomics_workflow_role_arn or "").split(":")
    return role[4] if len(role) > 4 else _revealed(settings.aws_access_key_id) or ""


def _calls_at_once(settings: Settings) -> int:
    """Every thread that may call a provider has a connection of its own to it."""
    pools = settings.workers + 2 * _FOLLOWING_THREADS
    return pools + _CALLING_BEATS


def _timeouts(settings: Settings) -> tuple[timedelta, timedelta]:
    """For connecting and for reading: half a lease together, of which more is always left while the heart beats."""
    return min(_LONGEST_CONNECT, settings.lease / 12), min(_LONGEST_READ, settings.lease * 5 / 12)


def _longest_request(settings: Settings) -> timedelta:
    connect, read = _timeouts(settings)
    return connect + read


def _revealed(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret else None


def _local(settings: Settings, telemetry: Telemetry, clock: Clock) -> WorkflowProvider:
    if settings.local_workdir is None:
        raise Rejected(
            "the local provider is off here: whoever runs the daemon can switch it on by setting DAEMON_LOCAL_WORKDIR "
            "to a directory, which lets everybody who can queue a run execute commands on the daemon's machine"
        )
    return decorated(
        LocalProvider(settings.local_workdir, clock=clock),
        ProviderType.LOCAL,
        telemetry=telemetry,
        clock=clock,
        sleep=sleep,
    )


def _submission_policy(settings: Settings) -> SubmissionPolicy:
    return SubmissionPolicy(
        concurrency_limit=settings.max_concurrent_workflows,
        per_provider_limits=settings.provider_caps,
        share_tag=settings.fair_share_tag,
        timeout=settings.submit_timeout,
        attempts=settings.submit_attempts,
        batch=settings.workers * _CLAIMED_PER_WORKER,
        default_provider=settings.default_provider,
        first_poll_after=settings.status_check_floor,
    )


def _refresh_policy(settings: Settings) -> RefreshPolicy:
    return RefreshPolicy(
        interval=settings.status_check_interval,
        floor=settings.status_check_floor,
        lease=settings.lease,
        lost_after=settings.vanished_after,
    )


def _tolerances(settings: Settings) -> Tolerances:
    """The daemon has polled a run twice before a difference counts as a discrepancy."""
    return Tolerances(recent=max(Tolerances().recent, settings.status_check_interval * 2))


def _daemon_here() -> str:
    """Who tidies up, for timelines."""
    return f"wes-daemon@{socket.gethostname()}"


def _reminder(settings: Settings) -> timedelta:
    """How long a provider has to end a run before it is told again."""
    return max(settings.status_check_interval, timedelta(minutes=1))


def _loops(
    settings: Settings,
    clock: Clock,
    daemon_session: DaemonSession,
    work_probe: WorkProbe,
    submit: Callable[..., SubmitQueuedRuns],
    cancel: Callable[..., CancelRuns],
    refresh: Callable[..., RefreshStatuses],
    find_ended: Callable[..., FindEnded],
    delete_drafts: Callable[..., DeleteDrafts],
    hearing: Sequence[PeriodicTask],
) -> list[PeriodicTask]:
    """A heartbeat, and for each provider beats of its own, so that one that hangs does not hold up the others."""
    often = min(settings.poll_interval, settings.status_check_interval)
    loops = [PeriodicTask(name="heartbeat", work=daemon_session.renew, every=settings.lease / 4)]
    for type in ProviderType:
        serving = frozenset({type})
        probe = ProviderWorkProbe(work_probe, daemon_session, serving=type, default=settings.default_provider)
        loops += [
            _submitting(settings, clock, probe, submit(serving=serving), type),
            _cancelling(probe, cancel(serving=serving), type, often),
            *_following(settings, probe, refresh(serving=serving), find_ended, type),
            PeriodicTask(name=f"delete-drafts-{type}", work=delete_drafts(serving=serving), every=_TIDY_UP),
        ]
    return [*loops, *hearing]


def _submitting(
    settings: Settings, clock: Clock, probe: ProviderWorkProbe, submit: SubmitQueuedRuns, type: ProviderType
) -> PeriodicTask:
    """Queued runs are looked for as often as is configured, what daemons have left behind every few seconds.

    So are, for a while, those that were put off, lest a spent budget of seconds costs a whole interval.
    """
    work = UrgentOrFullPass(
        full=IfWorkFound(submit, probe.has_queued_runs, probe.has_takeovers, probe.has_runs_to_adopt),
        urgent=IfWorkFound(submit.resolve_takeovers, probe.has_takeovers),
        every=settings.poll_interval,
        clock=clock,
        leaves_work=_leaves_work,
    )
    announced = IfWorkFound(submit.submit_announced, probe.has_queued_runs)
    return PeriodicTask(
        name=f"submit-{type}",
        work=work,
        every=min(settings.poll_interval, _LOOK_FOR_ORPHANS),
        on_hint=lambda: work.note_report(announced()),
        rest=_BETWEEN_HINTS,
    )


def _leaves_work(report: object) -> bool:
    return isinstance(report, SubmitReport) and report.to_retry > 0


def _following(
    settings: Settings,
    probe: ProviderWorkProbe,
    refresh: RefreshStatuses,
    find_ended: Callable[..., FindEnded],
    type: ProviderType,
) -> Sequence[PeriodicTask]:
    """Runs are asked for in their turn, and at once when a list tells that they have ended."""
    often = min(settings.poll_interval, settings.status_check_floor)
    find = find_ended(serving=frozenset({type}), refresh=refresh)
    return (
        PeriodicTask(name=f"refresh-{type}", work=IfWorkFound(refresh, probe.has_due_polls), every=often),
        PeriodicTask(name=f"find-ended-{type}", work=find, every=settings.status_check_floor),
    )


def _cancelling(probe: ProviderWorkProbe, cancel: CancelRuns, type: ProviderType, every: timedelta) -> PeriodicTask:
    """What a hint cannot announce is looked for in its time only: that costs more, the more runs there are."""
    return PeriodicTask(
        name=f"cancel-{type}",
        work=IfWorkFound(cancel, probe.has_cancelled_runs, probe.has_runs_ended_elsewhere),
        every=every,
        on_hint=IfWorkFound(cancel, probe.has_cancelled_runs),
        rest=_BETWEEN_CANCELS,
    )


def _hearing(
    settings: Settings, clock: Clock, units: UnitsOfWork, stop: StopSignal, refresh: Callable[..., RefreshStatuses]
) -> Sequence[PeriodicTask]:
    """Events are waited for where there is a queue for them; the wait is at the queue."""
    if settings.aws_healthomics_events_queue_url is None:
        return ()
    queue = SqsHints(settings.aws_healthomics_events_queue_url, _healthomics_config(settings))
    follow = FollowEvents(
        source=InterruptibleSource(queue, stop),
        provider=ProviderType.HEALTHOMICS,
        units=units,
        refresh=refresh(serving=frozenset({ProviderType.HEALTHOMICS})),
        clock=clock,
        stop=stop,
    )
    return (PeriodicTask(name=f"events-{ProviderType.HEALTHOMICS}", work=follow, every=_BETWEEN_EVENTS),)


def _by_type(**makers: Any) -> Mapping[ProviderType, Any]:
    return {ProviderType(name): maker for name, maker in makers.items()}


class Container(containers.DeclarativeContainer):
    """Wires the package. Give `settings`, then call what is wanted: `container.daemon()`, `container.create_run()`."""

    settings = providers.Dependency(instance_of=Settings)

    clock = providers.Singleton(SystemClock)
    ids = providers.Singleton(RandomIds)
    wakeup = providers.Singleton(TimedWakeUp)
    stop = providers.Singleton(StopSignal)
    telemetry = providers.Singleton(LoggingTelemetry)

    engine = providers.Singleton(_engine, settings)
    schema = providers.Singleton(Schema, engine)
    units = providers.Singleton(SqlUnitsOfWork, engine)
    queries = providers.Singleton(SqlRunQueries, engine)
    work_probe = providers.Singleton(SqlWorkProbe, engine)
    change_feed = providers.Singleton(_change_feed, settings, engine)
    checks = providers.Singleton(SqlChecks, engine)
    quotas = providers.Singleton(SqlQuotas, engine)
    outage_log = providers.Singleton(OutageLog, clock)

    daemon_session = providers.Singleton(
        DaemonSession,
        units=units,
        ids=ids,
        clock=clock,
        process=providers.Callable(_host_process),
        lasting=settings.provided.lease,
    )
    directory = providers.Singleton(
        LazyProviderDirectory,
        providers.Callable(
            _by_type,
            sevenbridges=providers.Callable(_sevenbridges, settings, telemetry, clock, daemon_session, quotas).provider,
            healthomics=providers.Callable(_healthomics, settings, telemetry, clock, daemon_session, quotas).provider,
            local=providers.Callable(_local, settings, telemetry, clock).provider,
        ),
    )

    recorder = providers.Singleton(
        Recorder,
        units=units,
        clock=clock,
        telemetry=telemetry,
        daemon_session=daemon_session,
        wakeup=wakeup,
        stop=stop,
        outage_log=outage_log,
    )

    submission_policy = providers.Callable(_submission_policy, settings)
    submit_queued_runs = providers.Factory(
        SubmitQueuedRuns,
        units=units,
        recorder=recorder,
        providers=directory,
        daemon_session=daemon_session,
        clock=clock,
        pool=providers.Factory(ThreadPoolExecutor, settings.provided.workers, thread_name_prefix="submit"),
        stop=stop,
        policy=submission_policy,
    )
    cancel_runs = providers.Factory(
        CancelRuns,
        units=units,
        recorder=recorder,
        providers=directory,
        clock=clock,
        pool=providers.Factory(ThreadPoolExecutor, _FOLLOWING_THREADS, thread_name_prefix="cancel"),
        stop=stop,
        reminder_interval=providers.Callable(_reminder, settings),
        lease=settings.provided.lease,
    )
    refresh_policy = providers.Callable(_refresh_policy, settings)
    refresh_statuses = providers.Factory(
        RefreshStatuses,
        units=units,
        providers=directory,
        status_recorder=providers.Singleton(StatusRecorder, recorder=recorder, clock=clock, policy=refresh_policy),
        clock=clock,
        pool=providers.Factory(ThreadPoolExecutor, _FOLLOWING_THREADS, thread_name_prefix="refresh"),
        stop=stop,
        policy=refresh_policy,
    )

    find_ended = providers.Factory(
        FindEnded,
        watermarks=providers.Singleton(SqlWatermarks, engine),
        refresh=refresh_statuses,
        units=units,
        providers=directory,
        clock=clock,
        stop=stop,
        policy=providers.Factory(SearchPolicy, every=settings.provided.status_check_floor),
    )

    reconcile_queries = providers.Singleton(SqlReconcileQueries, engine)
    repair_units = providers.Singleton(SqlRepairUnits, engine)
    tolerances = providers.Callable(_tolerances, settings)
    delete_drafts = providers.Factory(
        DeleteDrafts,
        queries=reconcile_queries,
        providers=directory,
        repairer=providers.Factory(
            Repairer, units=repair_units, clock=clock, ids=ids, by=providers.Callable(_daemon_here)
        ),
        clock=clock,
        stop=stop,
        tolerances=tolerances,
    )
    reconcile = providers.Factory(
        Reconcile,
        queries=reconcile_queries,
        providers=directory,
        repairer=providers.Factory(Repairer, units=repair_units, clock=clock, ids=ids, by=providers.Callable(_person)),
        clock=clock,
    )

    create_run = providers.Factory(CreateRun, units=units, clock=clock, ids=ids, by=providers.Callable(_person))
    request_cancel = providers.Factory(RequestCancel, units=units, clock=clock, by=providers.Callable(_person))
    resolve_review = providers.Factory(
        ResolveReview,
        units=units,
        queries=queries,
        providers=directory,
        clock=clock,
        by=providers.Callable(_person),
    )
    get_run = providers.Factory(GetRun, queries=queries)
    list_runs = providers.Factory(ListRuns, queries=queries)
    verify = providers.Factory(
        Verify,
        checks=checks,
        concurrency_limit=settings.provided.max_concurrent_workflows,
        default_provider=settings.provided.default_provider,
    )

    daemon = providers.Singleton(
        Daemon,
        loops=providers.Callable(
            _loops,
            settings,
            clock,
            daemon_session=daemon_session,
            work_probe=work_probe,
            submit=submit_queued_runs.provider,
            cancel=cancel_runs.provider,
            refresh=refresh_statuses.provider,
            find_ended=find_ended.provider,
            delete_drafts=delete_drafts.provider,
            hearing=providers.Callable(_hearing, settings, clock, units, stop, refresh_statuses.provider),
        ),
        daemon_session=daemon_session,
        wakeup=wakeup,
        change_feed=change_feed,
        clock=clock,
        stop=stop,
        outage_log=outage_log,
    )
