"""Retries transient errors with exponential backoff."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import TypeVar

import tenacity

from wes_daemon.adapters.resilience.decorators import Forwarding
from wes_daemon.application.ports.errors import CircuitOpen, NotNow, OutcomeUnknown, ProviderError, Unprovable
from wes_daemon.application.ports.providers import Accepted, Prepared, Submission, WorkflowProvider
from wes_daemon.application.ports.telemetry import Telemetry
from wes_daemon.domain.runs import ProviderType

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often a call is attempted, and how long to wait between attempts.

    Attributes:
        attempts: calls in all, at least 1.
        first_wait: upper bound of the first wait. The bound doubles each time; each wait is random below its bound.
        longest_wait: upper bound of every wait. If the service asks for a longer wait, the call is not retried.
    """

    attempts: int = 3
    first_wait: timedelta = timedelta(seconds=0.5)
    longest_wait: timedelta = timedelta(seconds=5)


class Retrying(Forwarding):
    """Retries a call that ended in `NotNow` or `OutcomeUnknown`, which is safe: every call is idempotent.

    `CircuitOpen` and `Unprovable` are not retried: a further attempt cannot succeed.
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

    def submit(self, submission: Submission) -> Accepted | Prepared:
        """Submit as a resumed submission after an attempt that may have started the run.

        A provider without idempotency keys must then search for the run instead of sending the request again.
        """
        current = submission

        def attempt() -> Accepted | Prepared:
            nonlocal current
            try:
                return self._inner.submit(current)
            except OutcomeUnknown:
                current = replace(current, resumed=True)
                raise

        return self._call("submit", attempt)

    def _call(self, operation: str, call: Callable[[], T]) -> T:
        # Most calls succeed at once, so the objects of tenacity are created only after a failure.
        try:
            return call()
        except ProviderError as error:
            first_failure = error
        return self._retry(operation, call, first_failure)

    def _retry(self, operation: str, call: Callable[[], T], first_failure: ProviderError) -> T:
        """Make the attempts after the first one, which failed."""
        attempts = tenacity.Retrying(
            retry=tenacity.retry_if_exception(self._is_retriable),
            stop=tenacity.stop_after_attempt(self._policy.attempts),
            wait=self._wait,
            sleep=lambda seconds: self._sleep(timedelta(seconds=seconds)),
            before_sleep=partial(self._report, operation),
            reraise=True,
        )
        doubts: list[OutcomeUnknown] = []
        try:
            return attempts(_collecting_doubts(doubts, _failing_first(first_failure, call)))
        except OutcomeUnknown:
            raise
        except ProviderError as error:
            # An earlier attempt may have had an effect; a later attempt without effect does not change that.
            if doubts:
                raise OutcomeUnknown(f"{doubts[-1]}; then {error}") from error
            raise

    def _is_retriable(self, error: BaseException) -> bool:
        if isinstance(error, CircuitOpen | Unprovable):
            return False
        if isinstance(error, NotNow):
            return error.retry_after is None or error.retry_after <= self._policy.longest_wait
        return isinstance(error, OutcomeUnknown)

    def _wait(self, state: tenacity.RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        requested = error.retry_after if isinstance(error, NotNow) and error.retry_after else timedelta(0)
        return max(requested.total_seconds(), self._backoff(state))

    def _report(self, operation: str, state: tenacity.RetryCallState) -> None:
        wait = timedelta(seconds=state.next_action.sleep if state.next_action else 0)
        error = state.outcome.exception() if state.outcome else None
        self._telemetry.retrying(self._type, operation, state.attempt_number, wait, str(error))


def _collecting_doubts(doubts: list[OutcomeUnknown], call: Callable[[], T]) -> Callable[[], T]:
    def attempt() -> T:
        try:
            return call()
        except OutcomeUnknown as error:
            doubts.append(error)
            raise

    return attempt


def _failing_first(failure: ProviderError, call: Callable[[], T]) -> Callable[[], T]:
    """Return a function that raises `failure` once, for the attempt that was made already, and then calls `call`."""
    failures = [failure]

    def attempt() -> T:
        if failures:
            raise failures.pop()
        return call()

    return attempt
