"""The hints in memory keep the contract."""

from datetime import timedelta

import pytest

from tests.contracts.events import HintSourceContract, QueueHarness
from tests.memory.events import MemoryHints
from wes_daemon.adapters.memory.environment import ManualClock
from wes_daemon.application.ports.events import HintsUnavailable

_FOR_EVER = 100


class MemoryQueue(QueueHarness):
    def __init__(self) -> None:
        self._clock = ManualClock()
        self._source = MemoryHints(self._clock)

    @property
    def source(self) -> MemoryHints:
        return self._source

    def send(self, id: str, uuid: str) -> None:
        self._source.send(f"{id}/{uuid}", id)

    def send_foreign(self) -> None:
        self._source.send_foreign()

    def send_unreadable(self) -> None:
        self._source.send_unreadable()

    def deliver_again(self) -> None:
        self._clock.advance(timedelta(minutes=1))

    def take_away(self) -> None:
        for operation in ("receive", "delete"):
            self._source.fail_next(*[HintsUnavailable("gone")] * _FOR_EVER, operation=operation)


class TestMemoryHints(HintSourceContract):
    @pytest.fixture
    def queue(self) -> MemoryQueue:
        return MemoryQueue()
