"""The contract of a provider, kept by the Seven Bridges one at the real service."""

from collections.abc import Iterator

import pytest

from tests.live.harness import LiveHarness
from tests.live.session import LiveSession
from tests.live.sevenbridges import SevenBridgesAccount
from wes_daemon.testing import ProviderContract


@pytest.mark.live
# What bounds a wait is LIVE_PATIENCE_SECONDS, and no alarm may ring while a test cleans up.
@pytest.mark.timeout(7_200, func_only=True)
class TestSevenBridgesLive(ProviderContract):
    @pytest.fixture
    def harness(self, sevenbridges: SevenBridgesAccount, live_session: LiveSession) -> Iterator[LiveHarness]:
        harness = LiveHarness(sevenbridges, live_session)
        yield harness
        harness.close()
