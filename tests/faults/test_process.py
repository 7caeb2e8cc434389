"""What a process is told by its environment to do at which points."""

from pathlib import Path

import pytest

from tests.faults.process import Fault, Injected, Listener


def test_a_fault_strikes_at_the_nth_time_and_is_noted_before_it_does(tmp_path: Path) -> None:
    listener = Listener([Fault.read("claim.after_commit:raise:2")], tmp_path / "fired")
    listener("claim.after_commit")

    with pytest.raises(Injected):
        listener("claim.after_commit")

    assert (tmp_path / "fired").read_text() == "claim.after_commit:raise:2\n"


def test_other_points_are_passed(tmp_path: Path) -> None:
    listener = Listener([Fault.read("claim.after_commit:raise")], tmp_path / "fired")

    listener("claim.before_commit")

    assert not (tmp_path / "fired").exists()


@pytest.mark.parametrize("text", ["nowhere:kill", "claim.after_commit:sing"])
def test_a_point_or_an_action_that_is_not_there_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no such point or action"):
        Fault.read(text)
