"""What every store of published providers owes. A child gives the fixtures `store` and `published`, on one store."""

import pytest

from tests.builders import NOON
from tests.contracts.persistence_harness import ME, MINUTE, OTHER, PersistenceHarness, ServiceRow, destination
from wes_daemon.application.ports.leases import DaemonInfo, Publication, SessionId
from wes_daemon.application.ports.published_providers import PublishedProviders
from wes_daemon.application.ports.queries import RunFilter
from wes_daemon.application.ports.submissions import SubmissionState
from wes_daemon.domain.runs import ProviderType, RunId
from wes_daemon.domain.states import RunState

LOCAL, SHELL = ProviderType.LOCAL, ProviderType("shell")
NOT_SET_UP = "it is not set up: set SHELL_DIRECTORY"


class PublishedProvidersContract:
    """The suite."""

    @pytest.fixture
    def published(self, store: PersistenceHarness) -> PublishedProviders:
        """What is under test."""
        raise NotImplementedError

    def open(self, store: PersistenceHarness, daemon: SessionId, providers: Publication | None) -> None:
        info = DaemonInfo(id=daemon, host="node-1", pid=7, version="1.0", started_at=NOON, providers=providers)
        with store.units() as unit:
            unit.leases.open(info, lasting=MINUTE)
            unit.commit()

    def test_the_publications_are_those_of_live_daemons(
        self, store: PersistenceHarness, published: PublishedProviders
    ) -> None:
        self.open(store, OTHER, {LOCAL: ""})
        store.let_pass(2 * MINUTE)
        self.open(store, ME, {LOCAL: "", SHELL: NOT_SET_UP})

        assert published.live() == [{LOCAL: "", SHELL: NOT_SET_UP}]
        [seen] = store.queries.daemons()
        assert seen.providers == {LOCAL: "", SHELL: NOT_SET_UP}

    def test_a_daemon_that_publishes_nothing_is_live_all_the_same(
        self, store: PersistenceHarness, published: PublishedProviders
    ) -> None:
        self.open(store, ME, None)

        assert published.live() == [None]

    def test_providers_are_known_after_their_daemons_have_ended(
        self, store: PersistenceHarness, published: PublishedProviders
    ) -> None:
        self.open(store, ME, {SHELL: ""})
        with store.units() as unit:
            unit.leases.close(ME)
            unit.commit()

        assert published.live() == []
        known = published.were_known({SHELL, LOCAL})
        assert known.keys() == {SHELL}
        assert known[SHELL].startswith("node-1 served it until 20")

    def test_a_provider_that_has_accepted_a_run_is_known(
        self, store: PersistenceHarness, published: PublishedProviders
    ) -> None:
        store.accepted("run-1")
        provider = store.run("run-1").provider
        assert provider is not None

        assert published.were_known({provider, SHELL}) == {provider: ""}

    def test_providers_are_in_use_from_the_first_row_on(
        self, store: PersistenceHarness, published: PublishedProviders
    ) -> None:
        store.put(ServiceRow(run_id="run-1", tags='{"provider_type": "shell"}'))
        as_row = published.in_use(destination)
        store.enrol()
        as_submission = published.in_use(destination)
        store.claimed("run-2")

        assert as_row == as_submission == {SHELL}
        assert published.in_use(destination) > {SHELL}

    def test_a_provider_with_followed_runs_is_in_use(
        self, store: PersistenceHarness, published: PublishedProviders
    ) -> None:
        store.accepted("run-1")

        assert published.in_use(destination) == {store.run("run-1").provider}

    def test_providers_are_unserved_since_they_were_first_noted_without_a_gap(
        self, store: PersistenceHarness, published: PublishedProviders
    ) -> None:
        first = published.note_unserved({SHELL: "a"}, forget_after=10 * MINUTE)
        store.let_pass(9 * MINUTE)
        second = published.note_unserved({SHELL: "b", LOCAL: "c"}, forget_after=10 * MINUTE)
        store.let_pass(11 * MINUTE)
        third = published.note_unserved({SHELL: "b"}, forget_after=10 * MINUTE)

        assert first[SHELL] < MINUTE
        assert 9 * MINUTE <= second[SHELL] < 10 * MINUTE
        assert second[LOCAL] < MINUTE
        assert third.keys() == {SHELL}
        assert third[SHELL] < MINUTE
        assert published.unserved() == {SHELL: "b"}

    def test_served_providers_are_forgotten(self, published: PublishedProviders) -> None:
        published.note_unserved({SHELL: "a"}, forget_after=10 * MINUTE)

        assert published.note_unserved({}, forget_after=10 * MINUTE) == {}
        assert published.unserved() == {}

    def test_a_run_shows_why_its_provider_is_not_served(
        self, store: PersistenceHarness, published: PublishedProviders
    ) -> None:
        store.put(ServiceRow(run_id="waits", tags='{"provider_type": "shell"}'))
        store.put(ServiceRow(run_id="ended", state="COMPLETE", tags='{"provider_type": "shell"}'))
        published.note_unserved({SHELL: NOT_SET_UP}, forget_after=10 * MINUTE)

        listed = {record.run.id: record.unserved for record in store.queries.list(RunFilter())}

        assert listed == {"waits": NOT_SET_UP, "ended": None}
        assert store.queries.get(RunId("waits")).unserved == NOT_SET_UP

    def test_waiting_submissions_of_one_provider_are_closed_by_their_age(
        self, store: PersistenceHarness, published: PublishedProviders
    ) -> None:
        del published
        store.queue("local")
        store.put(ServiceRow(run_id="old", tags='{"provider_type": "shell"}'))
        store.enrol()
        store.let_pass(10 * MINUTE)
        store.put(ServiceRow(run_id="new", tags='{"provider_type": "shell"}'))
        store.enrol()

        with store.units() as unit:
            closed = unit.submissions.close_unserved(SHELL, waiting_for=5 * MINUTE, limit=10)
            unit.commit()

        assert closed == ["old"]
        assert store.queries.get(RunId("old")).submission is SubmissionState.CLOSED
        assert store.queries.get(RunId("new")).submission is SubmissionState.READY

    def test_what_may_have_been_sent_is_not_closed(
        self, store: PersistenceHarness, published: PublishedProviders
    ) -> None:
        del published
        store.claimed("run-1")
        provider = store.queries.get(RunId("run-1")).destination
        assert provider is not None

        with store.units() as unit:
            assert unit.submissions.close_unserved(provider, waiting_for=0 * MINUTE, limit=10) == []

    @pytest.mark.parametrize("state", [RunState.COMPLETE, RunState.CANCELED])
    def test_the_provider_of_a_row_that_has_ended_is_not_in_use(
        self, store: PersistenceHarness, published: PublishedProviders, state: RunState
    ) -> None:
        store.put(ServiceRow(run_id="run-1", state=state.value, tags='{"provider_type": "shell"}'))

        assert published.in_use(destination) == set()
