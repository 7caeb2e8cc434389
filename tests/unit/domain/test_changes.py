"""A change that is applied to a row later than it happened."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builders import NOON, a_report
from wes_daemon.domain.changes import RunChange, change_between
from wes_daemon.domain.runs import ProviderRunId, ProviderType, RunId, RunSummary, Unreadable
from wes_daemon.domain.states import ENDED, RunState

LATER = NOON + timedelta(hours=1)
TAGS = {"provider_type": "local", "provider_id": "at-1"}


def a_row(state: RunState = RunState.QUEUED, *, tags: object = None, accepted: bool = True) -> RunSummary:
    """The row of a run, which a provider has if nothing else is said."""
    id = ProviderRunId("at-1") if accepted else None
    provider = ProviderType.LOCAL if accepted else None
    return RunSummary(
        id=RunId("run-1"), state=state, tags={} if tags is None else tags, provider=provider, provider_run_id=id
    )


@given(
    state=st.sampled_from(sorted(set(RunState) - ENDED)),
    reported=st.sampled_from(sorted(set(RunState) - {RunState.UNKNOWN, RunState.QUEUED, RunState.CANCELING})),
    tags=st.sampled_from([{}, {"a": 1}, {"error": "old"}, [1], Unreadable("{x"), None]),
)
def test_on_the_row_that_it_was_made_for_a_change_has_its_whole_effect(
    state: RunState, reported: RunState, tags: object
) -> None:
    before = a_row(state, tags=tags)
    after = before.updated(a_report(reported, message="words", started_at=NOON), LATER)

    assert change_between(before, after).applied_to(before) == after


def test_an_acceptance_has_its_whole_effect_on_a_row_that_is_still_queued() -> None:
    before = a_row(accepted=False)
    after = before.accepted(ProviderType.LOCAL, ProviderRunId("at-1"))

    applied = change_between(before, after).applied_to(a_row())

    assert (applied.state, applied.tags) == (RunState.INITIALIZING, TAGS)


@pytest.mark.parametrize("state", sorted(ENDED | {RunState.CANCELING, RunState.RUNNING}))
def test_an_acceptance_takes_no_row_back_and_still_names_the_provider_run(state: RunState) -> None:
    change = RunChange(state=RunState.INITIALIZING, tags=TAGS)

    applied = change.applied_to(a_row(state, tags={"mine": 1}))

    assert (applied.state, applied.tags) == (state, {"mine": 1, **TAGS})


@pytest.mark.parametrize("state", sorted(ENDED))
def test_an_end_changes_nothing_in_a_row_that_a_service_has_ended(state: RunState) -> None:
    row = a_row(state, tags=TAGS)

    assert RunChange(state=RunState.COMPLETE, end_time=NOON, tags={"error": "words"}).applied_to(row) == row


def test_an_end_is_shown_in_the_row_of_a_run_that_is_queued_as_far_as_readers_see() -> None:
    applied = RunChange(state=RunState.COMPLETE, start_time=NOON, end_time=LATER).applied_to(a_row())

    assert (applied.state, applied.start_time, applied.end_time) == (RunState.COMPLETE, NOON, LATER)


def test_of_two_changes_the_later_values_count() -> None:
    first = RunChange(state=RunState.RUNNING, start_time=NOON, tags=TAGS)
    second = RunChange(state=RunState.EXECUTOR_ERROR, end_time=LATER, tags={"error": "words"})

    assert first.followed_by(second) == RunChange(
        state=RunState.EXECUTOR_ERROR, start_time=NOON, end_time=LATER, tags={**TAGS, "error": "words"}
    )
