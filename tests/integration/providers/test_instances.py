"""Two Seven Bridges platforms under names of their own: each run goes to its own, and one does not delay the other."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from tests.builders import a_request
from tests.integration.providers.sevenbridges_fixtures import authority, trusted
from tests.integration.providers.sevenbridges_harness import APP, PORTS, PROJECT
from tests.simulators.sevenbridges.platform import Platform
from tests.simulators.sevenbridges.server import Authority, serving
from wes_daemon import RunFilter, RunState, read_settings
from wes_daemon.adapters.system import SystemClock
from wes_daemon.bootstrap.container import Container
from wes_daemon.domain.runs import ProviderType

__all__ = ["authority", "trusted"]

RUNS = 20
FIRST, SECOND = ProviderType("cgc"), ProviderType("sb-eu")


@dataclass
class Platforms:
    """Two platforms with a token each, and the database of one daemon that uses both."""

    first: Platform
    second: Platform
    container: Container

    def queue(self) -> None:
        """Queue runs for both, one after the other."""
        for _ in range(RUNS):
            for name in (FIRST, SECOND):
                self.container.create_run()(
                    a_request(workflow_url=APP, workflow_params={"sample": name}), tags={"provider_type": str(name)}
                )

    def make_passes(self, number: int = 3) -> None:
        """Submit, let the platforms work, and follow."""
        for _ in range(number):
            for name in (FIRST, SECOND):
                self.container.submit_queued_runs(serving=frozenset({name}))()
            for platform in (self.first, self.second):
                for id, task in list(platform.tasks.items()):
                    if task["status"] in ("QUEUED", "RUNNING"):
                        platform.complete(id)
            self.container.refresh_statuses()(ahead=timedelta(seconds=1))

    def states(self, name: ProviderType) -> list[RunState]:
        """The states of the runs of one."""
        return [record.run.state for record in self.container.queries().list(RunFilter(provider=name))]


def a_platform(token: str) -> Platform:
    platform = Platform(SystemClock().now)
    platform.add_token(token, PROJECT)
    platform.add_app(APP, PORTS)
    return platform


@pytest.fixture
def platforms(
    authority: Authority, trusted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Platforms]:
    del trusted
    monkeypatch.chdir(tmp_path)
    first, second = a_platform("token-of-the-first"), a_platform("token-of-the-second")
    with serving(first, authority) as first_endpoint, serving(second, authority) as second_endpoint:
        tables = []
        for name, endpoint, token, limit in (
            (FIRST, first_endpoint, "token-of-the-first", 7),
            (SECOND, second_endpoint, "token-of-the-second", 11),
        ):
            (tmp_path / f"{name}.token").write_text(f"{token}\n")
            tables.append(
                f'[{name}]\nkind = "sevenbridges"\nmax_concurrent = {limit}\n'
                f'SEVENBRIDGES_API_ENDPOINT = "{endpoint}"\nSEVENBRIDGES_PROJECT = "{PROJECT}"\n'
                f'SEVENBRIDGES_API_TOKEN_FILE = "{tmp_path / f"{name}.token"}"\nSEVENBRIDGES_RATE_LIMIT = "off"\n'
            )
        (tmp_path / "providers.toml").write_text("\n".join(tables))
        settings = read_settings(
            database_uri=f"sqlite:///{tmp_path}/runs.db",
            providers_file=tmp_path / "providers.toml",
            default_provider=FIRST,
            max_concurrent_workflows=100,
            status_check_interval=0.05,
        )
        container = Container(settings=settings)
        container.schema().upgrade()
        yield Platforms(first, second, container)
        container.engine().dispose()


def test_each_run_ends_at_its_own_platform(platforms: Platforms) -> None:
    platforms.queue()

    platforms.make_passes(8)

    assert platforms.states(FIRST) == platforms.states(SECOND) == [RunState.COMPLETE] * RUNS
    assert len(platforms.first.started) == len(platforms.second.started) == RUNS
    samples = [
        {task["inputs"]["sample"] for task in each.tasks.values()} for each in (platforms.first, platforms.second)
    ]
    assert samples == [{FIRST}, {SECOND}]


def test_the_limit_of_active_runs_is_that_of_each_name(platforms: Platforms) -> None:
    platforms.queue()

    for name in (FIRST, SECOND):
        platforms.container.submit_queued_runs(serving=frozenset({name}))()

    assert (len(platforms.first.started), len(platforms.second.started)) == (7, 11)


def test_a_refused_token_at_one_does_not_delay_the_other(platforms: Platforms) -> None:
    platforms.first.tokens.clear()
    platforms.queue()

    platforms.make_passes(8)
    waiting = {record.last_reason for record in platforms.container.queries().list(RunFilter(provider=FIRST))}

    assert platforms.states(SECOND) == [RunState.COMPLETE] * RUNS
    assert platforms.states(FIRST) == [RunState.QUEUED] * RUNS
    assert platforms.first.started == []
    assert any("401" in (reason or "") or "token" in (reason or "").lower() for reason in waiting)
