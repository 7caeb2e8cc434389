"""Clients of a WES service send `json.dumps(…)`: a column for JSON then holds a string with the text of an object."""

import json
from datetime import timedelta

import pytest
from sqlalchemy import text

from tests.builders import ALL_PROVIDERS, a_run
from tests.contracts.persistence_harness import ME, ServiceRow, acceptance, an_entry
from tests.integration.persistence.harness import SqlHarness
from wes_daemon.adapters.persistence.transactions import writing
from wes_daemon.adapters.persistence.types import MAX_TEXT_LEVELS
from wes_daemon.adapters.persistence.work_probe import SqlWorkProbe
from wes_daemon.application.ports.checks import PROVIDER_RUN_IS_UNIQUE, CheckContext
from wes_daemon.application.ports.queries import RunFilter
from wes_daemon.application.ports.runs import RunUpdate
from wes_daemon.domain.errors import InvalidRequest
from wes_daemon.domain.runs import ProviderType, RunId

PARAMS = {"reads": {"class": "File", "path": "ü.fastq"}, "text": '{"not": "read"}'}
HEALTHOMICS = ProviderType.HEALTHOMICS


def as_text(value: object, levels: int = 1) -> str:
    """The value as a JSON column holds it: as JSON, or written as the text of a JSON string so many times."""
    found = json.dumps(value)
    for _ in range(levels):
        found = json.dumps(found)
    return found


@pytest.mark.parametrize("levels", range(MAX_TEXT_LEVELS + 1))
def test_the_text_of_an_object_is_that_object(store: SqlHarness, levels: int) -> None:
    tags = {"provider_type": "healthomics", "project": "trio"}
    store.put(
        ServiceRow(run_id="run-1", tags=as_text(tags, levels), workflow_params=as_text(PARAMS, levels)),
    )
    store.enrol()

    run, [claimed] = store.run("run-1"), store.claim()

    assert (run.tags, run.request.params) == (tags, PARAMS)
    assert (claimed.run.tags, claimed.run.request.params) == (tags, PARAMS)
    assert claimed.destination == HEALTHOMICS


@pytest.mark.parametrize(
    "found", ['"hello"', '"[1]"', '"null"', '""', '"{"', '"{\\"x\\": NaN}"', as_text({}, MAX_TEXT_LEVELS + 1)]
)
def test_a_text_that_is_no_object_is_refused_as_before(store: SqlHarness, found: str) -> None:
    store.put(ServiceRow(run_id="run-1", tags=found, workflow_params=found))

    run = store.run("run-1")

    assert (run.tags, run.request.workflow_params) == (json.loads(found), json.loads(found))
    with pytest.raises(InvalidRequest, match=r"workflow_params .* holds a text"):
        run.request.validate()
    with pytest.raises(InvalidRequest, match=r"tags .* holds a text"):
        run.destination(HEALTHOMICS)


def test_an_accepted_run_has_an_object_as_tags_with_the_members_of_the_text(store: SqlHarness) -> None:
    store.put(ServiceRow(run_id="run-1", tags=as_text({"project": "trio", "n": 1})))
    store.enrol()
    [claimed] = store.claim()

    with store.units() as unit:
        unit.submissions.record_acceptances([acceptance(claimed.claim, "at-1")], first_poll_after=timedelta(0))
        before = unit.runs.get_summaries([RunId("run-1")])[RunId("run-1")]
        after = before.accepted(ProviderType.LOCAL, acceptance(claimed.claim, "at-1").provider_run_id)
        unit.runs.write([RunUpdate(before=before, after=after, entry=an_entry(before))])
        unit.commit()

    assert store.tags("run-1") == {"project": "trio", "n": 1, "provider_type": "local", "provider_id": "at-1"}


@pytest.mark.parametrize("state", ["INITIALIZING", "RUNNING", "PAUSED", "CANCELING"])
def test_a_run_that_another_daemon_left_with_text_as_tags_is_followed(store: SqlHarness, state: str) -> None:
    tags = {"provider_type": "healthomics", "provider_id": "1234567"}
    store.put(ServiceRow(run_id="run-1", state=state, tags=as_text(tags)))

    with store.units() as unit:
        withdrawn = unit.submissions.close_withdrawn(limit=10)
        unit.commit()

    assert withdrawn == []
    assert SqlWorkProbe(store.engine).has_runs_to_adopt()
    assert not SqlWorkProbe(store.engine).has_cancelled_runs(serving=ALL_PROVIDERS)
    assert store.enrol() == 1
    assert (store.run("run-1").provider, store.run("run-1").provider_run_id) == (HEALTHOMICS, "1234567")


def test_a_list_of_one_providers_runs_has_those_with_text_as_tags(store: SqlHarness) -> None:
    store.put(ServiceRow(run_id="run-1", tags=as_text({"provider_type": "healthomics"})))
    store.put(ServiceRow(run_id="run-2", tags=as_text({"provider_type": "local"})))

    [record] = store.queries.list(RunFilter(provider=HEALTHOMICS))

    assert (record.run.id, record.destination) == ("run-1", HEALTHOMICS)


def test_runs_with_text_as_tags_share_fairly(store: SqlHarness) -> None:
    for n in range(3):
        store.put(ServiceRow(run_id=f"big-{n}", tags=as_text({"project": "big"})))
    store.put(ServiceRow(run_id="small", tags=as_text({"project": "small"})))
    store.enrol()

    assert {claimed.run.id for claimed in store.claim(limit=2)} == {"big-0", "small"}


def test_verify_finds_a_provider_run_that_text_as_tags_names_twice(store: SqlHarness) -> None:
    store.accepted("run-1")
    store.put(ServiceRow(run_id="run-2", state="RUNNING", tags=as_text({"provider_id": "at-run-1"})))

    results = store.checks.run(CheckContext(concurrency_limit=10, default_provider=ProviderType.LOCAL))

    [unique] = [result for result in results if result.check is PROVIDER_RUN_IS_UNIQUE]
    assert [violation.run_id for violation in unique.first] == ["run-2"]


def test_a_request_that_an_earlier_version_stored_as_text_is_sent_as_an_object(store: SqlHarness) -> None:
    store.claimed("run-1")
    store.tamper(
        "submissions",
        "run-1",
        request={
            "tags": json.dumps({"project": "trio"}),
            "workflow_url": "text",
            "workflow_type": "CWL",
            "workflow_type_version": "v1.2",
            "workflow_params": json.dumps(PARAMS),
            "workflow_engine": None,
            "workflow_engine_version": None,
            "workflow_engine_parameters": json.dumps({"parallel": True}),
        },
    )
    store.forget(ME)

    [resumed] = store.claim()

    assert resumed.run.tags == {"project": "trio"}
    assert (resumed.run.request.params, resumed.run.request.engine_parameters) == (PARAMS, {"parallel": True})


def test_engine_parameters_that_are_the_text_of_an_object_are_that_object(store: SqlHarness) -> None:
    run = a_run()
    with store.units() as unit:
        unit.runs.add(run, attachments=(), entry=an_entry(run))
        unit.commit()

    with writing(store.engine) as connection:
        given = {"found": as_text({"parallel": True})}
        connection.execute(text("UPDATE run_details SET workflow_engine_parameters = :found"), given)
        connection.commit()

    assert store.run("run-1").request.engine_parameters == {"parallel": True}
