"""Enrolment: submissions for the rows that a WES service has written."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cache, partial
from itertools import chain
from operator import itemgetter
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Integer,
    Select,
    bindparam,
    insert,
    literal_column,
    select,
    union_all,
    update,
)

from wes_daemon.adapters.persistence.bulk import insertion, table_rows
from wes_daemon.adapters.persistence.expressions import (
    in_list,
    in_list_parameter,
    is_one_of,
    of_same_run,
    store_now,
)
from wes_daemon.adapters.persistence.isolation import isolated
from wes_daemon.adapters.persistence.keys import RunKey
from wes_daemon.adapters.persistence.late_updates import has_late_update
from wes_daemon.adapters.persistence.mapping import may_have_tag, run_summary_from, select_new_runs
from wes_daemon.adapters.persistence.relations import stored_order_of_few
from wes_daemon.adapters.persistence.tables import polls, submissions, workflow_runs
from wes_daemon.application.ports.submissions import Destination, Share, SubmissionState
from wes_daemon.domain.runs import PROVIDER_ID_TAG, ProviderType, RunSummary
from wes_daemon.domain.states import ACTIVE, RunState

# Each group of states has a partial index of its own, and is therefore read by a separate statement.
_CANCELLED = (RunState.CANCELING,)
# The former daemon left `UNKNOWN` runs, which it did not follow any more.
_UNKNOWN = (RunState.UNKNOWN,)

# `CANCELING` and `UNKNOWN` rows are few: one statement reads both.
_LEFT_TOGETHER = ((ACTIVE,), (_CANCELLED, _UNKNOWN))

_LIMIT = "row_limit"
_LEFT_OUT = "left_out"
_AFTER = "after_run_id"


def enrol_queued(
    connection: Connection, destination: Destination, share: Share, limit: int, leaving_out: Collection[str]
) -> int:
    """Enrol `QUEUED` rows in the order in which they were stored; return their number."""
    rows = connection.execute(*_limited(_new_runs(stored_order_of_few(connection)), limit, leaving_out)).all()
    runs = [run_summary_from(row) for row in rows]
    ready = [{**_submission_values(run, destination(run), SubmissionState.READY), "share": share(run)} for run in runs]
    if not ready:
        return 0
    return sum(isolated(connection, ready, partial(_insert_ready, connection), run_id=itemgetter("run_id")))


def adopt_active(connection: Connection, destination: Destination, limit: int, leaving_out: Collection[str]) -> int:
    """Follow active runs that another daemon has left with a provider; return their number.

    Rows that cannot be adopted stay in the query's result, so each page begins after the last row of the one before.
    """
    adopted = 0
    for page in chain.from_iterable(_pages_of_active(connection, limit, groups) for groups in _LEFT_TOGETHER):
        if adopted >= limit:
            break
        candidates = [run for run in page if run.id not in leaving_out]
        adoptions = [values for run in candidates if (values := _adoption_values(run, destination))]
        some = adoptions[: limit - adopted]
        adopted += sum(isolated(connection, some, partial(_adopt, connection), run_id=itemgetter("run_id")))
    return adopted


def enrol_again(connection: Connection, limit: int) -> int:
    """Reopen closed submissions whose rows the service has made active again; return their number.

    A run that a provider had is followed, so that its row shows again what the provider reports.
    A `QUEUED` run that no provider had is submitted.
    """
    if limit <= 0:
        return 0
    reopened = _make_ready(connection, _run_ids(connection, _active_again(RunState.QUEUED), limit))
    for states in ((RunState.QUEUED,), ACTIVE, _CANCELLED):
        followable = _run_ids(connection, _active_again_at_provider(*states), limit - reopened)
        reopened += _follow_again(connection, followable)
    return reopened


def names_a_provider_run() -> ColumnElement[bool]:
    """Whether the tags may name a provider run: a coarse filter."""
    return may_have_tag(PROVIDER_ID_TAG)


def _run_ids(connection: Connection, rows: Select[Any], limit: int) -> Sequence[str]:
    return connection.execute(rows, {_LIMIT: limit}).scalars().all()


def _make_ready(connection: Connection, run_ids: Sequence[str]) -> int:
    never_accepted = (in_list(submissions.c.run_id, run_ids), submissions.c.provider_run_id.is_(None))
    ready = {"state": SubmissionState.READY, "returns_to": SubmissionState.READY, "not_before": store_now()}
    cleared = {"owner": None, "prepared_id": None, "request": None, "failing_since": None}
    changed = update(submissions).where(*never_accepted).values(**ready, **cleared, attempts=0)
    return connection.execute(changed).rowcount if run_ids else 0


def _follow_again(connection: Connection, run_ids: Sequence[str]) -> int:
    if not run_ids:
        return 0
    closed = (in_list(submissions.c.run_id, run_ids), is_one_of(submissions.c.state, SubmissionState.CLOSED))
    reopened = connection.execute(
        update(submissions)
        .where(*closed)
        .values(state=SubmissionState.ACCEPTED)
        .returning(submissions.c.run_id, submissions.c.provider, submissions.c.provider_run_id)
    ).all()
    _schedule_polls(connection, [{**row._mapping, "known_state": RunState.INITIALIZING} for row in reopened])
    return len(reopened)


def _pages_of_active(
    connection: Connection, size: int, groups: Sequence[Sequence[RunState]]
) -> Iterator[Sequence[RunSummary]]:
    page = [run_summary_from(row) for row in connection.execute(_left_by_others(*groups), {_LIMIT: size})]
    while page:
        yield page
        after = {_LIMIT: size, _AFTER: page[-1].id}
        page = [run_summary_from(row) for row in connection.execute(_left_by_others(*groups, is_rest=True), after)]


def _adoption_values(run: RunSummary, destination: Destination) -> dict[str, object] | None:
    provider_run_id = run.tags.get(PROVIDER_ID_TAG) if isinstance(run.tags, Mapping) else None
    if not isinstance(provider_run_id, str) or not provider_run_id.strip():
        return None
    provider = destination(run)
    if provider is None:
        return None
    values = _submission_values(run, provider, SubmissionState.ACCEPTED)
    is_no_report = run.state in (*_CANCELLED, *_UNKNOWN)
    known_state = RunState.INITIALIZING if is_no_report else run.state
    return {**values, "provider_run_id": provider_run_id, "known_state": known_state}


def _adopt(connection: Connection, candidates: Sequence[Mapping[str, Any]]) -> int:
    # A partitioned table may contain several rows with one run id, since its key has further columns.
    adoptions = list({values["run_id"]: values for values in candidates}.values())
    enrolled = [{key: value for key, value in values.items() if key != "known_state"} for values in adoptions]
    inserted = _insert(connection, enrolled)
    followed = [values for values in adoptions if values["run_id"] in inserted]
    _schedule_polls(connection, followed)
    _enrol_cancelled_copies(connection, [values for values in adoptions if values["run_id"] not in inserted])
    return len(followed)


def _schedule_polls(connection: Connection, runs: Sequence[Mapping[str, Any]]) -> None:
    if runs:
        connection.execute(
            insert(polls).values(next_check_at=store_now(), followed_since=store_now(), poll_seq=0, details_failures=0),
            [{key: run[key] for key in ("run_id", "provider", "provider_run_id", "known_state")} for run in runs],
        )


def _enrol_cancelled_copies(connection: Connection, copies: Sequence[Mapping[str, Any]]) -> None:
    """Enrol cancelled rows that have the tags of another, known run: no provider has them, so they can end."""
    run_ids = [values["run_id"] for values in copies]
    cancelled = select(workflow_runs.c.run_id).where(
        in_list(workflow_runs.c.run_id, run_ids), is_one_of(workflow_runs.c.state, *_CANCELLED)
    )
    cancelled_ids = connection.execute(cancelled).scalars().all() if run_ids else []
    ready = SubmissionState.READY
    values = {"provider": None, "state": ready, "returns_to": ready, "share": ""}
    _insert(connection, [{"run_id": run_id, **values} for run_id in cancelled_ids])


def _insert_ready(connection: Connection, rows: Sequence[Mapping[str, object]]) -> int:
    return connection.execute(*_insertion_of(connection, rows)).rowcount


def _submission_values(run: RunSummary, provider: ProviderType | None, state: SubmissionState) -> dict[str, object]:
    return {"run_id": run.id, "provider": provider, "state": state, "returns_to": state, "share": ""}


def _insert(connection: Connection, rows: Sequence[Mapping[str, object]]) -> frozenset[str]:
    """Insert submissions; return the run ids of those inserted.

    A row is left out if another daemon inserts it at the same time, or if its provider run is followed already.
    """
    if not rows:
        return frozenset()
    statement, parameters = _insertion_of(connection, rows)
    return frozenset(connection.execute(statement.returning(submissions.c.run_id), parameters).scalars())


def _insertion_of(connection: Connection, rows: Sequence[Mapping[str, object]]) -> tuple[Any, Mapping[str, str]]:
    dialect = connection.dialect.name
    return _inserting(dialect, tuple(rows[0])), table_rows(connection.dialect, submissions, rows)


# These statements are built once, because building one takes longer than sending it.


@cache
def _new_runs(stored_order: str) -> Select[Any]:
    queued = select_new_runs().where(is_one_of(workflow_runs.c.state, RunState.QUEUED))
    return queued.order_by(literal_column(stored_order)).limit(_row_limit())


@cache
def _left_by_others(*groups: Sequence[RunState], is_rest: bool = False) -> Select[Any]:
    """The rows to adopt in these groups of states, or those of them that come after a run id."""
    rows = union_all(*(_candidates(states, is_rest=is_rest) for states in groups)).subquery()
    return select(rows).order_by(rows.c.run_id).limit(_row_limit())


def _candidates(states: Sequence[RunState], *, is_rest: bool) -> Select[Any]:
    # A coarse filter; `_adoption_values` parses the tags.
    candidates = select_new_runs().where(is_one_of(workflow_runs.c.state, *states), names_a_provider_run())
    return candidates.where(workflow_runs.c.run_id > bindparam(_AFTER, type_=RunKey)) if is_rest else candidates


@cache
def _active_again(*states: RunState) -> Select[Any]:
    """Rows in these states whose submission is closed and whose run is no longer polled."""
    run_id = workflow_runs.c.run_id
    return (
        select(run_id)
        .where(
            is_one_of(workflow_runs.c.state, *states),
            is_one_of(of_same_run(submissions.c.state, run_id), SubmissionState.CLOSED),
            of_same_run(polls.c.run_id, run_id).is_(None),
            # Its row only looks active: the end of the run is still to be written.
            ~has_late_update(run_id),
        )
        .order_by(of_same_run(submissions.c.seq, run_id))
        .limit(_row_limit())
    )


@cache
def _active_again_at_provider(*states: RunState) -> Select[Any]:
    """As `_active_again`, but only rows whose run a provider had."""
    provider_run_id = of_same_run(submissions.c.provider_run_id, workflow_runs.c.run_id)
    return _active_again(*states).where(provider_run_id.is_not(None))


@cache
def _inserting(dialect: str, names: tuple[str, ...]) -> Any:
    zero: ColumnElement[int] = literal_column("0")
    now = store_now()
    rows = insertion(dialect, submissions, names, claim_seq=zero, attempts=zero, not_before=now, enrolled_at=now)
    return rows.on_conflict_do_nothing()


def _limited(rows: Select[Any], limit: int, leaving_out: Collection[str]) -> tuple[Select[Any], Mapping[str, Any]]:
    """A statement with its parameters; without some runs, if there are any to leave out."""
    if not leaving_out:
        return rows, {_LIMIT: limit}
    others = rows.where(~in_list_parameter(workflow_runs.c.run_id, _LEFT_OUT))
    return others, {_LIMIT: limit, _LEFT_OUT: list(leaving_out)}


def _row_limit() -> ColumnElement[int]:
    return bindparam(_LIMIT, type_=Integer)
