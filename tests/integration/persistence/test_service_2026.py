"""The WES service of February 2026 behind views: the contract, and what the service reads of it."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import psycopg2
import pytest
from sqlalchemy import Engine, text

from tests.builders import ALL_PROVIDERS, NOON, a_request, a_run, some_details
from tests.contracts.persistence_enrolment import EnrolmentRules
from tests.contracts.persistence_harness import ME, MINUTE, PersistenceHarness, acceptance
from tests.contracts.persistence_polls import CancellationRules
from tests.contracts.persistence_queries import QueryRules
from tests.contracts.persistence_runs import RunRules, StoredValueRules, a_task, add, described, save, write
from tests.contracts.persistence_submissions import WithdrawalRules
from tests.contracts.wakeup import listening
from tests.integration.conftest import PostgreSQL, as_text
from tests.integration.persistence.conftest import disposed
from tests.integration.persistence.harness import SqlHarness
from tests.integration.persistence.relations import execute
from tests.integration.persistence.service_2026 import (
    Installation,
    Service2026,
    engine_of,
    install_views,
    installed,
    service_and_role,
)
from wes_daemon.adapters.persistence.change_feed import DatabaseChangeFeed
from wes_daemon.adapters.persistence.engine import make_engine
from wes_daemon.adapters.persistence.schema import Schema
from wes_daemon.application.ports.checks import CheckContext
from wes_daemon.application.ports.errors import StorageMisconfigured
from wes_daemon.application.ports.providers import RunDetails
from wes_daemon.application.ports.runs import RunUpdate, TimelineEntry
from wes_daemon.domain.runs import ProviderType, Run, RunId
from wes_daemon.domain.states import RunState


class HarnessOn2026(SqlHarness):
    """The daemon's harness on the views; only the service deletes rows."""

    holds_any_state = False

    def __init__(self, engine: Engine, service: Service2026) -> None:
        super().__init__(engine)
        self.service = service

    def remove(self, run_id: str) -> None:
        self.service.delete(run_id)


@pytest.fixture(scope="module")
def installation(postgresql_server: PostgreSQL) -> Iterator[Installation]:
    """The service and the daemon, set up as the page in `docs` says."""
    with installed(postgresql_server) as installation:
        yield installation


@pytest.fixture(scope="module")
def daemon_engine(installation: Installation) -> Iterator[Engine]:
    """The daemon's engine, for all tests of this module."""
    with disposed(engine_of(installation)) as engine:
        yield engine


@pytest.fixture
def store(installation: Installation, daemon_engine: Engine) -> HarnessOn2026:
    """An empty store."""
    installation.empty()
    return HarnessOn2026(daemon_engine, installation.service)


@pytest.fixture
def service(installation: Installation, store: PersistenceHarness) -> Service2026:
    """The service, whose tables are empty."""
    del store
    return installation.service


class TestViewsOfTheServiceOf2026(
    EnrolmentRules, WithdrawalRules, CancellationRules, RunRules, StoredValueRules, QueryRules
):
    """All that reads or writes the service's tables. The fixture `store` is above."""


def test_the_schema_is_accepted_and_an_upgrade_changes_nothing(daemon_engine: Engine) -> None:
    Schema(daemon_engine).check()

    Schema(daemon_engine).upgrade()

    Schema(daemon_engine).check()


def test_runs_are_enrolled_in_the_order_in_which_the_service_created_them(
    store: HarnessOn2026, service: Service2026
) -> None:
    service.queue("run-a", created_at="2026-02-01 12:00:02")
    service.queue("run-b", created_at="2026-02-01 12:00:01")

    store.enrol()

    assert [claimed.run.id for claimed in store.claim()] == ["run-b", "run-a"]


def test_engine_parameters_of_the_service_reach_the_provider_without_its_name_for_the_run(
    store: HarnessOn2026, service: Service2026
) -> None:
    service.queue("run-1", engine_parameters={"name": "my run", "cacheId": "7"})
    service.queue("run-2", engine_parameters={"name": "my run"})
    service.queue("run-3", engine_parameters=None)

    store.enrol()

    requests = {claimed.run.id: claimed.run.request for claimed in store.claim()}
    assert [requests[RunId(f"run-{n}")].engine_parameters for n in (1, 2, 3)] == [{"cacheId": "7"}, {}, {}]
    assert service.run("run-1")["workflow_engine_parameters"] == {"name": "my run", "cacheId": "7"}


def test_outputs_exit_code_and_logs_are_where_the_service_reads_them(
    store: HarnessOn2026, service: Service2026
) -> None:
    service.queue("run-1", state="RUNNING", system_logs=["queued by ann"], engine_parameters={"name": "my run"})
    logs = ["queued by ann", "10 files"]
    details = RunDetails(outputs={"answer": 42}, stdout="s3://out", stderr="s3://err", exit_code=0, system_logs=logs)

    write(store, described(details))
    write(store, described(details))

    run = service.run("run-1")
    assert (run["outputs"], run["exit_code"]) == ({"answer": 42}, 0)
    assert (run["stdout_url"], run["stderr_url"]) == ("s3://out", "s3://err")
    assert run["system_logs"] == ["queued by ann", "10 files"]
    assert run["workflow_engine_parameters"] == {"name": "my run"}


def test_state_tags_and_times_are_where_the_service_reads_them_with_the_time_of_the_change(
    store: HarnessOn2026, service: Service2026
) -> None:
    service.queue("run-1", tags={"project": "p"})
    before = store.run("run-1")

    save(store, before, replace(before, state=RunState.RUNNING, start_time=NOON, tags={"project": "p", "note": "x"}))

    run = service.run("run-1")
    assert (run["state"], run["tags"]) == ("RUNNING", {"project": "p", "note": "x"})
    assert run["start_time"] == NOON.replace(tzinfo=None)
    assert (run["user_id"], run["outputs"]) == ("ann", None)
    assert run["updated_at"] > run["created_at"]


def test_task_logs_are_listed_in_their_order_at_their_addresses(store: HarnessOn2026, service: Service2026) -> None:
    service.queue("run-1", state="RUNNING")
    tasks = [a_task("sort", stdout="s3://1", stderr="s3://2", exit_code=0, cmd=("sort", "-n")), a_task("align")]

    write(store, described(some_details(), *tasks))
    write(store, described(some_details(), *tasks))

    sort, align = service.tasks("run-1")
    assert (sort["name"], sort["stdout_url"], sort["stderr_url"], sort["exit_code"]) == ("sort", "s3://1", "s3://2", 0)
    assert (sort["cmd"], sort["system_logs"]) == (["sort", "-n"], [])
    assert align["name"] == "align"
    assert sort["updated_at"] > sort["created_at"]


@pytest.mark.parametrize("logs", [[], None, {"odd": 1}, ["a \0 in it"], "text"])
def test_the_reason_of_an_unsuccessful_end_is_in_the_system_logs_whatever_they_contain(
    store: HarnessOn2026, service: Service2026, logs: object
) -> None:
    service.queue("run-1", system_logs=logs)
    before = store.run("run-1")

    rejected = before.rejected("no such workflow", NOON)
    save(store, before, rejected, _entry(before, rejected, "no such workflow"))

    assert service.run("run-1")["state"] == "SYSTEM_ERROR"
    expected = logs if logs == ["a \0 in it"] else ["no such workflow"]
    assert service.run("run-1")["system_logs"] == expected


def test_a_run_that_the_daemon_queues_has_all_that_the_service_needs(
    store: HarnessOn2026, service: Service2026
) -> None:
    add(store, a_run(request=a_request(workflow_engine_parameters={"parallel": True})))

    run = service.run("run-1")

    assert (run["state"], run["system_logs"], run["workflow_engine_parameters"]) == ("QUEUED", [], {"parallel": True})
    assert run["created_at"] is not None


@pytest.mark.parametrize("state", ["INITIALIZING", "RUNNING", "PAUSED", "CANCELING"])
def test_a_run_that_the_former_daemon_left_at_healthomics_is_followed(
    store: HarnessOn2026, service: Service2026, state: str
) -> None:
    service.queue("run-1", state=state, tags={"Name": "x"}, outputs={"omics_run_id": "1234567"})
    service.queue("run-2", state=state)

    store.enrol()

    [due] = store.due()
    assert (due.run_id, due.provider, due.provider_run_id) == ("run-1", ProviderType.HEALTHOMICS, "1234567")
    assert service.run("run-1")["tags"] == {"Name": "x"}


@pytest.mark.parametrize(
    ("tags", "outputs"),
    [
        ({"nul": "a \0 in it"}, {"omics_run_id": "7"}),
        ([1], {"omics_run_id": "7"}),
        ({}, ["omics_run_id"]),
        ({}, {"omics_run_id": None, "nul": "\0"}),
        ({}, "omics_run_id"),
    ],
)
def test_odd_outputs_and_tags_of_one_run_stop_no_other(
    store: HarnessOn2026, service: Service2026, tags: object, outputs: object
) -> None:
    service.queue("run-odd", state="RUNNING", tags=tags, outputs=outputs, engine_parameters="\0")
    service.queue("run-odd-too", tags=tags, outputs=outputs, engine_parameters={"nul": "\0"})
    service.queue("run-good", state="RUNNING", outputs={"omics_run_id": "1234567"})

    store.enrol()

    assert [due.run_id for due in store.due()] == ["run-good"]
    assert [claimed.run.id for claimed in store.claim()] == ["run-odd-too"]


@pytest.mark.parametrize("state", ["CANCELING", "CANCELED"])
def test_a_cancelled_run_is_announced_and_found(
    store: HarnessOn2026, service: Service2026, installation: Installation, state: str
) -> None:
    store.service.queue("run-1")
    store.enrol()
    _accept(store)
    feed = DatabaseChangeFeed(make_engine(as_text(installation.daemon_uri), connections=1))

    with listening(feed) as hints:
        hints.expect()
        service.set_state("run-1", state)
        hints.expect()

    with store.units() as unit:
        [cancelled] = unit.polls.to_cancel(limit=10, lease=MINUTE, serving=ALL_PROVIDERS)
    assert cancelled.run_id == "run-1"


@pytest.mark.parametrize("change", ["queue", "delete"])
def test_a_queued_and_a_deleted_run_are_announced(
    service: Service2026, installation: Installation, change: str
) -> None:
    service.queue("run-1")
    feed = DatabaseChangeFeed(make_engine(as_text(installation.daemon_uri), connections=1))

    with listening(feed) as hints:
        hints.expect()
        service.queue("run-2") if change == "queue" else service.delete("run-1")

        hints.expect()


def test_verify_finds_nothing_in_runs_of_every_state(store: HarnessOn2026, service: Service2026) -> None:
    store.live(ME)
    service.queue("run-1")
    service.queue("run-2", state="COMPLETE")
    store.enrol()
    before = store.run("run-1")
    rejected = before.rejected("no", NOON)
    save(store, before, rejected, _entry(before, rejected, "no"))

    results = store.checks.run(CheckContext(concurrency_limit=10, default_provider=ProviderType.LOCAL))

    assert [(result.check.name, result.first) for result in results if result.count] == []


def test_the_service_does_not_wait_for_a_daemon_that_has_found_its_run(
    store: HarnessOn2026, service: Service2026
) -> None:
    """The daemon locks the service's own row, so that neither overwrites what the other has written."""
    service.queue("run-1", state="RUNNING")
    with store.units() as unit:
        run = unit.runs.get_summaries([RunId("run-1")])[RunId("run-1")]
        with service.engine.connect() as connection:
            locked = text("SELECT id FROM workflow_runs WHERE id = 'run-1' FOR UPDATE SKIP LOCKED")
            assert connection.execute(locked).all() == []
        unit.runs.write([RunUpdate(before=run, after=run)])
        unit.commit()
    with service.engine.connect() as connection:
        assert len(connection.execute(locked).all()) == 1


def test_the_views_may_be_made_again(store: HarnessOn2026, service: Service2026, daemon_engine: Engine) -> None:
    service.queue("run-1")

    install_views(daemon_engine)

    assert store.enrol() == 1


def test_without_views_the_error_names_the_command_that_prints_them(installation: Installation) -> None:
    with pytest.raises(StorageMisconfigured, match=r"lacks stdout.*`wes-daemon db service-views` prints the views"):
        Schema(installation.service.engine).upgrade()


def test_without_the_tables_of_the_daemon_the_views_are_refused(postgresql_server: PostgreSQL) -> None:
    with (
        service_and_role(postgresql_server) as installation,
        disposed(engine_of(installation)) as engine,
        pytest.raises(psycopg2.errors.RaiseException, match="run `wes-daemon db upgrade` with the search path daemon"),
    ):
        install_views(engine)


def test_rows_in_the_tables_that_the_views_replace_are_not_deleted(postgresql_server: PostgreSQL) -> None:
    with service_and_role(postgresql_server) as installation, disposed(engine_of(installation)) as engine:
        Schema(engine).upgrade()
        add(SqlHarness(engine), a_run())

        with pytest.raises(psycopg2.errors.RaiseException, match=r"table daemon\.workflow_runs has rows: move them"):
            install_views(engine)

        assert SqlHarness(engine).run("run-1").id == "run-1"


def test_dropping_the_schema_of_the_daemon_leaves_the_service_as_it_was(postgresql_server: PostgreSQL) -> None:
    with installed(postgresql_server) as installation:
        execute(installation.service.engine, "DROP SCHEMA daemon CASCADE")

        installation.service.queue("run-1")
        installation.service.set_state("run-1", "CANCELING")

        assert installation.service.run("run-1")["state"] == "CANCELING"


def _entry(before: Run, after: Run, why: str) -> TimelineEntry:
    return TimelineEntry(at=NOON, before=before.state, after=after.state, by="a test", why=why)


def _accept(store: HarnessOn2026) -> None:
    [claimed] = store.claim()
    with store.units() as unit:
        unit.submissions.record_acceptances([acceptance(claimed.claim, "at-1")], first_poll_after=timedelta(0))
        unit.commit()
