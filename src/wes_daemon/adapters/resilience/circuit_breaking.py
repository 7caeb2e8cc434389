"""A circuit breaker for each provider's service: after several failures in a row no call is sent for a cool-down."""

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import TypeVar

from wes_daemon.adapters.resilience.decorators import Forwarding
from wes_daemon.application.ports.environment import Clock
from wes_daemon.application.ports.errors import (
    AnswerLost,
    CircuitOpen,
    Misconfigured,
    NotSent,
    Rejected,
    Throttled,
    Unavailable,
)
from wes_daemon.application.ports.providers import WorkflowProvider
from wes_daemon.application.ports.telemetry import Telemetry
from wes_daemon.domain.runs import ProviderType

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitPolicy:
    """When a circuit opens, and for how long. The values are those of Temporal's breaker.

    Attributes:
        failures: the number of consecutive failures, over all threads and operations, that opens the circuit.
        cool_down: how long an open circuit sends no call; it begins again when a trial call fails.
        spread: the fraction by which each cool-down is randomly longer or shorter, so that daemons do not call the
            service again at the same time.
        trial_wait: how long other callers are asked to wait while a trial call is in progress.
    """

    failures: int = 5
    cool_down: timedelta = timedelta(minutes=1)
    spread: float = 0.1
    trial_wait: timedelta = timedelta(seconds=5)


class CircuitBreaking(Forwarding):
    """Raises `CircuitOpen` instead of calling a service that failed too often in a row.

    Only `Unavailable` and `AnswerLost` are failures of the service, and only its answers show that it works.
    All other outcomes count as neither: a bug, a draft that is not listed yet, an exhausted quota of the daemon.
    """

    def __init__(
        self,
        inner: WorkflowProvider,
        type: ProviderType,
        *,
        telemetry: Telemetry,
        clock: Clock,
        policy: CircuitPolicy,
        chance: Callable[[], float] = random.random,
    ) -> None:
        super().__init__(inner)
        self._type = type
        self._telemetry = telemetry
        self._circuit = _Circuit(type, clock=clock, policy=policy, chance=chance)

    def _call(self, operation: str, call: Callable[[], T]) -> T:
        del operation
        generation = self._circuit.enter()
        try:
            answer = call()
        except (Unavailable, AnswerLost) as error:
            self._record_failure(generation, str(error))
            raise
        except NotSent:
            raise
        except (Rejected, Misconfigured, Throttled):
            self._record_answer(generation)
            raise
        else:
            self._record_answer(generation)
            return answer
        finally:
            self._circuit.leave(generation)

    def _record_failure(self, generation: int, reason: str) -> None:
        opened = self._circuit.record_failure(generation, reason)
        if opened and opened.after_trial:
            self._telemetry.circuit_trial_failed(self._type, opened.until, reason)
        elif opened:
            self._telemetry.circuit_opened(self._type, opened.until, reason)

    def _record_answer(self, generation: int) -> None:
        if self._circuit.record_answer(generation):
            self._telemetry.circuit_closed(self._type)


class _State(Enum):
    CLOSED = auto()
    """All calls are sent."""
    OPEN = auto()
    """No call is sent during the cool-down; the first call after it is the trial call."""
    HALF_OPEN = auto()
    """The trial call is in progress."""


@dataclass(frozen=True, slots=True)
class _Opened:
    """The circuit was opened until `until`. `after_trial`: it was open before, and the trial call failed."""

    until: datetime
    after_trial: bool


class _Circuit:
    """The state of one circuit. Thread-safe.

    A generation ends when the circuit opens or closes. The outcome of a call that began in an earlier generation is
    ignored: calls that were in progress when the service failed neither extend the cool-down nor end it.
    """

    def __init__(self, name: str, *, clock: Clock, policy: CircuitPolicy, chance: Callable[[], float]) -> None:
        self._name = name
        self._clock = clock
        self._policy = policy
        self._chance = chance
        self._state = _State.CLOSED
        self._generation = 0
        self._failures = 0
        self._reason = ""
        self._cool_down_ends_at = timedelta(0)
        self._lock = threading.Lock()

    def enter(self) -> int:
        """Permit a call and return its generation.

        Raises:
            CircuitOpen: the call is not permitted; the error says when to try again.
        """
        with self._lock:
            if self._state is not _State.CLOSED:
                self._start_trial()
            return self._generation

    def leave(self, generation: int) -> None:
        """End a call. After a trial call without a conclusive outcome the next call is the trial call."""
        with self._lock:
            if generation == self._generation and self._state is _State.HALF_OPEN:
                self._state = _State.OPEN

    def record_failure(self, generation: int, reason: str) -> _Opened | None:
        """Count a failure of the service; return how it opened the circuit, None if it did not."""
        with self._lock:
            if generation != self._generation:
                return None
            self._failures += 1
            self._reason = reason
            was_closed = self._state is _State.CLOSED
            if was_closed and self._failures < self._policy.failures:
                return None
            return _Opened(self._open(), after_trial=not was_closed)

    def record_answer(self, generation: int) -> bool:
        """Record that the service works; return whether that closed the circuit."""
        with self._lock:
            if generation != self._generation:
                return False
            self._failures = 0
            if self._state is _State.CLOSED:
                return False
            self._enter_state(_State.CLOSED)
            return True

    def _open(self) -> datetime:
        cool_down = self._policy.cool_down * (1 + self._policy.spread * (2 * self._chance() - 1))
        self._cool_down_ends_at = self._clock.monotonic() + cool_down
        self._enter_state(_State.OPEN)
        return self._clock.now() + cool_down

    def _enter_state(self, state: _State) -> None:
        self._state = state
        self._generation += 1

    def _start_trial(self) -> None:
        if self._state is _State.HALF_OPEN:
            raise self._refusal(self._policy.trial_wait)
        cool_down_left = self._cool_down_ends_at - self._clock.monotonic()
        if cool_down_left > timedelta(0):
            raise self._refusal(cool_down_left)
        self._state = _State.HALF_OPEN

    def _refusal(self, wait: timedelta) -> CircuitOpen:
        until = (self._clock.now() + wait).isoformat(timespec="seconds")
        message = f"{self._name} has failed {self._failures} times in a row and is not called until {until}"
        return CircuitOpen(f"{message}: {self._reason}", retry_after=wait)
