"""Starts the run of a submission, and starts it only once."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from wes_daemon.adapters.providers.healthomics.client import HealthOmicsClient, Refusal
from wes_daemon.adapters.providers.healthomics.config import HealthOmicsConfig
from wes_daemon.adapters.providers.healthomics.refusals import refusal_error
from wes_daemon.adapters.providers.healthomics.runs import RunIdentity
from wes_daemon.adapters.providers.healthomics.start_request import (
    KEY_TAG,
    refuse_unknown_members,
    run_name,
    start_run_request,
)
from wes_daemon.application.ports.errors import (
    AmbiguousRefusal,
    Misconfigured,
    OutcomeUnknown,
    ProviderError,
    Rejected,
    Unprovable,
    in_doubt,
)
from wes_daemon.application.ports.providers import Submission
from wes_daemon.application.runtime.event_log import log_event
from wes_daemon.domain.runs import IdempotencyKey, ProviderRunId

_log = logging.getLogger(__name__)

# It is not documented how soon after its start a run is listed.
_MAX_LISTING_DELAY = timedelta(minutes=5)
_LATEST = datetime.max.replace(tzinfo=UTC)


class RunStarter:
    """Starts the run of a submission, or finds the run that an earlier attempt started.

    Each attempt sends the idempotency key as `requestId`. It first searches for the run by name, unless it is certain
    that no earlier attempt is older than the resend horizon. Both are needed:

    - The service starts no second run for a request id that it remembers; it is not documented for how long it does.
    - The search finds runs of any age; it is not documented how soon a new run is listed.
    """

    def __init__(self, client: HealthOmicsClient, config: HealthOmicsConfig) -> None:
        self._client = client
        self._config = config

    def submit(self, submission: Submission) -> ProviderRunId:
        """Return the id of the submission's run; raises as `WorkflowProvider.submit` does."""
        try:
            request = start_run_request(submission, self._config)
            refuse_unknown_members(request, self._client.start_run_members())
        except Rejected as rejection:
            return self._find_despite(rejection, submission)
        if self._may_have_been_sent(submission):
            if found := self._find(submission.key):
                return found
            self._refuse_after_horizon(submission)
        return self._start(submission, request)

    def _may_have_been_sent(self, submission: Submission) -> bool:
        """Whether an earlier attempt may have started a run that only a search can find, or should find first.

        The service remembers the request id of an attempt within the resend horizon, also of one that a restored
        database has lost.
        """
        queued_for = submission.queued_for
        return submission.resumed or queued_for is None or queued_for > self._config.resend_horizon

    def _refuse_after_horizon(self, submission: Submission) -> None:
        """Raise `Unprovable` when the service may have forgotten the request id: a deleted run is not listed either."""
        horizon = self._config.resend_horizon
        if submission.in_doubt_for > horizon:
            raise Unprovable(
                f"no run {run_name(submission.key)} is listed, and its submission has been in doubt for more than "
                f"{horizon}: HealthOmics may have forgotten the request, and would start a second run if "
                "the first was deleted"
            )

    def _find_despite(self, rejection: Rejected, submission: Submission) -> ProviderRunId:
        """Return the run of an earlier attempt, which may have had other settings. Without such a run, raise."""
        if not self._may_have_been_sent(submission):
            raise rejection
        try:
            found = self._find(submission.key)
        except Misconfigured:
            if submission.resumed:
                raise
            raise rejection from None
        if found is not None:
            return found
        raise _final_or_in_doubt(rejection, submission) from None

    def _start(self, submission: Submission, request: Mapping[str, Any]) -> ProviderRunId:
        self._log_unused_attachments(submission)
        try:
            return self._started_id(self._client.start_run(request))
        except Refusal as refusal:
            return self._resolve_refusal(submission, request, refusal)
        except (Rejected, AmbiguousRefusal) as error:
            raise _final_or_in_doubt(error, submission) from error

    def _resolve_refusal(self, submission: Submission, request: Mapping[str, Any], refusal: Refusal) -> ProviderRunId:
        """Search again: the service may answer a repeated request id with this refusal, which is not documented."""
        with _errors_leave_doubt(f"StartRun answered {refusal}"):
            found = self._find(submission.key)
        if found is not None:
            return found
        if refusal.code == "ConflictException":
            raise OutcomeUnknown(f"StartRun answered {refusal}, but no run {run_name(submission.key)} is listed yet")
        error = refusal_error(refusal, request, self._config)
        if isinstance(error, Misconfigured):
            self._client.reload_credentials()
        raise _final_or_in_doubt(error, submission) from refusal

    def _started_id(self, answer: Mapping[str, Any]) -> ProviderRunId:
        if not answer.get("id"):
            raise OutcomeUnknown("StartRun answered without the run's id")
        if answer.get("uuid"):
            return RunIdentity.of(answer).provider_run_id
        evidence = f"run {answer['id']} was started, but its uuid is not known yet"
        with _errors_leave_doubt(evidence):
            run = self._client.get_run(str(answer["id"]))
        if run is None:
            raise OutcomeUnknown(evidence)
        return RunIdentity.of(run).provider_run_id

    def _find(self, key: IdempotencyKey) -> ProviderRunId | None:
        """Return the earliest listed run of this key."""
        name = run_name(key)
        listed = [item for item in self._client.runs_named(name) if item.get("name") == name]
        for item in sorted(listed, key=lambda item: (item.get("creationTime") or _LATEST, str(item.get("id")))):
            if found := self._owned_run(str(item["id"]), key):
                return found
        return None

    def _owned_run(self, id: str, key: IdempotencyKey) -> ProviderRunId | None:
        """Return the run's id if its tag contains the key: a run of another owner can have the same name."""
        with _errors_leave_doubt(f"run {id} is listed under the name of this submission"):
            run = self._client.get_run(id)
        if run is None:
            raise OutcomeUnknown(f"run {id} is listed under the name of this submission, but GetRun does not find it")
        return RunIdentity.of(run).provider_run_id if (run.get("tags") or {}).get(KEY_TAG) == key else None

    def _log_unused_attachments(self, submission: Submission) -> None:
        if submission.attachments:
            names = ", ".join(attachment.name for attachment in submission.attachments)
            log_event(_log, logging.WARNING, "healthomics.attachments_unused", run_id=submission.run_id, names=names)


def _final_or_in_doubt(error: ProviderError, submission: Submission) -> ProviderError:
    """Return the error, or a doubt for a rejection if an earlier attempt may have started a run that is not listed.

    An ambiguous refusal then counts as one of the set-up: otherwise it could become a rejection later.
    """
    if not submission.resumed:
        return error
    if isinstance(error, AmbiguousRefusal):
        return Misconfigured(str(error))
    if not isinstance(error, Rejected):
        return error
    if submission.in_doubt_for < _MAX_LISTING_DELAY:
        return OutcomeUnknown(f"{error}; but an earlier attempt may have started a run that is not listed yet")
    return Unprovable(f"{error}; but an earlier attempt may have started a run, though none is listed")


@contextmanager
def _errors_leave_doubt(evidence: str) -> Iterator[None]:
    """Turn every error into `OutcomeUnknown`: the evidence shows that a run may exist."""
    try:
        yield
    except ProviderError as error:
        raise in_doubt(evidence, error) from error
