"""The methods that providers without drafts, and without a list of ended runs, have in the same form."""

from datetime import datetime

from wes_daemon.application.ports.providers import (
    EndedPage,
    Needed,
    OwnedPage,
    Recorded,
    all_needed,
    nothing_recorded,
)
from wes_daemon.domain.runs import ProviderRunId


class BaseProvider:
    """The optional part of a `WorkflowProvider`, for a service that has nothing of it.

    A subclass adds `limits`, `submit`, `statuses`, `cancel`, `owned_runs` and `details`, and overrides what its service
    has: `ended` if `limits.ended_list` is set, `delete_draft` if `submit` answers `Prepared`.
    """

    def former_runs(
        self,
        since: datetime | None,
        *,
        after: str | None = None,
        recorded: Recorded = nothing_recorded,
        needed: Needed = all_needed,
    ) -> OwnedPage:
        """Return no run: the former daemon did not use this provider."""
        del since, after, recorded, needed
        return OwnedPage()

    def ended(self, since: datetime, *, after: str | None = None) -> EndedPage:
        """Return no run: `limits.ended_list` is None."""
        del since, after
        return EndedPage()

    def delete_draft(self, id: ProviderRunId) -> bool:
        """Return False: there are no drafts."""
        del id
        return False
