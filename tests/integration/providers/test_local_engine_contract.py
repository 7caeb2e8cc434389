"""The provider contract, tested on the local provider with external engines."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.providers.local_engines import fake_toil
from tests.integration.providers.local_harness import LocalHarness
from wes_daemon.adapters.providers.local.engines import ExternalEngine
from wes_daemon.testing import ProviderContract

pytest.importorskip("psutil")


class TestAnEngineThatReportsItsStepsAsToilDoes(ProviderContract):
    @pytest.fixture
    def harness(self, tmp_path: Path) -> Iterator[LocalHarness]:
        harness = LocalHarness(tmp_path, fake_toil(tmp_path))
        yield harness
        harness.close()


class TestCwltoolAsACommand(ProviderContract):
    @pytest.fixture
    def harness(self, tmp_path: Path) -> Iterator[LocalHarness]:
        pytest.importorskip("cwltool")
        harness = LocalHarness(tmp_path, ExternalEngine(command=(str(Path(sys.executable).with_name("cwltool")),)))
        # This engine does not report its steps in a way that the daemon reads.
        harness.has_tasks = False
        yield harness
        harness.close()
