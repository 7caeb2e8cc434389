"""Many runs, newest first."""

from collections.abc import Sequence

from wes_daemon.application.ports.queries import RunFilter, RunQueries, RunRecord


class ListRuns:
    """Reads many runs."""

    def __init__(self, *, queries: RunQueries) -> None:
        self._queries = queries

    def __call__(self, filter: RunFilter) -> Sequence[RunRecord]:
        """The runs that the filter lets through, newest first, without details."""
        return self._queries.list(filter)
