"""The engine parameters of Seven Bridges: read from `workflow_engine_parameters` or tags, written into a task.

To add a parameter, add an attribute to `EngineParameters`, its reader to `_READERS`, its name to
`_EXECUTION_SETTINGS` or `_TASK_FIELDS`, and a row to the table in `docs/providers/sevenbridges.md`.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from wes_daemon.application.ports.errors import Rejected
from wes_daemon.domain.runs import PROVIDER_ID_TAG, PROVIDER_TYPE_TAG

TAG_PREFIX = "provider_"

_PROJECT = re.compile(r"[^\s/?#%\\]+/[^\s/?#%\\]+")
# Tags with the prefix that are no engine parameters.
_RESERVED_TAGS = frozenset({PROVIDER_TYPE_TAG, PROVIDER_ID_TAG})

# Where the service takes each parameter: in the task's `execution_settings`, or in the task itself.
_EXECUTION_SETTINGS = ("instance_type", "max_parallel_instances", "use_memoization", "use_elastic_disk")
_TASK_FIELDS = ("use_interruptible_instances", "output_location")


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineParameters:
    """How the platform executes a task; None leaves a parameter to the project's own settings.

    Attributes:
        project: `owner/project`, in place of the configured one.
        instance_type: such as `c4.2xlarge;ebs-gp2;2000`.
        use_interruptible_instances: spot instances.
        output_location: an object in the form of the platform's API.
    """

    project: str | None = None
    instance_type: str | None = None
    max_parallel_instances: int | None = None
    use_interruptible_instances: bool | None = None
    use_memoization: bool | None = None
    use_elastic_disk: bool | None = None
    output_location: Mapping[str, object] | None = None

    def task_fields(self) -> Mapping[str, object]:
        """Return the fields of a task that these parameters set; the project is not among them."""
        settings = self._given(_EXECUTION_SETTINGS)
        return {**self._given(_TASK_FIELDS), **({"execution_settings": settings} if settings else {})}

    def _given(self, names: tuple[str, ...]) -> Mapping[str, object]:
        return {name: value for name in names if (value := getattr(self, name)) is not None}


def read_engine_parameters(parameters: Mapping[str, object], tags: Mapping[str, object]) -> EngineParameters:
    """Read the engine parameters of a run.

    A parameter takes precedence over the tag `provider_<parameter>`. A null or an empty text counts as absent.
    WES 1.1 defines every value as a string, so `"true"`, `"2"` and the text of a JSON object are read like `true`, `2`
    and the object.

    Raises:
        Rejected: a name is unknown, or a value has the wrong type.
    """
    tagged = {name: value for name, value in tags.items() if name.startswith(TAG_PREFIX) and name not in _RESERVED_TAGS}
    _reject_unknown("workflow_engine_parameters", parameters, prefix="")
    _reject_unknown("tags", tagged, prefix=TAG_PREFIX)
    from_tags = _read("tags", tagged, prefix=TAG_PREFIX)
    return EngineParameters(**{**from_tags, **_read("workflow_engine_parameters", parameters, prefix="")})


def read_project(source: str, value: object) -> str:
    """Read a project as `owner/project`.

    Args:
        source: the value's name in the request, for messages.
    """
    if not isinstance(value, str) or not _PROJECT.fullmatch(value):
        raise _invalid(source, value, expected="a project as owner/project")
    return value


def read_boolean(source: str, value: object) -> bool:
    """Read true or false, also as a string.

    Args:
        source: the value's name in the request, for messages.
    """
    boolean = {"true": True, "false": False}.get(str(value).lower()) if isinstance(value, bool | str) else None
    if boolean is None:
        raise _invalid(source, value, expected="true or false")
    return boolean


def is_absent(value: object) -> bool:
    """Whether a value stands for "not given": null, or a text without any letter, as an empty form field is sent."""
    return value is None or (isinstance(value, str) and not value.strip())


def _reject_unknown(source: str, given: Mapping[str, object], *, prefix: str) -> None:
    if unknown := sorted(name for name in given if name.removeprefix(prefix) not in _READERS):
        known = ", ".join(f"{prefix}{name}" for name in sorted(_READERS))
        raise Rejected(f"{source}: {', '.join(unknown)}: Seven Bridges knows only {known}")


def _read(source: str, given: Mapping[str, object], *, prefix: str) -> dict[str, Any]:
    read = {
        name.removeprefix(prefix): _READERS[name.removeprefix(prefix)](f"{source}.{name}", value)
        for name, value in given.items()
        if not is_absent(value)
    }
    return {name: value for name, value in read.items() if value is not None}


def _read_text(source: str, value: object) -> str:
    if not isinstance(value, str):
        raise _invalid(source, value, expected="a string")
    return value


def _read_count(source: str, value: object) -> int:
    count = int(value) if isinstance(value, str) and re.fullmatch(r"[0-9]{1,6}", value) else value
    if not isinstance(count, int) or isinstance(count, bool) or count < 1:
        raise _invalid(source, value, expected="a whole number of at least 1")
    return count


def _read_location(source: str, value: object) -> Mapping[str, object] | None:
    """Read a location; None if every member of the object is absent."""
    location = _structured(value)
    if isinstance(location, str):
        return {"main_location": location}
    expected = f"a location, or an object of {', '.join(sorted(_LOCATION_READERS))}"
    if not isinstance(location, Mapping) or not location or location.keys() - _LOCATION_READERS.keys():
        raise _invalid(source, value, expected=expected)
    given = {
        name: _LOCATION_READERS[name](f"{source}.{name}", item)
        for name, item in location.items()
        if not is_absent(item)
    }
    return given or None


def _read_nodes(source: str, value: object) -> Mapping[str, object]:
    nodes = _structured(value)
    if not isinstance(nodes, Mapping):
        raise _invalid(source, value, expected="an object with the outputs' names as keys")
    return nodes


def _structured(value: object) -> object:
    """Return the object that a text of JSON contains, None for a text that only begins like one, else the value."""
    if not isinstance(value, str) or not value.lstrip().startswith("{"):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return None


def _invalid(source: str, value: object, *, expected: str) -> Rejected:
    return Rejected(f"{source} must be {expected}, but is {value!r}")


_LOCATION_READERS: Mapping[str, Callable[[str, object], Any]] = {
    "main_location": _read_text,
    "main_location_alias": _read_text,
    "nodes_override": read_boolean,
    "nodes_location": _read_nodes,
}

_READERS: Mapping[str, Callable[[str, object], Any]] = {
    "instance_type": _read_text,
    "max_parallel_instances": _read_count,
    "output_location": _read_location,
    "project": read_project,
    "use_elastic_disk": read_boolean,
    "use_interruptible_instances": read_boolean,
    "use_memoization": read_boolean,
}
