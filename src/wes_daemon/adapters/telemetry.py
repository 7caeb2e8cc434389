"""Telemetry into the log."""

import logging
from datetime import datetime, timedelta

from wes_daemon.application.ports.telemetry import CallOutcome
from wes_daemon.application.runtime.event_log import log_event
from wes_daemon.domain.runs import ProviderType, RunSummary

_log = logging.getLogger(__name__)


class LoggingTelemetry:
    """A `Telemetry` that logs; why a run changed is logged by who found it out, once."""

    def called(self, provider: ProviderType, operation: str, outcome: CallOutcome, took: timedelta) -> None:
        """At DEBUG: there are many."""
        log_event(_log, logging.DEBUG, "provider.called", provider=provider, call=operation, outcome=outcome, took=took)

    def retrying(self, provider: ProviderType, operation: str, attempt: int, wait: timedelta, reason: str) -> None:
        """At INFO: passing trouble is no warning."""
        values = {"provider": provider, "call": operation, "attempt": attempt, "wait": wait, "reason": reason}
        log_event(_log, logging.INFO, "provider.retrying", **values)

    def circuit_opened(self, provider: ProviderType, until: datetime, reason: str) -> None:
        """At ERROR, once for an outage: until it is over, no call says so again."""
        _log_rest(logging.ERROR, "provider.circuit_opened", provider, until, reason)

    def circuit_probed(self, provider: ProviderType, until: datetime, reason: str) -> None:
        """At INFO, once a minute as long as the outage lasts."""
        _log_rest(logging.INFO, "provider.circuit_probed", provider, until, reason)

    def circuit_closed(self, provider: ProviderType) -> None:
        """At INFO."""
        log_event(_log, logging.INFO, "provider.circuit_closed", provider=provider)

    def state_changed(self, before: RunSummary, after: RunSummary, why: str) -> None:
        """At INFO, without the reason."""
        del why
        if before.state is not after.state:
            log_event(_log, logging.INFO, "run.state_changed", run_id=after.id, before=before.state, after=after.state)


def _log_rest(level: int, event: str, provider: ProviderType, until: datetime, reason: str) -> None:
    log_event(_log, level, event, provider=provider, until=until.isoformat(timespec="seconds"), reason=reason)
