"""The supported engine parameters: members of StartRun's request, in AWS' spelling or in snake_case."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from wes_daemon.application.ports.errors import Rejected
from wes_daemon.domain.runs import PROVIDER_ID_TAG, PROVIDER_TYPE_TAG

TAG_PREFIX = "provider_"
PARAMETERS_URI = "parametersUri"
"""May be presigned or name what is private: it stands in no message and in no log."""

_NOT_PARAMETERS = frozenset({PROVIDER_ID_TAG, PROVIDER_TYPE_TAG})


@dataclass(frozen=True, slots=True)
class _Parameter:
    """A value and its location in the request, for error messages."""

    location: str
    value: object

    @property
    def is_absent(self) -> bool:
        return self.value is None or (isinstance(self.value, str) and not self.value.strip())

    def must_be(self, expected: str) -> Rejected:
        return Rejected(f"{self.location} must be {expected}, but is {self.value!r}")

    def hidden_must_be(self, expected: str) -> Rejected:
        """Like `must_be` for a value that may be secret."""
        return Rejected(f"{self.location} must be {expected}")


def read_engine_parameters(parameters: Mapping[str, object], tags: Mapping[str, object]) -> Mapping[str, Any]:
    """Return members of StartRun's request, each converted to the type that StartRun needs.

    A tag `provider_NAME` is the fallback for a missing parameter. Null and empty or blank text count as missing.
    WES 1.1 defines all values as strings, so numbers and objects are accepted as strings too.

    Raises:
        Rejected: a name is unknown or given twice, or a value has the wrong type.
    """
    tag_parameters = (
        (name.removeprefix(TAG_PREFIX), _Parameter(f"tags.{name}", value))
        for name, value in tags.items()
        if name.startswith(TAG_PREFIX) and name not in _NOT_PARAMETERS
    )
    engine_parameters = (
        (name, _Parameter(f"workflow_engine_parameters.{name}", value)) for name, value in parameters.items()
    )
    given = _by_member(tag_parameters) | _by_member(engine_parameters)
    return {member: _READERS[member](parameter) for member, parameter in given.items()}


def _by_member(parameters: Iterator[tuple[str, _Parameter]]) -> dict[str, _Parameter]:
    found: dict[str, _Parameter] = {}
    for name, parameter in parameters:
        member = _MEMBERS.get(name.replace("_", "").lower())
        if member is None:
            raise Rejected(f"{parameter.location}: AWS HealthOmics supports only {', '.join(_READERS)}")
        if parameter.is_absent:
            continue
        if member in found:
            raise Rejected(f"{parameter.location}: the same as {found[member].location}; give it once")
        found[member] = parameter
    return found


def _text(pattern: str, expected: str, *, max_length: int) -> Callable[[_Parameter], str]:
    form = re.compile(pattern, re.ASCII)

    def read(parameter: _Parameter) -> str:
        # YAML and shells turn an id into a number.
        value = parameter.value
        text = str(value) if isinstance(value, str) or type(value) is int else ""
        if not form.fullmatch(text) or len(text) > max_length:
            raise parameter.must_be(expected)
        return text

    return read


def _one_of(*choices: str) -> Callable[[_Parameter], str]:
    def read(parameter: _Parameter) -> str:
        choice = parameter.value.upper() if isinstance(parameter.value, str) else None
        if choice not in choices:
            raise parameter.must_be(" or ".join(choices))
        return str(choice)

    return read


def _parameters_uri(parameter: _Parameter) -> str:
    value = parameter.value
    if not isinstance(value, str) or not _PARAMETERS_URI.fullmatch(value) or len(value) > _MAX_PARAMETERS_URI:
        raise parameter.hidden_must_be(
            f"the address of a JSON file, s3://bucket/key of at most {_MAX_PARAMETERS_URI} characters"
        )
    return value


def _truth(parameter: _Parameter) -> bool:
    value = parameter.value
    if isinstance(value, bool):
        return value
    word = value.strip().lower() if isinstance(value, str) else ""
    if word not in ("true", "false"):
        raise parameter.must_be("true or false")
    return word == "true"


def _whole_number(lowest: int, highest: int, unit: str) -> Callable[[_Parameter], int]:
    def read(parameter: _Parameter) -> int:
        value = parameter.value
        text = str(value) if isinstance(value, str) or type(value) is int else ""
        if not re.fullmatch(r"[0-9]{1,9}", text, re.ASCII) or not lowest <= int(text) <= highest:
            raise parameter.must_be(f"{unit} from {lowest} to {highest}")
        return int(text)

    return read


def _object(parameter: _Parameter) -> Mapping[str, Any]:
    value = parameter.value
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            raise parameter.must_be("a JSON object") from None
    if not isinstance(value, Mapping):
        raise parameter.must_be("a JSON object")
    return dict(value)


def _tags(parameter: _Parameter) -> Mapping[str, str]:
    tags = _object(parameter)
    if not all(isinstance(value, str) and len(value) <= 256 and 0 < len(name) <= 128 for name, value in tags.items()):
        raise parameter.must_be("an object of strings: names of up to 128 characters, values of up to 256")
    return tags


_ID = r"[0-9]+"
_NAME = r"[A-Za-z0-9][A-Za-z0-9\-._]*"
_PARAMETERS_URI = re.compile(r"s3://[a-z0-9][a-z0-9.\-]{1,61}[a-z0-9]/.+")
_MAX_PARAMETERS_URI = 1093

# Source: botocore's omics model 2022-11-28, shape StartRunRequest, as of botocore 1.44.8.
_READERS: Mapping[str, Callable[[_Parameter], Any]] = {
    "roleArn": _text(r"arn:\S+", "the ARN of a role", max_length=128),
    "outputUri": _text(r"s3://[a-z0-9.\-]{3,63}(/\S*)?", "an address such as s3://bucket/prefix", max_length=750),
    "workflowType": _one_of("PRIVATE", "READY2RUN"),
    "workflowOwnerId": _text(r"[0-9]{12}", "an AWS account of 12 digits, as text", max_length=12),
    "workflowVersionName": _text(_NAME, "the name of a workflow version", max_length=64),
    "runGroupId": _text(_ID, "the id of a run group, only digits", max_length=18),
    "priority": _whole_number(0, 100_000, "a whole number"),
    "storageType": _one_of("STATIC", "DYNAMIC"),
    "storageCapacity": _whole_number(0, 100_000, "a whole number of GiB"),
    "cacheId": _text(_ID, "the id of a run cache, only digits", max_length=18),
    "cacheBehavior": _one_of("CACHE_ON_FAILURE", "CACHE_ALWAYS"),
    "logLevel": _one_of("OFF", "FATAL", "ERROR", "ALL"),
    "retentionMode": _one_of("RETAIN", "REMOVE"),
    "networkingMode": _one_of("RESTRICTED", "VPC"),
    "configurationName": _text(_NAME, "the name of a configuration", max_length=128),
    "scratchStorageMode": _one_of("LOCAL", "SHARED"),
    "engineSettings": _object,
    "outputUriPrefixMode": _one_of("SERVICE_DEFINED", "NONE_WITH_OVERWRITE"),
    "parametersUri": _parameters_uri,
    "requesterPaysEnabled": _truth,
    "tags": _tags,
}
_MEMBERS: Mapping[str, str] = {name.lower(): name for name in _READERS}
