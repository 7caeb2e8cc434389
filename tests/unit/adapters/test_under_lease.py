"""No request goes out that a lease might not outlast."""

from datetime import timedelta

import pytest

from wes_daemon.adapters.providers.decorators.under_lease import under_lease
from wes_daemon.application.ports.errors import HeldBack, LeaseLost

LONGEST = timedelta(seconds=30)


def test_the_lease_is_looked_at_after_the_turn_was_waited_for() -> None:
    seen: list[object] = []
    take = under_lease(seen.append, seen.append, longest_request=LONGEST)

    take("StartRun")

    assert seen == ["StartRun", LONGEST]


def test_a_request_that_the_lease_might_not_outlast_is_held_back() -> None:
    def require_trust(_: timedelta) -> None:
        raise LeaseLost("it ends soon")

    take = under_lease(lambda _: None, require_trust, longest_request=LONGEST)

    with pytest.raises(HeldBack, match="StartRun was not sent: it ends soon"):
        take("StartRun")
