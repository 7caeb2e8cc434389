"""JSON from the service, read without trust: what has another shape is empty."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime


def as_object(value: object) -> Mapping[str, object]:
    """The object, or an empty one."""
    return value if isinstance(value, Mapping) else {}


def as_objects(value: object) -> Sequence[Mapping[str, object]]:
    """The objects of a list."""
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


def as_text(value: object) -> str:
    """The text, or an empty one."""
    return value if isinstance(value, str) else ""


def as_number(value: object) -> int:
    """The whole number, or 0."""
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def as_moment(value: object) -> datetime | None:
    """An aware moment; the service's times are UTC, with a `Z` or without."""
    try:
        moment = datetime.fromisoformat(as_text(value))
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
