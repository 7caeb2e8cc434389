"""Daemons that poll once in an hour: the change feed reports commits of other connections to them at once."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from dependency_injector import providers
from sqlalchemy import Engine

from tests.builders import ALL_PROVIDERS
from tests.integration.conftest import Database
from tests.integration.persistence.conftest import disposed
from tests.integration.persistence.harness import SqlHarness
from wes_daemon import read_settings
from wes_daemon.adapters.memory.providers import MemoryProvider, MemoryProviderDirectory
from wes_daemon.adapters.persistence.engine import make_engine
from wes_daemon.bootstrap.application import application_of
from wes_daemon.bootstrap.container import Container
from wes_daemon.domain.states import RunState

BOUND = 30.0


class SlowPollingDaemon:
    """A daemon with a provider in memory, and a service that writes by connections of its own."""

    def __init__(self, database: Database, engine: Engine) -> None:
        self.provider = MemoryProvider()
        self.service = SqlHarness(engine)
        found = read_settings(
            database_uri=database.uri,
            default_provider="local",
            max_concurrent_workflows=1000,
            poll_interval=3600,
            status_check_interval=3600,
        )
        container = Container(settings=found)
        directory = MemoryProviderDirectory(dict.fromkeys(ALL_PROVIDERS, self.provider))
        container.directory.override(providers.Object(directory))
        self.application = application_of(container)
        self._thread = threading.Thread(target=self.application.daemon().run)

    def start(self) -> None:
        """Let the daemon work; return when it has found that there is nothing to do."""
        self._thread.start()
        self.until(lambda: bool(self.application.daemons()))
        # What is found from here on is found by a hint: the first passes are over.
        self.service.queue("the-first")
        self.until(lambda: len(self.provider.started) == 1)

    def stop(self) -> None:
        """Let it end."""
        self.application.daemon().stop()
        self._thread.join(BOUND)
        assert not self._thread.is_alive()
        self.application.close()

    def until_started(self, runs: int) -> None:
        """Wait until the provider has started so many."""
        self.until(lambda: len(self.provider.started) == runs)

    def until(self, holds: Callable[[], bool]) -> None:
        """Wait until it holds, for a while."""
        for _ in range(int(BOUND / 0.02)):
            if holds():
                return
            threading.Event().wait(0.02)
        raise AssertionError("it does not hold")


@pytest.fixture
def service_engine(database: Database) -> Iterator[Engine]:
    """Connections of a service's own."""
    with disposed(make_engine(database.uri, connections=2)) as engine:
        yield engine


@pytest.fixture
def daemon(
    database: Database, service_engine: Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[SlowPollingDaemon]:
    """One that works."""
    monkeypatch.chdir(tmp_path)
    daemon = SlowPollingDaemon(database, service_engine)
    daemon.start()
    yield daemon
    daemon.stop()


def test_runs_that_a_service_queues_are_submitted_long_before_the_next_poll(daemon: SlowPollingDaemon) -> None:
    for number in range(3):
        daemon.service.queue(f"run-{number}")
        daemon.until_started(number + 2)


def test_a_run_that_a_service_cancels_is_cancelled_long_before_the_next_poll(daemon: SlowPollingDaemon) -> None:
    daemon.service.queue("run-1")
    daemon.until(lambda: daemon.service.row("run-1").state == "INITIALIZING")

    daemon.service.move("run-1", RunState.CANCELING)

    daemon.until(lambda: len(daemon.provider.cancelled) == 1)


@pytest.mark.parametrize("state", [RunState.CANCELED, RunState.SYSTEM_ERROR])
def test_a_run_that_a_service_ends_is_cancelled_long_before_the_next_poll(
    daemon: SlowPollingDaemon, state: RunState
) -> None:
    daemon.service.queue("run-1")
    daemon.until(lambda: daemon.service.row("run-1").state == "INITIALIZING")

    daemon.service.move("run-1", state)

    daemon.until(lambda: len(daemon.provider.cancelled) == 1)
    assert daemon.service.row("run-1").state == state


def test_a_run_whose_row_a_service_deletes_is_cancelled_long_before_the_next_poll(daemon: SlowPollingDaemon) -> None:
    daemon.service.queue("run-1")
    daemon.until(lambda: daemon.service.row("run-1").state == "INITIALIZING")

    daemon.service.remove("run-1")

    daemon.until(lambda: len(daemon.provider.cancelled) == 1)


def test_a_hundred_runs_that_are_queued_at_once_are_all_submitted(daemon: SlowPollingDaemon) -> None:
    daemon.service.queue(*(f"run-{number}" for number in range(100)))

    daemon.until(lambda: len(daemon.provider.started) == 101)
