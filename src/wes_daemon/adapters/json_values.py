"""Readers for values of a service's JSON, which may have another type than the service documents."""

from collections.abc import Mapping, Sequence


def as_object(value: object) -> Mapping[str, object]:
    """Return the JSON object; an empty one for a value of another type."""
    return value if isinstance(value, Mapping) else {}


def as_objects(value: object) -> Sequence[Mapping[str, object]]:
    """Return the objects of a JSON array; none for a value of another type."""
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


def as_text(value: object) -> str:
    """Return the string; an empty one for a value of another type."""
    return value if isinstance(value, str) else ""
