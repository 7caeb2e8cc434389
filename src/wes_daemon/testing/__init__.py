"""The public test kit: the contract suite for authors of providers, and in-memory adapters for users' tests.

It needs pytest: install `wes-daemon[testing]`.
"""

import pytest

# pytest explains the failed assertions of a module only if the module is registered before its import.
pytest.register_assert_rewrite(
    *(f"{__name__}.{part}_contract" for part in ("following", "listing", "submission")), f"{__name__}.harness"
)

from wes_daemon.adapters.memory.environment import CountingIds, InlineExecutor, ManualClock
from wes_daemon.adapters.memory.providers import (
    MemoryProvider,
    MemoryProviderDirectory,
    PreparingMemoryProvider,
)
from wes_daemon.adapters.memory.queries import MemoryRunQueries
from wes_daemon.adapters.memory.store import MemoryStore
from wes_daemon.adapters.memory.telemetry import MemoryTelemetry
from wes_daemon.adapters.memory.unit_of_work import MemoryUnitsOfWork
from wes_daemon.adapters.memory.wakeup import SkippingListener, SkippingWakeUp
from wes_daemon.adapters.system import SystemClock
from wes_daemon.application.ports.telemetry import CallOutcome
from wes_daemon.testing.builders import a_request, a_submission
from wes_daemon.testing.harness import (
    CannotArrange,
    ProviderHarness,
    accept,
    accept_again,
    all_ended_runs,
    all_former_runs,
    all_owned_runs,
    owned_run,
    repeated,
    status,
    wait_until,
)
from wes_daemon.testing.provider_contract import ProviderContract

__all__ = [
    "CallOutcome",
    "CannotArrange",
    "CountingIds",
    "InlineExecutor",
    "ManualClock",
    "MemoryProvider",
    "MemoryProviderDirectory",
    "MemoryRunQueries",
    "MemoryStore",
    "MemoryTelemetry",
    "MemoryUnitsOfWork",
    "PreparingMemoryProvider",
    "ProviderContract",
    "ProviderHarness",
    "SkippingListener",
    "SkippingWakeUp",
    "SystemClock",
    "a_request",
    "a_submission",
    "accept",
    "accept_again",
    "all_ended_runs",
    "all_former_runs",
    "all_owned_runs",
    "owned_run",
    "repeated",
    "status",
    "wait_until",
]
