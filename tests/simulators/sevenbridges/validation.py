"""What the service finds wrong with a draft's inputs."""

from collections.abc import Mapping, Sequence
from typing import Any

from tests.simulators.sevenbridges.errors import ApiError
from tests.simulators.sevenbridges.platform import Platform, Record

_KINDS: Mapping[str, type | tuple[type, ...]] = {"string": str, "int": int, "boolean": bool, "float": (int, float)}


def problems(platform: Platform, task: Record, raw: Mapping[str, Any]) -> Sequence[Record]:
    """The draft's `errors`: one for each port whose value is of another type, or missing."""
    ports: Mapping[str, str] = raw["inputs"]
    found = [
        _problem(port, f"Value of the input {port} does not match its type: {type}")
        for port, type in ports.items()
        if not _matches(platform, task["inputs"].get(port), type)
    ]
    if task["inputs"].get("no_funds"):
        return [{"type": "error/task_validation/billing", "message": "Insufficient funds", "input_id": None}]
    return found


def _matches(platform: Platform, value: object, type: str) -> bool:
    if value is None:
        return type.endswith("?")
    type = type.removesuffix("?")
    if type.endswith("[]"):
        return isinstance(value, list) and all(_matches(platform, item, type[:-2]) for item in value)
    if type in ("File", "Directory"):
        return _is_file(platform, value, type)
    return isinstance(value, _KINDS[type])


def _is_file(platform: Platform, value: object, type: str) -> bool:
    if not isinstance(value, Mapping) or value.get("class") != type or not isinstance(value.get("path"), str):
        return False
    if value["path"] not in platform.files:
        raise ApiError(400, 5002, "Requested file does not exist")
    return True


def _problem(port: str, message: str) -> Record:
    return {"type": "error/task_validation/input/schema", "message": message, "input_id": port}
