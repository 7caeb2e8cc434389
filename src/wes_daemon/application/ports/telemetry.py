"""The reports of the core about its work, for logs and metrics."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

from wes_daemon.domain.runs import ProviderType, RunSummary


class CallOutcome(StrEnum):
    """How a call to a provider ended."""

    ANSWERED = "answered"
    REJECTED = "rejected"
    NOT_NOW = "not_now"
    OUTCOME_UNKNOWN = "outcome_unknown"
    MISCONFIGURED = "misconfigured"
    BUG = "bug"


class Telemetry(Protocol):
    """Receives reports. Its methods neither raise nor block for long."""

    def called(self, provider: ProviderType, operation: str, outcome: CallOutcome, took: timedelta) -> None:
        """A call to a provider ended; `took` is the time that its caller waited, including retries."""

    def retrying(self, provider: ProviderType, operation: str, attempt: int, wait: timedelta, reason: str) -> None:
        """A call failed with a transient error and is repeated after `wait`; `attempt` counts from 1."""

    def circuit_opened(self, provider: ProviderType, until: datetime, reason: str) -> None:
        """The service failed too often in a row; nothing is sent to it before `until`."""

    def circuit_trial_failed(self, provider: ProviderType, until: datetime, reason: str) -> None:
        """The trial call of a half-open circuit failed; nothing is sent to the service before `until`."""

    def circuit_closed(self, provider: ProviderType) -> None:
        """The service answered the trial call."""

    def state_changed(self, before: RunSummary, after: RunSummary, why: str) -> None:
        """A run's state was changed, and the change is committed."""
