"""When the service wants to be called again."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from wes_daemon.application.ports.call_gate import Allowance

# The window is five minutes long; whoever names a day has sent something else than seconds.
_BELIEVABLE = timedelta(days=1)
# A window lasts for a third of this.
_LONGEST = timedelta(minutes=15)
# What a full window that names no usable time is worth: short enough to lose little, long enough not to spin.
_UNNAMED = timedelta(seconds=10)
# The service's clock is not ours, and its times are whole seconds.
_MARGIN = timedelta(seconds=1)


def allowance(headers: Mapping[str, str]) -> Allowance:
    """What an answer says of the limits.

    Args:
        headers: of the answer; names in any case.
    """
    return Allowance(
        limit=_count(headers.get("X-RateLimit-Limit")),
        remaining=_count(headers.get("X-RateLimit-Remaining")),
        resets_at=_reset(headers.get("X-RateLimit-Reset")),
    )


def held_until(status: int, headers: Mapping[str, str], now: datetime) -> datetime | None:
    """Before when no call may be made, as told by one answer; None where it does not say so.

    Args:
        headers: of the answer; names in any case.
    """
    named = _named_time(headers, now)
    if status == 429:
        return named or now + _UNNAMED
    if status == 503 or headers.get("X-RateLimit-Remaining", "").strip() == "0":
        return named
    return None


def _named_time(headers: Mapping[str, str], now: datetime) -> datetime | None:
    candidates = [_reset(headers.get("X-RateLimit-Reset")), _after(headers.get("Retry-After"), now)]
    believable = [moment + _MARGIN for moment in candidates if moment and now < moment <= now + _BELIEVABLE]
    return min(max(believable), now + _LONGEST) if believable else None


def _count(text: str | None) -> int | None:
    """Some platforms say -1 for "as many as you like"."""
    try:
        number = int(text or "")
    except ValueError:
        return None
    return number if number >= 0 else None


def _reset(text: str | None) -> datetime | None:
    """Unix seconds."""
    try:
        return datetime.fromtimestamp(int(text or ""), UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _after(text: str | None, now: datetime) -> datetime | None:
    """Seconds from now; the header's other form, a date, is not known to be sent."""
    try:
        return now + timedelta(seconds=int(text or ""))
    except (ValueError, OverflowError):
        return None
