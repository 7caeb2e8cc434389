"""How a run is started once, and never twice."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from wes_daemon.adapters.providers.healthomics.client import HealthOmicsClient, Refusal
from wes_daemon.adapters.providers.healthomics.config import HealthOmicsConfig
from wes_daemon.adapters.providers.healthomics.identity import RunIdentity
from wes_daemon.adapters.providers.healthomics.payloads import (
    KEY_TAG,
    refuse_unknown_members,
    run_name,
    start_run_request,
)
from wes_daemon.adapters.providers.healthomics.refusals import judge_denial, judge_validation, speaks_of_repetition
from wes_daemon.application.ports.errors import (
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

# How soon after its start a run is listed is not documented.
_LISTED_BY_THEN = timedelta(minutes=5)
_LATEST = datetime.max.replace(tzinfo=UTC)


class RunStarter:
    """Starts the run of a submission, or finds the one that was started before.

    Two nets, since each has a hole. The service starts no second run for a request id that it remembers, but does not
    say for how long it does. A search by name finds runs of any age, but does not say how soon after their start.
    So each attempt searches first and then sends the key as request id.
    """

    def __init__(self, client: HealthOmicsClient, config: HealthOmicsConfig) -> None:
        self._client = client
        self._config = config

    def __call__(self, submission: Submission) -> ProviderRunId:
        """As `WorkflowProvider.submit`."""
        try:
            request = start_run_request(submission, self._config)
            refuse_unknown_members(request, self._client.members_of_start_run())
        except Rejected as rejection:
            return self._started_before(submission, rejection)
        if found := self._find(submission.key):
            return found
        self._refuse_too_late(submission)
        return self._start(submission, request)

    def _refuse_too_late(self, submission: Submission) -> None:
        """A run that was deleted is not listed, and a request that the service has forgotten would start another."""
        horizon = self._config.resend_horizon
        if submission.in_doubt_for > horizon:
            raise Unprovable(
                f"no run {run_name(submission.key)} is listed, but StartRun was first sent more than {horizon} ago: "
                "HealthOmics may have forgotten that by now and would start a second run where the first was deleted"
            )

    def _started_before(self, submission: Submission, rejection: Rejected) -> ProviderRunId:
        """The settings may have changed since an earlier attempt, whose run must not be called rejected."""
        try:
            found = self._find(submission.key)
        except Misconfigured:
            if submission.resumed:
                raise
            raise rejection from None
        if found is not None:
            return found
        raise _believed(rejection, submission) from None

    def _start(self, submission: Submission, request: Mapping[str, Any]) -> ProviderRunId:
        self._note_attachments(submission)
        try:
            return self._identified(self._client.start_run(request))
        except Refusal as refusal:
            return self._after_refusal(submission, request, refusal)

    def _after_refusal(self, submission: Submission, request: Mapping[str, Any], refusal: Refusal) -> ProviderRunId:
        """Perhaps the refusal is how the service answers a repeated request id: it does not say which way it takes."""
        with _doubting(f"StartRun answered {refusal}"):
            found = self._find(submission.key)
        if found is not None:
            return found
        if refusal.code == "ConflictException" or speaks_of_repetition(str(refusal)):
            raise OutcomeUnknown(f"StartRun answered {refusal}, but no run {run_name(submission.key)} is listed yet")
        judge = judge_denial if refusal.code == "AccessDeniedException" else judge_validation
        error = judge(str(refusal), request, self._config)
        if isinstance(error, Misconfigured):
            self._client.start_afresh()
        raise (_believed(error, submission) if isinstance(error, Rejected) else error) from refusal

    def _identified(self, answer: Mapping[str, Any]) -> ProviderRunId:
        if not answer.get("id"):
            raise OutcomeUnknown("StartRun answered without the run's id")
        if answer.get("uuid"):
            return RunIdentity.of(answer).provider_run_id
        evidence = f"run {answer['id']} was started, but its uuid is not known yet"
        with _doubting(evidence):
            run = self._client.get_run(str(answer["id"]))
        if run is None:
            raise OutcomeUnknown(evidence)
        return RunIdentity.of(run).provider_run_id

    def _find(self, key: IdempotencyKey) -> ProviderRunId | None:
        """The first run that was ever started for this key, as far as the service still lists it."""
        name = run_name(key)
        listed = [item for item in self._client.runs_named(name) if item.get("name") == name]
        for item in sorted(listed, key=lambda item: (item.get("creationTime") or _LATEST, str(item.get("id")))):
            if found := self._confirmed(str(item["id"]), key):
                return found
        return None

    def _confirmed(self, id: str, key: IdempotencyKey) -> ProviderRunId | None:
        """The run's full name when it is of this key; somebody else's may only be called like it."""
        with _doubting(f"run {id} is listed under the name of this submission"):
            run = self._client.get_run(id)
        if run is None:
            raise OutcomeUnknown(f"run {id} is listed under the name of this submission, but GetRun does not know it")
        return RunIdentity.of(run).provider_run_id if (run.get("tags") or {}).get(KEY_TAG) == key else None

    def _note_attachments(self, submission: Submission) -> None:
        if submission.attachments:
            names = ", ".join(attachment.name for attachment in submission.attachments)
            log_event(_log, logging.WARNING, "healthomics.attachments_unused", run_id=submission.run_id, names=names)


def _believed(rejection: Rejected, submission: Submission) -> ProviderError:
    """What a refusal tells: nothing of an earlier attempt, which may have started a run that no list shows."""
    if not submission.resumed:
        return rejection
    if submission.in_doubt_for < _LISTED_BY_THEN:
        return OutcomeUnknown(f"{rejection}; but an earlier attempt may have started it, and not be listed yet")
    return Unprovable(f"{rejection}; but an earlier attempt may have started it, though no list shows that")


@contextmanager
def _doubting(evidence: str) -> Iterator[None]:
    """Where something tells that a run may exist, trouble in looking it up leaves that open."""
    try:
        yield
    except ProviderError as error:
        raise in_doubt(evidence, error) from error
