"""`wes-daemon` without a sub-command: runs the daemon until a signal stops it."""

import logging
import os
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from datetime import timedelta
from importlib.metadata import version
from typing import TYPE_CHECKING

import click

from wes_daemon.entrypoints.cli.process import StopOnSignals, collect_garbage_rarely, exit_now
from wes_daemon.entrypoints.cli.session import (
    log_as_configured,
    misspelt_database,
    open_application,
    settings_of,
    shown_database,
)

if TYPE_CHECKING:
    from wes_daemon.bootstrap.application import Application
    from wes_daemon.bootstrap.settings import Settings

_log = logging.getLogger(__name__)

_DATABASE_RETRY = timedelta(seconds=3)
_STOP_CHECK_SECONDS = 0.1
_START = "start"


def run_daemon(ctx: click.Context) -> int:
    """Run the daemon until a signal arrives; signals count from the start, also while the database is unavailable."""
    with StopOnSignals(late_code=0) as signals:
        settings = settings_of(ctx)
        log_as_configured(ctx, settings, sys.stdout)
        _require_database_uri(settings)
        with open_application(settings) as application:
            _log_settings(settings)
            daemon = application.daemon()
            signals.call(daemon.stop)
            collect_garbage_rarely()
            if not (_prepare_database(application) and daemon.run()):
                # The interpreter would wait for threads that hang in a call.
                exit_now(0)
    return 0


def _require_database_uri(settings: "Settings") -> None:
    """Report a misspelt DATABASE_URI; if nothing resembles it, building the application reports that it is not set."""
    from wes_daemon.bootstrap.setting_problems import ConfigurationError

    if settings.database_uri is None and (hint := misspelt_database()):
        raise ConfigurationError(f"DATABASE_URI is not set{hint}")


def _log_settings(settings: "Settings") -> None:
    from wes_daemon.application.runtime.event_log import log_event
    from wes_daemon.bootstrap.env_file import ENV_FILE, names_in_env_file
    from wes_daemon.bootstrap.plug_ins import unused_plugins
    from wes_daemon.bootstrap.setting_problems import misspelt
    from wes_daemon.bootstrap.settings import setting_names, setting_prefixes

    for where, names in (("environment", os.environ), (ENV_FILE, names_in_env_file())):
        for name, meant in misspelt(names, setting_names(), setting_prefixes()):
            log_event(_log, logging.WARNING, "settings.misspelt", name=name, meant=meant, where=where)
    log_event(
        _log,
        logging.INFO,
        "daemon.starting",
        version=version("wes-daemon"),
        pid=os.getpid(),
        database=shown_database(settings),
        poll_interval=settings.poll_interval,
        status_check_interval=settings.status_check_interval,
        max_concurrent_workflows=settings.max_concurrent_workflows,
        default_provider=settings.default_provider,
        providers=_enabled_providers(settings),
    )
    for name, each in settings.providers.items():
        if each.problem:
            level = logging.WARNING if each.needs_attention else logging.INFO
            log_event(_log, level, "provider.not_enabled", provider=name, reason=each.problem)
    for unused in unused_plugins():
        log_event(_log, logging.WARNING, "provider.not_enabled", provider=unused.name, reason=unused.problem)


def _enabled_providers(settings: "Settings") -> str:
    """Return the enabled providers, each with the place where its runs go."""
    enabled = (f"{name}={each.target}" for name, each in settings.providers.items() if each.is_enabled)
    return " ".join(enabled) or "none"


def _prepare_database(application: "Application") -> bool:
    """Return True when the database can be used, or False if a signal arrived before."""
    prepared: Future[None] = Future()
    # In a thread of its own: a connection attempt may hang for a long time, and a signal does not end it.
    threading.Thread(target=_prepare, args=(application, prepared), name="prepare", daemon=True).start()
    while not application.stop.is_raised:
        with suppress(TimeoutError):
            prepared.result(timeout=_STOP_CHECK_SECONDS)
            return True
    return False


def _prepare(application: "Application", prepared: "Future[None]") -> None:
    try:
        _wait_for_database(application)
    except BaseException as error:  # noqa: BLE001 - it is raised again, by the thread that waits for the result
        prepared.set_exception(error)
    else:
        prepared.set_result(None)


def _wait_for_database(application: "Application") -> None:
    from wes_daemon.application.ports.errors import ServiceTablesMissing, StorageUnavailable

    schema, outage_log, missing = application.schema, application.outage_log, MissingTablesLog()
    while not application.stop.is_raised:
        started = outage_log.started()
        try:
            if application.settings.auto_migrate:
                schema.upgrade()
            schema.check()
            outage_log.succeeded(_START)
            _log_limits(schema.limits())
            _log_missing_objects(schema.missing_objects())
            return missing.found()
        except ServiceTablesMissing as error:
            outage_log.succeeded(_START)
            missing.awaited(error)
        except StorageUnavailable as error:
            outage_log.failed(_START, error, during=_START, started=started)
        application.wakeup.wait(_DATABASE_RETRY)


def _log_limits(limits: Sequence[str]) -> None:
    from wes_daemon.application.runtime.event_log import log_event

    for limit in limits:
        log_event(_log, logging.WARNING, "database.limited", reason=limit)


def _log_missing_objects(names: Sequence[str]) -> None:
    from wes_daemon.adapters.persistence.errors import UPGRADE_COMMAND
    from wes_daemon.application.runtime.event_log import log_event

    if names:
        advice = f"run `{UPGRADE_COMMAND}` as the owner of the service's tables"
        log_event(_log, logging.WARNING, "database.objects_missing", objects=" ".join(names), advice=advice)


class MissingTablesLog:
    """Logs once for which tables of a service the daemon waits, and once that they have appeared."""

    def __init__(self) -> None:
        self._reason: str | None = None

    def awaited(self, error: Exception) -> None:
        """Log the reason unless it is the one that was logged last."""
        from wes_daemon.application.runtime.event_log import log_event

        if self._reason != str(error):
            self._reason = str(error)
            log_event(_log, logging.WARNING, "service_tables.awaited", reason=error)

    def found(self) -> None:
        """Log that the tables have appeared, if they were missing."""
        from wes_daemon.application.runtime.event_log import log_event

        if self._reason is not None:
            log_event(_log, logging.INFO, "service_tables.found")
