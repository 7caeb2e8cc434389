"""The composition root: builds every object of the package from the settings."""

import os
import socket
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from getpass import getuser
from importlib.metadata import version

from dependency_injector import containers, providers
from sqlalchemy import Engine

from wes_daemon.adapters.persistence.change_feed import DatabaseChangeFeed
from wes_daemon.adapters.persistence.checks import SqlChecks
from wes_daemon.adapters.persistence.engine import make_engine
from wes_daemon.adapters.persistence.published_providers import SqlPublishedProviders
from wes_daemon.adapters.persistence.queries import SqlRunQueries
from wes_daemon.adapters.persistence.quotas import SqlQuotas
from wes_daemon.adapters.persistence.reconcile_queries import SqlReconcileQueries, SqlRepairUnits
from wes_daemon.adapters.persistence.schema import Schema
from wes_daemon.adapters.persistence.unit_of_work import SqlUnitsOfWork
from wes_daemon.adapters.persistence.watermarks import SqlWatermarks
from wes_daemon.adapters.persistence.work_probe import SqlWorkProbe
from wes_daemon.adapters.system import RandomIds, SilentChangeFeed, SystemClock, TimedWakeUp
from wes_daemon.adapters.telemetry import LoggingTelemetry
from wes_daemon.application.following.cancel_runs import CancelRuns
from wes_daemon.application.following.find_ended import FindEnded
from wes_daemon.application.following.refresh_statuses import RefreshStatuses
from wes_daemon.application.following.status_recorder import StatusRecorder
from wes_daemon.application.ports.errors import StorageMisconfigured
from wes_daemon.application.ports.providers import ProviderDirectory
from wes_daemon.application.ports.wakeup import ChangeFeed
from wes_daemon.application.reconciling.adopt_inherited_runs import AdoptInheritedRuns
from wes_daemon.application.reconciling.delete_drafts import DeleteDrafts
from wes_daemon.application.reconciling.reconcile import Reconcile
from wes_daemon.application.reconciling.repairing import Repairer
from wes_daemon.application.reconciling.resolve_review import ResolveReview
from wes_daemon.application.reconciling.verify import Verify
from wes_daemon.application.requests.create_run import CreateRun
from wes_daemon.application.requests.request_cancel import RequestCancel
from wes_daemon.application.runtime.daemon import Daemon
from wes_daemon.application.runtime.daemon_session import DaemonSession, HostProcess
from wes_daemon.application.runtime.outage_log import OutageLog
from wes_daemon.application.runtime.recording import Recorder
from wes_daemon.application.runtime.stop_signal import StopSignal
from wes_daemon.application.submitting.submission_policy import SubmissionPolicy
from wes_daemon.application.submitting.submit_queued_runs import SubmitQueuedRuns
from wes_daemon.application.submitting.unserved_runs import SettleUnservedRuns
from wes_daemon.bootstrap import policies
from wes_daemon.bootstrap.loops import daemon_loops, events_loops, unserved_submit
from wes_daemon.bootstrap.providers import ProviderFactory, published_providers
from wes_daemon.bootstrap.setting_problems import ConfigurationError
from wes_daemon.bootstrap.settings import Settings
from wes_daemon.domain.runs import ProviderType


def _engine(settings: Settings) -> Engine:
    if settings.database_uri is None:
        raise ConfigurationError(
            "DATABASE_URI: not set. Name the database, such as postgresql://user:password@host/name or "
            "sqlite:////path/to/file, in the environment, in .env, or by --db-uri"
        )
    try:
        return make_engine(
            settings.database_uri.get_secret_value(),
            connections=policies.database_connections(settings),
            daemon_schema=settings.daemon_schema,
        )
    except StorageMisconfigured as error:
        raise ConfigurationError(f"DATABASE_URI: {error}") from error


def _schema(settings: Settings, engine: Engine) -> Schema:
    return Schema(engine, creates_service_tables=settings.service_tables == "create")


def _change_feed(settings: Settings, engine: Engine) -> ChangeFeed:
    if not settings.wake_up:
        return SilentChangeFeed()
    # The change feed keeps its connection open all the time, so it has an engine of its own.
    return DatabaseChangeFeed(make_engine(engine.url.render_as_string(hide_password=False), connections=1))


def _host_process() -> HostProcess:
    return HostProcess(host=socket.gethostname(), pid=os.getpid(), version=version("wes-daemon"))


def _daemon_as_actor() -> str:
    """Return the actor of the daemon's own timeline entries."""
    return f"wes-daemon@{socket.gethostname()}"


def _person_as_actor() -> str:
    """Return the actor of the timeline entries that the user of this process causes."""
    try:
        return f"{getuser()}@{socket.gethostname()}"
    except (KeyError, OSError):
        return f"uid-{os.getuid()}@{socket.gethostname()}"


def _in_use(published: SqlPublishedProviders, policy: SubmissionPolicy) -> Collection[ProviderType]:
    return published.in_use(policy.destination)


def _directory(factory: ProviderFactory) -> ProviderDirectory:
    return factory.directory()


class Container(containers.DeclarativeContainer):
    """Builds everything; `application_of` returns what entrypoints call. Tests replace parts with `override`."""

    settings = providers.Dependency(instance_of=Settings)

    clock = providers.Singleton(SystemClock)
    ids = providers.Singleton(RandomIds)
    wakeup = providers.Singleton(TimedWakeUp)
    stop = providers.Singleton(StopSignal)
    telemetry = providers.Singleton(LoggingTelemetry)
    outage_log = providers.Singleton(OutageLog, clock)

    engine = providers.Singleton(_engine, settings)
    schema = providers.Singleton(_schema, settings, engine)
    units = providers.Singleton(SqlUnitsOfWork, engine)
    queries = providers.Singleton(SqlRunQueries, engine, engines=settings.provided.engine_providers)
    work_probe = providers.Singleton(SqlWorkProbe, engine)
    watermarks = providers.Singleton(SqlWatermarks, engine)
    checks = providers.Singleton(SqlChecks, engine)
    quotas = providers.Singleton(SqlQuotas, engine)
    reconcile_queries = providers.Singleton(
        SqlReconcileQueries, engine, known_providers=providers.Callable(policies.known_providers, settings)
    )
    repair_units = providers.Singleton(SqlRepairUnits, engine)
    change_feed = providers.Singleton(_change_feed, settings, engine)

    daemon_session = providers.Singleton(
        DaemonSession,
        units=units,
        ids=ids,
        clock=clock,
        process=providers.Callable(_host_process),
        lasting=settings.provided.lease,
        inherits=True,
        providers=providers.Callable(published_providers, settings),
    )
    provider_factory = providers.Singleton(
        ProviderFactory,
        settings=settings,
        telemetry=telemetry,
        clock=clock,
        daemon_session=daemon_session,
        quotas=quotas,
    )
    directory = providers.Singleton(_directory, provider_factory)
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

    submission_policy = providers.Callable(policies.submission_policy, settings)
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
        pool=providers.Factory(ThreadPoolExecutor, policies.FOLLOWING_THREADS, thread_name_prefix="cancel"),
        stop=stop,
        wakeup=wakeup,
        most_deleted=settings.provided.max_deleted_at_once,
        reminder_interval=providers.Callable(policies.cancel_reminder_interval, settings),
        lease=settings.provided.lease,
    )
    refresh_policy = providers.Callable(policies.refresh_policy, settings)
    refresh_statuses = providers.Factory(
        RefreshStatuses,
        units=units,
        providers=directory,
        status_recorder=providers.Singleton(StatusRecorder, recorder=recorder, clock=clock, policy=refresh_policy),
        clock=clock,
        pool=providers.Factory(ThreadPoolExecutor, policies.FOLLOWING_THREADS, thread_name_prefix="refresh"),
        stop=stop,
        policy=refresh_policy,
    )
    find_ended = providers.Factory(
        FindEnded,
        watermarks=watermarks,
        refresh=refresh_statuses,
        units=units,
        providers=directory,
        clock=clock,
        stop=stop,
        policy=providers.Callable(policies.search_policy, settings),
    )
    daemon_repairer = providers.Factory(
        Repairer, units=repair_units, clock=clock, ids=ids, by=providers.Callable(_daemon_as_actor)
    )
    delete_drafts = providers.Factory(
        DeleteDrafts,
        queries=reconcile_queries,
        providers=directory,
        repairer=daemon_repairer,
        clock=clock,
        stop=stop,
        tolerances=providers.Callable(policies.tolerances, settings),
    )

    published_providers_store = providers.Singleton(SqlPublishedProviders, engine)
    # These passes make no calls: one thread is enough.
    unserved_pool = providers.Singleton(ThreadPoolExecutor, 1, thread_name_prefix="unserved")
    settle_unserved_runs = providers.Singleton(
        SettleUnservedRuns,
        published=published_providers_store,
        providers=directory,
        reasons=providers.Callable(published_providers, settings),
        policy=providers.Callable(policies.unserved_policy, settings, submission_policy),
        recorder=recorder,
        clock=clock,
        work_probe=work_probe,
        daemon_session=daemon_session,
        submit_unknown=providers.Factory(submit_queued_runs, serving=frozenset({None}), pool=unserved_pool),
        make_submit=providers.Callable(
            unserved_submit, providers.Factory(submit_queued_runs, pool=unserved_pool).provider
        ),
        end_withdrawn=providers.Factory(cancel_runs, serving=frozenset(), pool=unserved_pool),
    )

    adopt_inherited_runs = providers.Singleton(
        AdoptInheritedRuns,
        queries=reconcile_queries,
        units=repair_units,
        providers=directory,
        repairer=daemon_repairer,
        clock=clock,
        stop=stop,
        default_provider=settings.provided.default_provider,
        destination=submission_policy.provided.destination,
        hint=wakeup.provided.hint,
    )

    person = providers.Callable(_person_as_actor)
    create_run = providers.Factory(CreateRun, units=units, clock=clock, ids=ids, by=person)
    request_cancel = providers.Factory(RequestCancel, units=units, clock=clock, by=person)
    resolve_review = providers.Factory(
        ResolveReview, units=units, queries=queries, providers=directory, clock=clock, by=person
    )
    verify = providers.Factory(
        Verify,
        checks=checks,
        concurrency_limit=settings.provided.max_concurrent_workflows,
        default_provider=settings.provided.default_provider,
        engine_providers=settings.provided.engine_providers,
        known_providers=providers.Callable(policies.known_providers, settings),
    )
    reconcile = providers.Factory(
        Reconcile,
        queries=reconcile_queries,
        providers=directory,
        repairer=providers.Factory(Repairer, units=repair_units, clock=clock, ids=ids, by=person),
        clock=clock,
        default_provider=settings.provided.default_provider,
        in_use=providers.Callable(_in_use, published_providers_store, submission_policy).provider,
    )

    daemon = providers.Singleton(
        Daemon,
        loops=providers.Callable(
            daemon_loops,
            settings,
            clock=clock,
            directory=directory,
            daemon_session=daemon_session,
            recorder=recorder,
            work_probe=work_probe,
            submit=submit_queued_runs.provider,
            cancel=cancel_runs.provider,
            refresh=refresh_statuses.provider,
            find_ended=find_ended.provider,
            delete_drafts=delete_drafts.provider,
            adopt_inherited_runs=adopt_inherited_runs,
            settle_unserved_runs=settle_unserved_runs,
            events=providers.Callable(
                events_loops,
                provider_factory,
                clock=clock,
                units=units,
                stop=stop,
                refresh=refresh_statuses.provider,
            ),
        ),
        daemon_session=daemon_session,
        wakeup=wakeup,
        change_feed=change_feed,
        clock=clock,
        stop=stop,
        outage_log=outage_log,
    )
