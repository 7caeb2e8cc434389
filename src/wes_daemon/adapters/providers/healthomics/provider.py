"""AWS HealthOmics as a `WorkflowProvider`."""

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from wes_daemon.adapters.providers.healthomics.active_runs import MIN_SWEEP_CALLS, STATUS_BATCH, ActiveRuns
from wes_daemon.adapters.providers.healthomics.client import Answer, HealthOmicsClient
from wes_daemon.adapters.providers.healthomics.config import HealthOmicsConfig
from wes_daemon.adapters.providers.healthomics.connection import Connection
from wes_daemon.adapters.providers.healthomics.details import LOG_GROUP, MANIFEST, DetailsReader
from wes_daemon.adapters.providers.healthomics.runs import (
    ACTIVE,
    DELETED,
    RunIdentity,
    status_report,
    unreadable_report,
    utc,
)
from wes_daemon.adapters.providers.healthomics.start_request import KEY_TAG
from wes_daemon.adapters.providers.healthomics.submission import RunStarter
from wes_daemon.application.ports.call_gate import CallGate, OpenCallGate
from wes_daemon.application.ports.environment import Clock
from wes_daemon.application.ports.errors import NotNow, Rejected
from wes_daemon.application.ports.providers import (
    Accepted,
    EndedPage,
    Needed,
    OwnedPage,
    OwnedRun,
    ProviderLimits,
    Recorded,
    RunDetails,
    Submission,
    all_needed,
    as_key,
    key_of_former_name,
    nothing_recorded,
)
from wes_daemon.application.runtime.event_log import log_event
from wes_daemon.domain.runs import IdempotencyKey, ProviderRunId, StatusReport

_log = logging.getLogger(__name__)

_WHY_UNKNOWN = (
    "AWS HealthOmics deletes the record of an ended run with retentionMode REMOVE when the account's limit of records "
    f"is reached, and a person may have deleted it; the log stream {MANIFEST}{{id}} of {LOG_GROUP} describes the run "
    "at its end, and its outputs are kept"
)
# A full batch of ended runs takes one GetRun for each run: 50 seconds at the service's default rate.
_LIMITS = ProviderLimits(status_batch=STATUS_BATCH, sweeps_from=MIN_SWEEP_CALLS + 1, why_unknown=_WHY_UNKNOWN)
_MAX_CONSECUTIVE_FAILURES = 3
_FORMER_TAG = "WES-RunId"
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
# A run that is STOPPING ends by itself, with its results so far; there is nothing left to cancel.
_CANCELLABLE = frozenset(ACTIVE) - {"STOPPING"}


class HealthOmicsProvider:
    """A `WorkflowProvider` over the HealthOmics API.

    It keeps no state that has to outlive a call: everything that it needs again is in the ids that it returns.

    Args:
        gate: permits every call by default.
    """

    def __init__(
        self,
        config: HealthOmicsConfig,
        *,
        clock: Clock,
        gate: CallGate | None = None,
    ) -> None:
        self._client = HealthOmicsClient(Connection(config), clock=clock, gate=gate or OpenCallGate())
        self._starter = RunStarter(self._client, config)
        self._active_runs = ActiveRuns(self._client.page_of_runs, clock)
        self._details_reader = DetailsReader(self._client, clock=clock, region=config.region)

    @property
    def limits(self) -> ProviderLimits:
        return _LIMITS

    def submit(self, submission: Submission) -> Accepted:
        return Accepted(self._starter.submit(submission))

    def statuses(self, ids: Collection[ProviderRunId]) -> Mapping[ProviderRunId, StatusReport]:
        """Request a few runs one by one. Search for more runs in the lists of active runs first.

        The runs that are in no list are then requested one by one. Only GetRun can report the end of a run, because
        its answer contains the UUID, which a list lacks.
        Runs that cannot be read are `UNKNOWN`; the error is raised only if no run can be read.
        """
        requested = {id: run for id in ids if (run := RunIdentity.parse(id))}
        active: Mapping[str, StatusReport] = {}
        if len(requested) > MIN_SWEEP_CALLS:
            active = self._active_runs.statuses({run.id for run in requested.values()})
        listed = {id: active[run.id] for id, run in requested.items() if run.id in active}
        single, errors = self._statuses_one_by_one({id: run for id, run in requested.items() if id not in listed})
        if errors and len(errors) == len(requested):
            raise errors[0]
        return listed | single

    def cancel(self, id: ProviderRunId) -> None:
        """Check the run first: with a reused id, CancelRun would stop a foreign run."""
        run = RunIdentity.parse(id)
        if run is None or not self._is_cancellable(run):
            return
        refusal = self._client.cancel_run(run.id)
        # It is not documented which error means that the run has ended meanwhile, so the run is requested again.
        if refusal and self._is_cancellable(run):
            raise NotNow(f"HealthOmics refused to cancel run {run.id}: {refusal}")

    def owned_runs(
        self,
        since: datetime,
        *,
        after: str | None = None,
        recorded: Recorded = nothing_recorded,
        needed: Needed = all_needed,
    ) -> OwnedPage:
        """Read one page of ListRuns, 100 of the account's runs; `after` is the service's own token.

        A list contains neither tags nor UUID. So each run that is needed takes a GetRun, unless its complete id is
        recorded.
        """
        items, following = self._client.page_of_runs(after)
        listed = _listed_runs(items, recorded, since, as_key)
        return OwnedPage(runs=self._complete(listed, needed), following=following)

    def former_runs(
        self,
        since: datetime | None,
        *,
        after: str | None = None,
        recorded: Recorded = nothing_recorded,
        needed: Needed = all_needed,
    ) -> OwnedPage:
        """Read one page of ListRuns. A run that is needed takes a GetRun, unless its complete id is recorded.

        The former daemon named the WES run in the run's name and in the tag `WES-RunId`. Both must agree.
        """
        status, token = _place(after) if since is None else (None, after)
        items, following = self._client.page_of_runs(token, status)
        listed = _listed_runs(items, recorded, since or _LONG_AGO, key_of_former_name)
        next_place = following if status is None else _next_place(status, following)
        return OwnedPage(runs=self._complete(listed, needed), following=next_place)

    def ended(self, since: datetime, *, after: str | None = None) -> EndedPage:
        """Return nothing: the service's lists of ended runs have neither a time filter nor an order."""
        del since, after
        return EndedPage()

    def delete_draft(self, id: ProviderRunId) -> bool:
        """Return False: HealthOmics has no drafts."""
        del id
        return False

    def details(self, id: ProviderRunId) -> RunDetails:
        run = RunIdentity.parse(id)
        found = self._get_run(run) if run else None
        if found is None:
            raise Rejected(f"AWS HealthOmics no longer knows run {id!r}: {_WHY_UNKNOWN.replace('{id}', id)}")
        return self._details_reader.read(found)

    def _statuses_one_by_one(
        self, runs: Mapping[ProviderRunId, RunIdentity]
    ) -> tuple[dict[ProviderRunId, StatusReport], Sequence[NotNow]]:
        """Return the reports, and the errors of the runs that could not be read.

        After a few consecutive errors the remaining runs are not requested.
        """
        reports: dict[ProviderRunId, StatusReport] = {}
        errors: list[NotNow] = []
        consecutive = 0
        for id, run in runs.items():
            try:
                if consecutive >= _MAX_CONSECUTIVE_FAILURES:
                    raise errors[-1]
                found = self._get_run(run)
            except NotNow as error:
                errors.append(error)
                consecutive += 1
                reports[id] = unreadable_report(str(error))
            else:
                consecutive = 0
                reports |= {id: status_report(found)} if found else {}
        return reports, errors

    def _get_run(self, run: RunIdentity) -> Answer | None:
        """Return the run; None if it is unknown or deleted, or if its id now belongs to a later run."""
        found = self._client.get_run(run.id)
        if found is None or found["status"] == DELETED:
            return None
        if not run.is_of(found):
            log_event(_log, logging.WARNING, "healthomics.run_id_reused", id=run.id, uuid=run.uuid, by=found["uuid"])
            return None
        return {**found, "id": run.id}

    def _is_cancellable(self, run: RunIdentity) -> bool:
        found = self._get_run(run)
        return found is not None and found["status"] in _CANCELLABLE

    def _complete(self, listed: Mapping[OwnedRun, ProviderRunId | None], needed: Needed) -> Sequence[OwnedRun]:
        """Return the listed runs that are needed, with their complete ids."""
        needed_ids = needed(list(listed)) if listed else ()
        found = [
            run if run.id == recorded_id else self._confirmed(run)
            for run, recorded_id in listed.items()
            if run.id in needed_ids
        ]
        return [run for run in found if run]

    def _confirmed(self, listed: OwnedRun) -> OwnedRun | None:
        """Return the run with its complete id; None if it is deleted, or if another owner gave it this name."""
        run = self._client.get_run(listed.id)
        tag, value = (_FORMER_TAG, listed.run_id) if listed.is_former else (KEY_TAG, listed.key)
        if run is None or run["status"] == DELETED or (run.get("tags") or {}).get(tag) != value:
            return None
        identity = RunIdentity.of({**run, "id": listed.id})
        confirmed = _owned_run_from(run, key=listed.key, identity=identity, since=listed.created_at)
        return replace(confirmed, is_former=listed.is_former)


def _listed_runs(
    items: Collection[Answer], recorded: Recorded, since: datetime, key_of: Callable[[str], IdempotencyKey | None]
) -> Mapping[OwnedRun, ProviderRunId | None]:
    """Return the runs whose name `key_of` reads, each with its recorded id. A list contains the bare ids only."""
    keys = {str(item["id"]): key for item in items if (key := _key_in_name(item, since, key_of))}
    recorded_ids = recorded(list(keys.values())) if keys else {}
    found: dict[OwnedRun, ProviderRunId | None] = {}
    for item in items:
        id = str(item["id"])
        if key := keys.get(id):
            known = recorded_ids.get(key)
            identity = RunIdentity.parse(known) if known else None
            is_recorded = identity is not None and identity.id == id
            identity = identity if identity and is_recorded else RunIdentity(id)
            run = _owned_run_from(item, key=key, identity=identity, since=since)
            found[replace(run, is_former=key_of is key_of_former_name)] = known if is_recorded else None
    return found


def _place(after: str | None) -> tuple[str, str | None]:
    """Return the status whose list is read, and the service's token of its page."""
    status, _, token = (after or ACTIVE[0]).partition(" ")
    return status, token or None


def _next_place(status: str, token: str | None) -> str | None:
    if token is not None:
        return f"{status} {token}"
    following = ACTIVE[ACTIVE.index(status) + 1 :]
    return following[0] if following else None


def _key_in_name(
    item: Answer, since: datetime, key_of: Callable[[str], IdempotencyKey | None]
) -> IdempotencyKey | None:
    """Return the idempotency key that the run's name stands for; None for a run created before `since`."""
    created_at = utc(item.get("creationTime"))
    is_old = created_at is not None and created_at < since
    return None if is_old or item.get("status") == DELETED else key_of(str(item.get("name") or ""))


def _owned_run_from(run: Answer, *, key: IdempotencyKey, identity: RunIdentity, since: datetime) -> OwnedRun:
    report = status_report(run)
    return OwnedRun(
        id=identity.provider_run_id,
        key=key,
        created_at=utc(run.get("creationTime")) or since,
        state=report.state,
        provider_status=report.provider_status,
    )
