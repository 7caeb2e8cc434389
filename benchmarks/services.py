"""Providers that cost next to nothing themselves: what is measured is ours."""

import threading
import time
from collections.abc import Callable, Collection, Mapping

from wes_daemon.adapters.memory.providers import MemoryProvider
from wes_daemon.application.ports.errors import NotNow
from wes_daemon.application.ports.providers import Accepted, Prepared, RunDetails, Submission
from wes_daemon.domain.runs import ProviderRunId, StatusReport
from wes_daemon.domain.states import RunState

_COMPLETE = StatusReport(state=RunState.COMPLETE, provider_status="done")
_NOTHING = RunDetails()


class InstantService(MemoryProvider):
    """Accepts everything at once; each run is complete as soon as it is asked for, by whichever process."""

    def submit(self, submission: Submission) -> Accepted | Prepared:
        """As the port says."""
        return Accepted(ProviderRunId(f"at-{submission.key}"))

    def statuses(self, ids: Collection[ProviderRunId]) -> Mapping[ProviderRunId, StatusReport]:
        """As the port says."""
        return dict.fromkeys(ids, _COMPLETE)

    def details(self, id: ProviderRunId) -> RunDetails:
        """As the port says."""
        del id
        return _NOTHING


class SlowService(MemoryProvider):
    """Accepts everything, so many seconds away."""

    def __init__(self, seconds: float) -> None:
        """Hold nothing yet."""
        super().__init__()
        self._seconds = seconds

    def submit(self, submission: Submission) -> Accepted | Prepared:
        """As the port says."""
        time.sleep(self._seconds)
        return super().submit(submission)


class HangingService(MemoryProvider):
    """Answers nothing for so many seconds, and then that it is not available."""

    def __init__(self, seconds: float, released: threading.Event) -> None:
        """Hold nothing yet; once `released`, it answers at once."""
        super().__init__()
        self._seconds = seconds
        self._released = released

    def submit(self, submission: Submission) -> Accepted | Prepared:
        """As the port says."""
        self._released.wait(self._seconds)
        raise NotNow(f"the service hangs, and has not taken {submission.key}")


class ReportingService(MemoryProvider):
    """Accepts everything at once, and tells of each run the moment when it is asked to start it."""

    def __init__(self, hear: Callable[[str, float], None]) -> None:
        """Hold nothing yet; `hear` gets the run's id and a moment of `time.perf_counter`."""
        super().__init__()
        self._hear = hear

    def submit(self, submission: Submission) -> Accepted | Prepared:
        """As the port says."""
        self._hear(submission.run_id, time.perf_counter())
        return super().submit(submission)
