"""Queues a new run."""

import logging
from collections.abc import Mapping, Sequence

from wes_daemon.application.ports.environment import Clock, IdSource
from wes_daemon.application.ports.errors import StorageUnavailable
from wes_daemon.application.ports.runs import TimelineEntry
from wes_daemon.application.ports.unit_of_work import UnitsOfWork
from wes_daemon.application.runtime.event_log import log_event
from wes_daemon.domain.errors import InvalidRequest
from wes_daemon.domain.runs import Attachment, ProviderType, Run, RunId, WorkflowRequest

_log = logging.getLogger(__name__)

# The widths of the columns in a WES database. A longer value would be truncated, and could name another workflow.
_WIDTHS = {
    "workflow_url": 500,
    "workflow_type": 50,
    "workflow_type_version": 20,
    "workflow_engine": 50,
    "workflow_engine_version": 20,
}


class CreateRun:
    """Queues a run if it passes the checks that need no provider."""

    def __init__(self, *, units: UnitsOfWork, clock: Clock, ids: IdSource, by: str) -> None:
        self._units = units
        self._clock = clock
        self._ids = ids
        self._by = by

    def __call__(
        self,
        request: WorkflowRequest,
        *,
        tags: Mapping[str, object] | None = None,
        attachments: Sequence[Attachment] = (),
    ) -> RunId:
        """Store the run as `QUEUED` and return its new id.

        Raises:
            InvalidRequest: no provider can run it; nothing was stored.
            StorageUnavailable: the run was not stored, or may have been stored; the message says which.
        """
        _check_widths(request)
        run = Run(id=RunId(self._ids.new_id()), request=request, tags=dict(tags or {}))
        request.validate()
        run.destination(default=ProviderType.SEVENBRIDGES)
        entry = TimelineEntry(at=self._clock.now(), before=None, after=run.state, by=self._by, why="queued")
        try:
            with self._units() as work:
                work.runs.add(run, attachments=attachments, entry=entry)
                work.commit()
        except StorageUnavailable as error:
            if not self._is_stored(run.id, error):
                raise
        log_event(_log, logging.INFO, "run.queued", run_id=run.id)
        return run.id

    def _is_stored(self, run_id: RunId, error: StorageUnavailable) -> bool:
        """Return whether the run is stored although the commit failed: if it were queued again, it would run twice."""
        try:
            with self._units() as work:
                return run_id in work.runs.read_summaries([run_id])
        except StorageUnavailable:
            message = f"run {run_id} may have been queued: look for it before you queue it again: {error}"
            raise StorageUnavailable(message) from error


def _check_widths(request: WorkflowRequest) -> None:
    for name, width in _WIDTHS.items():
        if len(getattr(request, name) or "") > width:
            raise InvalidRequest(f"{name} is longer than the {width} characters that a WES database holds")
