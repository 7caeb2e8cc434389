"""No order of events breaks a promise."""

import os

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.unit.stateful.machine import AnyInterleaving

_EXAMPLES = int(os.environ.get("WES_DAEMON_TEST_EXAMPLES", "60"))
"""How many orders of events are tried, of 60 steps each; `just nightly` tries 3,000, which find what is rare."""


@pytest.mark.timeout(300 + 2 * _EXAMPLES)
def test_no_order_of_events_breaks_a_promise() -> None:
    """At every moment `Judge` finds no violation, and when the faults stop every run comes to its end."""
    run_state_machine_as_test(
        AnyInterleaving,
        settings=settings(
            max_examples=_EXAMPLES,
            stateful_step_count=60,
            deadline=None,
            print_blob=True,
            # Many rules wait for something to be there, and the machine that this runs on may be busy.
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
        ),
    )
