"""One look at a run."""

from wes_daemon.adapters.providers.local.run_directory import RunDirectory
from wes_daemon.adapters.providers.local.states import Marks


def observe(run: RunDirectory) -> Marks:
    """The marks of a run, read in an order in which a runner that works meanwhile cannot mislead."""
    if (result := run.result) is not None:
        return Marks(started=run.has_started, started_at=run.started_at, result=result)
    started, cancelled = run.has_started, run.is_cancelled
    # A runner writes the result before it lets go: whoever is gone here has left one, or never will.
    has_runner = run.has_runner
    return Marks(
        started=started,
        started_at=run.started_at,
        cancelled=cancelled,
        cancelled_at=run.cancelled_at,
        has_runner=has_runner,
        result=run.result,
    )
