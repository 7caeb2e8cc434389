"""AWS HealthOmics as a `WorkflowProvider`."""

import logging
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from wes_daemon.adapters.providers.healthomics.client import HealthOmicsClient
from wes_daemon.adapters.providers.healthomics.config import HealthOmicsConfig
from wes_daemon.adapters.providers.healthomics.connection import Connection
from wes_daemon.adapters.providers.healthomics.details import DetailsReader
from wes_daemon.adapters.providers.healthomics.identity import RunIdentity
from wes_daemon.adapters.providers.healthomics.inventory import Inventory
from wes_daemon.adapters.providers.healthomics.listing import BATCH, FEWEST_CALLS, ActiveRuns
from wes_daemon.adapters.providers.healthomics.states import ACTIVE, DELETED, report, unreadable
from wes_daemon.adapters.providers.healthomics.submission import RunStarter
from wes_daemon.application.ports.call_gate import CallGate, OpenCallGate
from wes_daemon.application.ports.environment import Clock
from wes_daemon.application.ports.errors import NotNow, Rejected
from wes_daemon.application.ports.providers import (
    Accepted,
    EndedPage,
    OwnedPage,
    ProviderLimits,
    Recorded,
    RunDetails,
    Submission,
    nothing_recorded,
)
from wes_daemon.application.runtime.event_log import log_event
from wes_daemon.domain.runs import ProviderRunId, StatusReport

_log = logging.getLogger(__name__)

# A batch that has ended as a whole takes a GetRun for each: fifty seconds at the service's own rate.
_LIMITS = ProviderLimits(status_batch=BATCH, sweeps_from=FEWEST_CALLS + 1)
_UNREADABLE_BEFORE_GIVING_UP = 3
# A run that is being torn down ends by itself, with what it has done; there is nothing left to stop.
_CANCELLABLE = frozenset(ACTIVE) - {"STOPPING"}


class HealthOmicsProvider:
    """A `WorkflowProvider` over the HealthOmics API.

    It keeps nothing that has to outlive a call: what must be remembered is in the ids that it returns.

    Args:
        gate: asked before each request; permits every call by default.
    """

    def __init__(
        self,
        config: HealthOmicsConfig,
        *,
        clock: Clock,
        gate: CallGate | None = None,
    ) -> None:
        self._client = HealthOmicsClient(Connection(config), clock=clock, gate=gate or OpenCallGate())
        self._start = RunStarter(self._client, config)
        self._active = ActiveRuns(self._client, clock)
        self._inventory = Inventory(self._client)
        self._details = DetailsReader(self._client, clock=clock, region=config.region)

    @property
    def limits(self) -> ProviderLimits:
        """As the port says."""
        return _LIMITS

    def submit(self, submission: Submission) -> Accepted:
        """As the port says; in one step."""
        return Accepted(self._start(submission))

    def statuses(self, ids: Collection[ProviderRunId]) -> Mapping[ProviderRunId, StatusReport]:
        """As the port says: a few are asked for one by one, more are looked up in the lists of active runs.

        An end is only ever taken from GetRun, whose uuid tells whether the run is still the one that is meant.
        Trouble with some leaves these `UNKNOWN`; it is raised where there is no news at all.
        """
        wanted = {id: run for id in ids if (run := RunIdentity.parse(id))}
        active = self._active.among({run.id for run in wanted.values()}) if len(wanted) > FEWEST_CALLS else {}
        listed = {id: active[run.id] for id, run in wanted.items() if run.id in active}
        asked, troubles = self._ask_for_each({id: run for id, run in wanted.items() if id not in listed})
        if troubles and len(troubles) == len(wanted):
            raise troubles[0]
        return listed | asked

    def cancel(self, id: ProviderRunId) -> None:
        """As the port says. It looks first: a cancel by a reused id would stop somebody else's run."""
        run = RunIdentity.parse(id)
        if run is None or not self._may_be_cancelled(run):
            return
        refusal = self._client.cancel_run(run.id)
        # Which error tells that the run has ended meanwhile is not documented, so the run itself is asked.
        if refusal and self._may_be_cancelled(run):
            raise NotNow(f"HealthOmics does not cancel run {run.id}: {refusal}")

    def owned_runs(
        self, since: datetime, *, after: str | None = None, recorded: Recorded = nothing_recorded
    ) -> OwnedPage:
        """As the port says; one call for 100 of the account's runs, and one for each of ours that is not on record."""
        return self._inventory.part(since, after, recorded)

    def ended(self, since: datetime, *, after: str | None = None) -> EndedPage:
        """As the port says: the service's lists of ended runs know neither time nor order, so they are not read."""
        del since, after
        return EndedPage()

    def delete_draft(self, id: ProviderRunId) -> bool:
        """As the port says; nothing is ever only prepared here."""
        del id
        return False

    def details(self, id: ProviderRunId) -> RunDetails:
        """As the port says."""
        run = RunIdentity.parse(id)
        found = self._look_up(run) if run else None
        if found is None:
            raise Rejected(f"AWS HealthOmics knows no run {id!r}, or no longer")
        return self._details(found)

    def _ask_for_each(
        self, wanted: Mapping[ProviderRunId, RunIdentity]
    ) -> tuple[dict[ProviderRunId, StatusReport], Sequence[NotNow]]:
        """What is known of each, and the trouble with those that could not be read."""
        reports: dict[ProviderRunId, StatusReport] = {}
        troubles: list[NotNow] = []
        in_a_row = 0
        for id, run in wanted.items():
            try:
                if in_a_row >= _UNREADABLE_BEFORE_GIVING_UP:
                    raise troubles[-1]
                found = self._look_up(run)
            except NotNow as error:
                troubles.append(error)
                in_a_row += 1
                reports[id] = unreadable(str(error))
            else:
                in_a_row = 0
                reports |= {id: report(found)} if found else {}
        return reports, troubles

    def _look_up(self, run: RunIdentity) -> Mapping[str, Any] | None:
        """The run, unless the service does not know it any more, or knows another one by its id."""
        found = self._client.get_run(run.id)
        if found is None or found["status"] == DELETED:
            return None
        if not run.is_of(found):
            log_event(_log, logging.WARNING, "healthomics.run_id_reused", id=run.id, uuid=run.uuid, by=found["uuid"])
            return None
        return {**found, "id": run.id}

    def _may_be_cancelled(self, run: RunIdentity) -> bool:
        found = self._look_up(run)
        return found is not None and found["status"] in _CANCELLABLE
