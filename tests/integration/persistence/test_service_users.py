"""What the users of a WES service, who see its two tables only, find there after a run has ended."""

import json
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from tests.builders import NOON, a_report, some_details
from tests.contracts.persistence_harness import ServiceRow
from tests.integration.persistence.harness import SqlHarness
from tests.unit.application.conftest import DaemonUnderTest, World
from wes_daemon.application.following.refresh_policy import RefreshPolicy
from wes_daemon.domain.runs import ProviderRunId, RunId
from wes_daemon.domain.states import RunState

MINUTE = timedelta(minutes=1)


@dataclass
class Service:
    """A service's database, and a daemon that works on it with one provider."""

    store: SqlHarness
    policy: RefreshPolicy
    world: World = field(init=False)
    daemon: DaemonUnderTest = field(init=False)

    def __post_init__(self) -> None:
        self.world = World(refresh_policy=self.policy)
        self.world.units = self.store.units
        self.daemon = self.world.daemon()

    @property
    def provider_run_id(self) -> ProviderRunId:
        """The id of the run at its provider."""
        return self.world.provider.id_of(self.store.run("run-1").idempotency_key)

    def refresh(self) -> None:
        """Make a pass when the run is due again."""
        self.store.let_pass(timedelta(hours=1))
        self.daemon.refresh()


@pytest.fixture
def service(store: SqlHarness) -> Service:
    """Outputs are written into a tag, and start times are kept."""
    return Service(store, RefreshPolicy(outputs_tag="outputs", keeps_start_time=True))


def test_they_find_the_outputs_in_the_tag_and_their_own_tags(service: Service) -> None:
    outputs = {"bam": {"class": "File", "location": "s3://results/ü.bam"}, "parts": ["x" * 1_000] * 100}
    service.store.put(ServiceRow(run_id="run-1", tags=json.dumps(json.dumps({"project": "trio", "outputs": "old"}))))
    service.daemon.submit()
    service.world.provider.put(service.provider_run_id, a_report(RunState.COMPLETE), some_details(outputs))

    service.refresh()

    note = "1 of 2 outputs; `wes-daemon show` prints all of them"
    assert service.store.tags("run-1") == {
        "project": "trio",
        "provider_type": "sevenbridges",
        "provider_id": service.provider_run_id,
        "outputs": {"bam": outputs["bam"], "parts": "…", "…": note},
    }
    assert service.store.queries.get(RunId("run-1")).details.outputs == outputs


def test_they_find_an_end_time_if_they_cancel_what_still_waits(service: Service) -> None:
    service.store.queue("run-1", "run-2")
    service.store.enrol()
    service.store.put(ServiceRow(run_id="run-1", state="CANCELED", start_time=NOON))

    report = service.daemon.cancel()

    row = service.store.row("run-1")
    assert (row.state, row.start_time, row.end_time) == ("CANCELED", NOON, max(service.world.clock.now(), NOON))
    assert (report.ended, service.daemon.cancel().ended) == (1, 0)
    assert service.store.row("run-2").end_time is None


def test_they_find_an_end_time_if_they_cancel_what_a_provider_executes(service: Service) -> None:
    service.store.queue("run-1")
    service.daemon.submit()
    service.store.move("run-1", RunState.CANCELED)

    service.daemon.cancel()
    before = service.store.row("run-1").end_time
    ended = NOON + 3 * MINUTE
    service.world.provider.put(service.provider_run_id, a_report(RunState.CANCELED, ended_at=ended))
    service.refresh()

    assert service.world.provider.cancelled == [service.provider_run_id]
    assert (before, service.store.row("run-1").end_time) == (None, ended)


def test_what_was_cancelled_before_the_daemon_saw_it_is_left_as_it_is(service: Service) -> None:
    service.store.put(ServiceRow(run_id="run-1", state="CANCELED"))
    before = service.store.row("run-1")

    service.daemon.submit()
    service.daemon.cancel()

    assert service.store.row("run-1") == before


def test_they_find_the_start_time_that_the_service_has_set(service: Service) -> None:
    service.store.put(ServiceRow(run_id="run-1", start_time=NOON))
    service.daemon.submit()
    report = a_report(RunState.COMPLETE, started_at=NOON + 5 * MINUTE, ended_at=NOON - MINUTE)
    service.world.provider.put(service.provider_run_id, report)

    service.refresh()

    row = service.store.row("run-1")
    assert (row.state, row.start_time, row.end_time) == ("COMPLETE", NOON, NOON)
