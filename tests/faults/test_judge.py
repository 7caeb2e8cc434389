"""The judge finds what it looks for; without that, its silence would mean nothing."""

from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from tests.faults.clouds import SHORT, HealthOmicsCloud
from tests.faults.databases import SQLITE, Databases
from tests.faults.judge import judge
from tests.faults.site import Scale, Site, site
from tests.simulators.healthomics.service import Repeats

_EVENT = (
    "INSERT INTO run_events (run_id, at, from_state, to_state, by, why)"
    " VALUES (:run_id, '2026-01-01T12:00:00', :before, :after, 'somebody', 'a test')"
)


@pytest.fixture
def here(databases: Databases, tmp_path: Path) -> Iterator[Site]:
    """A site with one run, on which no daemon works."""
    scale = Scale(daemons=0, cap=1)
    clouds = [HealthOmicsCloud.type]
    with site(databases, tmp_path, scale, Random(1), database=SQLITE, clouds=clouds, fates=[SHORT]) as here:
        here.traffic.queue(1)
        yield here


def test_a_run_that_comes_to_no_end_is_lost(here: Site) -> None:
    assert judge(here).lost == list(here.traffic.fates)


def test_a_run_that_a_person_has_to_look_at_is_not_lost(here: Site) -> None:
    [run_id] = here.traffic.fates
    here.database.write(
        "INSERT INTO submissions (run_id, state, returns_to, claim_seq, attempts, not_before, enrolled_at)"
        " VALUES (:run_id, 'REVIEW', 'INTENT', 1, 1, '', '')",
        {"run_id": run_id},
    )

    verdict = judge(here)

    assert (verdict.lost, verdict.review) == ([], 1)


def test_a_run_that_was_started_twice_is_found(here: Site) -> None:
    key = f"wes-{next(iter(here.traffic.fates))}"

    _start(here, key, key)

    assert judge(here).twice == [key]


def test_a_run_that_is_nobodys_is_found(here: Site) -> None:
    _start(here, "wes-unheard-of")

    assert _finds(here, "which is nobody's")


def test_more_runs_at_once_than_the_cap_allows_are_found(here: Site) -> None:
    _start(here, "wes-1", "wes-2")

    assert _finds(here, "2 runs at once at healthomics, the cap is 1")


def test_a_run_that_ended_without_its_run_at_the_cloud_is_found(here: Site) -> None:
    _start(here, f"wes-{next(iter(here.traffic.fates))}")
    here.clouds[0].tick()
    _end(here, "COMPLETE")

    assert _finds(here, "still runs at healthomics")


def test_a_run_that_ended_otherwise_than_at_the_cloud_is_found(here: Site) -> None:
    _end(here, "SYSTEM_ERROR")

    assert _finds(here, "ended SYSTEM_ERROR, COMPLETE was due")


def test_a_run_that_ended_before_it_began_is_found(here: Site) -> None:
    _end(here, "COMPLETE", at="2026-01-01 11:00:00")

    assert _finds(here, "COMPLETE from 2026-01-01 12:00:00")


@pytest.mark.parametrize(("before", "after"), [("RUNNING", "INITIALIZING"), ("COMPLETE", "CANCELED")])
def test_a_step_back_is_found(before: str, after: str, here: Site) -> None:
    [run_id] = here.traffic.fates
    here.database.write(_EVENT, {"run_id": run_id, "before": before, "after": after})

    assert _finds(here, f"went from {before} to {after}")


def _start(here: Site, *keys: str) -> None:
    """Start runs at the cloud, past all that keeps daemons from starting two."""
    [cloud] = here.clouds
    assert isinstance(cloud, HealthOmicsCloud)
    cloud.service.repeats = Repeats.FORGOTTEN
    for key in keys:
        request = {"workflowId": "1234567", "requestId": key, "name": key, "parameters": {"sample": SHORT}}
        cloud.service.operate("StartRun", {**request, "roleArn": "arn", "outputUri": "s3://results"})


def _end(here: Site, state: str, *, at: str = "2026-01-01 13:00:00") -> None:
    here.database.write(
        "UPDATE workflow_runs SET state = :state, start_time = '2026-01-01 12:00:00', end_time = :at",
        {"state": state, "at": at},
    )


def _finds(here: Site, words: str) -> bool:
    return any(words in problem for problem in judge(here).problems)
