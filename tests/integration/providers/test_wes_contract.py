"""The contract of a provider, kept by the WES one at simulated servers of several kinds."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tests.integration.providers.wes_harness import WesHarness, wes_harness
from wes_daemon.testing import ProviderContract

_LIKE_TOIL: Mapping[str, Any] = {
    "lists_tags": False,
    "list_key": "workflows",
    "list_times": False,
    "page_limit": None,
    "relative_logs": True,
    "range_status": 500,
    "has_task_list": False,
    "task_ids": False,
    "types": ("cwl", "wdl", "py"),
    "engines": ("toil",),
    "versions": ("1.0.0",),
}
_LIKE_SAPPORO: Mapping[str, Any] = {
    "page_limit": 2,
    "log_texts": True,
    "has_task_list": False,
    "demands_engine": True,
    "outputs_as_list": True,
    "null_ends": True,
}


class TestServerWithoutKeys(ProviderContract):
    """A server that ignores `Idempotency-Key`, and else keeps WES 1.1."""

    @pytest.fixture
    def harness(self) -> Iterator[WesHarness]:
        with wes_harness() as harness:
            yield harness


class TestServerLikeToil(ProviderContract):
    """A server without tags in its list, without keys, with all runs in one answer."""

    @pytest.fixture
    def harness(self) -> Iterator[WesHarness]:
        with wes_harness(**_LIKE_TOIL) as harness:
            yield harness


class TestServerLikeSapporo(ProviderContract):
    """A server that demands an engine, pages its list, and answers log texts and a list of outputs."""

    @pytest.fixture
    def harness(self) -> Iterator[WesHarness]:
        with wes_harness(**_LIKE_SAPPORO) as harness:
            yield harness


class TestServerThatKeepsKeys(ProviderContract):
    """A server that honours `Idempotency-Key`, by the settings."""

    @pytest.fixture
    def harness(self) -> Iterator[WesHarness]:
        with wes_harness(config={"honours_key": True}, keeps_key=True) as harness:
            yield harness
