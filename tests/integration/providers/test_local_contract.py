"""The provider contract, tested on the local provider with real processes and the real cwltool."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.providers.local_harness import LocalHarness
from wes_daemon.testing import ProviderContract

pytest.importorskip("cwltool")


class TestLocalProvider(ProviderContract):
    @pytest.fixture
    def harness(self, tmp_path: Path) -> Iterator[LocalHarness]:
        harness = LocalHarness(tmp_path)
        yield harness
        harness.close()
