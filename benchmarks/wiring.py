"""The daemon as the container builds it, optionally with the providers of a benchmark."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager

from dependency_injector import providers

from benchmarks.figure import NotMeasured
from wes_daemon.adapters.memory.providers import MemoryProviderDirectory
from wes_daemon.adapters.resilience.stack import decorated
from wes_daemon.adapters.system import sleep
from wes_daemon.application.ports.providers import WorkflowProvider
from wes_daemon.application.runtime.daemon_session import renewing_lease
from wes_daemon.bootstrap.container import Container
from wes_daemon.bootstrap.settings import read_settings
from wes_daemon.domain.runs import ProviderType

_STOP_SECONDS = 20
_UNLIMITED = 1_000_000


def container_on(
    uri: str, given: Mapping[ProviderType, WorkflowProvider] | None = None, **settings: object
) -> Container:
    """Return a container on this database, with unlimited concurrency; `given` replaces all providers."""
    chosen = {"max_concurrent_workflows": _UNLIMITED, **settings}
    container = Container(settings=read_settings(database_uri=uri, **chosen))
    if given is not None:
        directory = MemoryProviderDirectory(
            {
                type: decorated(provider, type, telemetry=container.telemetry(), clock=container.clock(), sleep=sleep)
                for type, provider in given.items()
            }
        )
        container.directory.override(providers.Object(directory))
    return container


def alive(container: Container) -> AbstractContextManager[None]:
    """Renew the lease during the block, for use cases that are called without a daemon."""
    session = container.daemon_session()
    return renewing_lease(session, every=session.heartbeat_interval, outage_log=container.outage_log())


@contextmanager
def working(container: Container) -> Iterator[None]:
    """Run the daemon during the block."""
    daemon = container.daemon()
    thread = threading.Thread(target=daemon.run, name="daemon", daemon=True)
    thread.start()
    try:
        yield
    finally:
        daemon.stop()
        thread.join(_STOP_SECONDS)
    if thread.is_alive():
        raise NotMeasured("the daemon did not stop")
