"""An outage is said once, and so is its end."""

import logging
from datetime import timedelta

import pytest

from tests.contracts.persistence_harness import Race
from wes_daemon.adapters.memory.environment import ManualClock
from wes_daemon.application.database_watch import DatabaseWatch
from wes_daemon.application.ports.errors import StorageMisconfigured, StorageUnavailable

AWAY = StorageUnavailable("connection refused")


@pytest.fixture
def clock() -> ManualClock:
    """Time that stands still."""
    return ManualClock()


@pytest.fixture
def watch(clock: ManualClock, caplog: pytest.LogCaptureFixture) -> DatabaseWatch:
    """A watch whose every word is heard."""
    caplog.set_level(logging.INFO)
    return DatabaseWatch(clock)


def test_an_outage_is_said_once_whoever_notices_it(watch: DatabaseWatch, caplog: pytest.LogCaptureFixture) -> None:
    for who in ("heartbeat", "submit", "heartbeat"):
        watch.failed(who, AWAY, during=who, begun=watch.begins())

    assert caplog.messages == ['database.unavailable during=heartbeat reason="connection refused"']


def test_its_end_is_said_once_with_how_long_it_was(
    watch: DatabaseWatch, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    watch.failed("submit", AWAY, during="submit", begun=watch.begins())
    clock.advance(timedelta(seconds=90))

    watch.worked("submit")
    watch.worked("submit")

    assert caplog.messages[1:] == ["database.back away=90s"]


def test_what_works_all_along_does_not_end_it(watch: DatabaseWatch, caplog: pytest.LogCaptureFixture) -> None:
    """A full disk takes no new rows, and a heartbeat still."""
    for _ in range(3):
        watch.failed("submit", AWAY, during="submit", begun=watch.begins())
        watch.worked("heartbeat")

    assert len(caplog.messages) == 1


def test_it_lasts_until_everybody_who_noticed_it_has_succeeded(
    watch: DatabaseWatch, caplog: pytest.LogCaptureFixture
) -> None:
    watch.failed("submit", AWAY, during="submit", begun=watch.begins())
    watch.failed("refresh", AWAY, during="refresh", begun=watch.begins())

    watch.worked("submit")
    before = list(caplog.messages)
    watch.worked("refresh")

    assert len(before) == 1
    assert caplog.messages[1:] == ["database.back away=0s"]


def test_another_kind_of_reason_is_said_again(watch: DatabaseWatch, caplog: pytest.LogCaptureFixture) -> None:
    watch.failed("submit", AWAY, during="submit", begun=watch.begins())
    for _ in range(2):
        watch.failed("submit", StorageMisconfigured("no such role"), during="submit", begun=watch.begins())
        watch.failed("submit", AWAY, during="submit", begun=watch.begins())

    assert [message.partition("reason=")[2] for message in caplog.messages] == [
        '"connection refused"',
        '"no such role"',
    ]


def test_the_next_outage_is_said_again(watch: DatabaseWatch, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(2):
        watch.failed("submit", AWAY, during="submit", begun=watch.begins())
        watch.worked("submit")

    assert [message.split()[0] for message in caplog.messages] == ["database.unavailable", "database.back"] * 2


def test_many_threads_that_notice_it_at_once_say_it_once(
    watch: DatabaseWatch, caplog: pytest.LogCaptureFixture
) -> None:
    race = Race(8)

    def work(number: int) -> None:
        race.together()
        watch.failed(number, AWAY, during="record", begun=watch.begins())
        race.together()
        watch.worked(number)

    race.run(work)

    assert [message.split()[0] for message in caplog.messages] == ["database.unavailable", "database.back"]


def test_what_was_begun_before_the_end_of_an_outage_is_no_new_one(
    watch: DatabaseWatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever waits for an answer that was lost learns that when everybody else is at work again."""
    begun = watch.begins()
    watch.failed("submit", AWAY, during="submit", begun=begun)
    watch.worked("submit")

    watch.failed("refresh", AWAY, during="refresh", begun=begun)
    watch.worked("refresh")

    assert [message.split()[0] for message in caplog.messages] == ["database.unavailable", "database.back"]
