"""Queues a new run."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import PurePosixPath

from wes_daemon.application.ports.environment import Clock, IdSource
from wes_daemon.application.ports.errors import StorageUnavailable
from wes_daemon.application.ports.runs import TimelineEntry
from wes_daemon.application.ports.unit_of_work import UnitsOfWork
from wes_daemon.application.requests.json_values import exact_object, exact_text
from wes_daemon.application.runtime.event_log import log_event
from wes_daemon.domain.errors import InvalidRequest
from wes_daemon.domain.runs import Attachment, Run, RunId, WorkflowRequest

_log = logging.getLogger(__name__)

# The widths of the columns in a WES database. A longer value would be truncated, and could name another workflow.
_WIDTHS = {
    "workflow_url": 500,
    "workflow_type": 50,
    "workflow_type_version": 20,
    "workflow_engine": 50,
    "workflow_engine_version": 20,
}


_REQUIRED_TEXTS = ("workflow_url", "workflow_type", "workflow_type_version")
_OPTIONAL_TEXTS = ("workflow_engine", "workflow_engine_version")


class CreateRun:
    """Queues a run if it passes the checks that need no provider, with exactly the values that were given."""

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
            InvalidRequest: no provider can run it, or a value cannot be kept exactly; the message names the value's
                place, such as `workflow_params.reads[2].path`. Nothing was stored.
            StorageUnavailable: the run was not stored, or may have been stored; the message says which.
        """
        request = _exact_request(request)
        _check_widths(request)
        _check_attachments(attachments)
        run = Run(id=RunId(self._ids.new_id()), request=request, tags=exact_object("tags", tags or {}))
        request.validate()
        run.named_provider()
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


def _exact_request(request: WorkflowRequest) -> WorkflowRequest:
    optional = [name for name in _OPTIONAL_TEXTS if getattr(request, name) is not None]
    texts = {name: exact_text(name, getattr(request, name)) for name in (*_REQUIRED_TEXTS, *optional)}
    return replace(
        request,
        **texts,
        workflow_params=exact_object("workflow_params", request.workflow_params),
        workflow_engine_parameters=exact_object("workflow_engine_parameters", request.workflow_engine_parameters),
    )


def _check_attachments(attachments: Iterable[object]) -> None:
    """Refuse attachments that a database would change or refuse."""
    names = set[PurePosixPath]()
    for number, attachment in enumerate(attachments):
        place = f"attachments[{number}]"
        if not isinstance(attachment, Attachment):
            raise InvalidRequest(f"{place} is a {type(attachment).__name__}: pass a wes_daemon.Attachment")
        name = PurePosixPath(exact_text(f"{place}.name", attachment.name))
        if not isinstance(attachment.content, bytes):
            raise InvalidRequest(f"{place}.content is a {type(attachment.content).__name__}: pass bytes")
        if name in names:
            raise InvalidRequest(
                f"{place}.name is {str(name)!r}, as is that of an earlier attachment: rename one of them"
            )
        names.add(name)


def _check_widths(request: WorkflowRequest) -> None:
    for name, width in _WIDTHS.items():
        if len(getattr(request, name) or "") > width:
            raise InvalidRequest(f"{name} is longer than the {width} characters that a WES database holds")
