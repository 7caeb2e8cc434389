"""The fixtures of the tests against the simulated Seven Bridges service."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import sevenbridges
from urllib3 import Retry

from tests.integration.providers.sevenbridges_harness import APP, PROJECT, TOKEN, SevenBridgesHarness, furnish
from tests.simulators.sevenbridges.platform import Platform
from tests.simulators.sevenbridges.server import Authority, serving
from wes_daemon.adapters.memory.environment import ManualClock


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Created once: generating keys is slow."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def trusted(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The authority's file, trusted by the client as an administrator would configure it."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority.bundle))
    return authority.bundle


@pytest.fixture
def harness(authority: Authority, trusted: Path) -> Iterator[SevenBridgesHarness]:
    """A new platform for each test, and a clock for both sides."""
    del trusted
    clock = ManualClock()
    platform = furnish(Platform(clock.now))
    with serving(platform, authority) as endpoint:
        harness = SevenBridgesHarness(platform, endpoint, clock)
        yield harness
        harness.close()


@pytest.fixture
def api(harness: SevenBridgesHarness) -> Iterator[Any]:
    """The unchanged SDK, without its retries, which take a minute."""
    api = bare_api(harness, TOKEN)
    yield api
    api.session.close()


def bare_api(harness: SevenBridgesHarness, token: str) -> Any:
    """The SDK with a token; the caller closes it."""
    api = sevenbridges.Api(url=harness.config.endpoint, token=token, timeout=(5, 5))
    api.session.mount("https://", requests.adapters.HTTPAdapter(max_retries=Retry(0)))
    return api


def draft(api: Any, **changes: Any) -> Any:
    """A valid draft, created by the SDK."""
    values = {"name": "t", "project": PROJECT, "app": APP, "inputs": {"sample": "x"}}
    return api.tasks.create(**{**values, **changes}, api=api)
