"""What a request to HealthOmics may hold, by botocore's own model of the service."""

import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, unquote

from botocore.loaders import Loader
from botocore.model import ServiceModel

_PRINTABLE = "LMZSNP"


class Invalid(Exception):
    """The request is not what the model describes."""


class OmicsModel:
    """The operations that there are, and the shapes of what they take and give."""

    def __init__(self) -> None:
        self._model = ServiceModel(Loader().load_service_model("omics", "service-2"), "omics")
        self._routes = [
            (operation.http["method"], _route(operation.http["requestUri"]), name)
            for name in self._model.operation_names
            if (operation := self._model.operation_model(name)).endpoint["hostPrefix"] == "workflows-"
        ]

    def route(self, method: str, path: str) -> tuple[str, Mapping[str, str]] | None:
        """The operation's name and what the path says, or None where nothing is served."""
        for known, form, name in self._routes:
            if known == method and (found := form.fullmatch(path)):
                return name, {key: unquote(value) for key, value in found.groupdict().items()}
        return None

    def read(self, operation: str, path: Mapping[str, str], query: str, body: bytes) -> dict[str, Any]:
        """The request's members, each of its type.

        Raises:
            Invalid: a member is missing, unknown, or not what the model asks for.
        """
        shape = self._model.operation_model(operation).input_shape
        given: dict[str, Any] = dict(path)
        for name, text in parse_qsl(query, keep_blank_values=True):
            given[name] = _from_text(shape.members.get(name), text)
        try:
            given |= json.loads(body) if body else {}
        except (ValueError, TypeError):
            raise Invalid("the body is no JSON object") from None
        _check(shape, given, "request")
        return given

    def write(self, operation: str, answer: Mapping[str, Any] | None) -> tuple[int, bytes]:
        """Status and body of an answer; what the model does not know is left out."""
        model = self._model.operation_model(operation)
        status = int(model.http["responseCode"])
        if answer is None:
            return status, b""
        return status, json.dumps(_shaped(model.output_shape, answer), default=_time).encode()

    def error_status(self, code: str) -> int:
        """The HTTP status of one of the service's errors."""
        return int(self._model.shape_for(code).metadata["error"]["httpStatusCode"])


def _route(uri: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", re.escape(uri)))


def _from_text(shape: Any, text: str) -> object:
    return int(text) if shape is not None and shape.type_name == "integer" and text.lstrip("-").isdigit() else text


def _check(shape: Any, value: object, place: str) -> None:
    if getattr(shape, "is_document_type", False):
        _require(isinstance(value, dict), f"{place} must be an object")
    elif shape.type_name == "structure":
        _check_structure(shape, value, place)
    elif shape.type_name == "map":
        _check_map(shape, value, place)
    elif shape.type_name == "list":
        _require(isinstance(value, list), f"{place} must be a list")
    elif shape.type_name == "string":
        _check_string(shape, value, place)
    elif shape.type_name in ("integer", "long"):
        _require(type(value) is int, f"{place} must be a number")
        _check_range(shape, value, f"the value of {place}")


def _check_structure(shape: Any, value: object, place: str) -> None:
    _require(isinstance(value, dict), f"{place} must be an object")
    assert isinstance(value, dict)
    for name in shape.required_members:
        _require(name in value, f"{place}: {name} is missing")
    for name, member in value.items():
        _require(name in shape.members, f"{place}: {name} is not known")
        _check(shape.members[name], member, name)


def _check_map(shape: Any, value: object, place: str) -> None:
    _require(isinstance(value, dict), f"{place} must be an object")
    assert isinstance(value, dict)
    for name, member in value.items():
        _check(shape.key, name, f"a name in {place}")
        _check(shape.value, member, f"{place}.{name}")


def _check_string(shape: Any, value: object, place: str) -> None:
    _require(isinstance(value, str), f"{place} must be a text")
    assert isinstance(value, str)
    _check_range(shape, len(value), f"the length of {place}")
    enum: Sequence[str] = getattr(shape, "enum", ())
    _require(not enum or value in enum, f"{place} must be one of {', '.join(enum)}")
    pattern = shape.metadata.get("pattern")
    _require(pattern is None or _matches(pattern, value), f"{place} must match {pattern}")


def _check_range(shape: Any, number: Any, what: str) -> None:
    lowest, highest = shape.metadata.get("min"), shape.metadata.get("max")
    _require(lowest is None or number >= lowest, f"{what} must be at least {lowest}")
    _require(highest is None or number <= highest, f"{what} must be at most {highest}")


def _matches(pattern: str, value: str) -> bool:
    if r"\p{" in pattern:
        # Java's classes of characters, which `re` does not have: anything that can be printed.
        return all(unicodedata.category(character)[0] in _PRINTABLE for character in value)
    return re.fullmatch(pattern, value) is not None


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise Invalid(otherwise)


def _shaped(shape: Any, answer: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if name in shape.members and value is not None}


def _time(value: object) -> str:
    assert isinstance(value, datetime)
    return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
