"""An outage is said once, and so is its end."""

import logging
from datetime import timedelta

import pytest

from tests.contracts.persistence_harness import Race
from wes_daemon.adapters.memory.environment import ManualClock
from wes_daemon.application.ports.errors import StorageMisconfigured, StorageUnavailable
from wes_daemon.application.runtime.outage_log import OutageLog

AWAY = StorageUnavailable("connection refused")


@pytest.fixture
def clock() -> ManualClock:
    """Time that stands still."""
    return ManualClock()


@pytest.fixture
def outage_log(clock: ManualClock, caplog: pytest.LogCaptureFixture) -> OutageLog:
    """One whose every line is captured."""
    caplog.set_level(logging.INFO)
    return OutageLog(clock)


def test_an_outage_is_said_once_whoever_notices_it(outage_log: OutageLog, caplog: pytest.LogCaptureFixture) -> None:
    for who in ("heartbeat", "submit", "heartbeat"):
        outage_log.failed(who, AWAY, during=who, started=outage_log.started())

    assert caplog.messages == ['database.unavailable during=heartbeat reason="connection refused"']


def test_its_end_is_said_once_with_how_long_it_was(
    outage_log: OutageLog, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    outage_log.failed("submit", AWAY, during="submit", started=outage_log.started())
    clock.advance(timedelta(seconds=90))

    outage_log.succeeded("submit")
    outage_log.succeeded("submit")

    assert caplog.messages[1:] == ["database.back away=90s"]


def test_what_works_all_along_does_not_end_it(outage_log: OutageLog, caplog: pytest.LogCaptureFixture) -> None:
    """A full disk takes no new rows, and a heartbeat still."""
    for _ in range(3):
        outage_log.failed("submit", AWAY, during="submit", started=outage_log.started())
        outage_log.succeeded("heartbeat")

    assert len(caplog.messages) == 1


def test_it_lasts_until_everybody_who_noticed_it_has_succeeded(
    outage_log: OutageLog, caplog: pytest.LogCaptureFixture
) -> None:
    outage_log.failed("submit", AWAY, during="submit", started=outage_log.started())
    outage_log.failed("refresh", AWAY, during="refresh", started=outage_log.started())

    outage_log.succeeded("submit")
    before = list(caplog.messages)
    outage_log.succeeded("refresh")

    assert len(before) == 1
    assert caplog.messages[1:] == ["database.back away=0s"]


def test_another_kind_of_reason_is_said_again(outage_log: OutageLog, caplog: pytest.LogCaptureFixture) -> None:
    outage_log.failed("submit", AWAY, during="submit", started=outage_log.started())
    for _ in range(2):
        outage_log.failed("submit", StorageMisconfigured("no such role"), during="submit", started=outage_log.started())
        outage_log.failed("submit", AWAY, during="submit", started=outage_log.started())

    assert [message.partition("reason=")[2] for message in caplog.messages] == [
        '"connection refused"',
        '"no such role"',
    ]


def test_the_next_outage_is_said_again(outage_log: OutageLog, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(2):
        outage_log.failed("submit", AWAY, during="submit", started=outage_log.started())
        outage_log.succeeded("submit")

    assert [message.split()[0] for message in caplog.messages] == ["database.unavailable", "database.back"] * 2


def test_many_threads_that_notice_it_at_once_say_it_once(
    outage_log: OutageLog, caplog: pytest.LogCaptureFixture
) -> None:
    race = Race(8)

    def work(number: int) -> None:
        race.together()
        outage_log.failed(number, AWAY, during="record", started=outage_log.started())
        race.together()
        outage_log.succeeded(number)

    race.run(work)

    assert [message.split()[0] for message in caplog.messages] == ["database.unavailable", "database.back"]


def test_what_was_begun_before_the_end_of_an_outage_is_no_new_one(
    outage_log: OutageLog, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever waits for an answer that was lost learns that when everybody else is at work again."""
    started = outage_log.started()
    outage_log.failed("submit", AWAY, during="submit", started=started)
    outage_log.succeeded("submit")

    outage_log.failed("refresh", AWAY, during="refresh", started=started)
    outage_log.succeeded("refresh")

    assert [message.split()[0] for message in caplog.messages] == ["database.unavailable", "database.back"]
