"""What all decorators share: every call goes to the inner provider, through one method that may be overridden."""

from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from typing import TypeVar

from wes_daemon.application.ports.providers import (
    Accepted,
    EndedPage,
    OwnedPage,
    Prepared,
    ProviderLimits,
    Recorded,
    RunDetails,
    Submission,
    WorkflowProvider,
    nothing_recorded,
)
from wes_daemon.domain.runs import ProviderRunId, StatusReport

T = TypeVar("T")


class Forwarding:
    """A `WorkflowProvider` that is another one."""

    def __init__(self, inner: WorkflowProvider) -> None:
        self._inner = inner

    @property
    def limits(self) -> ProviderLimits:
        """Those of the inner provider."""
        return self._inner.limits

    def submit(self, submission: Submission) -> Accepted | Prepared:
        """As the inner provider."""
        return self._call("submit", lambda: self._inner.submit(submission))

    def statuses(self, ids: Collection[ProviderRunId]) -> Mapping[ProviderRunId, StatusReport]:
        """As the inner provider."""
        return self._call("statuses", lambda: self._inner.statuses(ids))

    def cancel(self, id: ProviderRunId) -> None:
        """As the inner provider."""
        self._call("cancel", lambda: self._inner.cancel(id))

    def owned_runs(
        self, since: datetime, *, after: str | None = None, recorded: Recorded = nothing_recorded
    ) -> OwnedPage:
        """As the inner provider."""
        return self._call("owned_runs", lambda: self._inner.owned_runs(since, after=after, recorded=recorded))

    def ended(self, since: datetime, *, after: str | None = None) -> EndedPage:
        """As the inner provider."""
        return self._call("ended", lambda: self._inner.ended(since, after=after))

    def delete_draft(self, id: ProviderRunId) -> bool:
        """As the inner provider."""
        return self._call("delete_draft", lambda: self._inner.delete_draft(id))

    def details(self, id: ProviderRunId) -> RunDetails:
        """As the inner provider."""
        return self._call("details", lambda: self._inner.details(id))

    def _call(self, operation: str, call: Callable[[], T]) -> T:
        """Make one call; `operation` is the port's name for it."""
        del operation
        return call()
