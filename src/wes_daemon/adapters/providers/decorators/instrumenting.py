"""What the caller feels of each call, told to telemetry."""

from collections.abc import Callable, Mapping
from typing import TypeVar

from wes_daemon.adapters.providers.decorators.forwarding import Forwarding
from wes_daemon.application.ports.environment import Clock
from wes_daemon.application.ports.errors import Misconfigured, NotNow, OutcomeUnknown, ProviderError, Rejected
from wes_daemon.application.ports.providers import WorkflowProvider
from wes_daemon.application.ports.telemetry import CallOutcome, Telemetry
from wes_daemon.domain.runs import ProviderType

T = TypeVar("T")

_OUTCOMES: Mapping[type[Exception], CallOutcome] = {
    Rejected: CallOutcome.REJECTED,
    NotNow: CallOutcome.NOT_NOW,
    OutcomeUnknown: CallOutcome.OUTCOME_UNKNOWN,
    Misconfigured: CallOutcome.MISCONFIGURED,
}


class Instrumenting(Forwarding):
    """Tells how each call ended and how long it took."""

    def __init__(self, inner: WorkflowProvider, type: ProviderType, *, telemetry: Telemetry, clock: Clock) -> None:
        super().__init__(inner)
        self._type = type
        self._telemetry = telemetry
        self._clock = clock

    def _call(self, operation: str, call: Callable[[], T]) -> T:
        started = self._clock.now()
        outcome = CallOutcome.BUG
        try:
            answer = call()
            outcome = CallOutcome.ANSWERED
            return answer
        except ProviderError as error:
            outcome = next((word for kind, word in _OUTCOMES.items() if isinstance(error, kind)), CallOutcome.BUG)
            raise
        finally:
            self._telemetry.called(self._type, operation, outcome, self._clock.now() - started)
