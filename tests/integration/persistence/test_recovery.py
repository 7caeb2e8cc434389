"""What a daemon finds that died between two units of work."""

from tests.integration.persistence.harness import SqlHarness
from wes_daemon.domain.states import RunState


def test_a_cancelled_run_that_was_closed_but_not_ended_is_given_to_be_ended_again(store: SqlHarness) -> None:
    store.queue("run-1")
    store.enrol()
    store.move("run-1", RunState.CANCELING)

    given = []
    for _ in range(2):
        with store.units() as unit:
            given.append(list(unit.submissions.close_withdrawn(limit=10)))
            unit.commit()

    assert given == [["run-1"], ["run-1"]]
