"""Submits a run once, and finds out after a lost answer what has become of it."""

import logging
import threading
from collections.abc import Mapping
from datetime import UTC, datetime

from wes_daemon.adapters.json_values import as_text
from wes_daemon.adapters.providers.wes.client import WesClient, is_run_id
from wes_daemon.adapters.providers.wes.config import WesConfig
from wes_daemon.adapters.providers.wes.errors import Failure, provider_error
from wes_daemon.adapters.providers.wes.inventory import Inventory, SearchResult
from wes_daemon.adapters.providers.wes.run_request import KEY_TAG, RunRequest, run_request
from wes_daemon.adapters.providers.wes.server_info import ServerInfo, ServerInfoReader
from wes_daemon.application.ports.environment import Clock
from wes_daemon.application.ports.errors import (
    AmbiguousRefusal,
    AnswerLost,
    Misconfigured,
    OutcomeUnknown,
    ProviderError,
    Rejected,
    Unprovable,
)
from wes_daemon.application.ports.providers import Submission
from wes_daemon.application.runtime.event_log import log_event
from wes_daemon.domain.runs import ProviderRunId

_log = logging.getLogger(__name__)

# Refusals of what the request says: the server has examined it and has started nothing.
_OF_THE_REQUEST = (400, 422)
# Source: draft-ietf-httpapi-idempotency-key-header. Servers without keys use it for requests that they cannot read.
_KEY_USED = 422
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


class RunStarter:
    """Starts the run of a submission, or finds the run that an earlier attempt started.

    The first attempt sends the request. After a doubt a search by the run ownership marker comes first, and the
    request is sent again only to a server that is known to honour `Idempotency-Key`.
    """

    def __init__(
        self, client: WesClient, config: WesConfig, *, info: ServerInfoReader, inventory: Inventory, clock: Clock
    ) -> None:
        self._client = client
        self._config = config
        self._info = info
        self._inventory = inventory
        self._clock = clock
        self._needs_engine = False
        self._lock = threading.Lock()

    def submit(self, submission: Submission) -> ProviderRunId:
        """Return the id of the submission's run; raises as `WorkflowProvider.submit` does, and `Failure`."""
        if not submission.resumed:
            # A database that was restored may have lost an earlier call.
            is_of_unknown_age = submission.queued_for is None
            if is_of_unknown_age and (found := self._search(submission, _LONG_AGO).id) is not None:
                return found
            return self._start_first(submission)
        result = self._search(submission, self._clock.now() - submission.in_doubt_for - self._config.clock_margin)
        if result.id is not None:
            return result.id
        info = self._info.read()
        if not self._is_key_honoured(info):
            raise self._doubt(submission, result)
        return self._start_again(submission, info)

    def _start_first(self, submission: Submission) -> ProviderRunId:
        info = self._info.read()
        try:
            return self._start(submission, self._request(submission, info), info)
        except Failure as failure:
            if failure.status != _KEY_USED or not self._is_key_honoured(info):
                raise
            # Or the key was used before, with another request: the database was restored since.
            result = self._search(submission, _LONG_AGO)
            if result.id is None:
                raise
            return result.id

    def _search(self, submission: Submission, since: datetime) -> SearchResult:
        result = self._inventory.find(submission.key, since)
        if result.id is not None:
            event = "wes.found"
            log_event(_log, logging.INFO, event, run_id=submission.run_id, id=result.id, examined=result.examined)
        return result

    def _is_key_honoured(self, info: ServerInfo) -> bool:
        return self._config.honours_key or info.honours_key

    def _request(self, submission: Submission, info: ServerInfo) -> RunRequest:
        return run_request(submission, info, own_name=self._config.name)

    def _start_again(self, submission: Submission, info: ServerInfo) -> ProviderRunId:
        """Send the request once more: the server starts no second run for the key.

        A refusal now does not prove that the first request was refused as well.
        """
        try:
            return self._start(submission, self._request(submission, info), info)
        except Failure as failure:
            error = provider_error(failure)
        except Rejected as rejection:
            error = rejection
        if isinstance(error, AmbiguousRefusal):
            # Otherwise it could become a rejection later.
            raise Misconfigured(str(error)) from None
        if isinstance(error, Rejected):
            raise self._doubt_after(error, submission) from None
        raise error

    def _start(self, submission: Submission, request: RunRequest, info: ServerInfo) -> ProviderRunId:
        engine = None if request.names_engine else info.engine_for(submission.request.workflow_type)
        if engine is not None and self._demands_engine():
            return self._send(submission, request.with_engine(engine))
        try:
            return self._send(submission, request)
        except Failure as failure:
            # Some servers demand an engine, and say so only in words. The refusal proves that nothing was started.
            if engine is None or failure.status not in _OF_THE_REQUEST:
                raise
        id = self._send(submission, request.with_engine(engine))
        with self._lock:
            self._needs_engine = True
        return id

    def _demands_engine(self) -> bool:
        with self._lock:
            return self._needs_engine

    def _send(self, submission: Submission, request: RunRequest) -> ProviderRunId:
        answer: Mapping[str, object] = self._client.run_workflow(request.parts(), key=submission.key)
        id = as_text(answer.get("run_id")).strip()
        if not is_run_id(id):
            raise AnswerLost("the WES server accepted the request and answered without a usable run_id")
        return ProviderRunId(id)

    def _doubt(self, submission: Submission, result: SearchResult) -> OutcomeUnknown:
        searched = f"none of {result.examined} runs that were read has the tag {KEY_TAG}={submission.key}"
        if not result.is_complete:
            searched += ", and not every run could be read"
        if submission.in_doubt_for < self._config.settling_time:
            return OutcomeUnknown(f"{searched}; the run may not be listed yet")
        return Unprovable(
            f"{searched}, and the server is not known to honour Idempotency-Key: "
            "the request is not sent again, because the server would start a second run if it has the first"
        )

    def _doubt_after(self, rejection: ProviderError, submission: Submission) -> OutcomeUnknown:
        text = f"{rejection}; but an earlier attempt may have started a run, though none is listed"
        return (OutcomeUnknown if submission.in_doubt_for < self._config.settling_time else Unprovable)(text)
