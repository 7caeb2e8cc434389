"""What a live test does in a process of its own, which keeps nothing."""

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from datetime import timedelta
from typing import TypeVar

from wes_daemon.adapters.memory.telemetry import MemoryTelemetry
from wes_daemon.adapters.providers.healthomics.config import HealthOmicsConfig
from wes_daemon.adapters.providers.healthomics.provider import HealthOmicsProvider
from wes_daemon.adapters.providers.sevenbridges.config import SevenBridgesConfig
from wes_daemon.adapters.providers.sevenbridges.provider import SevenBridgesProvider
from wes_daemon.adapters.resilience.stack import decorated
from wes_daemon.adapters.system import SystemClock, sleep
from wes_daemon.application.ports.providers import Submission, WorkflowProvider
from wes_daemon.domain.runs import ProviderRunId, ProviderType
from wes_daemon.testing import accept

_PATIENCE = timedelta(minutes=5)

C = TypeVar("C")


def elsewhere(submit: Callable[[C, Submission], ProviderRunId], config: C, submission: Submission) -> ProviderRunId:
    """Call one of the functions below in a new process."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as processes:
        return processes.submit(submit, config, submission).result(_PATIENCE.total_seconds())


def submit_to_sevenbridges(config: SevenBridgesConfig, submission: Submission) -> ProviderRunId:
    """Submit and be gone."""
    provider = SevenBridgesProvider(config, clock=SystemClock())
    id = accept(as_the_daemon_has_it(provider, ProviderType.SEVENBRIDGES), submission)
    provider.close()
    return id


def submit_to_healthomics(config: HealthOmicsConfig, submission: Submission) -> ProviderRunId:
    """Submit and be gone."""
    provider = HealthOmicsProvider(config, clock=SystemClock())
    return accept(as_the_daemon_has_it(provider, ProviderType.HEALTHOMICS), submission)


def as_the_daemon_has_it(provider: WorkflowProvider, type: ProviderType) -> WorkflowProvider:
    """With everything round it: a real service throttles, and only the decorators try again."""
    return decorated(provider, type, telemetry=MemoryTelemetry(), clock=SystemClock(), sleep=sleep)
