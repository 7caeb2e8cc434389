"""Runs that another daemon may have left: which rows these are, and their submissions in the state `INHERITED`."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    String,
    and_,
    delete,
    exists,
    literal_column,
    or_,
    select,
)

from wes_daemon.adapters.persistence.enrolment import names_a_provider_run
from wes_daemon.adapters.persistence.expressions import in_list, insert_into, is_one_of, of_same_run, store_now
from wes_daemon.adapters.persistence.mapping import run_summary_from, select_inherited_runs, select_new_runs
from wes_daemon.adapters.persistence.tables import daemons, run_events, submissions, workflow_runs
from wes_daemon.adapters.persistence.transactions import CLAIM_LOCK, acquire_lock
from wes_daemon.application.ports.reconcile_queries import FollowedRun, UnexplainedRun
from wes_daemon.application.ports.submissions import SubmissionState
from wes_daemon.domain.errors import InvalidRequest
from wes_daemon.domain.runs import DEFAULT_PROVIDER, PROVIDER_ID_TAG, ProviderRunId, ProviderType, RunId, RunSummary
from wes_daemon.domain.states import ACTIVE, ENDED, RunState

_UNKNOWN = (RunState.UNKNOWN,)

_RELEASED = (RunState.QUEUED, RunState.CANCELING)
_REASON = "another daemon may have submitted the run: its provider is searched first"


def inherit(connection: Connection) -> int:
    """Implement `SubmissionQueue.inherit`."""
    if _has_sessions(connection):
        return 0
    # Several daemons may start at the same time on a new database.
    acquire_lock(connection, CLAIM_LOCK)
    if _has_sessions(connection):
        return 0
    now = store_now()
    values: Mapping[str, ColumnElement[Any]] = {
        "state": _text(SubmissionState.INHERITED),
        "returns_to": _text(SubmissionState.INHERITED),
        "claim_seq": literal_column("0"),
        "attempts": literal_column("0"),
        "not_before": now,
        "enrolled_at": now,
        "last_reason": _text(_REASON),
    }
    rows = select(workflow_runs.c.run_id, *values.values()).where(_may_be_left())
    inserted = insert_into(connection.dialect.name, submissions).from_select(["run_id", *values], rows)
    # A table without a unique run id may contain several rows with one run id.
    return connection.execute(inserted.on_conflict_do_nothing()).rowcount


def unexplained_runs(
    connection: Connection, known_providers: Collection[ProviderType] | None = None
) -> Sequence[UnexplainedRun]:
    """Implement `ReconcileQueries.unexplained_runs`."""
    not_ended = select_inherited_runs().where(~is_one_of(workflow_runs.c.state, *sorted(ENDED)))
    inherited = [UnexplainedRun(run=run, is_inherited=True) for run in _summaries(connection, not_ended)]
    others = [
        UnexplainedRun(run=run, is_inherited=False)
        for states in (ACTIVE, _UNKNOWN)
        for run in _summaries(connection, select_new_runs().where(is_one_of(workflow_runs.c.state, *states)))
        if not names_followable_run(run, known_providers)
    ]
    return sorted([*inherited, *others], key=lambda each: each.run.id)


def has_inherited(connection: Connection, *, only_ended: bool) -> bool:
    """Whether there is an inherited run that has ended; else also whether one is queued or is being cancelled."""
    states = (*sorted(ENDED), *(() if only_ended else _RELEASED))
    found = exists().where(_is_inherited(), _is_deleted_or_one_of(*states))
    return bool(connection.execute(select(found)).scalar())


def release(connection: Connection, run_ids: Collection[RunId]) -> int:
    """Implement `RepairUnit.release`."""
    state = of_same_run(workflow_runs.c.state, submissions.c.run_id)
    released = (in_list(submissions.c.run_id, run_ids), _is_inherited(), is_one_of(state, *_RELEASED))
    return connection.execute(delete(submissions).where(*released)).rowcount


def release_ended(connection: Connection) -> int:
    """Implement `RepairUnit.release_ended`."""
    has_ended = _is_deleted_or_one_of(*sorted(ENDED))
    return connection.execute(delete(submissions).where(_is_inherited(), has_ended)).rowcount


def ended_runs_naming(connection: Connection, provider: ProviderType, since: datetime) -> Sequence[FollowedRun]:
    """Implement `ReconcileQueries.ended_runs_naming`."""
    run = workflow_runs.c
    is_recent = or_(
        run.start_time >= since, run.end_time >= since, and_(run.start_time.is_(None), run.end_time.is_(None))
    )
    ended = is_one_of(run.state, *sorted(ENDED))
    without_submission = select_new_runs().where(ended, names_a_provider_run(), is_recent)
    inherited = select_inherited_runs().where(ended, names_a_provider_run(), is_recent)
    rows = [*_summaries(connection, without_submission), *_summaries(connection, inherited)]
    of_active_rows = set(_named_by_active_rows(connection))
    return [
        FollowedRun(run_id=each.id, provider_run_id=id, state=each.state, known_state=each.state)
        for each in rows
        if _named_provider(each) == provider and (id := _named_id(each.tags)) and id not in of_active_rows
    ]


def names_followable_run(run: RunSummary, known_providers: Collection[ProviderType] | None = None) -> bool:
    """Whether `adopt_active` can follow the run that the tags name; unless another run has it."""
    provider = run.destination_if_valid(DEFAULT_PROVIDER)
    is_known = provider is not None and (known_providers is None or provider in {*known_providers, DEFAULT_PROVIDER})
    return is_known and _named_id(run.tags) is not None


def _has_sessions(connection: Connection) -> bool:
    # The last session of a database stays in the table.
    return connection.execute(select(daemons.c.id).limit(1)).first() is not None


def _may_be_left() -> ColumnElement[bool]:
    run = workflow_runs.c
    is_enrolled = exists().where(submissions.c.run_id == run.run_id)
    # A person may have requested the cancellation of any run before the first session.
    was_queued_here = exists().where(run_events.c.run_id == run.run_id, run_events.c.from_state.is_(None))
    is_waiting_or_cancelled = is_one_of(run.state, *_RELEASED, RunState.CANCELED)
    is_unexplained = and_(is_one_of(run.state, *ACTIVE, *_UNKNOWN), ~names_a_provider_run())
    # A run that is being cancelled at a provider that its tags name is adopted.
    can_be_adopted = and_(is_one_of(run.state, RunState.CANCELING), names_a_provider_run())
    return and_(
        run.run_id.is_not(None),
        or_(is_waiting_or_cancelled, is_unexplained),
        ~can_be_adopted,
        ~is_enrolled,
        ~was_queued_here,
    )


def _is_inherited() -> ColumnElement[bool]:
    return is_one_of(submissions.c.state, SubmissionState.INHERITED)


def _is_deleted_or_one_of(*states: RunState) -> ColumnElement[bool]:
    """Whether the row of a submission was deleted or is in one of the states."""
    state = of_same_run(workflow_runs.c.state, submissions.c.run_id)
    return or_(state.is_(None), is_one_of(state, *states))


def _summaries(connection: Connection, rows: Select[Any]) -> Iterator[RunSummary]:
    for row in connection.execute(rows):
        yield run_summary_from(row)


def _named_by_active_rows(connection: Connection) -> Iterator[ProviderRunId]:
    for states in (ACTIVE, _UNKNOWN, (RunState.CANCELING,)):
        active = select_new_runs().where(is_one_of(workflow_runs.c.state, *states), names_a_provider_run())
        yield from (id for run in _summaries(connection, active) if (id := _named_id(run.tags)))


def _named_id(tags: object) -> ProviderRunId | None:
    id = tags.get(PROVIDER_ID_TAG) if isinstance(tags, Mapping) else None
    return ProviderRunId(id) if isinstance(id, str) and id.strip() else None


def _named_provider(run: RunSummary) -> ProviderType | None:
    try:
        return run.named_provider()
    except InvalidRequest:
        return None


def _text(value: str) -> ColumnElement[str]:
    """A constant of this package, which contains no quotation mark."""
    return literal_column(f"'{value}'", String)
