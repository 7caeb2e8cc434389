"""Reads for people and services. They take no locks and block no writer."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Row, Select, Text, cast, func, literal_column, or_, select

from wes_daemon.adapters.persistence.expressions import is_one_of
from wes_daemon.adapters.persistence.leases import select_daemons
from wes_daemon.adapters.persistence.mapping import (
    STATES,
    daemon_from,
    details_from,
    entry_from,
    may_have_tag,
    provider_from,
    run_from,
    select_runs,
    task_from,
    unserved_from,
)
from wes_daemon.adapters.persistence.relations import stored_order
from wes_daemon.adapters.persistence.tables import (
    late_updates,
    run_attachments,
    run_details,
    run_events,
    submissions,
    task_logs,
    workflow_runs,
)
from wes_daemon.adapters.persistence.transactions import reading
from wes_daemon.application.ports.errors import RunNotFound
from wes_daemon.application.ports.leases import DaemonInfo
from wes_daemon.application.ports.queries import ROW_IS_LOCKED, RunFilter, RunRecord
from wes_daemon.application.ports.runs import TimelineEntry
from wes_daemon.application.ports.submissions import SubmissionState
from wes_daemon.domain.errors import InvalidRequest
from wes_daemon.domain.runs import NO_ENGINES, PROVIDER_TYPE_TAG, EngineProviders, ProviderType, Run, RunId
from wes_daemon.domain.states import RunState

_FETCHED_AT_ONCE = 200
"""Rows of a list that are fetched from the database at once."""


class SqlRunQueries:
    """`RunQueries`; each call has a connection of its own."""

    def __init__(self, engine: Engine, *, engines: EngineProviders = NO_ENGINES) -> None:
        """Make the queries on a database.

        Args:
            engines: which providers the runs that are not enrolled yet will have.
        """
        self._engine = engine
        self._engines = engines

    def list(self, filter: RunFilter) -> Sequence[RunRecord]:
        found: Sequence[RunRecord] = []
        with reading(self._engine) as connection:
            for group in _newest_first(connection):
                if len(found) < filter.limit:
                    found = [*found, *self._read_matching(connection, group, filter, filter.limit - len(found))]
            unserved = unserved_from(connection)
        return [record.as_served(unserved) for record in found]

    def get(self, run_id: RunId) -> RunRecord:
        with reading(self._engine) as connection:
            row = connection.execute(_records().where(workflow_runs.c.run_id == run_id)).first()
            if row is None:
                raise RunNotFound(f"run {run_id}: there is no such run")
            record = _with_parts(connection, _record_from(row, self._engines), run_id=run_id)
            return record.as_served(unserved_from(connection))

    def timeline(self, run_id: RunId) -> Sequence[TimelineEntry]:
        with reading(self._engine) as connection:
            return _timeline(connection, run_id)

    def daemons(self) -> Sequence[DaemonInfo]:
        with reading(self._engine) as connection:
            return [daemon_from(row) for row in connection.execute(select_daemons())]

    def _read_matching(
        self, connection: Connection, group: Select[Any], filter: RunFilter, limit: int
    ) -> Sequence[RunRecord]:
        statement = _filtered(group, filter, self._engines).execution_options(yield_per=_FETCHED_AT_ONCE)
        with connection.execute(statement) as rows:
            records = (_record_from(row, self._engines) for row in rows)
            matching = (found for found in records if filter.provider in (None, found.destination))
            return list(islice(matching, limit))


def _records() -> Select[Any]:
    return select_runs().add_columns(
        submissions.c.state.label("submission_state"),
        submissions.c.attempts,
        submissions.c.last_reason,
        submissions.c.enrolled_at,
        run_details.c.provider_status,
        run_details.c.provider_message,
    )


def _newest_first(connection: Connection) -> Sequence[Select[Any]]:
    """All runs in three groups, since `workflow_runs` has no column for the age of a run, but `submissions` has.

    The newest runs of each group can be read without sorting the whole table.
    """
    enrolled = submissions.c.run_id.is_not(None)
    queued = is_one_of(workflow_runs.c.state, RunState.QUEUED)
    stored: ColumnElement[Any] = literal_column(stored_order(connection)).desc()
    return (
        _records().where(~enrolled, queued).order_by(stored),
        _records().where(enrolled).order_by(submissions.c.seq.desc()),
        _records().where(~enrolled, ~queued).order_by(workflow_runs.c.start_time.desc().nulls_last(), stored),
    )


def _filtered(group: Select[Any], filter: RunFilter, engines: EngineProviders) -> Select[Any]:
    if filter.states:
        group = group.where(_in_states(filter))
    if filter.submissions:
        group = group.where(is_one_of(submissions.c.state, *sorted(filter.submissions)))
    if filter.provider is None:
        return group.limit(filter.limit)
    # The tags are parsed afterwards, in Python: the column may be of any type and contain any text.
    may_be_sent_there = or_(may_have_tag(PROVIDER_TYPE_TAG), _has_engine_of(filter.provider, engines))
    return group.where(or_(submissions.c.provider == filter.provider, may_be_sent_there))


def _has_engine_of(provider: ProviderType, engines: EngineProviders) -> ColumnElement[bool]:
    names = [name for name, named in engines.items() if named == provider]
    return func.lower(func.trim(cast(workflow_runs.c.workflow_engine, Text))).in_(names)


def _in_states(filter: RunFilter) -> ColumnElement[bool]:
    is_listed = workflow_runs.c.state.in_(sorted(filter.states))
    if RunState.UNKNOWN not in filter.states:
        return is_listed
    return or_(is_listed, workflow_runs.c.state.not_in(sorted(STATES)))


def _record_from(row: Row[Any], engines: EngineProviders) -> RunRecord:
    is_enrolled = row.submission_state is not None
    run = run_from(row)
    return RunRecord(
        run=run,
        queued_at=row.enrolled_at,
        destination=provider_from(row.provider) if is_enrolled else _destination(run, engines),
        provider_status=row.provider_status,
        provider_message=row.provider_message or "",
        submission=SubmissionState(row.submission_state) if is_enrolled else None,
        attempts=row.attempts or 0,
        last_reason=row.last_reason,
    )


def _destination(run: Run, engines: EngineProviders) -> ProviderType | None:
    """The provider that the run names; None if it names none, since only the daemon knows the default."""
    try:
        return run.named_provider(engines)
    except InvalidRequest:
        return None


def _with_parts(connection: Connection, record: RunRecord, *, run_id: RunId) -> RunRecord:
    def rows(statement: Select[Any]) -> Sequence[Row[Any]]:
        return connection.execute(statement).all()

    details = rows(select(run_details).where(run_details.c.run_id == run_id))
    tasks = select(task_logs).where(task_logs.c.run_id == run_id)
    in_order = (task_logs.c.start_time.nulls_last(), task_logs.c.name, task_logs.c.id)
    names = select(run_attachments.c.name).where(run_attachments.c.run_id == run_id)
    late = select(late_updates.c.reason).where(late_updates.c.run_id == run_id)
    late_reasons = [row.reason or ROW_IS_LOCKED for row in rows(late.order_by(late_updates.c.seq.desc()))]
    return replace(
        record,
        row_behind=late_reasons[0] if late_reasons else None,
        details=details_from(details[0] if details else None),
        tasks=[task_from(row) for row in rows(tasks.order_by(*in_order))],
        attachments=[row.name for row in rows(names.order_by(run_attachments.c.name))],
        timeline=_timeline(connection, run_id),
    )


def _timeline(connection: Connection, run_id: RunId) -> Sequence[TimelineEntry]:
    events = select(run_events).where(run_events.c.run_id == run_id).order_by(run_events.c.id)
    return [entry_from(row) for row in connection.execute(events)]
