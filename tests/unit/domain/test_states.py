"""The table of what may follow what."""

import pytest

from wes_daemon.domain.states import ENDED, FOLLOWS, RunState


def test_the_states_are_the_eleven_of_the_standard() -> None:
    assert set(RunState) == {
        "UNKNOWN",
        "QUEUED",
        "INITIALIZING",
        "RUNNING",
        "PAUSED",
        "COMPLETE",
        "EXECUTOR_ERROR",
        "SYSTEM_ERROR",
        "CANCELED",
        "CANCELING",
        "PREEMPTED",
    }


def test_every_state_has_its_row_in_the_table() -> None:
    assert set(FOLLOWS) == set(RunState)


@pytest.mark.parametrize("ended", sorted(ENDED))
def test_an_ending_absorbs(ended: RunState) -> None:
    assert not any(ended.may_become(state) for state in RunState)


@pytest.mark.parametrize("state", sorted(RunState))
def test_nothing_becomes_unknown_or_queued(state: RunState) -> None:
    assert not state.may_become(RunState.UNKNOWN)
    assert not state.may_become(RunState.QUEUED)


@pytest.mark.parametrize("state", sorted(set(RunState) - ENDED))
def test_everything_that_has_not_ended_can_end(state: RunState) -> None:
    assert any(state.may_become(ended) for ended in ENDED)


def test_a_running_run_never_starts_again() -> None:
    assert not RunState.RUNNING.may_become(RunState.INITIALIZING)


def test_a_run_that_is_being_cancelled_can_only_end() -> None:
    assert FOLLOWS[RunState.CANCELING] == ENDED
