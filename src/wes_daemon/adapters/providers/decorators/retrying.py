"""Passing trouble is tried again, a few times and with growing waits."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TypeVar

import tenacity

from wes_daemon.adapters.providers.decorators.forwarding import Forwarding
from wes_daemon.application.ports.errors import CircuitOpen, NotNow, OutcomeUnknown, ProviderError, Unprovable
from wes_daemon.application.ports.providers import WorkflowProvider
from wes_daemon.application.ports.telemetry import Telemetry
from wes_daemon.domain.runs import ProviderType

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often a call is made and how long is waited in between.

    Attributes:
        attempts: calls in all, at least 1.
        first_wait: upper bound of the first wait; it doubles, and each wait is drawn at random below its bound.
        longest_wait: no wait is longer; a service that asks for more is not waited for here.
    """

    attempts: int = 3
    first_wait: timedelta = timedelta(seconds=0.5)
    longest_wait: timedelta = timedelta(seconds=5)


class Retrying(Forwarding):
    """Makes a call again that ended in `NotNow` or `OutcomeUnknown`; both are safe, for every call is idempotent.

    Not where that is known to be in vain: an open circuit ends the attempts, and so does what no call can tell.
    """

    def __init__(
        self,
        inner: WorkflowProvider,
        type: ProviderType,
        *,
        telemetry: Telemetry,
        sleep: Callable[[timedelta], None],
        policy: RetryPolicy,
    ) -> None:
        super().__init__(inner)
        self._type = type
        self._telemetry = telemetry
        self._sleep = sleep
        self._policy = policy
        self._backoff = tenacity.wait_random_exponential(
            multiplier=policy.first_wait.total_seconds(), max=policy.longest_wait
        )

    def _call(self, operation: str, call: Callable[[], T]) -> T:
        # Most calls need no second attempt, and none of what it takes to make one.
        try:
            return call()
        except ProviderError as error:
            failure = error
        return self._tried_again(operation, call, failure)

    def _tried_again(self, operation: str, call: Callable[[], T], failure: ProviderError) -> T:
        """What comes of the attempts after the first one, which has failed."""
        attempts = tenacity.Retrying(
            retry=tenacity.retry_if_exception(self._is_worth_waiting),
            stop=tenacity.stop_after_attempt(self._policy.attempts),
            wait=self._wait,
            sleep=lambda seconds: self._sleep(timedelta(seconds=seconds)),
            before_sleep=partial(self._tell, operation),
            reraise=True,
        )
        doubts: list[OutcomeUnknown] = []
        try:
            return attempts(_noting(doubts, _failing_first(failure, call)))
        except OutcomeUnknown:
            raise
        except ProviderError as error:
            # Once an attempt may have acted, a later "nothing happened", of whatever kind, speaks only of itself.
            if doubts:
                raise OutcomeUnknown(f"{doubts[-1]}; then {error}") from error
            raise

    def _is_worth_waiting(self, error: BaseException) -> bool:
        if isinstance(error, CircuitOpen | Unprovable):
            return False
        if isinstance(error, NotNow):
            return error.retry_after is None or error.retry_after <= self._policy.longest_wait
        return isinstance(error, OutcomeUnknown)

    def _wait(self, state: tenacity.RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        asked = error.retry_after if isinstance(error, NotNow) and error.retry_after else timedelta(0)
        return max(asked.total_seconds(), self._backoff(state))

    def _tell(self, operation: str, state: tenacity.RetryCallState) -> None:
        wait = timedelta(seconds=state.next_action.sleep if state.next_action else 0)
        error = state.outcome.exception() if state.outcome else None
        self._telemetry.retrying(self._type, operation, state.attempt_number, wait, str(error))


def _noting(doubts: list[OutcomeUnknown], call: Callable[[], T]) -> Callable[[], T]:
    def attempt() -> T:
        try:
            return call()
        except OutcomeUnknown as error:
            doubts.append(error)
            raise

    return attempt


def _failing_first(failure: ProviderError, call: Callable[[], T]) -> Callable[[], T]:
    """The call, where its first attempt was made already."""
    failures = [failure]

    def attempt() -> T:
        if failures:
            raise failures.pop()
        return call()

    return attempt
