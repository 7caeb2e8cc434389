"""Telemetry in the log."""

import logging
from datetime import datetime, timedelta

from wes_daemon.application.ports.telemetry import CallOutcome
from wes_daemon.application.runtime.event_log import log_event
from wes_daemon.domain.runs import ProviderType, RunSummary

_log = logging.getLogger(__name__)


class LoggingTelemetry:
    """A `Telemetry` that logs."""

    def called(self, provider: ProviderType, operation: str, outcome: CallOutcome, took: timedelta) -> None:
        """Log at DEBUG, because there are many calls."""
        log_event(_log, logging.DEBUG, "provider.called", provider=provider, call=operation, outcome=outcome, took=took)

    def retrying(self, provider: ProviderType, operation: str, attempt: int, wait: timedelta, reason: str) -> None:
        """Log at INFO, because a transient error needs no action."""
        values = {"provider": provider, "call": operation, "attempt": attempt, "wait": wait, "reason": reason}
        log_event(_log, logging.INFO, "provider.retrying", **values)

    def circuit_opened(self, provider: ProviderType, until: datetime, reason: str) -> None:
        """Log at ERROR, once for an outage: the calls that follow do not log it again."""
        _log_circuit(logging.ERROR, "provider.circuit_opened", provider, until, reason)

    def circuit_trial_failed(self, provider: ProviderType, until: datetime, reason: str) -> None:
        """Log at INFO, about once a minute during an outage."""
        _log_circuit(logging.INFO, "provider.circuit_trial_failed", provider, until, reason)

    def circuit_closed(self, provider: ProviderType) -> None:
        """Log at INFO."""
        log_event(_log, logging.INFO, "provider.circuit_closed", provider=provider)

    def state_changed(self, before: RunSummary, after: RunSummary, why: str) -> None:
        """Log at INFO, without the reason: the code that found the change has logged it."""
        del why
        if before.state is not after.state:
            log_event(_log, logging.INFO, "run.state_changed", run_id=after.id, before=before.state, after=after.state)


def _log_circuit(level: int, event: str, provider: ProviderType, until: datetime, reason: str) -> None:
    log_event(_log, level, event, provider=provider, until=until.isoformat(timespec="seconds"), reason=reason)
