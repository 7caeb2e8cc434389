"""What people and services read of runs."""

import pytest

from tests.builders import a_run, an_attachment
from tests.contracts.persistence_harness import PersistenceHarness, ServiceRow, an_entry
from wes_daemon.application.ports.errors import RunNotFound
from wes_daemon.application.ports.queries import RunFilter
from wes_daemon.application.ports.submissions import SubmissionState
from wes_daemon.domain.runs import ProviderType, RunId
from wes_daemon.domain.states import RunState


def listed(store: PersistenceHarness, filter: RunFilter | None = None) -> list[str]:
    """Ids of the runs in the list."""
    return [record.run.id for record in store.queries.list(filter or RunFilter())]


class QueryRules:
    """`RunQueries`."""

    def test_runs_are_listed_newest_first(self, store: PersistenceHarness) -> None:
        store.queue("run-c", "run-a")
        store.enrol()
        store.queue("run-b")

        assert listed(store) == ["run-b", "run-a", "run-c"]

    def test_no_more_than_the_limit_is_listed(self, store: PersistenceHarness) -> None:
        store.queue("run-c", "run-a", "run-b")
        store.enrol()

        assert listed(store, RunFilter(limit=2)) == ["run-b", "run-a"]
        assert listed(store, RunFilter(limit=2, provider=ProviderType.LOCAL)) == ["run-b", "run-a"]

    @pytest.mark.parametrize(
        ("states", "found"),
        [
            ([RunState.QUEUED], ["run-queued"]),
            ([RunState.QUEUED, RunState.COMPLETE], ["run-complete", "run-queued"]),
            ([RunState.UNKNOWN], ["run-odd"]),
        ],
    )
    def test_runs_are_listed_by_state(
        self, store: PersistenceHarness, states: list[RunState], found: list[str]
    ) -> None:
        store.put(ServiceRow(run_id="run-queued"))
        store.put(ServiceRow(run_id="run-complete", state="COMPLETE"))
        store.put(ServiceRow(run_id="run-odd", state="SLEEPING" if store.holds_any_state else "UNKNOWN"))

        assert sorted(listed(store, RunFilter(states=states))) == found

    def test_runs_are_listed_by_the_provider_that_holds_them_or_that_they_are_meant_for(
        self, store: PersistenceHarness
    ) -> None:
        store.accepted("run-held", provider=ProviderType.SEVENBRIDGES)
        store.put(ServiceRow(run_id="run-ready", tags='{"provider_type": "sevenbridges"}'))
        store.put(ServiceRow(run_id="run-local"))
        store.enrol()
        store.put(ServiceRow(run_id="run-new", tags='{"provider_type": "sevenbridges"}'))

        found = listed(store, RunFilter(provider=ProviderType.SEVENBRIDGES))

        assert sorted(found) == ["run-held", "run-new", "run-ready"]

    def test_a_run_that_no_daemon_has_seen_says_so(self, store: PersistenceHarness) -> None:
        store.put(ServiceRow(run_id="run-1", tags='{"provider_type": "healthomics"}'))

        record = store.queries.get(RunId("run-1"))

        assert (record.queued_at, record.submission, record.attempts) == (None, None, 0)
        assert record.destination == ProviderType.HEALTHOMICS

    def test_one_run_is_read_with_its_attachments_and_its_timeline(self, store: PersistenceHarness) -> None:
        run = a_run()
        with store.units() as unit:
            unit.runs.add(run, attachments=[an_attachment("b"), an_attachment("a")], entry=an_entry(run, "created"))
            unit.commit()
        store.enrol()

        record = store.queries.get(run.id)

        assert list(record.attachments) == ["a", "b"]
        assert [entry.why for entry in record.timeline] == ["created"]
        assert record.submission is SubmissionState.READY

    def test_the_timeline_outlives_the_row_of_a_run(self, store: PersistenceHarness) -> None:
        run = a_run()
        with store.units() as unit:
            unit.runs.add(run, attachments=[], entry=an_entry(run, "created"))
            unit.commit()
        store.remove(run.id)

        assert [entry.why for entry in store.queries.timeline(run.id)] == ["created"]
        assert list(store.queries.timeline(RunId("unknown"))) == []

    def test_a_run_that_nobody_stored_cannot_be_read(self, store: PersistenceHarness) -> None:
        with pytest.raises(RunNotFound):
            store.queries.get(RunId("unknown"))
