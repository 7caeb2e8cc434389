"""Repairs discrepancies. Each repair reads the database again, and writes a log event and a timeline entry."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from wes_daemon.application.ports.environment import Clock, IdSource
from wes_daemon.application.ports.errors import (
    ConcurrentUpdate,
    ProviderError,
    RunLocked,
    RunNotFound,
    StorageRefused,
)
from wes_daemon.application.ports.leases import SessionId
from wes_daemon.application.ports.providers import WorkflowProvider
from wes_daemon.application.ports.reconcile_queries import RepairUnit, RepairUnits
from wes_daemon.application.ports.runs import RunUpdate, TimelineEntry
from wes_daemon.application.ports.submissions import Acceptance
from wes_daemon.application.reconciling.comparison import Comparison
from wes_daemon.application.reconciling.discrepancies import Discrepancy, DiscrepancyKind, Repair
from wes_daemon.application.runtime.event_log import log_event
from wes_daemon.domain.runs import ProviderRunId, Run

_log = logging.getLogger(__name__)

_DATABASE_CHANGED = "the database has changed since: run reconcile again"


@dataclass(frozen=True, slots=True, kw_only=True)
class RepairResult:
    """The outcome of one repair.

    Attributes:
        succeeded: whether the discrepancy is repaired, as far as reconciliation can repair it.
        message: what was done, or why nothing was done.
    """

    discrepancy: Discrepancy
    succeeded: bool
    message: str


class Repairer:
    """Repairs discrepancies, unless the database has changed since they were found."""

    def __init__(self, *, units: RepairUnits, clock: Clock, ids: IdSource, by: str) -> None:
        self._units = units
        self._clock = clock
        self._ids = ids
        self._by = by

    def repair(self, found: Discrepancy, *, comparison: Comparison, provider: WorkflowProvider) -> RepairResult:
        """Repair one discrepancy. An error of the provider, or a concurrent change, becomes a failed result."""
        try:
            result = self._repair(found, comparison, provider)
        except (ProviderError, ConcurrentUpdate, RunNotFound, RunLocked, StorageRefused) as error:
            result = _failure(found, str(error))
        if found.repair is not Repair.NONE:
            _log_result(result)
        return result

    def _repair(self, found: Discrepancy, comparison: Comparison, provider: WorkflowProvider) -> RepairResult:
        id = found.provider_run_id
        if id is None:
            return _failure(found, "reconcile cannot repair this")
        match found.repair:
            case Repair.ADOPT:
                return self._adopt(found, id)
            case Repair.POLL_NOW:
                return self._poll_now(found, id)
            case Repair.CANCEL:
                return self._cancel(found, id, comparison, provider)
            case Repair.DELETE_DRAFT:
                return self._delete_draft(found, id, comparison, provider)
            case Repair.NONE:
                return _failure(found, "reconcile cannot repair this")

    def _adopt(self, found: Discrepancy, id: ProviderRunId) -> RepairResult:
        message = f"adopted {found.provider} run {id}"
        with self._units() as work:
            claim = work.claim_for_repair(found.run_id, SessionId(self._ids.new_id()), found.provider)
            accepted = Acceptance(claim=claim, provider=found.provider, provider_run_id=id)
            if not work.submissions.record_acceptances([accepted], first_poll_after=timedelta(0)):
                return _failure(found, _DATABASE_CHANGED)
            self._save(work, found, lambda run: run.accepted(found.provider, id), message)
            work.commit()
        return _success(found, message)

    def _poll_now(self, found: Discrepancy, id: ProviderRunId) -> RepairResult:
        message = f"{found.explanation}: next poll set to now"
        with self._units() as work:
            if not work.make_due(found.run_id, id):
                return _failure(found, _DATABASE_CHANGED)
            self._add_entry(work, found, message)
            work.commit()
        return _success(found, message)

    def _cancel(
        self, found: Discrepancy, id: ProviderRunId, comparison: Comparison, provider: WorkflowProvider
    ) -> RepairResult:
        if found.kind is DiscrepancyKind.STILL_ACTIVE:
            return self._cancel_recorded(found, id, provider)
        if not _is_current(found, comparison):
            return _failure(found, _DATABASE_CHANGED)
        provider.cancel(id)
        return self._record(found, f"requested cancellation of {found.provider} run {id}: {found.explanation}")

    def _cancel_recorded(self, found: Discrepancy, id: ProviderRunId, provider: WorkflowProvider) -> RepairResult:
        """Cancel the recorded provider run. The request is recorded first, so that a daemon repeats a failed call."""
        message = f"requested cancellation of {found.provider} run {id}: {found.explanation}"
        with self._units() as work:
            if not work.record_cancel(found.run_id, id):
                return _failure(found, _DATABASE_CHANGED)
            self._add_entry(work, found, message)
            work.commit()
        provider.cancel(id)
        return _success(found, message)

    def _delete_draft(
        self, found: Discrepancy, id: ProviderRunId, comparison: Comparison, provider: WorkflowProvider
    ) -> RepairResult:
        if not _is_current(found, comparison):
            return _failure(found, _DATABASE_CHANGED)
        if not provider.delete_draft(id):
            return _failure(found, "the draft is gone, or was started")
        return self._record(found, f"deleted {found.provider} draft {id}")

    def _record(self, found: Discrepancy, message: str) -> RepairResult:
        with self._units() as work:
            self._add_entry(work, found, message)
            work.commit()
        return _success(found, message)

    def _add_entry(self, work: RepairUnit, found: Discrepancy, message: str) -> None:
        """Add a timeline entry without a change of the run, unless the run never was in this database."""
        try:
            self._save(work, found, lambda run: run, message)
        except RunNotFound:
            if found.kind is not DiscrepancyKind.FOREIGN_RUN:
                work.runs.note_deleted({found.run_id: message}, at=self._clock.now(), by=self._by)

    def _save(self, work: RepairUnit, found: Discrepancy, change: Callable[[Run], Run], message: str) -> None:
        before = work.runs.get(found.run_id)
        after = change(before)
        entry = TimelineEntry(
            at=self._clock.now(),
            before=before.state,
            after=after.state,
            by=self._by,
            why=message,
            provider_status=found.provider_status,
        )
        work.runs.write([RunUpdate(before=before, after=after, entry=entry)])


def _is_current(found: Discrepancy, comparison: Comparison) -> bool:
    """Whether a new comparison with the database finds the same discrepancy."""
    if found.owned_run is None:
        return False
    now = comparison.again(found.owned_run)
    return now is not None and (now.kind, now.repair) == (found.kind, found.repair)


def _success(found: Discrepancy, message: str) -> RepairResult:
    return RepairResult(discrepancy=found, succeeded=True, message=message)


def _failure(found: Discrepancy, message: str) -> RepairResult:
    return RepairResult(discrepancy=found, succeeded=False, message=message)


def _log_result(result: RepairResult) -> None:
    found = result.discrepancy
    log_event(
        _log,
        logging.WARNING,
        "discrepancy.repaired" if result.succeeded else "discrepancy.not_repaired",
        kind=found.kind,
        run_id=found.run_id,
        provider=found.provider,
        provider_id=found.provider_run_id,
        outcome=result.message,
    )
