"""Telemetry in memory."""

from datetime import datetime, timedelta

from wes_daemon.application.ports.telemetry import CallOutcome
from wes_daemon.domain.runs import ProviderType, RunId, RunSummary
from wes_daemon.domain.states import RunState


class MemoryTelemetry:
    """A `Telemetry` that records every call in lists, without durations, reasons and times."""

    def __init__(self) -> None:
        self.calls: list[tuple[ProviderType, str, CallOutcome]] = []
        self.retries: list[tuple[ProviderType, str, int, timedelta]] = []
        self.circuits: list[tuple[ProviderType, str]] = []
        self.changes: list[tuple[RunId, RunState, RunState]] = []

    def called(self, provider: ProviderType, operation: str, outcome: CallOutcome, took: timedelta) -> None:
        del took
        self.calls.append((provider, operation, outcome))

    def retrying(self, provider: ProviderType, operation: str, attempt: int, wait: timedelta, reason: str) -> None:
        del reason
        self.retries.append((provider, operation, attempt, wait))

    def circuit_opened(self, provider: ProviderType, until: datetime, reason: str) -> None:
        del until, reason
        self.circuits.append((provider, "opened"))

    def circuit_trial_failed(self, provider: ProviderType, until: datetime, reason: str) -> None:
        del until, reason
        self.circuits.append((provider, "trial_failed"))

    def circuit_closed(self, provider: ProviderType) -> None:
        self.circuits.append((provider, "closed"))

    def state_changed(self, before: RunSummary, after: RunSummary, why: str) -> None:
        del why
        self.changes.append((after.id, before.state, after.state))
