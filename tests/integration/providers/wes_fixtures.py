"""The fixtures of the tests against simulated WES servers."""

from collections.abc import Iterator

import pytest

from tests.integration.providers.wes_harness import WesHarness, wes_harness


@pytest.fixture
def harness() -> Iterator[WesHarness]:
    """A server that ignores `Idempotency-Key`, and else keeps WES 1.1; tests change its switches."""
    with wes_harness() as harness:
        yield harness
