"""One run, with everything that is known of it."""

from wes_daemon.application.ports.queries import RunQueries, RunRecord
from wes_daemon.domain.runs import RunId


class GetRun:
    """Reads one run."""

    def __init__(self, *, queries: RunQueries) -> None:
        self._queries = queries

    def __call__(self, run_id: RunId) -> RunRecord:
        """The run; raises `RunNotFound`."""
        return self._queries.get(run_id)
