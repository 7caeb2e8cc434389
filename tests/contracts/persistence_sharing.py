"""Fair shares: each group is served alike, however long its queue is, within the concurrency limits."""

from tests.contracts.persistence_harness import ME, MINUTE, OTHER, SECOND, PersistenceHarness, ServiceRow, ids_of
from wes_daemon.application.ports.leases import SessionId
from wes_daemon.domain.runs import ProviderType


class SharingRules:
    """The order in which `SubmissionQueue.claim` claims runs that were never sent."""

    def queue_for(self, store: PersistenceHarness, project: str, *ids: str) -> None:
        for id in ids:
            store.put(ServiceRow(run_id=id, tags=f'{{"project": "{project}"}}'))
        store.enrol()

    def test_the_oldest_of_one_share_goes_first(self, store: PersistenceHarness) -> None:
        self.queue_for(store, "a", "run-3")
        self.queue_for(store, "a", "run-1")
        self.queue_for(store, "a", "run-2")

        assert ids_of(store.claim(limit=2)) == ["run-3", "run-1"]

    def test_a_long_queue_of_one_share_does_not_hold_up_another(self, store: PersistenceHarness) -> None:
        self.queue_for(store, "a", *(f"a-{number:02}" for number in range(20)))
        self.queue_for(store, "b", "b-1", "b-2")

        assert sorted(ids_of(store.claim(limit=4))) == ["a-00", "a-01", "b-1", "b-2"]

    def test_what_a_share_has_out_already_counts_against_it(self, store: PersistenceHarness) -> None:
        self.queue_for(store, "a", "a-1", "a-2", "a-3", "a-4")
        store.claim(OTHER, concurrency_limit=2)
        self.queue_for(store, "b", "b-1", "b-2", "b-3")

        taken = [ids_of(store.claim(SessionId(f"daemon-{number}"), limit=1)) for number in range(3)]

        assert taken == [["b-1"], ["b-2"], ["a-3"]]

    def test_a_share_whose_runs_all_wait_gives_its_turn_to_others(self, store: PersistenceHarness) -> None:
        self.queue_for(store, "a", "a-1")
        [claimed] = store.claim()
        with store.units() as unit:
            unit.submissions.defer(claimed.claim, wait=MINUTE, reason="busy")
            unit.commit()
        self.queue_for(store, "b", "b-1", "b-2")

        assert ids_of(store.claim(limit=3)) == ["b-1", "b-2"]

    def test_the_cap_of_a_provider_is_not_passed(self, store: PersistenceHarness) -> None:
        store.queue("run-1", "run-2", "run-3")
        store.enrol()

        assert ids_of(store.claim(local=2)) == ["run-1", "run-2"]

    def test_a_provider_at_its_cap_does_not_hold_up_another(self, store: PersistenceHarness) -> None:
        store.queue("run-1", "run-2", "run-3")
        store.put(ServiceRow(run_id="run-4", tags='{"provider_type": "healthomics"}'))
        store.enrol()

        assert sorted(ids_of(store.claim(local=1))) == ["run-1", "run-4"]

    def test_the_cap_of_a_provider_holds_for_a_run_whose_tags_were_changed(self, store: PersistenceHarness) -> None:
        store.put(ServiceRow(run_id="run-1", tags='{"provider_type": "healthomics"}'))
        store.queue("run-2", "run-3")
        store.enrol()
        store.put(ServiceRow(run_id="run-2", tags='{"provider_type": "healthomics"}'))

        first = store.claim(OTHER, healthomics=1)
        later = store.claim(ME, healthomics=2)

        assert ids_of(first) == ["run-1", "run-3"]
        assert [(each.run.id, each.destination) for each in later] == [("run-2", ProviderType.HEALTHOMICS)]

    def test_the_cap_of_all_holds_whatever_a_provider_may(self, store: PersistenceHarness) -> None:
        store.queue("run-1", "run-2", "run-3")
        store.enrol()

        assert len(store.claim(concurrency_limit=2, local=100)) == 2

    def test_a_run_that_keeps_failing_starves_nobody_of_its_share(self, store: PersistenceHarness) -> None:
        self.queue_for(store, "a", "a-1", "a-2")
        [first] = store.claim(limit=1)
        with store.units() as unit:
            unit.submissions.defer(first.claim, wait=0 * SECOND, reason="busy")
            unit.commit()

        assert ids_of(store.claim(limit=2)) == ["a-1", "a-2"]
