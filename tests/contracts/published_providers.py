"""What every store of published providers owes. A child gives the fixtures `store` and `published`, on one store."""

import pytest

from tests.builders import NOON
from tests.contracts.persistence_harness import ME, MINUTE, OTHER, PersistenceHarness, ServiceRow, destination
from wes_daemon.application.ports.leases import DaemonInfo, Publication, SessionId
from wes_daemon.application.ports.published_providers import PublishedProviders
from wes_daemon.domain.runs import ProviderType
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
        assert set(published.were_known({SHELL, LOCAL})) == {SHELL}

    def test_a_provider_that_has_accepted_a_run_is_known(
        self, store: PersistenceHarness, published: PublishedProviders
    ) -> None:
        store.accepted("run-1")
        provider = store.run("run-1").provider
        assert provider is not None

        assert set(published.were_known({provider, SHELL})) == {provider}

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

    @pytest.mark.parametrize("state", [RunState.COMPLETE, RunState.CANCELED])
    def test_the_provider_of_a_row_that_has_ended_is_not_in_use(
        self, store: PersistenceHarness, published: PublishedProviders, state: RunState
    ) -> None:
        store.put(ServiceRow(run_id="run-1", state=state.value, tags='{"provider_type": "shell"}'))

        assert published.in_use(destination) == set()
