"""The checks as queries: each selects `run_id` and the values that describe a violation."""

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import (
    Boolean,
    ColumnElement,
    Connection,
    Engine,
    ScalarSelect,
    Select,
    Text,
    and_,
    case,
    cast,
    exists,
    func,
    literal,
    or_,
    select,
    union,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from wes_daemon.adapters.persistence.checks_by_tags import VIOLATED_BY_TAGS
from wes_daemon.adapters.persistence.enrolment import names_a_provider_run
from wes_daemon.adapters.persistence.expressions import is_one_of, store_after, store_now
from wes_daemon.adapters.persistence.polls import row_is_missing
from wes_daemon.adapters.persistence.relations import relations_of
from wes_daemon.adapters.persistence.service_tables import TIME_TYPES
from wes_daemon.adapters.persistence.tables import (
    daemons,
    late_updates,
    polls,
    run_events,
    submissions,
    workflow_runs,
)
from wes_daemon.adapters.persistence.transactions import reading
from wes_daemon.application.ports import checks
from wes_daemon.application.ports.checks import Check, CheckContext, CheckResult, Violation
from wes_daemon.application.ports.reconcile_queries import NOT_ACCEPTED
from wes_daemon.application.ports.submissions import SubmissionState
from wes_daemon.domain.states import ACTIVE, ENDED, FOLLOWS, RunState

_ENDED = sorted(ENDED)
_UNFINISHED = (*ACTIVE, RunState.UNKNOWN)
_IN_DOUBT = (SubmissionState.INTENT, SubmissionState.PREPARED)
_COUNTED_FOR_LIMIT = (*_IN_DOUBT, SubmissionState.REVIEW, SubmissionState.ACCEPTED)
_TRANSITIONS = frozenset(
    [
        (None, RunState.QUEUED),
        *((state, state) for state in RunState),
        *((before, after) for before, following in FOLLOWS.items() for after in following),
    ]
)
# A service may write QUEUED over the state of a run that a provider has accepted.
_TRANSITIONS_ONCE_ACCEPTED = frozenset((RunState.QUEUED, after) for after in FOLLOWS[RunState.INITIALIZING])
_HAS_NO_LIVE_OWNER = or_(daemons.c.lease_until.is_(None), daemons.c.lease_until <= store_now())


class SqlChecks:
    """`Checks`. Each run uses a connection of its own."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def run(self, context: CheckContext) -> Sequence[CheckResult]:
        with reading(self._engine) as connection:
            return [_result(connection, check, context) for check in checks.CHECKS]


def _result(connection: Connection, check: Check, context: CheckContext) -> CheckResult:
    rows = connection.execute(_first_of(_VIOLATIONS[check](context), context.shown)).all()
    by_tags = list(VIOLATED_BY_TAGS[check](connection, context)) if check in VIOLATED_BY_TAGS else []
    # One transaction for all checks would keep SQLite from checkpointing its write-ahead log.
    connection.rollback()
    first = [*(_violation(check, row._mapping) for row in rows), *by_tags]
    first.sort(key=lambda violation: violation.run_id)
    return CheckResult(check=check, count=(rows[0].total if rows else 0) + len(by_tags), first=first[: context.shown])


def _first_of(violations: Select[Any], shown: int) -> Select[Any]:
    found = violations.subquery()
    return select(found, func.count().over().label("total")).order_by(found.c.run_id).limit(shown)


def _violation(check: Check, row: Mapping[Any, Any]) -> Violation:
    return check.violation(**{name: value for name, value in row.items() if name != "total"})


def _shared_provider_runs(_: CheckContext) -> Select[Any]:
    provider_run = (submissions.c.provider, submissions.c.provider_run_id)
    # A column of type UUID has no maximum before PostgreSQL 18.
    run_id = cast(submissions.c.run_id, Text)
    run_ids = (func.max(run_id).label("run_id"), func.min(run_id).label("other"))
    return (
        select(*run_ids, *provider_run)
        .where(submissions.c.provider_run_id.is_not(None))
        .group_by(*provider_run)
        .having(func.count() > 1)
    )


def _invalid_end_times(_: CheckContext) -> Select[Any]:
    run = workflow_runs.c
    before_its_start = _IsBefore(run.end_time, run.start_time)
    return select(run.run_id, run.state, run.start_time, run.end_time).where(
        is_one_of(run.state, *_ENDED),
        or_(run.end_time.is_(None), before_its_start),
        cast(run.state, Text) == _last_recorded_state(run.run_id),
    )


class _IsBefore(FunctionElement[bool]):
    """Whether the first of two times in a service's row is earlier; false for columns of text, with texts of any form.

    A time without a zone is UTC, and is read as UTC here.
    """

    type = Boolean()
    inherit_cache = True


@compiles(_IsBefore, "postgresql")
def _(element: _IsBefore, compiler: SQLCompiler, **options: Any) -> str:
    types = relations_of(compiler.dialect).types
    if not all(types.get(str(column), "timestamp") in TIME_TYPES for column in element.clauses):
        return "false"
    earlier, later = (f"extract(epoch FROM {compiler.process(column, **options)})" for column in element.clauses)
    return f"({earlier} < {later})"


@compiles(_IsBefore, "sqlite")
def _(element: _IsBefore, compiler: SQLCompiler, **options: Any) -> str:
    # SQLite compares whole seconds.
    earlier, later = (f"strftime('%s', {compiler.process(column, **options)})" for column in element.clauses)
    return f"(CAST({earlier} AS INTEGER) < CAST({later} AS INTEGER))"


def _accepted_without_poll(_: CheckContext) -> Select[Any]:
    submission = submissions.c
    incomplete = or_(submission.provider.is_(None), submission.provider_run_id.is_(None), polls.c.run_id.is_(None))
    too_early = and_(is_one_of(submission.state, *NOT_ACCEPTED), submission.provider_run_id.is_not(None))
    return (
        select(
            submission.run_id,
            submission.state,
            submission.provider,
            submission.provider_run_id,
            polls.c.next_check_at.label("next_poll"),
        )
        .select_from(submissions.outerjoin(polls, polls.c.run_id == submission.run_id))
        .where(or_(and_(is_one_of(submission.state, SubmissionState.ACCEPTED), incomplete), too_early))
    )


def _polls_without_accepted_run(_: CheckContext) -> Select[Any]:
    poll, submission = polls.c, submissions.c
    same_run = and_(submission.provider == poll.provider, submission.provider_run_id == poll.provider_run_id)
    lacks_details = and_(is_one_of(submission.state, SubmissionState.CLOSED), is_one_of(poll.known_state, *_ENDED))
    correct = and_(same_run, or_(is_one_of(submission.state, SubmissionState.ACCEPTED), lacks_details))
    return (
        select(
            poll.run_id,
            poll.provider,
            poll.provider_run_id,
            poll.known_state,
            submission.state,
            submission.provider_run_id.label("submitted_id"),
        )
        .select_from(polls.outerjoin(submissions, submission.run_id == poll.run_id))
        .where(~func.coalesce(correct, False))
    )


def _active_without_provider_run(_: CheckContext) -> Select[Any]:
    run = workflow_runs.c
    return (
        select(run.run_id, run.state, submissions.c.state.label("submission"))
        .select_from(workflow_runs.outerjoin(submissions, submissions.c.run_id == run.run_id))
        .where(
            is_one_of(run.state, *ACTIVE),
            submissions.c.provider_run_id.is_(None),
            cast(run.state, Text) == _last_recorded_state(run.run_id),
        )
    )


def _submissions_in_doubt(context: CheckContext) -> Select[Any]:
    due = submissions.c.not_before
    since = case((daemons.c.lease_until > due, daemons.c.lease_until), else_=due)
    return _in_doubt(since.label("since")).where(
        _HAS_NO_LIVE_OWNER,
        since <= store_after(-context.overdue_after),
        _a_daemon_is_alive_for(context.overdue_after),
    )


def _expired_owners(context: CheckContext) -> Select[Any]:
    since = func.coalesce(daemons.c.lease_until, submissions.c.not_before)
    return _in_doubt(submissions.c.owner, since.label("since")).where(
        submissions.c.owner.is_not(None),
        _HAS_NO_LIVE_OWNER,
        since <= store_after(-context.owner_expired_after),
    )


def _in_doubt(*columns: ColumnElement[Any]) -> Select[Any]:
    """Submissions in doubt, each with the row of its owner if there is one."""
    return (
        select(submissions.c.run_id, submissions.c.state, *columns)
        .select_from(submissions.outerjoin(daemons, daemons.c.id == submissions.c.owner))
        .where(is_one_of(submissions.c.state, *_IN_DOUBT))
    )


def _claims_without_fencing_token(_: CheckContext) -> Select[Any]:
    submission = submissions.c
    claimed = or_(is_one_of(submission.state, *_IN_DOUBT, SubmissionState.REVIEW), submission.owner.is_not(None))
    return select(
        submission.run_id, submission.state, submission.owner, submission.claim_seq.label("fencing_token")
    ).where(claimed, submission.claim_seq < 1)


def _disallowed_transitions(_: CheckContext) -> Select[Any]:
    accepted = exists().where(submissions.c.run_id == run_events.c.run_id, submissions.c.provider_run_id.is_not(None))
    allowed = or_(_is_among(_TRANSITIONS), and_(_is_among(_TRANSITIONS_ONCE_ACCEPTED), accepted))
    return _first_entries(~is_one_of(func.coalesce(run_events.c.from_state, ""), *_ENDED), ~allowed)


def _transitions_after_end(_: CheckContext) -> Select[Any]:
    return _first_entries(is_one_of(run_events.c.from_state, *_ENDED), run_events.c.to_state != run_events.c.from_state)


def _first_entries(*conditions: ColumnElement[bool]) -> Select[Any]:
    """The first timeline entry of each run that meets the conditions."""
    entry = run_events.alias()
    first = select(func.min(run_events.c.id)).where(*conditions).group_by(run_events.c.run_id)
    columns = (entry.c.from_state.label("before"), entry.c.to_state.label("after"), entry.c.at)
    return select(entry.c.run_id, *columns).where(entry.c.id.in_(first))


def _is_among(transitions: frozenset[tuple[RunState | None, RunState]]) -> ColumnElement[bool]:
    texts = sorted(f"{before or ''}>{after}" for before, after in transitions)
    return is_one_of(func.coalesce(run_events.c.from_state, "").concat(">").concat(run_events.c.to_state), *texts)


def _overwritten_end_states(_: CheckContext) -> Select[Any]:
    run, later = workflow_runs.c, run_events.alias()
    superseded = exists().where(
        later.c.run_id == run_events.c.run_id,
        later.c.id > run_events.c.id,
        later.c.from_state.is_distinct_from(later.c.to_state),
    )
    return (
        select(run.run_id, run.state, run_events.c.to_state.label("end_state"))
        .select_from(workflow_runs.join(run_events, run_events.c.run_id == run.run_id))
        .where(
            is_one_of(run.state, *(state for state in _ENDED if state is not RunState.CANCELED)),
            is_one_of(run_events.c.to_state, *_ENDED),
            run_events.c.from_state.is_distinct_from(run_events.c.to_state),
            run_events.c.to_state != cast(run.state, Text),
            ~superseded,
        )
    )


def _overdue_polls(context: CheckContext) -> Select[Any]:
    return select(polls.c.run_id, polls.c.provider, polls.c.next_check_at.label("since")).where(
        polls.c.next_check_at <= store_after(-context.overdue_after), _a_daemon_is_alive_for(context.overdue_after)
    )


def _in_review(_: CheckContext) -> Select[Any]:
    return select(submissions.c.run_id, submissions.c.provider, submissions.c.last_reason).where(
        is_one_of(submissions.c.state, SubmissionState.REVIEW)
    )


def _deleted_and_active(_: CheckContext) -> Select[Any]:
    poll = polls.c
    return select(poll.run_id, poll.provider, poll.provider_run_id, poll.known_state).where(
        poll.known_state.not_in(_ENDED), poll.cancel_again_at.is_(None), row_is_missing()
    )


def _waiting_without_daemon(_: CheckContext) -> Select[Any]:
    run = workflow_runs.c
    queued, cancelling = (
        select(run.run_id).where(is_one_of(run.state, state)) for state in (RunState.QUEUED, RunState.CANCELING)
    )
    waiting = union(queued, cancelling, select(polls.c.run_id)).subquery()
    return (
        select(waiting.c.run_id, run.state)
        .select_from(waiting.outerjoin(workflow_runs, run.run_id == waiting.c.run_id))
        .where(~exists().where(daemons.c.lease_until > store_now()))
    )


def _unexplained(_: CheckContext) -> Select[Any]:
    run, submission = workflow_runs.c, submissions.c
    was_inherited = and_(is_one_of(submission.state, SubmissionState.INHERITED), ~is_one_of(run.state, *_ENDED))
    is_unknown_here = and_(
        submission.run_id.is_(None),
        is_one_of(run.state, *_UNFINISHED),
        ~names_a_provider_run(),
        run.run_id.is_not(None),
    )
    return (
        select(run.run_id, run.state)
        .select_from(workflow_runs.outerjoin(submissions, submission.run_id == run.run_id))
        .where(or_(was_inherited, is_unknown_here))
    )


def _above_concurrency_limit(context: CheckContext) -> Select[Any]:
    active = func.count().over().label("active")
    return (
        select(submissions.c.run_id, active, literal(context.concurrency_limit).label("allowed"))
        .where(is_one_of(submissions.c.state, *_COUNTED_FOR_LIMIT))
        .order_by(submissions.c.seq)
        .offset(context.concurrency_limit)
    )


def _rows_behind(context: CheckContext) -> Select[Any]:
    late = late_updates.c
    return (
        select(late.run_id, func.min(late.recorded_at).label("since"), func.max(late.reason).label("reason"))
        .group_by(late.run_id)
        .having(func.min(late.recorded_at) <= store_after(-context.overdue_after))
    )


def _a_daemon_is_alive_for(time: timedelta) -> ColumnElement[bool]:
    """Whether a live daemon started at least this long ago, so that it had the time for the overdue work."""
    return exists().where(daemons.c.lease_until > store_now(), daemons.c.started_at <= store_after(-time))


def _last_recorded_state(run_id: ColumnElement[str]) -> ScalarSelect[Any]:
    """The state after the run's last transition in the timeline."""
    entry = run_events.alias()
    return (
        select(entry.c.to_state)
        .where(entry.c.run_id == run_id, entry.c.from_state.is_distinct_from(entry.c.to_state))
        .order_by(entry.c.id.desc())
        .limit(1)
        .scalar_subquery()
    )


_VIOLATIONS: Mapping[Check, Callable[[CheckContext], Select[Any]]] = {
    checks.PROVIDER_RUN_IS_UNIQUE: _shared_provider_runs,
    checks.END_TIME_IS_VALID: _invalid_end_times,
    checks.ACCEPTED_IS_POLLED: _accepted_without_poll,
    checks.POLLED_IS_ACCEPTED: _polls_without_accepted_run,
    checks.ACTIVE_HAS_PROVIDER_RUN: _active_without_provider_run,
    checks.DOUBT_IS_RESOLVED: _submissions_in_doubt,
    checks.CLAIM_HAS_FENCING_TOKEN: _claims_without_fencing_token,
    checks.TRANSITION_IS_ALLOWED: _disallowed_transitions,
    checks.END_IS_FINAL: _transitions_after_end,
    checks.END_STATE_IS_KEPT: _overwritten_end_states,
    checks.POLL_IS_ON_TIME: _overdue_polls,
    checks.NO_RUN_NEEDS_REVIEW: _in_review,
    checks.DELETED_IS_CANCELLED: _deleted_and_active,
    checks.DAEMON_IS_ALIVE: _waiting_without_daemon,
    checks.OWNER_IS_ALIVE: _expired_owners,
    checks.RUN_IS_EXPLAINED: _unexplained,
    checks.CONCURRENCY_LIMIT_IS_KEPT: _above_concurrency_limit,
    checks.ROWS_ARE_CURRENT: _rows_behind,
}
