"""Since when daemons have watched the queue: the row `queue of runs` of the table `provider_looks`."""

from datetime import timedelta
from functools import cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Delete,
    Select,
    case,
    delete,
    exists,
    false,
    func,
    literal,
    select,
)

from wes_daemon.adapters.persistence.expressions import insert_into, is_one_of, store_after, store_now
from wes_daemon.adapters.persistence.mapping import select_new_runs
from wes_daemon.adapters.persistence.tables import daemons, provider_looks, run_events, submissions, workflow_runs
from wes_daemon.application.ports.leases import LONGEST_GAP
from wes_daemon.application.ports.submissions import SubmissionState
from wes_daemon.domain.states import RunState

_NAME = "queue of runs"
"""The lists of ended runs, whose watermarks are the other rows, are named by addresses, which contain no blanks."""


_TICK = timedelta(milliseconds=1)
"""The resolution of SQLite's clock; PostgreSQL's is finer."""


def forget_watch_after_gap(connection: Connection) -> None:
    """Stop watching if no session had a valid lease within `LONGEST_GAP`, before a new session is opened."""
    connection.execute(_forgetting())


def watch(connection: Connection) -> bool:
    """Implement `SubmissionQueue.watch`."""
    if connection.execute(_beginning(connection.dialect.name)).first() is not None:
        return True
    return connection.execute(_begun()).first() is not None


def is_watched() -> ColumnElement[bool]:
    """Whether a submission was enrolled while the queue was watched."""
    return func.coalesce(submissions.c.enrolled_at >= _begun().scalar_subquery(), false())


# These statements are built once, because building one takes longer than sending it.


@cache
def _begun() -> Select[Any]:
    return select(provider_looks.c.seen_until).where(provider_looks.c.name == _NAME)


@cache
def _forgetting() -> Delete:
    has_recent_session = exists().where(daemons.c.lease_until > store_after(-LONGEST_GAP))
    return delete(provider_looks).where(provider_looks.c.name == _NAME, ~has_recent_session)


@cache
def _beginning(dialect: str) -> Any:
    """Begin now, if all queued rows that may be old are enrolled; at the next tick if some were enrolled just now."""
    since = case((_is_enrolled_just_now(), store_after(_TICK)), else_=store_now())
    values = select(literal(_NAME), since, since).where(~_may_be_old())
    beginning = insert_into(dialect, provider_looks).from_select(["name", "seen_until", "begun_at"], values)
    return beginning.on_conflict_do_nothing().returning(provider_looks.c.name)


def _may_be_old() -> ColumnElement[bool]:
    """Whether a queued row is not enrolled, and may have been queued longer than `LONGEST_GAP` ago."""
    was_queued_here_lately = exists().where(
        run_events.c.run_id == workflow_runs.c.run_id,
        run_events.c.from_state.is_(None),
        run_events.c.at > store_after(-LONGEST_GAP),
    )
    queued = select_new_runs().where(is_one_of(workflow_runs.c.state, RunState.QUEUED), ~was_queued_here_lately)
    return queued.exists()


def _is_enrolled_just_now() -> ColumnElement[bool]:
    """Whether a run was enrolled at the present tick of the clock: it must not count as enrolled after it."""
    ready = is_one_of(submissions.c.state, SubmissionState.READY)
    return exists().where(ready, submissions.c.enrolled_at >= store_now())
