"""The order of the decorators."""

import random
from collections.abc import Callable
from datetime import timedelta

from wes_daemon.adapters.resilience.call_priority import Prioritising
from wes_daemon.adapters.resilience.circuit_breaking import CircuitBreaking, CircuitPolicy
from wes_daemon.adapters.resilience.decorators import Batching, Instrumenting
from wes_daemon.adapters.resilience.retrying import Retrying, RetryPolicy
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
    retry_policy: RetryPolicy | None = None,
    circuit_policy: CircuitPolicy | None = None,
    chance: Callable[[], float] = random.random,
) -> WorkflowProvider:
    """Wrap a provider, from the inside out: prioritising, circuit breaking, retrying, batching, instrumenting.

    The circuit breaker is inside retrying: it counts every attempt, and an open circuit ends the further attempts.
    Retrying is inside batching: if one batch fails, only that batch is requested again.
    """
    circuit_breaking = CircuitBreaking(
        Prioritising(provider),
        type,
        telemetry=telemetry,
        clock=clock,
        policy=circuit_policy or CircuitPolicy(),
        chance=chance,
    )
    retrying = Retrying(circuit_breaking, type, telemetry=telemetry, sleep=sleep, policy=retry_policy or RetryPolicy())
    return Instrumenting(Batching(retrying), type, telemetry=telemetry, clock=clock)
