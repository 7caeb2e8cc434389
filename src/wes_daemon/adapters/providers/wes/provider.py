"""Any WES server as a `WorkflowProvider`: each run is a run of the server."""

import logging
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta

from wes_daemon.adapters.json_values import as_text
from wes_daemon.adapters.providers.wes.client import WesClient, is_run_id
from wes_daemon.adapters.providers.wes.config import WesConfig
from wes_daemon.adapters.providers.wes.details import DetailsReader
from wes_daemon.adapters.providers.wes.errors import Failure, translated, translated_unless_rejected
from wes_daemon.adapters.providers.wes.inventory import Inventory
from wes_daemon.adapters.providers.wes.server_info import ServerInfoReader
from wes_daemon.adapters.providers.wes.statuses import STATUS_BATCH, StatusReader, state_of
from wes_daemon.adapters.providers.wes.submission import RunStarter
from wes_daemon.application.ports.call_gate import CallGate, OpenCallGate
from wes_daemon.application.ports.environment import Clock
from wes_daemon.application.ports.errors import NotNow, Rejected
from wes_daemon.application.ports.providers import (
    Accepted,
    Idempotency,
    Needed,
    OwnedPage,
    ProviderLimits,
    Recorded,
    RunDetails,
    Submission,
    all_needed,
    nothing_recorded,
)
from wes_daemon.application.runtime.event_log import log_event
from wes_daemon.application.runtime.log_throttle import LogThrottle
from wes_daemon.domain.runs import ProviderRunId, StatusReport
from wes_daemon.domain.states import RunState
from wes_daemon.plugins.base_provider import BaseProvider

_log = logging.getLogger(__name__)

_WHY_UNKNOWN = (
    "the server's operator may have deleted the run {id}, or the server's storage was replaced; "
    "ask the server's operator for it"
)
# A server refuses to cancel a run that has ended, or does not offer it, with any of these.
_NO_CANCEL = (400, 403, 404, 405, 409, 410, 422, 501)
_STOPPING = frozenset({RunState.CANCELING, RunState.CANCELED})


class WesProvider(BaseProvider):
    """A `WorkflowProvider` over the WES API, version 1.0 or 1.1.

    It keeps no state that has to outlive a call.

    Args:
        gate: permits every call by default.
    """

    def __init__(self, config: WesConfig, *, clock: Clock, gate: CallGate | None = None) -> None:
        self._config = config
        self._client = WesClient(config, clock=clock, gate=gate or OpenCallGate())
        self._info = info = ServerInfoReader(self._client, clock)
        self._inventory = Inventory(self._client, config, clock)
        self._starter = RunStarter(self._client, config, info=info, inventory=self._inventory, clock=clock)
        self._status_reader = StatusReader(self._client, config)
        self._details_reader = DetailsReader(self._client, config, info)
        self._throttle = LogThrottle(clock, every=timedelta(hours=1))

    @property
    def limits(self) -> ProviderLimits:
        kind = Idempotency.KEY if self._config.honours_key else Idempotency.AT_MOST_ONCE
        return ProviderLimits(status_batch=STATUS_BATCH, idempotency=kind, why_unknown=_WHY_UNKNOWN)

    def submit(self, submission: Submission) -> Accepted:
        """Send the request. Costs one call, and one more each hour for service-info; after a doubt, a search."""
        with translated():
            return Accepted(self._starter.submit(submission))

    def statuses(self, ids: Collection[ProviderRunId]) -> Mapping[ProviderRunId, StatusReport]:
        """Return the status reports. Costs one call for each run, or less with a list, and one for each ended run."""
        if len(ids) > STATUS_BATCH:
            raise ValueError(f"{len(ids)} ids in one call, {STATUS_BATCH} are allowed")
        return self._status_reader.read(ids)

    def cancel(self, id: ProviderRunId) -> None:
        """Ask the server to cancel the run, and log a warning if the server does not do so. Costs two calls."""
        if not is_run_id(id):
            return
        with translated_unless_rejected():
            refusal = self._refused_cancel(id)
            if refusal is not None and refusal.is_unknown_run and self._state(id) is None:
                return
            self._check_cancelled(id, refusal)

    def owned_runs(
        self,
        since: datetime,
        *,
        after: str | None = None,
        recorded: Recorded = nothing_recorded,
        needed: Needed = all_needed,
    ) -> OwnedPage:
        """List runs of the server. Costs one call for each page; one for each run, if the list has no tags.

        Without tags in the list, only that call shows whose run it is, so that nothing can be left out before it.
        """
        del recorded, needed
        with translated_unless_rejected():
            return self._inventory.owned_page(since, after)

    def details(self, id: ProviderRunId) -> RunDetails:
        """Return the details. Costs one call, and one for each page of tasks."""
        if not is_run_id(id):
            raise Rejected(f"{id!r} is not the id of a WES run")
        with translated_unless_rejected():
            return self._details_reader.read(id)

    def problem_of_server(self) -> str:
        """Return why no run can go to the server, although it answers; empty if nothing is wrong. Costs two calls.

        Raises:
            NotNow, Misconfigured: the server gives no answer, refuses the credential, or is no WES server.
        """
        with translated_unless_rejected():
            info = self._info.read()
            self._client.page_of_runs(None)
        if not (info.types or info.versions):
            return "service-info names neither workflow types nor versions: check that WES_ENDPOINT is a WES server"
        return ""

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _refused_cancel(self, id: str) -> Failure | None:
        try:
            self._client.cancel(id)
        except Failure as failure:
            if failure.status in _NO_CANCEL:
                return failure
            raise
        return None

    def _check_cancelled(self, id: str, refusal: Failure | None) -> None:
        """Tell a person, once an hour, that the run goes on at the server. Its end is followed as before."""
        state = self._state(id)
        if state is None or state.has_ended or state in _STOPPING:
            return
        if refusal is not None and refusal.status == 403:
            raise refusal
        if refusal is not None and refusal.status == 409:
            raise NotNow(str(refusal), retry_after=refusal.retry_after)
        if self._throttle.allows(id):
            answer = str(refusal) if refusal else "the WES server accepted the cancellation"
            reason = f"{answer}, but still reports {state}: it may not support cancellation"
            log_event(_log, logging.WARNING, "wes.not_cancelled", id=id, reason=reason)

    def _state(self, id: str) -> RunState | None:
        """Return the run's state; None if the server does not know the run."""
        try:
            answer = self._client.run_status(id)
        except Failure as failure:
            if failure.is_unknown_run:
                return None
            raise
        return RunState.UNKNOWN if not as_text(answer.get("state")) else state_of(answer)
