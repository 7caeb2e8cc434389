"""For each invariant, what breaks it: a query that gives `run_id` and the values that the rule tells of."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    ScalarSelect,
    Select,
    and_,
    case,
    exists,
    extract,
    func,
    literal,
    or_,
    select,
    union,
)

from wes_daemon.adapters.persistence.expressions import is_one_of, store_after, store_now
from wes_daemon.adapters.persistence.tables import daemons, polls, run_events, submissions, workflow_runs
from wes_daemon.application.ports import invariants as rules
from wes_daemon.application.ports.invariants import Expected, Rule
from wes_daemon.application.ports.submissions import SubmissionState
from wes_daemon.domain.states import ENDED, RunState

_ENDED = sorted(ENDED)
_DUE = submissions.c.not_before
_IS_NOBODYS = or_(daemons.c.lease_until.is_(None), daemons.c.lease_until <= store_now())


def _submitted_twice(_: Expected) -> Select[Any]:
    held = (submissions.c.provider, submissions.c.provider_run_id)
    run_ids = (func.max(submissions.c.run_id).label("run_id"), func.min(submissions.c.run_id).label("other"))
    return (
        select(*run_ids, *held)
        .where(submissions.c.provider_run_id.is_not(None))
        .group_by(*held)
        .having(func.count() > 1)
    )


def _ended_out_of_time(_: Expected) -> Select[Any]:
    run = workflow_runs.c
    # Of a time without a zone this counts as if it were UTC, which it is; SQLite counts whole seconds.
    before_its_start = extract("epoch", run.end_time) < extract("epoch", run.start_time)
    return select(run.run_id, run.state, run.start_time, run.end_time).where(
        is_one_of(run.state, *_ENDED),
        or_(run.end_time.is_(None), before_its_start),
        run.state == _last_step(run.run_id),
    )


def _accepted_unfollowed(_: Expected) -> Select[Any]:
    submission = submissions.c
    unheld = or_(submission.provider.is_(None), submission.provider_run_id.is_(None), polls.c.run_id.is_(None))
    held_early = and_(is_one_of(submission.state, *rules.NOT_YET_ACCEPTED), submission.provider_run_id.is_not(None))
    return (
        select(
            submission.run_id,
            submission.state,
            submission.provider,
            submission.provider_run_id,
            polls.c.next_check_at,
        )
        .select_from(submissions.outerjoin(polls, polls.c.run_id == submission.run_id))
        .where(or_(and_(is_one_of(submission.state, SubmissionState.ACCEPTED), unheld), held_early))
    )


def _followed_unaccepted(_: Expected) -> Select[Any]:
    poll, submission = polls.c, submissions.c
    same_run = and_(submission.provider == poll.provider, submission.provider_run_id == poll.provider_run_id)
    lacks_details = and_(is_one_of(submission.state, SubmissionState.CLOSED), is_one_of(poll.known_state, *_ENDED))
    right = and_(same_run, or_(is_one_of(submission.state, SubmissionState.ACCEPTED), lacks_details))
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
        .where(~func.coalesce(right, False))
    )


def _active_unheld(_: Expected) -> Select[Any]:
    run = workflow_runs.c
    return (
        select(run.run_id, run.state, submissions.c.state.label("submission"))
        .select_from(workflow_runs.outerjoin(submissions, submissions.c.run_id == run.run_id))
        .where(
            is_one_of(run.state, *rules.ACTIVE),
            submissions.c.provider_run_id.is_(None),
            run.state == _last_step(run.run_id),
        )
    )


def _doubt_unsettled(expected: Expected) -> Select[Any]:
    since = case((daemons.c.lease_until > submissions.c.not_before, daemons.c.lease_until), else_=_DUE)
    overdue = (_IS_NOBODYS, since <= store_after(-expected.unchecked_for), _a_daemon_has_lived(expected.unchecked_for))
    return _in_doubt(since.label("since")).where(*overdue)


def _owner_gone(expected: Expected) -> Select[Any]:
    since = func.coalesce(daemons.c.lease_until, _DUE)
    gone = (submissions.c.owner.is_not(None), _IS_NOBODYS, since <= store_after(-expected.owner_gone_for))
    return _in_doubt(submissions.c.owner, since.label("since")).where(*gone)


def _in_doubt(*columns: ColumnElement[Any]) -> Select[Any]:
    """What may have been sent, with its owner, as far as there is one and it is remembered."""
    return (
        select(submissions.c.run_id, submissions.c.state, *columns)
        .select_from(submissions.outerjoin(daemons, daemons.c.id == submissions.c.owner))
        .where(is_one_of(submissions.c.state, *rules.IN_DOUBT))
    )


def _claimed_without_number(_: Expected) -> Select[Any]:
    submission = submissions.c
    claimed = or_(is_one_of(submission.state, *rules.IN_DOUBT, SubmissionState.REVIEW), submission.owner.is_not(None))
    return select(submission.run_id, submission.state, submission.owner, submission.claim_seq).where(
        claimed, submission.claim_seq < 1
    )


def _impossible_step(_: Expected) -> Select[Any]:
    held = exists().where(submissions.c.run_id == run_events.c.run_id, submissions.c.provider_run_id.is_not(None))
    allowed = or_(_is_among(rules.STEPS), and_(_is_among(rules.STEPS_WHEN_HELD), held))
    return _first_steps(~is_one_of(func.coalesce(run_events.c.from_state, ""), *_ENDED), ~allowed)


def _step_after_the_end(_: Expected) -> Select[Any]:
    return _first_steps(is_one_of(run_events.c.from_state, *_ENDED), run_events.c.to_state != run_events.c.from_state)


def _first_steps(*conditions: ColumnElement[bool]) -> Select[Any]:
    """Of each run's timeline the first step that is as the conditions say."""
    step = run_events.alias()
    first = select(func.min(run_events.c.id)).where(*conditions).group_by(run_events.c.run_id)
    words = (step.c.from_state.label("before"), step.c.to_state.label("after"), step.c.at)
    return select(step.c.run_id, *words).where(step.c.id.in_(first))


def _is_among(steps: frozenset[tuple[RunState | None, RunState]]) -> ColumnElement[bool]:
    words = sorted(f"{before or ''}>{after}" for before, after in steps)
    return is_one_of(func.coalesce(run_events.c.from_state, "").concat(">").concat(run_events.c.to_state), *words)


def _ending_lost(_: Expected) -> Select[Any]:
    run, later = workflow_runs.c, run_events.alias()
    overtaken = exists().where(
        later.c.run_id == run_events.c.run_id,
        later.c.id > run_events.c.id,
        later.c.from_state.is_distinct_from(later.c.to_state),
    )
    return (
        select(run.run_id, run.state, run_events.c.to_state.label("ending"))
        .select_from(workflow_runs.join(run_events, run_events.c.run_id == run.run_id))
        .where(
            is_one_of(run.state, *(state for state in _ENDED if state is not RunState.CANCELED)),
            is_one_of(run_events.c.to_state, *_ENDED),
            run_events.c.from_state.is_distinct_from(run_events.c.to_state),
            run_events.c.to_state != run.state,
            ~overtaken,
        )
    )


def _unchecked(expected: Expected) -> Select[Any]:
    overdue = polls.c.next_check_at <= store_after(-expected.unchecked_for)
    return select(polls.c.run_id, polls.c.provider, polls.c.next_check_at.label("since")).where(
        overdue, _a_daemon_has_lived(expected.unchecked_for)
    )


def _in_review(_: Expected) -> Select[Any]:
    return select(submissions.c.run_id, submissions.c.provider, submissions.c.last_reason).where(
        is_one_of(submissions.c.state, SubmissionState.REVIEW)
    )


def _looked_at_by_nobody(_: Expected) -> Select[Any]:
    run = workflow_runs.c
    queued, cancelled = (
        select(run.run_id).where(is_one_of(run.state, state)) for state in (RunState.QUEUED, RunState.CANCELING)
    )
    wanting = union(queued, cancelled, select(polls.c.run_id)).subquery()
    return (
        select(wanting.c.run_id, run.state)
        .select_from(wanting.outerjoin(workflow_runs, run.run_id == wanting.c.run_id))
        .where(~exists().where(daemons.c.lease_until > store_now()))
    )


def _beyond_the_cap(expected: Expected) -> Select[Any]:
    out = func.count().over().label("out")
    return (
        select(submissions.c.run_id, out, literal(expected.cap).label("cap"))
        .where(is_one_of(submissions.c.state, *rules.OUT))
        .order_by(submissions.c.seq)
        .offset(expected.cap)
    )


def _a_daemon_has_lived(time: timedelta) -> ColumnElement[bool]:
    """Whether one is alive that began long enough ago to have done what is overdue."""
    return exists().where(daemons.c.lease_until > store_now(), daemons.c.started_at <= store_after(-time))


def _last_step(run_id: ColumnElement[str]) -> ScalarSelect[Any]:
    """The state to which the run's timeline has come last."""
    step = run_events.alias()
    return (
        select(step.c.to_state)
        .where(step.c.run_id == run_id, step.c.from_state.is_distinct_from(step.c.to_state))
        .order_by(step.c.id.desc())
        .limit(1)
        .scalar_subquery()
    )


BREACHES: Mapping[Rule, Callable[[Expected], Select[Any]]] = {
    rules.ONE_RUN_EACH: _submitted_twice,
    rules.ENDED_IN_TIME: _ended_out_of_time,
    rules.ACCEPTED_IS_FOLLOWED: _accepted_unfollowed,
    rules.FOLLOWED_IS_ACCEPTED: _followed_unaccepted,
    rules.ACTIVE_IS_HELD: _active_unheld,
    rules.DOUBT_IS_SETTLED: _doubt_unsettled,
    rules.CLAIMS_ARE_NUMBERED: _claimed_without_number,
    rules.STEPS_ARE_ALLOWED: _impossible_step,
    rules.ENDINGS_ARE_LAST: _step_after_the_end,
    rules.ENDINGS_ARE_KEPT: _ending_lost,
    rules.CHECKED_IN_TIME: _unchecked,
    rules.IN_REVIEW: _in_review,
    rules.A_DAEMON_LIVES: _looked_at_by_nobody,
    rules.OWNERS_LIVE: _owner_gone,
    rules.CAP_IS_KEPT: _beyond_the_cap,
}
