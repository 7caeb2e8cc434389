"""Two daemons on one database, one of which has lost its credentials: it harms no run that the other one serves."""

import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from dependency_injector import providers

from tests.builders import a_report, a_request
from tests.integration.conftest import Database
from wes_daemon import Application, MemoryProvider, MemoryProviderDirectory, RunFilter, RunState, read_settings
from wes_daemon.adapters.system import TimedWakeUp
from wes_daemon.bootstrap.application import application_of
from wes_daemon.bootstrap.container import Container
from wes_daemon.domain.runs import ProviderType

RUNS = 50
TICK = timedelta(milliseconds=100)
BOUND = 60
SEVENBRIDGES = ProviderType.SEVENBRIDGES


class Replica:
    """A daemon that runs in threads of this process."""

    def __init__(self, database: Database, provider: MemoryProvider | None) -> None:
        given = {"sevenbridges_api_token": "not-a-token", "sevenbridges_project": "lab/genomes"} if provider else {}
        settings = read_settings(
            database_uri=database.uri,
            max_concurrent_workflows=1000,
            poll_interval=0.5,
            status_check_interval=0.2,
            status_check_floor=0.1,
            submit_timeout=1,
            **given,
        )
        container = Container(settings=settings)
        if provider:
            container.directory.override(providers.Object(MemoryProviderDirectory({SEVENBRIDGES: provider})))
        self.application: Application = application_of(container)
        self._thread = threading.Thread(target=self.application.daemon().run)

    def __enter__(self) -> Application:
        self._thread.start()
        return self.application

    def __exit__(self, *_: object) -> None:
        self.application.daemon().stop()
        self._thread.join(BOUND)
        self.application.close()


def until(holds: Callable[[], bool]) -> None:
    wakeup = TimedWakeUp()
    for _ in range(BOUND * 10):
        if holds():
            return
        wakeup.wait(TICK)
    raise AssertionError("it does not hold")


@pytest.fixture(autouse=True)
def _nothing_is_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("SEVENBRIDGES_API_TOKEN", "SEVENBRIDGES_PROJECT", "SEVENBRIDGES_PROFILE"):
        monkeypatch.delenv(name, raising=False)


def test_of_fifty_runs_none_ends_because_one_of_two_replicas_has_no_credentials(database: Database) -> None:
    """The time for which a submission may fail is short here: a run that the poor replica claims would end at once."""
    provider = MemoryProvider()
    with Replica(database, provider) as rich:
        until(lambda: rich.published_providers().get(SEVENBRIDGES) == "")
        with Replica(database, None) as poor:
            until(lambda: len(rich.daemons()) == 2)
            for _ in range(RUNS):
                poor.create_run(a_request())

            def all_have_ended() -> bool:
                for id in list(provider._provider_runs):
                    provider.put(id, a_report(RunState.COMPLETE))
                return all(record.run.state.has_ended for record in rich.list_runs(RunFilter(limit=RUNS)))

            until(all_have_ended)
            records = poor.list_runs(RunFilter(limit=RUNS))

    assert [record.run.state for record in records] == [RunState.COMPLETE] * RUNS
    assert len(provider.started) == len(set(provider.started)) == RUNS


def test_a_run_waits_for_the_replica_that_serves_its_provider_to_come_back(database: Database) -> None:
    with Replica(database, None) as poor:
        until(lambda: len(poor.daemons()) == 1)
        run_id = poor.create_run(a_request())
        until(lambda: poor.get_run(run_id).unserved is not None)
        reason = poor.get_run(run_id).unserved

    assert reason is not None
    assert reason.startswith("no daemon serves the provider sevenbridges: it is not set up: set SEVENBRIDGES_API_TOKEN")
