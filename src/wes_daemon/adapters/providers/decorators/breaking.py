"""A service that fails again and again is left alone for a while, then tried with one call."""

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from wes_daemon.adapters.providers.decorators.forwarding import Forwarding
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
class BreakingPolicy:
    """When a circuit opens, and for how long. The values are those of Temporal's breaker.

    Attributes:
        failures: so many in a row, over all threads and operations, open it.
        rest: how long nothing is sent then; and again, whenever the call that tries the service fails as well.
        spread: the part of `rest` by which each one is longer or shorter, so that daemons do not come back together.
        probe: how long the others are asked to wait while one call tries the service.
    """

    failures: int = 5
    rest: timedelta = timedelta(minutes=1)
    spread: float = 0.1
    probe: timedelta = timedelta(seconds=5)


class Breaking(Forwarding):
    """Raises `CircuitOpen` instead of calling a service that has failed too often in a row.

    Only `Unavailable` and `AnswerLost` are failures of the service, and only what it has answered shows that it is
    well. All else says nothing of it: a bug, a draft that is not listed yet, a budget of our own that is used up.
    """

    def __init__(
        self,
        inner: WorkflowProvider,
        type: ProviderType,
        *,
        telemetry: Telemetry,
        clock: Clock,
        policy: BreakingPolicy,
        chance: Callable[[], float] = random.random,
    ) -> None:
        super().__init__(inner)
        self._type = type
        self._telemetry = telemetry
        self._circuit = _Circuit(type, clock=clock, policy=policy, chance=chance)

    def _call(self, operation: str, call: Callable[[], T]) -> T:
        del operation
        era = self._circuit.enter()
        try:
            answer = call()
        except (Unavailable, AnswerLost) as error:
            self._failed(era, str(error))
            raise
        except NotSent:
            raise
        except (Rejected, Misconfigured, Throttled):
            self._answered(era)
            raise
        else:
            self._answered(era)
            return answer
        finally:
            self._circuit.leave(era)

    def _failed(self, era: int, reason: str) -> None:
        opened = self._circuit.failed(era, reason)
        if opened and opened.again:
            self._telemetry.circuit_probed(self._type, opened.until, reason)
        elif opened:
            self._telemetry.circuit_opened(self._type, opened.until, reason)

    def _answered(self, era: int) -> None:
        if self._circuit.answered(era):
            self._telemetry.circuit_closed(self._type)


@dataclass(frozen=True, slots=True)
class _Opened:
    """Nothing is sent before `until`; `again` where a call that tried the service has failed."""

    until: datetime
    again: bool


class _Circuit:
    """Whether calls may pass; safe under threads.

    An era ends when the circuit opens or closes. What was begun in an earlier one is not heard any more: twenty calls
    that were under way when the service went down neither prolong its rest nor end it.
    """

    def __init__(self, name: str, *, clock: Clock, policy: BreakingPolicy, chance: Callable[[], float]) -> None:
        self._name = name
        self._clock = clock
        self._policy = policy
        self._chance = chance
        self._era = 0
        self._failures = 0
        self._reason = ""
        self._opened_at: timedelta | None = None
        self._rest = policy.rest
        self._is_probing = False
        self._lock = threading.Lock()

    def enter(self) -> int:
        """Let a call pass and return its era.

        Raises:
            CircuitOpen: it may not; says when to come again.
        """
        with self._lock:
            if self._opened_at is not None:
                self._admit_probe(self._opened_at)
            return self._era

    def leave(self, era: int) -> None:
        """A call has ended; if it was to try the service and nothing was learnt, the next one does."""
        with self._lock:
            if era == self._era:
                self._is_probing = False

    def failed(self, era: int, reason: str) -> _Opened | None:
        """The service has failed; how that has opened the circuit, if it has."""
        with self._lock:
            if era != self._era:
                return None
            self._failures += 1
            self._reason = reason
            is_open = self._opened_at is not None
            if not is_open and self._failures < self._policy.failures:
                return None
            return _Opened(self._open(), again=is_open)

    def answered(self, era: int) -> bool:
        """The service has answered; whether that has closed the circuit."""
        with self._lock:
            if era != self._era:
                return False
            self._failures = 0
            was_open = self._opened_at is not None
            if was_open:
                self._opened_at = None
                self._begin_era()
            return was_open

    def _open(self) -> datetime:
        self._opened_at = self._clock.monotonic()
        self._rest = self._policy.rest * (1 + self._policy.spread * (2 * self._chance() - 1))
        self._begin_era()
        return self._clock.now() + self._rest

    def _begin_era(self) -> None:
        self._era += 1
        self._is_probing = False

    def _admit_probe(self, opened_at: timedelta) -> None:
        left = opened_at + self._rest - self._clock.monotonic()
        if left > timedelta(0):
            raise self._refusal(left)
        if self._is_probing:
            raise self._refusal(self._policy.probe)
        self._is_probing = True

    def _refusal(self, wait: timedelta) -> CircuitOpen:
        until = (self._clock.now() + wait).isoformat(timespec="seconds")
        words = f"{self._name} has failed {self._failures} times in a row and is left alone until {until}"
        return CircuitOpen(f"{words}: {self._reason}", retry_after=wait)
