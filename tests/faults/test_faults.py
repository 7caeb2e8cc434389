"""A selection of the campaigns that `just faults` carries out, with fewer faults each.

Nothing here depends on how quick the machine is: a point is waited for until it is reached, and what `Campaign` bounds
in seconds is far from what it takes.
"""

from collections.abc import Callable, Sequence
from math import inf
from random import Random

import pytest

from tests.faults.campaign import Campaign
from tests.faults.catalogue import BOTH, points_of
from tests.faults.clouds import HealthOmicsCloud, SevenBridgesCloud
from tests.faults.conftest import CarryOut
from tests.faults.databases import POSTGRESQL, SQLITE
from tests.faults.injectors import Crashes, Injector, NewerSchema, Points, Stalls, Stops, Storm
from tests.faults.site import Scale
from tests.faults.table import story

KILL, STALL = "SIGKILL at a point", "SIGSTOP past the lease"
STRIKING, STOPPING = 300.0, 60.0
RECORDING = ("prepared.before_commit", "start.after_answer", "accepted.before_commit")

pytestmark = pytest.mark.timeout(900)


def test_no_run_is_lost_or_started_twice_wherever_a_daemon_of_three_is_killed(outcome_of: CarryOut) -> None:
    # Whoever dies in passing a cancel on leaves that to others a minute later, which is too long for this selection.
    points = [point for point in points_of(SevenBridgesCloud) if not point.startswith("cancel.")]
    faults = [f"{point}:kill" for point in points]
    campaign = Campaign(
        name="killed",
        injectors=lambda _: [Points(KILL, faults, patience=inf)],
        database=POSTGRESQL,
        clouds=[SevenBridgesCloud.type],
        scale=Scale(daemons=3, stop=STOPPING),
        striking=STRIKING,
    )

    outcome = outcome_of(campaign)

    assert outcome.verdict.is_good, story(outcome)
    assert outcome.injected[KILL] == len(points), story(outcome)


def test_no_run_is_lost_or_started_twice_wherever_the_only_daemon_is_killed(outcome_of: CarryOut) -> None:
    points = ("claim.after_commit", "submit.before_call", "submit.after_answer", "accepted.before_commit", "stop.begun")
    faults = [f"{point}:kill" for point in points]
    campaign = Campaign(
        name="killed-alone",
        injectors=lambda _: [Points(KILL, faults, patience=inf)],
        database=SQLITE,
        clouds=[HealthOmicsCloud.type],
        scale=Scale(stop=STOPPING),
        striking=STRIKING,
    )

    outcome = outcome_of(campaign)

    assert outcome.verdict.is_good, story(outcome)
    assert outcome.injected[KILL] == len(points), story(outcome)


def test_a_daemon_that_slept_past_its_lease_records_and_starts_nothing_that_another_holds(
    outcome_of: CarryOut,
) -> None:
    faults = ",".join(f"{point}:stop" for point in RECORDING)
    campaign = Campaign(
        name="slept",
        injectors=lambda _: [Stalls([faults], patience=inf)],
        database=POSTGRESQL,
        clouds=[SevenBridgesCloud.type],
        scale=Scale(daemons=2, stop=STOPPING),
        striking=STRIKING,
    )

    outcome = outcome_of(campaign)

    assert outcome.verdict.is_good, story(outcome)
    assert outcome.injected[STALL] == len(RECORDING), story(outcome)


def test_lost_answers_and_requests_that_are_acted_on_late_start_no_run_twice(outcome_of: CarryOut) -> None:
    campaign = _striking_both(lambda chance: [Storm(30, 0.2, chance)], SQLITE)

    outcome = outcome_of(campaign)

    assert outcome.verdict.is_good, story(outcome)
    assert sum(outcome.injected.values()) == 30, story(outcome)


def test_a_database_that_crashes_and_comes_back_loses_no_run(outcome_of: CarryOut) -> None:
    campaign = _striking_both(lambda chance: [Crashes(2, (2, 3), chance)], POSTGRESQL, own_server=True)

    outcome = outcome_of(campaign)

    assert outcome.verdict.is_good, story(outcome)


def test_a_daemon_told_to_stop_in_the_middle_of_its_work_ends_in_time_and_owns_nothing(outcome_of: CarryOut) -> None:
    campaign = _striking_both(lambda chance: [Stops(4, (0.5, 1), chance)], SQLITE)

    outcome = outcome_of(campaign)

    assert outcome.verdict.is_good, story(outcome)


def test_a_daemon_goes_on_after_an_additive_migration_and_an_older_one_refuses_to_start(outcome_of: CarryOut) -> None:
    campaign = _striking_both(lambda _: [NewerSchema()], POSTGRESQL)

    outcome = outcome_of(campaign)

    assert outcome.verdict.is_good, story(outcome)


def _striking_both(
    injectors: Callable[[Random], Sequence[Injector]], database: str, *, own_server: bool = False
) -> Campaign:
    """Two daemons that work for both clouds."""
    return Campaign(
        name="selection",
        injectors=injectors,
        database=database,
        clouds=BOTH,
        scale=Scale(daemons=2, backlog=12, stop=STOPPING),
        own_server=own_server,
        striking=STRIKING,
    )
