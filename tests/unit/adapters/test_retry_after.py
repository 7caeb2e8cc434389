"""The time in a `Retry-After` header (B4, D2)."""

from datetime import datetime, timedelta

import pytest

from tests.builders import NOON
from wes_daemon.adapters.retry_after import retry_at


@pytest.mark.parametrize(
    ("header", "at"),
    [
        ("7", NOON + timedelta(seconds=7)),
        (" 0.5 ", NOON + timedelta(seconds=0.5)),
        ("-3", NOON - timedelta(seconds=3)),
        (f"{NOON:%a, %d %b %Y} 12:00:30 GMT", NOON + timedelta(seconds=30)),
        (f"{NOON:%a, %d %b %Y} 12:00:30 -0000", NOON + timedelta(seconds=30)),
        (f"{NOON:%a, %d %b %Y} 12:00:30 +0100", NOON - timedelta(minutes=59, seconds=30)),
    ],
)
def test_seconds_and_dates_are_read_as_aware_times(header: str, at: datetime) -> None:
    assert retry_at(header, NOON) == at


@pytest.mark.parametrize("header", [None, "", "soon", "nan", "inf", "1e300", "Thu, 99 Jan 2026 12:00:30 GMT"])
def test_what_cannot_be_read_is_no_time(header: str | None) -> None:
    assert retry_at(header, NOON) is None
