"""The contract of a provider, kept by the AWS HealthOmics one at the real service."""

from collections.abc import Iterator

import pytest

from tests.live.harness import LiveHarness
from tests.live.healthomics import HealthOmicsAccount
from tests.live.session import LiveSession
from wes_daemon.testing import ProviderContract


@pytest.mark.live
# What bounds a wait is LIVE_PATIENCE_SECONDS, and no alarm may ring while a test cleans up.
@pytest.mark.timeout(7_200, func_only=True)
class TestHealthOmicsLive(ProviderContract):
    @pytest.fixture
    def harness(self, healthomics: HealthOmicsAccount, live_session: LiveSession) -> Iterator[LiveHarness]:
        harness = LiveHarness(healthomics, live_session)
        yield harness
        harness.close()
