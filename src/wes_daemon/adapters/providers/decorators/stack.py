"""The order of the decorators, written once."""

import random
from collections.abc import Callable
from datetime import timedelta

from wes_daemon.adapters.providers.decorators.breaking import Breaking, BreakingPolicy
from wes_daemon.adapters.providers.decorators.chunking import Chunking
from wes_daemon.adapters.providers.decorators.instrumenting import Instrumenting
from wes_daemon.adapters.providers.decorators.purposes import Purposeful
from wes_daemon.adapters.providers.decorators.retrying import Retrying, RetryPolicy
from wes_daemon.application.ports.environment import Clock
from wes_daemon.application.ports.providers import WorkflowProvider
from wes_daemon.application.ports.telemetry import Telemetry
from wes_daemon.domain.runs import ProviderType


def decorated(
    provider: WorkflowProvider,
    type: ProviderType,
    *,
    telemetry: Telemetry,
    clock: Clock,
    sleep: Callable[[timedelta], None],
    policy: RetryPolicy | None = None,
    breaking: BreakingPolicy | None = None,
    chance: Callable[[], float] = random.random,
) -> WorkflowProvider:
    """The provider as the core meets it. From the wire outwards: purposes, breaking, retrying, chunking, instrumenting.

    Breaking stands inside retrying, so that it hears of every attempt and ends the further ones.
    Retrying stands inside chunking, so that one batch that fails does not have the others asked again.
    """
    breaker = Breaking(
        Purposeful(provider), type, telemetry=telemetry, clock=clock, policy=breaking or BreakingPolicy(), chance=chance
    )
    retrying = Retrying(breaker, type, telemetry=telemetry, sleep=sleep, policy=policy or RetryPolicy())
    return Instrumenting(Chunking(retrying), type, telemetry=telemetry, clock=clock)
