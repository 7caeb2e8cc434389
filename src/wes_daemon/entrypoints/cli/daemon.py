"""The daemon itself: what `wes-daemon` does when it is called without a sub-command."""

import logging
import os
import sys
import threading
from concurrent.futures import Future
from contextlib import suppress
from datetime import timedelta
from importlib.metadata import version
from typing import TYPE_CHECKING

import click

from wes_daemon.entrypoints.cli.process import StopOnSignals, collect_garbage_seldom, leave_at_once

if TYPE_CHECKING:
    from wes_daemon.bootstrap.container import Container
    from wes_daemon.bootstrap.settings import Settings

_log = logging.getLogger(__name__)

_DATABASE_RETRY = timedelta(seconds=3)
_LOOK_SECONDS = 0.1
_START = "start"


def run_daemon(ctx: click.Context) -> int:
    """Work until a signal comes. Signals count from the first moment on, also while the database is away."""
    with StopOnSignals(late_code=0) as signals:
        from wes_daemon.entrypoints.cli.session import container_for, log_as_configured, read

        settings = read(ctx)
        log_as_configured(ctx, settings, sys.stdout)
        _require_a_database(settings)
        with container_for(settings) as container:
            _say_what_holds(settings)
            daemon = container.daemon()
            signals.call(daemon.stop)
            collect_garbage_seldom()
            if not (_is_prepared(container) and daemon.run()):
                # What hangs in a call holds threads that the interpreter would wait for.
                leave_at_once(0)
    return 0


def _require_a_database(settings: "Settings") -> None:
    """Say of a name that is not set which one was perhaps meant; without such a name the container says the rest."""
    from wes_daemon.bootstrap.settings import ConfigurationError
    from wes_daemon.entrypoints.cli.databases import misspelt_database

    if settings.database_uri is None and (hint := misspelt_database()):
        raise ConfigurationError(f"DATABASE_URI is not set{hint}")


def _say_what_holds(settings: "Settings") -> None:
    from wes_daemon.application.runtime.event_log import log_event
    from wes_daemon.bootstrap.settings import ENV_FILE, misspelt, names_in_env_file
    from wes_daemon.entrypoints.cli.databases import shown_database

    for where, names in (("environment", os.environ), (ENV_FILE, names_in_env_file())):
        for name, meant in misspelt(names):
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
        local_workdir=settings.local_workdir or "off",
    )


def _is_prepared(container: "Container") -> bool:
    """Whether the database can be worked with; False where a signal came before it could."""
    prepared: Future[None] = Future()
    # A connection attempt may hang for many seconds, and the thread that makes it hears no signal.
    threading.Thread(target=_prepare, args=(container, prepared), name="prepare", daemon=True).start()
    while not container.stop().is_raised:
        with suppress(TimeoutError):
            prepared.result(timeout=_LOOK_SECONDS)
            return True
    return False


def _prepare(container: "Container", prepared: "Future[None]") -> None:
    try:
        _await_database(container)
    except BaseException as error:  # noqa: BLE001 - it is raised again, by the thread that waits for the result
        prepared.set_exception(error)
    else:
        prepared.set_result(None)


def _await_database(container: "Container") -> None:
    from wes_daemon.application.ports.errors import StorageUnavailable

    schema, outage_log = container.schema(), container.outage_log()
    prepare = schema.upgrade if container.settings().auto_migrate else schema.check
    while not container.stop().is_raised:
        begun = outage_log.begins()
        try:
            prepare()
            return outage_log.worked(_START)
        except StorageUnavailable as error:
            outage_log.failed(_START, error, during=_START, begun=begun)
            container.wakeup().wait(_DATABASE_RETRY)
