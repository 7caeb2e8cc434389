"""No request goes out that the daemon's lease might not outlast."""

from datetime import timedelta

import pytest

from tests.call_gates import AskingGate
from wes_daemon.adapters.providers.decorators.under_lease import LeaseCheckedGate
from wes_daemon.application.ports.call_gate import OpenCallGate
from wes_daemon.application.ports.errors import LeaseLost, NotSent

LONGEST = timedelta(seconds=30)


def test_the_lease_is_checked_after_the_inner_gate_has_permitted_the_call() -> None:
    seen: list[object] = []
    gate = LeaseCheckedGate(AskingGate(seen.append), require_trust=seen.append, longest_request=LONGEST)

    gate.acquire("StartRun")

    assert seen == ["StartRun", LONGEST]


def test_a_request_that_the_lease_might_not_outlast_is_not_sent() -> None:
    def require_trust(_: timedelta) -> None:
        raise LeaseLost("it ends soon")

    gate = LeaseCheckedGate(OpenCallGate(), require_trust=require_trust, longest_request=LONGEST)

    with pytest.raises(NotSent, match="StartRun was not sent: it ends soon"):
        gate.acquire("StartRun")
