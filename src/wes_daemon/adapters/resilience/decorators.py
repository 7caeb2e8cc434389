"""The base class of all decorators, and the decorators that need no module of their own.

A decorator is a `WorkflowProvider` that wraps another one. `stack` defines their order.
"""

from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from itertools import islice
from typing import TypeVar

from wes_daemon.application.ports.environment import Clock
from wes_daemon.application.ports.errors import Misconfigured, NotNow, OutcomeUnknown, ProviderError, Rejected
from wes_daemon.application.ports.providers import (
    Accepted,
    EndedPage,
    Needed,
    OwnedPage,
    Prepared,
    ProviderLimits,
    Recorded,
    RunDetails,
    Submission,
    WorkflowProvider,
    all_needed,
    nothing_recorded,
)
from wes_daemon.application.ports.telemetry import CallOutcome, Telemetry
from wes_daemon.domain.runs import ProviderRunId, ProviderType, StatusReport

T = TypeVar("T")

_OUTCOMES: Mapping[type[Exception], CallOutcome] = {
    Rejected: CallOutcome.REJECTED,
    NotNow: CallOutcome.NOT_NOW,
    OutcomeUnknown: CallOutcome.OUTCOME_UNKNOWN,
    Misconfigured: CallOutcome.MISCONFIGURED,
}


class Forwarding:
    """Forwards every call to the inner provider, through `_call`, which subclasses override."""

    def __init__(self, inner: WorkflowProvider) -> None:
        self._inner = inner

    @property
    def limits(self) -> ProviderLimits:
        return self._inner.limits

    def submit(self, submission: Submission) -> Accepted | Prepared:
        return self._call("submit", lambda: self._inner.submit(submission))

    def statuses(self, ids: Collection[ProviderRunId]) -> Mapping[ProviderRunId, StatusReport]:
        return self._call("statuses", lambda: self._inner.statuses(ids))

    def cancel(self, id: ProviderRunId) -> None:
        self._call("cancel", lambda: self._inner.cancel(id))

    def owned_runs(
        self,
        since: datetime,
        *,
        after: str | None = None,
        recorded: Recorded = nothing_recorded,
        needed: Needed = all_needed,
    ) -> OwnedPage:
        return self._call(
            "owned_runs",
            lambda: self._inner.owned_runs(since, after=after, recorded=recorded, needed=needed),
        )

    def former_runs(
        self,
        since: datetime | None,
        *,
        after: str | None = None,
        recorded: Recorded = nothing_recorded,
        needed: Needed = all_needed,
    ) -> OwnedPage:
        return self._call(
            "former_runs",
            lambda: self._inner.former_runs(since, after=after, recorded=recorded, needed=needed),
        )

    def ended(self, since: datetime, *, after: str | None = None) -> EndedPage:
        return self._call("ended", lambda: self._inner.ended(since, after=after))

    def delete_draft(self, id: ProviderRunId) -> bool:
        return self._call("delete_draft", lambda: self._inner.delete_draft(id))

    def details(self, id: ProviderRunId) -> RunDetails:
        return self._call("details", lambda: self._inner.details(id))

    def _call(self, operation: str, call: Callable[[], T]) -> T:
        """Make one call; `operation` is the name of the port's method."""
        del operation
        return call()


class Batching(Forwarding):
    """Splits status requests into batches of the provider's maximum size."""

    def statuses(self, ids: Collection[ProviderRunId]) -> Mapping[ProviderRunId, StatusReport]:
        reports: dict[ProviderRunId, StatusReport] = {}
        remaining = iter(ids)
        while batch := list(islice(remaining, self.limits.status_batch)):
            reports.update(self._inner.statuses(batch))
        return reports


class Instrumenting(Forwarding):
    """Reports the outcome and the duration of each call to telemetry."""

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
            outcome = next((value for kind, value in _OUTCOMES.items() if isinstance(error, kind)), CallOutcome.BUG)
            raise
        finally:
            self._telemetry.called(self._type, operation, outcome, self._clock.now() - started)
