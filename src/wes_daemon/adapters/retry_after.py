"""The header with which an HTTP service says when it may be called again."""

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime


def retry_at(header: str | None, now: datetime) -> datetime | None:
    """Return the time, aware, before which a `Retry-After` asks for no call; it may have passed.

    Args:
        header: seconds from now on, or a date. Source: RFC 9110, section 10.2.3.

    Returns:
        None for an answer without the header, or with one that cannot be read.
    """
    text = (header or "").strip()
    try:
        return now + timedelta(seconds=float(text))
    except OverflowError:
        return None
    except ValueError:
        return _date(text)


def _date(text: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)
