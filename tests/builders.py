"""Test data in one place: `a_run()` is a good one, and each test says only what it is about."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from wes_daemon.application.ports.providers import RunDetails, Submission
from wes_daemon.application.submitting.submission_policy import SubmissionPolicy
from wes_daemon.domain.runs import (
    Attachment,
    IdempotencyKey,
    ProviderRunId,
    ProviderType,
    Run,
    RunId,
    StatusReport,
    WorkflowRequest,
)
from wes_daemon.domain.states import RunState

ALL_PROVIDERS = frozenset({ProviderType.SEVENBRIDGES, ProviderType.HEALTHOMICS, ProviderType.LOCAL})
ALL_DESTINATIONS: frozenset[ProviderType | None] = frozenset({None, *ALL_PROVIDERS})
"""The destinations of all runs; None stands for runs whose provider cannot be determined."""

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)

_POLICY = SubmissionPolicy(
    concurrency_limit=10,
    per_provider_limits={},
    share_tag=None,
    timeout=timedelta(days=1),
    attempts=None,
    batch=16,
    default_provider=ProviderType.SEVENBRIDGES,
    first_poll_after=timedelta(minutes=5),
)


def a_request(**changes: object) -> WorkflowRequest:
    """A request that a provider could run."""
    values: dict[str, object] = {
        "workflow_url": "file:///workflows/echo.cwl",
        "workflow_type": "CWL",
        "workflow_type_version": "v1.2",
        "workflow_params": {"message": "hello"},
    }
    return WorkflowRequest(**(values | changes))  # type: ignore[arg-type]


def a_run(
    id: str = "run-1",
    state: RunState = RunState.QUEUED,
    *,
    tags: object = None,
    request: WorkflowRequest | None = None,
    provider: ProviderType | None = None,
    provider_run_id: str | None = None,
    start_time: datetime | None = None,
    end_time: datetime | None = None,
) -> Run:
    """A queued run."""
    return Run(
        id=RunId(id),
        state=state,
        request=request or a_request(),
        tags={} if tags is None else tags,
        provider=provider,
        provider_run_id=ProviderRunId(provider_run_id) if provider_run_id else None,
        start_time=start_time,
        end_time=end_time,
    )


def a_submission(key: str = "wes-run-1", *, prepared_id: ProviderRunId | None = None, **changes: object) -> Submission:
    """A submission of `a_request`."""
    return Submission(
        key=IdempotencyKey(key),
        run_id=RunId(key.removeprefix("wes-")),
        request=a_request(**changes),
        prepared_id=prepared_id,
    )


def a_submission_policy(**changes: Any) -> SubmissionPolicy:
    """A policy under which ten runs may be active."""
    return replace(_POLICY, **changes)


def a_report(state: RunState, status: str | None = None, **changes: object) -> StatusReport:
    """A provider's report; its own word is ours in lower case."""
    return StatusReport(state=state, provider_status=status or state.lower(), **changes)  # type: ignore[arg-type]


def some_details(outputs: Mapping[str, object] | None = None) -> RunDetails:
    """Details with one output."""
    return RunDetails(outputs=outputs or {"answer": 42}, exit_code=0)


def an_attachment(name: str = "echo.cwl", content: bytes = b"cwlVersion: v1.2\n") -> Attachment:
    """A file that came with a request."""
    return Attachment(name=name, content=content)
