"""Providers that cost almost nothing themselves, so that the cost of the daemon is measured."""

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
    """Accepts every run at once, and reports every run as complete, in any process."""

    def submit(self, submission: Submission) -> Accepted | Prepared:
        return Accepted(ProviderRunId(f"at-{submission.key}"))

    def statuses(self, ids: Collection[ProviderRunId]) -> Mapping[ProviderRunId, StatusReport]:
        return dict.fromkeys(ids, _COMPLETE)

    def details(self, id: ProviderRunId) -> RunDetails:
        del id
        return _NOTHING


class SlowService(MemoryProvider):
    """Accepts every run after a delay of some seconds."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._seconds = seconds

    def submit(self, submission: Submission) -> Accepted | Prepared:
        time.sleep(self._seconds)
        return super().submit(submission)


class HangingService(MemoryProvider):
    """Hangs for some seconds, and then raises `NotNow`."""

    def __init__(self, seconds: float, released: threading.Event) -> None:
        """Return at once from every call after `released` is set."""
        super().__init__()
        self._seconds = seconds
        self._released = released

    def submit(self, submission: Submission) -> Accepted | Prepared:
        self._released.wait(self._seconds)
        raise NotNow(f"the service hangs and has not accepted {submission.key}")


class ReportingService(MemoryProvider):
    """Accepts every run at once, and reports when it was called to start it."""

    def __init__(self, on_submit: Callable[[str, float], None]) -> None:
        """Call `on_submit` with the id of each run and a time of `time.perf_counter`."""
        super().__init__()
        self._on_submit = on_submit

    def submit(self, submission: Submission) -> Accepted | Prepared:
        self._on_submit(submission.run_id, time.perf_counter())
        return super().submit(submission)
