"""Requests the cancellation of a run; the daemon passes it on to the provider."""

import logging

from wes_daemon.application.ports.environment import Clock
from wes_daemon.application.ports.unit_of_work import UnitsOfWork
from wes_daemon.application.runtime.event_log import log_event
from wes_daemon.application.runtime.recording import Recording
from wes_daemon.domain.runs import Run, RunId

_log = logging.getLogger(__name__)


class RequestCancel:
    """Sets a run to `CANCELING`."""

    def __init__(self, *, units: UnitsOfWork, clock: Clock, by: str) -> None:
        self._units = units
        self._clock = clock
        self._by = by

    def __call__(self, run_id: RunId) -> Run:
        """Request the cancellation, and return the run as it is now; a repeated request changes nothing.

        Raises:
            RunNotFound: no run has this id.
            IllegalTransition: the run has ended.
            RunLocked: another session keeps the run's row locked.
            StorageRefused: a constraint or a trigger refuses the state.
        """
        with self._units() as work:
            before = work.runs.get(run_id)
            after = before.cancel_requested()
            if after != before:
                recording = Recording(work, self._clock, self._by)
                work.runs.write([recording.update(before, after, "cancel requested")])
                work.commit()
        log_event(_log, logging.INFO, "run.cancel_requested", run_id=run_id)
        return after
