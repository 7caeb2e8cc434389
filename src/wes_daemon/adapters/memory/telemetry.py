"""Telemetry that remembers what it heard."""

from datetime import datetime, timedelta

from wes_daemon.application.ports.telemetry import CallOutcome
from wes_daemon.domain.runs import ProviderType, RunId, RunSummary
from wes_daemon.domain.states import RunState


class MemoryTelemetry:
    """A `Telemetry` whose lists are there to be looked at."""

    def __init__(self) -> None:
        self.calls: list[tuple[ProviderType, str, CallOutcome]] = []
        self.retries: list[tuple[ProviderType, str, int, timedelta]] = []
        self.circuits: list[tuple[ProviderType, str]] = []
        self.changes: list[tuple[RunId, RunState, RunState]] = []

    def called(self, provider: ProviderType, operation: str, outcome: CallOutcome, took: timedelta) -> None:
        """Remember the call, not how long it took."""
        del took
        self.calls.append((provider, operation, outcome))

    def retrying(self, provider: ProviderType, operation: str, attempt: int, wait: timedelta, reason: str) -> None:
        """Remember the retry, not its reason."""
        del reason
        self.retries.append((provider, operation, attempt, wait))

    def circuit_opened(self, provider: ProviderType, until: datetime, reason: str) -> None:
        """Remember that, not until when or why."""
        del until, reason
        self.circuits.append((provider, "opened"))

    def circuit_probed(self, provider: ProviderType, until: datetime, reason: str) -> None:
        """Remember that, not until when or why."""
        del until, reason
        self.circuits.append((provider, "probed"))

    def circuit_closed(self, provider: ProviderType) -> None:
        """Remember that."""
        self.circuits.append((provider, "closed"))

    def state_changed(self, before: RunSummary, after: RunSummary, why: str) -> None:
        """Remember where the run went."""
        del why
        self.changes.append((after.id, before.state, after.state))
