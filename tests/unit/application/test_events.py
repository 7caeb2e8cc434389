"""How events are logged."""

import logging
from datetime import timedelta

import pytest

from wes_daemon.adapters.memory.environment import ManualClock
from wes_daemon.application.runtime.event_log import log_event
from wes_daemon.application.runtime.log_throttle import LogThrottle

log = logging.getLogger("wes_daemon.test")


def test_the_event_comes_first_and_then_the_keys(caplog: pytest.LogCaptureFixture) -> None:
    log_event(log, logging.WARNING, "submit.deferred", run_id="7f3", attempts=2, wait=timedelta(minutes=1))

    assert caplog.messages == ["submit.deferred run_id=7f3 attempts=2 wait=60s"]


@pytest.mark.parametrize("text", ["two words", "a\nb", 'a"b', "a=b", "\x1b[31m", "ü", ""])
def test_a_value_that_is_no_plain_word_is_quoted_on_one_line(text: str, caplog: pytest.LogCaptureFixture) -> None:
    log_event(log, logging.WARNING, "event", value=text)

    [message] = caplog.messages
    assert message.startswith('event value="')
    assert message.isprintable()


def test_what_nobody_listens_to_is_not_rendered(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger=log.name):
        log_event(log, logging.DEBUG, "event")

    assert caplog.messages == []


def test_a_topic_is_said_again_only_after_a_while() -> None:
    clock = ManualClock()
    occasional = LogThrottle(clock, every=timedelta(minutes=1))

    said = []
    for _ in range(5):
        said.append(occasional.allows("topic"))
        clock.advance(timedelta(seconds=30))

    assert said == [True, False, True, False, True]


def test_topics_do_not_silence_each_other() -> None:
    occasional = LogThrottle(ManualClock(), every=timedelta(minutes=1))

    assert occasional.allows("one")
    assert occasional.allows("two")
