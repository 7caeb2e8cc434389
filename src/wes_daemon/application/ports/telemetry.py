"""What the core tells of its work, for logs and for metrics."""

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
    """Hears what happens. Never raises, never blocks for long."""

    def called(self, provider: ProviderType, operation: str, outcome: CallOutcome, took: timedelta) -> None:
        """A call to a provider ended; `took` is what its caller felt, retries and waiting included."""

    def retrying(self, provider: ProviderType, operation: str, attempt: int, wait: timedelta, reason: str) -> None:
        """A call failed in passing and is made again after `wait`; `attempt` counts from 1."""

    def circuit_opened(self, provider: ProviderType, until: datetime, reason: str) -> None:
        """A service has failed too often in a row; nothing is sent to it before `until`."""

    def circuit_probed(self, provider: ProviderType, until: datetime, reason: str) -> None:
        """The one call that tried the service again has failed as well; nothing is sent to it before `until`."""

    def circuit_closed(self, provider: ProviderType) -> None:
        """The service that was left alone has answered."""

    def state_changed(self, before: RunSummary, after: RunSummary, why: str) -> None:
        """A run's state was changed and the change is committed."""
