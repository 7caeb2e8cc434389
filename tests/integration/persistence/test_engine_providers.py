"""A WES service may name the provider of a run by its `workflow_engine`, and set no tag."""

from functools import partial

import pytest
from sqlalchemy import text

from tests.builders import ALL_DESTINATIONS, a_submission_policy
from tests.contracts.persistence_harness import ME, ServiceRow
from tests.integration.persistence.harness import SqlHarness
from wes_daemon.adapters.persistence.queries import SqlRunQueries
from wes_daemon.adapters.persistence.transactions import writing
from wes_daemon.adapters.persistence.work_probe import SqlWorkProbe
from wes_daemon.application.ports.checks import PROVIDER_RUN_IS_UNIQUE, CheckContext
from wes_daemon.application.ports.queries import RunFilter
from wes_daemon.application.ports.submissions import ClaimedRun
from wes_daemon.domain.runs import ProviderType, RunId

SEVENBRIDGES, HEALTHOMICS, LOCAL = ProviderType.SEVENBRIDGES, ProviderType.HEALTHOMICS, ProviderType.LOCAL
ENGINES = {
    "sevenbridges": SEVENBRIDGES,
    "awshealthomics": HEALTHOMICS,
    "healthomics": HEALTHOMICS,
    "cwltool": LOCAL,
    "local": LOCAL,
    "arvados": None,
}
POLICY = a_submission_policy(default_provider=SEVENBRIDGES, engine_providers=ENGINES)

EXPECTED = [
    ("SevenBridges", "{}", SEVENBRIDGES),
    ("AWSHealthOmics", "{}", HEALTHOMICS),
    ("awshealthomics", None, HEALTHOMICS),
    ("healthomics", "{}", HEALTHOMICS),
    (" cwltool ", "{}", LOCAL),
    ("cwltool", '{"provider_type": "healthomics"}', HEALTHOMICS),
    ("Arvados", "{}", None),
    ("Arvados", '{"provider_type": "local"}', LOCAL),
    ("cwltool 3.1", "{}", SEVENBRIDGES),
    ("", "{}", SEVENBRIDGES),
    (None, "{}", SEVENBRIDGES),
]
by_engine = pytest.mark.parametrize(("name", "tags", "provider"), EXPECTED)


def put(store: SqlHarness, name: str | None, *, run_id: str = "run-1", **row: str | None) -> None:
    """Insert a row with this engine."""
    store.put(ServiceRow(run_id=run_id, **row))  # type: ignore[arg-type]
    with writing(store.engine) as connection:
        given = {"name": name, "run_id": run_id}
        connection.execute(text("UPDATE workflow_runs SET workflow_engine = :name WHERE run_id = :run_id"), given)
        connection.commit()


def enrol(store: SqlHarness) -> int:
    with store.units() as unit:
        enrolled = unit.submissions.enrol(POLICY.destination, limit=10)
        unit.commit()
    return enrolled


def claim(store: SqlHarness) -> list[ClaimedRun]:
    store.live(ME)
    with store.units() as unit:
        claimed = unit.submissions.claim(
            ME, limit=10, concurrency_limit=10, serving=ALL_DESTINATIONS, destination=POLICY.destination
        )
        unit.commit()
    return list(claimed)


@by_engine
def test_a_run_is_enrolled_and_claimed_for_the_provider_of_its_engine(
    store: SqlHarness, name: str | None, tags: str | None, provider: ProviderType | None
) -> None:
    put(store, name, tags=tags)

    enrolled = enrol(store)
    stored = store.queries.get(RunId("run-1")).destination
    [claimed] = claim(store)

    assert (enrolled, stored, claimed.destination) == (1, provider, provider)


@by_engine
def test_the_probe_finds_work_for_the_provider_of_the_engine_only(
    store: SqlHarness, name: str | None, tags: str | None, provider: ProviderType | None
) -> None:
    put(store, name, tags=tags)

    has_queued = partial(SqlWorkProbe(store.engine).has_queued_runs, POLICY.destination)

    found = {one for one in ALL_DESTINATIONS if has_queued(serving={one})}
    assert found == {provider}


def test_a_run_that_is_not_enrolled_is_listed_with_the_provider_of_its_engine(store: SqlHarness) -> None:
    for n, (name, tags, _) in enumerate(EXPECTED):
        put(store, name, run_id=f"run-{n:02}", tags=tags)
    queries = SqlRunQueries(store.engine, engines=ENGINES)

    shown = {record.run.id: record.destination for record in queries.list(RunFilter())}
    local = {record.run.id for record in queries.list(RunFilter(provider=LOCAL))}
    healthomics = {record.run.id for record in queries.list(RunFilter(provider=HEALTHOMICS))}

    # Only the daemon knows the default provider.
    named = [*[provider for _, _, provider in EXPECTED[:-3]], None, None, None]
    assert shown == {f"run-{n:02}": provider for n, provider in enumerate(named)}
    assert local == {run_id for run_id, provider in shown.items() if provider == LOCAL}
    assert healthomics == {run_id for run_id, provider in shown.items() if provider == HEALTHOMICS}


def test_a_run_that_another_daemon_left_is_followed_at_the_provider_of_its_engine(store: SqlHarness) -> None:
    put(store, "AWSHealthOmics", state="RUNNING", tags='{"provider_id": "1234567"}')

    enrol(store)

    assert (store.run("run-1").provider, store.run("run-1").provider_run_id) == (HEALTHOMICS, "1234567")


def test_verify_compares_the_provider_of_the_engine(store: SqlHarness) -> None:
    store.accepted("run-1")
    put(store, "cwltool", run_id="run-2", state="RUNNING", tags='{"provider_id": "at-run-1"}')
    put(store, "SevenBridges", run_id="run-3", state="RUNNING", tags='{"provider_id": "at-run-1"}')

    results = store.checks.run(
        CheckContext(concurrency_limit=10, default_provider=SEVENBRIDGES, engine_providers=ENGINES)
    )

    [unique] = [result for result in results if result.check is PROVIDER_RUN_IS_UNIQUE]
    assert [violation.run_id for violation in unique.first] == ["run-2"]


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_an_engine_that_is_no_text_harms_nothing(store: SqlHarness) -> None:
    put(store, None)
    store.queue("run-2")
    with writing(store.engine) as connection:
        connection.execute(text("UPDATE workflow_runs SET workflow_engine = x'FF00' WHERE run_id = 'run-1'"))
        connection.commit()

    enrol(store)

    assert {claimed.destination for claimed in claim(store)} == {SEVENBRIDGES}
    assert len(store.queries.list(RunFilter(provider=SEVENBRIDGES))) == 2
