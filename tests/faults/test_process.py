"""What a process is told by its environment to do at which points."""

from pathlib import Path

import pytest

from tests import fault_points
from tests.builders import a_request
from tests.faults.process import Fault, Injected, Listener, application_with_fault_points
from wes_daemon import read_settings


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


def test_the_application_of_the_fault_suite_reaches_points(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    application = application_with_fault_points(read_settings(database_uri=f"sqlite:///{tmp_path}/runs.db"))
    application.schema.upgrade()
    application.create_run(a_request(workflow_engine="Arvados"))
    reached: list[str] = []
    fault_points.listen(reached.append)

    try:
        application.run_once()
    finally:
        fault_points.listen(None)

    assert reached == ["claim.before_commit", "claim.after_commit"]
    application.close()
