"""The engine parameters that Seven Bridges knows, from `workflow_engine_parameters` or from tags."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from wes_daemon.application.ports.errors import Rejected
from wes_daemon.domain.runs import PROVIDER_ID_TAG, PROVIDER_TYPE_TAG

TAG_PREFIX = "provider_"

_PROJECT = re.compile(r"[^\s/?#%\\]+/[^\s/?#%\\]+")
_OURS = frozenset({PROVIDER_TYPE_TAG, PROVIDER_ID_TAG})
_LOCATION_KEYS = frozenset({"main_location", "main_location_alias", "nodes_override", "nodes_location"})


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineParameters:
    """How the platform is to run a task; None leaves it to the project's own settings.

    Attributes:
        project: `owner/project`, instead of the one in the settings.
        instance_type: such as `c4.2xlarge;ebs-gp2;2000`.
        use_interruptible_instances: spot.
        output_location: as the platform's API takes it.
    """

    project: str | None = None
    instance_type: str | None = None
    max_parallel_instances: int | None = None
    use_interruptible_instances: bool | None = None
    use_memoization: bool | None = None
    use_elastic_disk: bool | None = None
    output_location: Mapping[str, object] | None = None


def read_engine_parameters(given: Mapping[str, object], tags: Mapping[str, object]) -> EngineParameters:
    """What was asked for; a parameter comes before the tag `provider_…` of its name, and null is as absent.

    WES 1.1 says that every value is text, so `"true"` and `"2"` are read like `true` and `2`.

    Raises:
        Rejected: a name that is not known, or a value of the wrong kind.
    """
    tagged = {name: value for name, value in tags.items() if name.startswith(TAG_PREFIX) and name not in _OURS}
    _refuse_unknown("workflow_engine_parameters", given, "")
    _refuse_unknown("tags", tagged, TAG_PREFIX)
    from_tags = _read("tags", tagged, TAG_PREFIX)
    return EngineParameters(**{**from_tags, **_read("workflow_engine_parameters", given, "")})


def read_project(where: str, value: object) -> str:
    """`owner/project`."""
    if not isinstance(value, str) or not _PROJECT.fullmatch(value):
        raise _wrong(where, value, "a project as owner/project")
    return value


def read_truth(where: str, value: object) -> bool:
    """True or false, also as text."""
    found = {"true": True, "false": False}.get(str(value).lower()) if isinstance(value, bool | str) else None
    if found is None:
        raise _wrong(where, value, "true or false")
    return found


def _refuse_unknown(place: str, given: Mapping[str, object], prefix: str) -> None:
    if unknown := sorted(name for name in given if name.removeprefix(prefix) not in _READERS):
        known = ", ".join(f"{prefix}{name}" for name in sorted(_READERS))
        raise Rejected(f"{place}: {', '.join(unknown)}: Seven Bridges knows only {known}")


def _read(place: str, given: Mapping[str, object], prefix: str) -> dict[str, Any]:
    return {
        name.removeprefix(prefix): _READERS[name.removeprefix(prefix)](f"{place}.{name}", value)
        for name, value in given.items()
        if value is not None
    }


def _text(where: str, value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise _wrong(where, value, "a text")
    return value


def _count(where: str, value: object) -> int:
    found = int(value) if isinstance(value, str) and re.fullmatch(r"[0-9]{1,6}", value) else value
    if not isinstance(found, int) or isinstance(found, bool) or found < 1:
        raise _wrong(where, value, "a whole number of at least 1")
    return found


def _location(where: str, value: object) -> Mapping[str, object]:
    if isinstance(value, str) and value.strip():
        return {"main_location": value}
    if not isinstance(value, Mapping) or not value or value.keys() - _LOCATION_KEYS:
        raise _wrong(where, value, f"a location, or an object of {', '.join(sorted(_LOCATION_KEYS))}")
    return value


def _wrong(where: str, value: object, expected: str) -> Rejected:
    return Rejected(f"{where} must be {expected}, but is {value!r}")


_READERS: Mapping[str, Callable[[str, object], Any]] = {
    "instance_type": _text,
    "max_parallel_instances": _count,
    "output_location": _location,
    "project": read_project,
    "use_elastic_disk": read_truth,
    "use_interruptible_instances": read_truth,
    "use_memoization": read_truth,
}
