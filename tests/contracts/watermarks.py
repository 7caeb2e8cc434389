"""What every store of watermarks owes: one look at a time, and none that begins too late."""

from datetime import timedelta

import pytest

from tests.contracts.persistence_harness import HOUR, MINUTE, SECOND, PersistenceHarness, Race
from wes_daemon.application.ports.watermarks import ListReading, Watermarks
from wes_daemon.domain.runs import ProviderType
from wes_daemon.domain.states import RunState

LIST = "a list"


class WatermarksContract:
    """The suite; a child gives the fixtures `store` and `watermarks`, on one store."""

    @pytest.fixture
    def watermarks(self, store: PersistenceHarness) -> Watermarks:
        """What is under test."""
        raise NotImplementedError

    def begin(self, watermarks: Watermarks, name: str = LIST, *, every: timedelta = MINUTE) -> ListReading | None:
        return watermarks.begin(name, ProviderType.LOCAL, every=every)

    def test_a_list_that_nobody_has_read_begins_now(self, store: PersistenceHarness, watermarks: Watermarks) -> None:
        store.accepted("run-1")

        turn = self.begin(watermarks)

        assert turn is not None
        assert turn.read_until == turn.began_at
        assert turn.began_at.utcoffset() is not None

    def test_one_turn_is_given_in_a_while(self, store: PersistenceHarness, watermarks: Watermarks) -> None:
        store.accepted("run-1")
        self.begin(watermarks)

        assert self.begin(watermarks) is None
        store.let_pass(MINUTE - SECOND)
        assert self.begin(watermarks) is None
        store.let_pass(2 * SECOND)
        assert self.begin(watermarks) is not None
        assert self.begin(watermarks) is None

    def test_other_lists_have_turns_of_their_own(self, store: PersistenceHarness, watermarks: Watermarks) -> None:
        store.accepted("run-1")

        assert self.begin(watermarks)
        assert self.begin(watermarks, "another")

    def test_where_nothing_is_followed_there_is_no_turn(
        self, store: PersistenceHarness, watermarks: Watermarks
    ) -> None:
        ended = store.polled("run-1")
        store.accepted("run-2", provider=ProviderType.HEALTHOMICS)
        with store.units() as unit:
            unit.polls.record_missing_details(ended, RunState.COMPLETE, delay=MINUTE)
            unit.commit()

        assert self.begin(watermarks) is None
        assert watermarks.begin(LIST, ProviderType.HEALTHOMICS, every=MINUTE) is not None

    def test_the_next_one_goes_on_where_a_look_has_come_to(
        self, store: PersistenceHarness, watermarks: Watermarks
    ) -> None:
        store.accepted("run-1")
        self.begin(watermarks, every=SECOND)
        store.let_pass(HOUR)
        second = self.begin(watermarks)
        assert second is not None

        watermarks.advance(LIST, second.began_at)

        third = self.begin(watermarks, every=-SECOND)
        assert third is not None
        assert third.read_until == second.began_at

    def test_a_look_that_came_to_nothing_is_made_again(self, store: PersistenceHarness, watermarks: Watermarks) -> None:
        store.accepted("run-1")
        first = self.begin(watermarks)
        second = self.begin(watermarks, every=-SECOND)

        assert first is not None
        assert second is not None
        assert second.read_until == first.read_until

    def test_what_is_known_stays_known(self, store: PersistenceHarness, watermarks: Watermarks) -> None:
        store.accepted("run-1")
        turn = self.begin(watermarks)
        assert turn is not None

        watermarks.advance(LIST, turn.began_at + HOUR)
        watermarks.advance(LIST, turn.began_at)
        watermarks.advance("unknown", turn.began_at)

        again = self.begin(watermarks, every=-SECOND)
        assert again is not None
        assert again.read_until == turn.began_at + HOUR

    @pytest.mark.parametrize("is_new", [True, False])
    def test_of_those_who_come_at_once_one_has_the_turn(
        self, store: PersistenceHarness, watermarks: Watermarks, is_new: bool
    ) -> None:
        store.accepted("run-1")
        if not is_new:
            self.begin(watermarks)
            store.let_pass(HOUR)
        race, turns = Race(4, store.moment), list[ListReading | None]()

        def come(_: int) -> None:
            race.together()
            turns.append(self.begin(watermarks))

        race.run(come)

        assert sum(turn is not None for turn in turns) == 1
