"""Test data with useful defaults: a test states only the values that it is about."""

from collections.abc import Mapping
from dataclasses import replace

from wes_daemon.application.ports.providers import Submission, key_of
from wes_daemon.domain.runs import RunId, WorkflowRequest


def a_request(**changes: object) -> WorkflowRequest:
    """Return a request for a CWL workflow; `changes` are fields of `WorkflowRequest`."""
    request = WorkflowRequest(
        workflow_url="file:///workflows/echo.cwl",
        workflow_type="CWL",
        workflow_type_version="v1.2",
        workflow_params={"message": "hello"},
    )
    return replace(request, **changes)  # type: ignore[arg-type]


def a_submission(
    run_id: str = "run-1", *, request: WorkflowRequest | None = None, tags: Mapping[str, object] | None = None
) -> Submission:
    """Return a first submission of a run, with the key that the daemon derives from the run's id."""
    id = RunId(run_id)
    return Submission(key=key_of(id), run_id=id, request=request or a_request(), tags=tags or {})
