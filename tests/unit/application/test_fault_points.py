"""The named places at which a test may strike."""

from collections.abc import Iterator

import pytest

from wes_daemon.application.runtime import fault_points


@pytest.fixture(autouse=True)
def _silence_afterwards() -> Iterator[None]:
    yield
    fault_points.listen(None)


def test_a_point_that_nobody_listens_to_does_nothing() -> None:
    fault_points.reached("claim.after_commit")


def test_a_listener_is_told_each_point_in_order() -> None:
    heard: list[str] = []
    fault_points.listen(heard.append)

    fault_points.reached("claim.before_commit")
    fault_points.reached("claim.after_commit")

    assert heard == ["claim.before_commit", "claim.after_commit"]
