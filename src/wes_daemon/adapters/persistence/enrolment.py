"""How rows that a WES service has written come into the daemon's queue."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Text, cast, insert

from wes_daemon.adapters.persistence.expressions import (
    insert_into,
    is_one_of,
    store_now,
    stored_order,
)
from wes_daemon.adapters.persistence.mapping import named_provider, run_from, select_runs
from wes_daemon.adapters.persistence.tables import polls, submissions, workflow_runs
from wes_daemon.application.ports.persistence import SubmissionState
from wes_daemon.domain.runs import PROVIDER_ID_TAG, ProviderType, Run
from wes_daemon.domain.states import RunState

Destination = Callable[[Run], ProviderType | None]

_UNKNOWN_TO_QUEUE = submissions.c.run_id.is_(None)
_FOLLOWED = (RunState.INITIALIZING, RunState.RUNNING, RunState.PAUSED)


def enrol_queued(connection: Connection, destination: Destination, limit: int) -> int:
    """Put `QUEUED` rows into the queue in the order in which they were stored; return how many."""
    rows = connection.execute(
        select_runs()
        .where(is_one_of(workflow_runs.c.state, RunState.QUEUED), _UNKNOWN_TO_QUEUE)
        .order_by(stored_order(connection))
        .limit(limit)
    )
    runs = [run_from(row) for row in rows]
    found = [_submission(run, destination(run), SubmissionState.READY) for run in runs]
    return len(_insert(connection, found))


def adopt_active(connection: Connection, destination: Destination, limit: int) -> int:
    """Follow runs that another daemon has left with a provider; return how many.

    What cannot be adopted stays where it is, and is passed over by reading on behind it.
    """
    adopted = 0
    for page in _pages_of_active(connection, limit):
        if adopted >= limit:
            break
        followable = [values for run in page if (values := _adoption(run, destination))]
        adopted += _adopt(connection, followable[: limit - adopted])
    return adopted


def _pages_of_active(connection: Connection, size: int) -> Iterator[Sequence[Run]]:
    candidates = (
        select_runs()
        .where(
            is_one_of(workflow_runs.c.state, *_FOLLOWED),
            # A coarse sieve that takes any type of column; the tags are read properly afterwards.
            cast(workflow_runs.c.tags, Text).contains(f'"{PROVIDER_ID_TAG}"'),
            _UNKNOWN_TO_QUEUE,
        )
        .order_by(workflow_runs.c.run_id)
        .limit(size)
    )
    page = [run_from(row) for row in connection.execute(candidates)]
    while page:
        yield page
        rest = candidates.where(workflow_runs.c.run_id > page[-1].id)
        page = [run_from(row) for row in connection.execute(rest)]


def _adoption(run: Run, destination: Destination) -> dict[str, object] | None:
    held_as = run.tags.get(PROVIDER_ID_TAG) if isinstance(run.tags, Mapping) else None
    if not isinstance(held_as, str) or not held_as.strip():
        return None
    provider = named_provider(run.tags) or destination(run)
    if provider is None:
        return None
    submission = _submission(run, provider, SubmissionState.ACCEPTED)
    return {**submission, "provider_run_id": held_as, "known_state": run.state}


def _adopt(connection: Connection, adoptions: Sequence[Mapping[str, Any]]) -> int:
    submitted = [{key: held for key, held in values.items() if key != "known_state"} for values in adoptions]
    entered = _insert(connection, submitted)
    followed = [values for values in adoptions if values["run_id"] in entered]
    if followed:
        connection.execute(
            insert(polls).values(next_check_at=store_now(), poll_seq=0, details_failures=0),
            [
                {key: values[key] for key in ("run_id", "provider", "provider_run_id", "known_state")}
                for values in followed
            ],
        )
    return len(followed)


def _submission(run: Run, provider: ProviderType | None, state: SubmissionState) -> dict[str, object]:
    return {"run_id": run.id, "provider": provider, "state": state, "returns_to": state}


def _insert(connection: Connection, found: Sequence[Mapping[str, object]]) -> frozenset[str]:
    """Those that were entered: others may have entered some in the same moment, or follow the same provider run."""
    if not found:
        return frozenset()
    statement = (
        insert_into(connection, submissions)
        .values(claim_seq=0, attempts=0, not_before=store_now(), enrolled_at=store_now())
        .on_conflict_do_nothing()
        .returning(submissions.c.run_id)
    )
    return frozenset(connection.execute(statement, list(found)).scalars())
