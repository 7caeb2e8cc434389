"""Reads for people and services in memory."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from wes_daemon.adapters.memory.leases import live_daemons
from wes_daemon.adapters.memory.repository import stored_run
from wes_daemon.adapters.memory.store import MemoryStore, Tables
from wes_daemon.application.ports.leases import DaemonInfo
from wes_daemon.application.ports.providers import RunDetails
from wes_daemon.application.ports.queries import ROW_IS_LOCKED, RunFilter, RunRecord
from wes_daemon.application.ports.runs import TimelineEntry
from wes_daemon.domain.errors import InvalidRequest
from wes_daemon.domain.runs import ProviderType, Run, RunId

_FAR_FUTURE = datetime.max.replace(tzinfo=UTC)


class MemoryRunQueries:
    """`RunQueries` on a store."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    def list(self, filter: RunFilter) -> Sequence[RunRecord]:
        with self._store.lock:
            records = [_summary(self._store.tables, run_id) for run_id in self._store.tables.runs]
        matching = [record for record in reversed(records) if _matches(record, filter)]
        found = sorted(matching, key=_queued_at, reverse=True)[: filter.limit]
        return [record.as_served(self._unserved()) for record in found]

    def get(self, run_id: RunId) -> RunRecord:
        with self._store.lock:
            tables = self._store.tables
            return replace(
                _summary(tables, run_id),
                row_behind=_row_behind(tables, run_id),
                attachments=tuple(attachment.name for attachment in tables.attachments.get(run_id, ())),
                details=tables.details.get(run_id, RunDetails()),
                tasks=tuple(tables.tasks.get(run_id, {}).values()),
                timeline=tables.timeline.get(run_id, ()),
            ).as_served(self._unserved())

    def timeline(self, run_id: RunId) -> Sequence[TimelineEntry]:
        with self._store.lock:
            return self._store.tables.timeline.get(run_id, ())

    def _unserved(self) -> Mapping[ProviderType, str]:
        return {name: row.reason for name, row in self._store.tables.unserved.items()}

    def daemons(self) -> Sequence[DaemonInfo]:
        with self._store.lock:
            return live_daemons(self._store.tables, self._store.clock)


def _row_behind(tables: Tables, run_id: RunId) -> str | None:
    reasons = [row.update.reason for row in tables.late_updates.values() if row.update.run_id == run_id]
    return (reasons[-1] or ROW_IS_LOCKED) if reasons else None


def _summary(tables: Tables, run_id: RunId) -> RunRecord:
    run = stored_run(tables, run_id)
    status, message = tables.provider_statuses.get(run_id, (None, ""))
    record = RunRecord(run=run, provider_status=status, provider_message=message)
    submission = tables.submissions.get(run_id)
    if submission is None:
        return replace(record, destination=_destination(run))
    return replace(
        record,
        queued_at=submission.enrolled_at,
        destination=submission.provider,
        submission=submission.state,
        attempts=submission.attempts,
        last_reason=submission.last_reason,
    )


def _destination(run: Run) -> ProviderType | None:
    """The provider that the tags name; None if they name none, since only the daemon knows the default."""
    try:
        return run.named_provider()
    except InvalidRequest:
        return None


def _matches(record: RunRecord, filter: RunFilter) -> bool:
    in_state = not filter.states or record.run.state in filter.states
    at_provider = filter.provider is None or record.destination == filter.provider
    in_submission_state = not filter.submissions or record.submission in filter.submissions
    return in_state and at_provider and in_submission_state


def _queued_at(record: RunRecord) -> datetime:
    return record.queued_at or record.run.start_time or _FAR_FUTURE
