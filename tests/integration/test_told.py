"""Daemons that look once in an hour: what another connection commits reaches them at once, by word of the database."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from dependency_injector import providers
from sqlalchemy import Engine

from tests.integration.conftest import Database
from tests.integration.persistence.conftest import disposed
from tests.integration.persistence.harness import SqlHarness
from wes_daemon import Container, read_settings
from wes_daemon.adapters.memory.providers import MemoryProvider, MemoryProviderDirectory
from wes_daemon.adapters.persistence.engine import make_engine
from wes_daemon.domain.runs import ProviderType
from wes_daemon.domain.states import RunState

BOUND = 30.0


class Told:
    """A daemon with a provider in memory, and a service that writes by connections of its own."""

    def __init__(self, database: Database, engine: Engine) -> None:
        self.provider = MemoryProvider()
        self.service = SqlHarness(engine)
        found = read_settings(
            database_uri=database.uri,
            default_provider="local",
            max_concurrent_workflows=1000,
            poll_interval_seconds=3600,
            status_check_interval_seconds=3600,
        )
        self.container = Container(settings=found)
        directory = MemoryProviderDirectory(dict.fromkeys(ProviderType, self.provider))
        self.container.directory.override(providers.Object(directory))
        self._thread = threading.Thread(target=self.container.daemon().run)

    def start(self) -> None:
        """Let the daemon work; return when it has found that there is nothing to do."""
        self._thread.start()
        self.until(lambda: bool(self.container.queries().daemons()))
        # What is found from here on is found by a hint: the first looks are over.
        self.service.queue("the-first")
        self.until(lambda: len(self.provider.started) == 1)

    def stop(self) -> None:
        """Let it end."""
        self.container.daemon().stop()
        self._thread.join(BOUND)
        assert not self._thread.is_alive()
        self.container.engine().dispose()

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
def told(database: Database, service_engine: Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Told]:
    """One that works."""
    monkeypatch.chdir(tmp_path)
    told = Told(database, service_engine)
    told.start()
    yield told
    told.stop()


def test_runs_that_a_service_queues_are_submitted_long_before_the_next_look(told: Told) -> None:
    for number in range(3):
        told.service.queue(f"run-{number}")
        told.until_started(number + 2)


def test_a_run_that_a_service_cancels_is_cancelled_long_before_the_next_look(told: Told) -> None:
    told.service.queue("run-1")
    told.until(lambda: told.service.row("run-1").state == "INITIALIZING")

    told.service.move("run-1", RunState.CANCELING)

    told.until(lambda: len(told.provider.cancelled) == 1)


def test_a_hundred_runs_that_are_queued_at_once_are_all_submitted(told: Told) -> None:
    told.service.queue(*(f"run-{number}" for number in range(100)))

    told.until(lambda: len(told.provider.started) == 101)
