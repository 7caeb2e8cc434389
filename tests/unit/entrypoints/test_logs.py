"""How a line of the log looks."""

import io
import json
import logging
import re
import sys
from collections.abc import Iterator
from typing import TextIO
from urllib.parse import quote

import pytest

from wes_daemon.application.runtime.event_log import log_event
from wes_daemon.entrypoints.cli.logs import LineFormatter, SecretHider, log_uncaught, set_up_logging

SECRET = 'hunter2"\n& more'


@pytest.fixture
def stream() -> Iterator[TextIO]:
    """Where the log goes during one test."""
    root, ours = logging.getLogger(), logging.getLogger("wes_daemon")
    handlers, levels = list(root.handlers), (root.level, ours.level)
    stream = io.StringIO()
    set_up_logging(stream=stream, level="INFO", hide=SecretHider({SECRET}))
    yield stream
    for handler in [handler for handler in root.handlers if handler not in handlers]:
        root.removeHandler(handler)
    root.setLevel(levels[0])
    ours.setLevel(levels[1])


def logged(stream: TextIO) -> list[str]:
    """The lines that were logged."""
    assert isinstance(stream, io.StringIO)
    return stream.getvalue().split("\n")[:-1]


def test_a_line_has_time_level_and_event(stream: TextIO) -> None:
    logging.getLogger("wes_daemon.any").info("submit.accepted run_id=%s", "r1")

    [line] = logged(stream)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z INFO submit\.accepted run_id=r1", line)


def test_a_message_is_one_line_whatever_is_in_it(stream: TextIO) -> None:
    logging.getLogger("wes_daemon").info("a\n2026-01-01T00:00:00.000Z INFO forged\u2028\x1b[31m")

    [line] = logged(stream)
    assert line.endswith(r"INFO a\n2026-01-01T00:00:00.000Z INFO forged\u2028\x1b[31m")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.usefixtures("stream")
def test_at_a_terminal_a_message_of_several_lines_is_shown_as_marked_lines() -> None:
    """D6"""
    terminal = Terminal()
    set_up_logging(stream=terminal, level="INFO")

    log_event(
        logging.getLogger("wes_daemon"), logging.ERROR, "run.failed", reason="a\n2026 INFO forged\x1b[31m C:\\new"
    )

    first, second = logged(terminal)
    assert first.endswith('ERROR run.failed reason="a')
    assert second == r'''  | 2026 INFO forged\u001b[31m C:\\new"'''


def test_elsewhere_it_is_one_line(stream: TextIO) -> None:
    """D6"""
    log_event(logging.getLogger("wes_daemon"), logging.ERROR, "run.failed", reason="a\nb")

    [line] = logged(stream)
    assert line.endswith(r'''reason="a\nb"''')


def test_the_lines_of_a_traceback_are_marked_and_escaped(stream: TextIO) -> None:
    try:
        raise ValueError("a\n2026-01-01T00:00:00.000Z INFO forged\x1b")
    except ValueError:
        logging.getLogger("wes_daemon").exception("bug")

    first, *following = logged(stream)
    assert first.endswith("ERROR bug")
    assert following[0] == "  | Traceback (most recent call last):"
    assert all(line.startswith("  | ") for line in following)
    assert following[-1] == r"  | 2026-01-01T00:00:00.000Z INFO forged\x1b"


@pytest.mark.parametrize("spelling", [SECRET, json.dumps(SECRET), repr(SECRET), quote(SECRET), quote(SECRET, safe="")])
def test_a_secret_is_hidden_however_it_is_spelt(spelling: str, stream: TextIO) -> None:
    try:
        raise ValueError(f"refused {spelling}")
    except ValueError:
        logging.getLogger("wes_daemon").exception("with %s", spelling)

    text = "\n".join(logged(stream))
    assert "hunter2" not in text
    assert text.count("***") == 2


def test_of_two_secrets_the_longer_is_hidden_whole() -> None:
    assert SecretHider({"abcd", "abcdef"})("abcdef abcd") == "*** ***"


def test_a_very_short_secret_is_not_cut_out_of_other_words() -> None:
    assert SecretHider({"p", "wes"})("password of wes-daemon") == "password of wes-daemon"


def test_other_packages_only_say_what_is_grave_and_are_named(stream: TextIO) -> None:
    logging.getLogger("urllib3").info("chatter")
    logging.getLogger("urllib3").warning("trouble")

    [line] = logged(stream)
    assert line.endswith("WARNING urllib3: trouble")


def test_at_debug_other_packages_say_a_little_more(stream: TextIO) -> None:
    set_up_logging(stream=stream, level="DEBUG")

    logging.getLogger("urllib3").debug("noise")
    logging.getLogger("urllib3").info("chatter")
    logging.getLogger("wes_daemon").debug("detail")

    assert [line.split("Z ")[1] for line in logged(stream)] == ["INFO urllib3: chatter", "DEBUG detail"]


def test_setting_up_again_replaces_what_was_set_up(stream: TextIO) -> None:
    set_up_logging(stream=stream, level="INFO")

    logging.getLogger("wes_daemon").info("once")

    assert len(logged(stream)) == 1


def test_an_uncaught_error_is_logged_whole(stream: TextIO) -> None:
    try:
        raise RuntimeError(f"nobody foresaw {SECRET}")
    except RuntimeError as error:
        log_uncaught(type(error), error, error.__traceback__)

    lines = logged(stream)
    assert "CRITICAL bug" in lines[0]
    assert "  | Traceback (most recent call last):" in lines
    assert "hunter2" not in "".join(lines)


def test_the_stack_is_shown_like_a_traceback() -> None:
    record = logging.LogRecord("wes_daemon", logging.INFO, __file__, 1, "here", (), None, sinfo="Stack:\n  frame")

    assert LineFormatter(str).format(record).split("\n")[1:] == ["  | Stack:", "  |   frame"]


def test_nothing_is_set_up_for_a_bug_that_comes_first(capsys: pytest.CaptureFixture[str], stream: TextIO) -> None:
    root = logging.getLogger()
    ours = [handler for handler in root.handlers if isinstance(handler.formatter, LineFormatter)]
    others = [handler for handler in root.handlers if handler not in ours]
    for handler in root.handlers[:]:
        root.removeHandler(handler)
    try:
        log_uncaught(ValueError, ValueError("early"), None)
    finally:
        for handler in others:
            root.addHandler(handler)

    assert "  | ValueError: early" in capsys.readouterr().err
    assert sys.excepthook is not log_uncaught
    assert logged(stream) == []
