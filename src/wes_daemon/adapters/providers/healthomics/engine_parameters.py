"""The engine parameters that this provider knows: StartRun's own names, in its spelling or in snake_case."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from wes_daemon.application.ports.errors import Rejected
from wes_daemon.domain.runs import PROVIDER_ID_TAG, PROVIDER_TYPE_TAG

TAG_PREFIX = "provider_"

_NOT_PARAMETERS = frozenset({PROVIDER_ID_TAG, PROVIDER_TYPE_TAG})


@dataclass(frozen=True, slots=True)
class _Given:
    """A value and where it was found, for complaints."""

    place: str
    value: object

    def wrong(self, expected: str) -> Rejected:
        return Rejected(f"{self.place} must be {expected}, but is {self.value!r}")


def read_engine_parameters(parameters: Mapping[str, object], tags: Mapping[str, object]) -> Mapping[str, Any]:
    """Members of StartRun's request, each of the type that it needs there.

    A tag `provider_NAME` stands in for a parameter that is not given; null and empty text mean "not given".
    WES 1.1 says that every value is text, so numbers and objects are read from text as well.

    Raises:
        Rejected: a name that is not known or is given twice, or a value of the wrong kind.
    """
    from_tags = {name: value for name, value in tags.items() if name.startswith(TAG_PREFIX)}
    given = _by_member(
        (name.removeprefix(TAG_PREFIX), _Given(f"tags.{name}", value))
        for name, value in from_tags.items()
        if name not in _NOT_PARAMETERS
    ) | _by_member((name, _Given(f"workflow_engine_parameters.{name}", value)) for name, value in parameters.items())
    return {member: _READERS[member](found) for member, found in given.items()}


def _by_member(given: Iterator[tuple[str, _Given]]) -> dict[str, _Given]:
    found: dict[str, _Given] = {}
    for name, value in given:
        member = _MEMBERS.get(name.replace("_", "").lower())
        if member is None:
            raise Rejected(f"{value.place}: AWS HealthOmics knows only {', '.join(_READERS)}")
        if value.value in (None, ""):
            continue
        if member in found:
            raise Rejected(f"{value.place}: the same as {found[member].place}; give it once")
        found[member] = value
    return found


def _text(pattern: str, expected: str, *, longest: int) -> Callable[[_Given], str]:
    form = re.compile(pattern, re.ASCII)

    def read(given: _Given) -> str:
        # A number is what YAML and shells make of an id.
        text = str(given.value) if isinstance(given.value, str) or type(given.value) is int else ""
        if not form.fullmatch(text) or len(text) > longest:
            raise given.wrong(expected)
        return text

    return read


def _one_of(*words: str) -> Callable[[_Given], str]:
    def read(given: _Given) -> str:
        word = given.value.upper() if isinstance(given.value, str) else None
        if word not in words:
            raise given.wrong(" or ".join(words))
        return str(word)

    return read


def _whole_number(lowest: int, highest: int, unit: str) -> Callable[[_Given], int]:
    def read(given: _Given) -> int:
        value = given.value
        text = str(value) if isinstance(value, str) or type(value) is int else ""
        if not re.fullmatch(r"[0-9]{1,9}", text, re.ASCII) or not lowest <= int(text) <= highest:
            raise given.wrong(f"{unit} from {lowest} to {highest}")
        return int(text)

    return read


def _object(given: _Given) -> Mapping[str, Any]:
    value = given.value
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            raise given.wrong("a JSON object") from None
    if not isinstance(value, Mapping):
        raise given.wrong("a JSON object")
    return dict(value)


def _texts(given: _Given) -> Mapping[str, str]:
    found = _object(given)
    if not all(isinstance(value, str) and len(value) <= 256 and 0 < len(name) <= 128 for name, value in found.items()):
        raise given.wrong("an object of texts: names of up to 128 characters, values of up to 256")
    return found


_ID = r"[0-9]+"
_NAME = r"[A-Za-z0-9][A-Za-z0-9\-._]*"

# Source: botocore's omics model 2022-11-28, shape StartRunRequest.
_READERS: Mapping[str, Callable[[_Given], Any]] = {
    "roleArn": _text(r"arn:\S+", "the ARN of a role", longest=128),
    "outputUri": _text(r"s3://[a-z0-9.\-]{3,63}(/\S*)?", "an address such as s3://bucket/prefix", longest=750),
    "workflowType": _one_of("PRIVATE", "READY2RUN"),
    "workflowOwnerId": _text(r"[0-9]{12}", "an AWS account of 12 digits, as text", longest=12),
    "workflowVersionName": _text(_NAME, "the name of a workflow version", longest=64),
    "runGroupId": _text(_ID, "the id of a run group, only digits", longest=18),
    "priority": _whole_number(0, 100_000, "a whole number"),
    "storageType": _one_of("STATIC", "DYNAMIC"),
    "storageCapacity": _whole_number(0, 100_000, "a whole number of GiB"),
    "cacheId": _text(_ID, "the id of a run cache, only digits", longest=18),
    "cacheBehavior": _one_of("CACHE_ON_FAILURE", "CACHE_ALWAYS"),
    "logLevel": _one_of("OFF", "FATAL", "ERROR", "ALL"),
    "retentionMode": _one_of("RETAIN", "REMOVE"),
    "networkingMode": _one_of("RESTRICTED", "VPC"),
    "configurationName": _text(_NAME, "the name of a configuration", longest=128),
    "scratchStorageMode": _one_of("LOCAL", "SHARED"),
    "engineSettings": _object,
    "tags": _texts,
}
_MEMBERS: Mapping[str, str] = {name.lower(): name for name in _READERS}
