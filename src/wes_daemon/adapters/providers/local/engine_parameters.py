"""The `workflow_engine_parameters` of the local provider, and the environment variables that a run may see.

The parameters are a closed set, so that a request cannot add an option to cwltool's command line.
"""

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from wes_daemon.application.ports.errors import Rejected

_ALLOWED_VARIABLES = frozenset(
    {
        *("PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "TMPDIR", "TZ"),
        *("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "ALL_PROXY", "NO_PROXY"),
        *("http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy"),
        *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
        *("VIRTUAL_ENV", "PYTHONPATH", "LD_LIBRARY_PATH"),
        # Addresses and settings of the container engine; they contain no secret.
        *("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG", "DOCKER_CERT_PATH", "DOCKER_TLS_VERIFY"),
        *("XDG_RUNTIME_DIR", "CONTAINER_HOST", "CWL_SINGULARITY_CACHE"),
    }
)


class ContainerEngine(StrEnum):
    """The program that runs a tool's container; `NONE` runs the tool on the machine itself."""

    DOCKER = "docker"
    PODMAN = "podman"
    SINGULARITY = "singularity"
    UDOCKER = "udocker"
    NONE = "none"


class OnError(StrEnum):
    """Whether the other steps go on when one has failed."""

    STOP = "stop"
    CONTINUE = "continue"


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineParameters:
    """How cwltool executes a workflow.

    Attributes:
        container: `None` uses the engine that the machine has.
        relax_path_checks: input files may have spaces and other special characters in their names.
    """

    parallel: bool = False
    on_error: OnError = OnError.STOP
    preserve_environment: Sequence[str] = ()
    container: ContainerEngine | None = None
    relax_path_checks: bool = False


def read_engine_parameters(given: Mapping[str, object]) -> EngineParameters:
    """Parse the engine parameters of a request; null means the default.

    WES 1.1 defines every value as text, so `"true"` and `"A,B"` are read like `true` and `["A", "B"]`.

    Raises:
        Rejected: a name is unknown, or a value has the wrong type.
    """
    if unknown := sorted(given.keys() - _READERS.keys()):
        known = ", ".join(sorted(_READERS))
        raise Rejected(f"workflow_engine_parameters: {', '.join(unknown)}: the local provider supports only {known}")
    return EngineParameters(**{name: _READERS[name](name, value) for name, value in given.items() if value is not None})


def is_allowed_variable(name: str) -> bool:
    """Whether a run may see this variable of the daemon's environment."""
    return name in _ALLOWED_VARIABLES or (name.startswith("LC_") and name[3:].isalpha() and name.isascii())


def run_environment(daemon: Mapping[str, str], *, also: Collection[str] = ()) -> dict[str, str]:
    """Return the allowed part of the daemon's environment, valid in any working directory.

    Args:
        also: further names of variables that are allowed.
    """
    allowed = {name: value for name, value in daemon.items() if is_allowed_variable(name) or name in also}
    allowed.setdefault("PATH", os.defpath)  # cwltool requires it.
    if path := allowed.get("PYTHONPATH"):
        # The runner has another working directory, where a relative entry would name a missing or a foreign directory.
        allowed["PYTHONPATH"] = os.pathsep.join(os.path.abspath(entry) for entry in path.split(os.pathsep) if entry)
    return allowed


def _read_boolean(name: str, value: object) -> bool:
    found = {"true": True, "false": False}.get(str(value).lower()) if isinstance(value, bool | str) else None
    if found is None:
        raise _invalid(name, value, expected="true or false")
    return found


def _read_on_error(name: str, value: object) -> OnError:
    if value not in list(OnError):
        raise _invalid(name, value, expected="stop or continue")
    return OnError(str(value))


def _read_container(name: str, value: object) -> ContainerEngine:
    if value not in list(ContainerEngine):
        raise _invalid(name, value, expected=f"one of {', '.join(ContainerEngine)}")
    return ContainerEngine(str(value))


def _read_variables(name: str, value: object) -> Sequence[str]:
    found = [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value
    if not isinstance(found, list) or not all(isinstance(variable, str) for variable in found):
        raise _invalid(name, value, expected="a list of names of environment variables")
    if forbidden := [variable for variable in found if not is_allowed_variable(variable)]:
        raise Rejected(
            f"workflow_engine_parameters.{name}: {', '.join(forbidden)}: the daemon passes on only harmless variables "
            "such as LANG, LC_ALL, TZ and http_proxy; use EnvVarRequirement in the CWL document instead"
        )
    return found


def _invalid(name: str, value: object, *, expected: str) -> Rejected:
    return Rejected(f"workflow_engine_parameters.{name} must be {expected}, but is {value!r}")


# The type of a value depends on its name, which the type of a mapping cannot express.
_READERS: Mapping[str, Callable[[str, object], Any]] = {
    "container": _read_container,
    "on_error": _read_on_error,
    "parallel": _read_boolean,
    "preserve_environment": _read_variables,
    "relax_path_checks": _read_boolean,
}
