"""The fixtures of the tests against the simulated Seven Bridges service."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.providers.sevenbridges_harness import SevenBridgesHarness, furnish
from tests.simulators.sevenbridges.platform import Platform
from tests.simulators.sevenbridges.server import Authority, serving
from wes_daemon.adapters.memory.environment import ManualClock


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Made once: keys take a while."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def trusted(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The authority's file, known to the client as an administrator would make it known."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority.bundle))
    return authority.bundle


@pytest.fixture
def harness(authority: Authority, trusted: Path) -> Iterator[SevenBridgesHarness]:
    """A platform of its own for each test, and a clock that both sides go by."""
    del trusted
    clock = ManualClock()
    platform = furnish(Platform(clock.now))
    with serving(platform, authority) as endpoint:
        harness = SevenBridgesHarness(platform, endpoint, clock)
        yield harness
        harness.close()
