"""How rows that a WES service has written come into the daemon's queue."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from itertools import chain
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Integer,
    Select,
    Text,
    bindparam,
    cast,
    false,
    func,
    insert,
    literal_column,
    select,
    update,
)

from wes_daemon.adapters.persistence.bulk import insertion, table_rows
from wes_daemon.adapters.persistence.expressions import (
    in_list,
    is_one_of,
    of_same_run,
    store_now,
    stored_order_of_few,
)
from wes_daemon.adapters.persistence.mapping import named_provider, run_summary_from, select_new_runs
from wes_daemon.adapters.persistence.tables import polls, submissions, workflow_runs
from wes_daemon.application.ports.submissions import SubmissionState
from wes_daemon.domain.runs import PROVIDER_ID_TAG, ProviderType, RunSummary
from wes_daemon.domain.states import RunState

Destination = Callable[[RunSummary], ProviderType | None]
Share = Callable[[RunSummary], str]

_FOLLOWED = (RunState.INITIALIZING, RunState.RUNNING, RunState.PAUSED)
_CANCELLED = (RunState.CANCELING,)

_MOST = "most"


def enrol_queued(connection: Connection, destination: Destination, share: Share, limit: int) -> int:
    """Put `QUEUED` rows into the queue in the order in which they were stored; return how many."""
    rows = connection.execute(_new_runs(connection.dialect.name), {_MOST: limit}).all()
    runs = [run_summary_from(row) for row in rows]
    found = [{**_submission(run, destination(run), SubmissionState.READY), "share": share(run)} for run in runs]
    return connection.execute(*_entering(connection, found)).rowcount if found else 0


def adopt_active(connection: Connection, destination: Destination, limit: int) -> int:
    """Follow runs that another daemon has left with a provider; return how many.

    What cannot be adopted stays where it is, and is passed over by reading on behind it.
    """
    adopted = 0
    for page in chain(_pages_of_active(connection, limit, _FOLLOWED), _pages_of_active(connection, limit, _CANCELLED)):
        if adopted >= limit:
            break
        followable = [values for run in page if (values := _adoption(run, destination))]
        adopted += _adopt(connection, followable[: limit - adopted])
    return adopted


def take_up_again(connection: Connection, limit: int) -> int:
    """Take up closed submissions whose rows the service has made active again; return how many.

    What a provider had is followed, so that the row comes to say again what the provider says;
    what none ever had, and is `QUEUED`, is submitted.
    """
    if limit <= 0:
        return 0
    reopened = _reopen(connection, _ids(connection, _made_active_again(RunState.QUEUED), limit))
    for states in ((RunState.QUEUED,), _FOLLOWED, _CANCELLED):
        reopened += _follow_again(connection, _ids(connection, _held_and_active_again(*states), limit - reopened))
    return reopened


def _ids(connection: Connection, wanted: Select[Any], limit: int) -> Sequence[str]:
    return connection.execute(wanted, {_MOST: limit}).scalars().all()


def _reopen(connection: Connection, ids: Sequence[str]) -> int:
    never_held = (in_list(submissions.c.run_id, ids), submissions.c.provider_run_id.is_(None))
    ready = {"state": SubmissionState.READY, "returns_to": SubmissionState.READY, "not_before": store_now()}
    nothing = {"owner": None, "prepared_id": None, "request": None, "failing_since": None}
    changed = update(submissions).where(*never_held).values(**ready, **nothing, attempts=0)
    return connection.execute(changed).rowcount if ids else 0


def _follow_again(connection: Connection, ids: Sequence[str]) -> int:
    if not ids:
        return 0
    closed = (in_list(submissions.c.run_id, ids), is_one_of(submissions.c.state, SubmissionState.CLOSED))
    taken = connection.execute(
        update(submissions)
        .where(*closed)
        .values(state=SubmissionState.ACCEPTED)
        .returning(submissions.c.run_id, submissions.c.provider, submissions.c.provider_run_id)
    ).all()
    _put_on_schedule(connection, [{**row._mapping, "known_state": RunState.INITIALIZING} for row in taken])
    return len(taken)


def names_a_provider_run() -> ColumnElement[bool]:
    """Whether the tags may name a provider's id: a coarse sieve that takes any type of column."""
    return func.coalesce(cast(workflow_runs.c.tags, Text).contains(f'"{PROVIDER_ID_TAG}"'), false())


def _pages_of_active(connection: Connection, size: int, states: Sequence[RunState]) -> Iterator[Sequence[RunSummary]]:
    page = [run_summary_from(row) for row in connection.execute(_left_by_others(*states), {_MOST: size})]
    while page:
        yield page
        rest = _left_by_others(*states).where(workflow_runs.c.run_id > page[-1].id)
        page = [run_summary_from(row) for row in connection.execute(rest, {_MOST: size})]


def _adoption(run: RunSummary, destination: Destination) -> dict[str, object] | None:
    held_as = run.tags.get(PROVIDER_ID_TAG) if isinstance(run.tags, Mapping) else None
    if not isinstance(held_as, str) or not held_as.strip():
        return None
    provider = named_provider(run.tags) or destination(run)
    if provider is None:
        return None
    submission = _submission(run, provider, SubmissionState.ACCEPTED)
    known_state = RunState.INITIALIZING if run.state is RunState.CANCELING else run.state
    return {**submission, "provider_run_id": held_as, "known_state": known_state}


def _adopt(connection: Connection, adoptions: Sequence[Mapping[str, Any]]) -> int:
    submitted = [{key: held for key, held in values.items() if key != "known_state"} for values in adoptions]
    entered = _insert(connection, submitted)
    followed = [values for values in adoptions if values["run_id"] in entered]
    _put_on_schedule(connection, followed)
    _enrol_cancelled_copies(connection, [values for values in adoptions if values["run_id"] not in entered])
    return len(followed)


def _put_on_schedule(connection: Connection, runs: Sequence[Mapping[str, Any]]) -> None:
    if runs:
        connection.execute(
            insert(polls).values(next_check_at=store_now(), followed_since=store_now(), poll_seq=0, details_failures=0),
            [{key: run[key] for key in ("run_id", "provider", "provider_run_id", "known_state")} for run in runs],
        )


def _enrol_cancelled_copies(connection: Connection, copies: Sequence[Mapping[str, Any]]) -> None:
    """A cancelled row whose tags are those of a run that is known already: nobody has it, so it may simply end."""
    ids = [values["run_id"] for values in copies]
    cancelled = select(workflow_runs.c.run_id).where(
        in_list(workflow_runs.c.run_id, ids), is_one_of(workflow_runs.c.state, *_CANCELLED)
    )
    found = connection.execute(cancelled).scalars().all() if ids else []
    ready = SubmissionState.READY
    copies_of_others = {"provider": None, "state": ready, "returns_to": ready, "share": ""}
    _insert(connection, [{"run_id": id, **copies_of_others} for id in found])


def _submission(run: RunSummary, provider: ProviderType | None, state: SubmissionState) -> dict[str, object]:
    return {"run_id": run.id, "provider": provider, "state": state, "returns_to": state, "share": ""}


def _insert(connection: Connection, found: Sequence[Mapping[str, object]]) -> frozenset[str]:
    """Those that were entered: others may have entered some in the same moment, or follow the same provider run."""
    if not found:
        return frozenset()
    statement, parameters = _entering(connection, found)
    return frozenset(connection.execute(statement.returning(submissions.c.run_id), parameters).scalars())


def _entering(connection: Connection, found: Sequence[Mapping[str, object]]) -> tuple[Any, Mapping[str, str]]:
    dialect = connection.dialect.name
    return _entry(dialect, tuple(found[0])), table_rows(dialect, submissions, found)


# To build a statement takes longer than to send it.


@cache
def _new_runs(dialect: str) -> Select[Any]:
    queued = select_new_runs().where(is_one_of(workflow_runs.c.state, RunState.QUEUED))
    return queued.order_by(stored_order_of_few(dialect)).limit(_most())


@cache
def _left_by_others(*states: RunState) -> Select[Any]:
    # The tags are read properly afterwards.
    candidates = select_new_runs().where(is_one_of(workflow_runs.c.state, *states), names_a_provider_run())
    return candidates.order_by(workflow_runs.c.run_id).limit(_most())


@cache
def _made_active_again(*states: RunState) -> Select[Any]:
    """Rows in these states whose submission is closed, and of whose run nothing more is to be learnt."""
    run_id = workflow_runs.c.run_id
    return (
        select(run_id)
        .where(
            is_one_of(workflow_runs.c.state, *states),
            is_one_of(of_same_run(submissions.c.state, run_id), SubmissionState.CLOSED),
            of_same_run(polls.c.run_id, run_id).is_(None),
        )
        .order_by(of_same_run(submissions.c.seq, run_id))
        .limit(_most())
    )


@cache
def _held_and_active_again(*states: RunState) -> Select[Any]:
    """Of these, the rows whose run a provider once had."""
    held_as = of_same_run(submissions.c.provider_run_id, workflow_runs.c.run_id)
    return _made_active_again(*states).where(held_as.is_not(None))


@cache
def _entry(dialect: str, names: tuple[str, ...]) -> Any:
    none: ColumnElement[int] = literal_column("0")
    now = store_now()
    alike = insertion(dialect, submissions, names, claim_seq=none, attempts=none, not_before=now, enrolled_at=now)
    return alike.on_conflict_do_nothing()


def _most() -> ColumnElement[int]:
    return bindparam(_MOST, type_=Integer)
