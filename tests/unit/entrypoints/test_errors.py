"""Text from elsewhere can neither forge a line nor steer a terminal."""

import io
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wes_daemon.entrypoints.cli.errors import for_reader, many_lines, one_line


@pytest.mark.parametrize(
    ("found", "shown"),
    [
        ("plain, ünïcödé 日本", "plain, ünïcödé 日本"),
        ("a\nb\r\tc", r"a\nb\r\tc"),
        ("\x1b[31m\x07\x7f\x9b", r"\x1b[31m\x07\x7f\x9b"),
        ("a\u2028b\u2029c\u0085", r"a\u2028b\u2029c\x85"),
        ("\u202eexe.txt\u200b", r"\u202eexe.txt\u200b"),
        ("\ud800", r"\ud800"),
    ],
)
def test_what_is_not_printed_as_itself_is_escaped(found: str, shown: str) -> None:
    assert one_line(found) == shown


def test_lines_stay_lines_where_they_may() -> None:
    assert many_lines("a\r\nb\x1b\nc") == "a\nb\\x1b\nc"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("stream", "shown"), [(Terminal(), "a\nb\\x1b"), (io.StringIO(), r"a\nb\x1b")])
def test_a_message_is_lines_for_a_person_and_one_line_for_a_program(
    stream: io.StringIO, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D6"""
    monkeypatch.setattr(sys, "stdout", stream)

    assert for_reader("a\nb\x1b") == shown


@given(st.text())
def test_whatever_it_is_it_becomes_one_printable_line(found: str) -> None:
    assert one_line(found).isprintable()
