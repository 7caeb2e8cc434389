"""The `workflow_engine_parameters` that the local provider knows: a closed set, so no option can be smuggled in."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from wes_daemon.adapters.providers.local.environment import may_pass
from wes_daemon.application.ports.errors import Rejected


class ContainerEngine(StrEnum):
    """What runs a tool's container; `NONE` runs the tool on the machine itself."""

    DOCKER = "docker"
    PODMAN = "podman"
    SINGULARITY = "singularity"
    UDOCKER = "udocker"
    NONE = "none"


class OnError(StrEnum):
    """What happens to the other steps when one has failed."""

    STOP = "stop"
    CONTINUE = "continue"


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineParameters:
    """How cwltool is to run a workflow.

    Attributes:
        container: `None` takes what the machine has.
    """

    parallel: bool = False
    on_error: OnError = OnError.STOP
    preserve_environment: Sequence[str] = ()
    container: ContainerEngine | None = None


def read_engine_parameters(given: Mapping[str, object]) -> EngineParameters:
    """The parameters that were asked for; null means the default.

    WES 1.1 says that every value is text, so `"true"` and `"A,B"` are read like `true` and `["A", "B"]`.

    Raises:
        Rejected: a name that is not known, or a value of the wrong kind.
    """
    if unknown := sorted(given.keys() - _READERS.keys()):
        known = ", ".join(sorted(_READERS))
        raise Rejected(f"workflow_engine_parameters: {', '.join(unknown)}: the local provider knows only {known}")
    return EngineParameters(**{name: _READERS[name](name, value) for name, value in given.items() if value is not None})


def _truth(name: str, value: object) -> bool:
    found = {"true": True, "false": False}.get(str(value).lower()) if isinstance(value, bool | str) else None
    if found is None:
        raise _wrong(name, value, "true or false")
    return found


def _on_error(name: str, value: object) -> OnError:
    if value not in list(OnError):
        raise _wrong(name, value, "stop or continue")
    return OnError(str(value))


def _container(name: str, value: object) -> ContainerEngine:
    if value not in list(ContainerEngine):
        raise _wrong(name, value, f"one of {', '.join(ContainerEngine)}")
    return ContainerEngine(str(value))


def _variables(name: str, value: object) -> Sequence[str]:
    found = [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value
    if not isinstance(found, list) or not all(isinstance(variable, str) for variable in found):
        raise _wrong(name, value, "a list of names of environment variables")
    if kept_back := [variable for variable in found if not may_pass(variable)]:
        raise Rejected(
            f"workflow_engine_parameters.{name}: {', '.join(kept_back)}: the daemon hands on only harmless variables "
            "such as LANG, LC_ALL, TZ and http_proxy; use EnvVarRequirement in the CWL document instead"
        )
    return found


def _wrong(name: str, value: object, expected: str) -> Rejected:
    return Rejected(f"workflow_engine_parameters.{name} must be {expected}, but is {value!r}")


# The values differ in type by name, which a mapping cannot say.
_READERS: Mapping[str, Callable[[str, object], Any]] = {
    "container": _container,
    "on_error": _on_error,
    "parallel": _truth,
    "preserve_environment": _variables,
}
