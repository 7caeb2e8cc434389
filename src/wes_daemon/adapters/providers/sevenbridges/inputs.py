"""The files among a run's inputs: found wherever they stand, and replaced by what the platform calls them."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from wes_daemon.application.ports.errors import Rejected
from wes_daemon.domain.addresses import public_url

_FILE_ID = re.compile(r"[0-9a-f]{24}")
_ADDRESS = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://")
_CLASSES = ("File", "Directory")


@dataclass(frozen=True, slots=True)
class Reference:
    """One file or directory as the user named it.

    Attributes:
        kind: `File` or `Directory`.
        at: where it stands among the inputs, for messages.
    """

    kind: str
    path: str
    at: str

    def __str__(self) -> str:
        """The path, for messages: of an address without what may be secret."""
        return public_url(self.path) if _ADDRESS.match(self.path) else self.path


Visit = Callable[[Reference], str]
"""Takes a reference and returns the file's id."""


def replaced(inputs: Mapping[str, object], visit: Visit) -> Mapping[str, object]:
    """The inputs with every file's path as `visit` answers it.

    Raises:
        Rejected: a file without a path, such as a literal.
    """
    return {name: _replaced(value, visit, name) for name, value in inputs.items()}


def bare_paths(inputs: Mapping[str, object]) -> frozenset[str]:
    """The ports whose value is text that could stand for a file; whether it does only the app can tell."""
    return frozenset(name for name, value in inputs.items() if any(map(_could_be_file, _texts(value))))


def as_files(inputs: Mapping[str, object], ports: Mapping[str, str]) -> Mapping[str, object]:
    """The inputs with text written out as a file or directory where the app's port takes such.

    Args:
        ports: `File` or `Directory` by port.
    """
    return {name: _as_file(value, ports[name]) if name in ports else value for name, value in inputs.items()}


def is_file_id(text: str) -> bool:
    """Whether it is what the platform calls a file."""
    return _FILE_ID.fullmatch(text) is not None


def _replaced(value: object, visit: Visit, at: str) -> object:
    if isinstance(value, list):
        return [_replaced(item, visit, f"{at}[{number}]") for number, item in enumerate(value)]
    if not isinstance(value, Mapping):
        return value
    inner = {name: _replaced(item, visit, f"{at}.{name}") for name, item in value.items()}
    return _with_id(inner, visit, at) if value.get("class") in _CLASSES else inner


def _with_id(file: Mapping[str, object], visit: Visit, at: str) -> Mapping[str, object]:
    path = file.get("path") or file.get("location")
    if not isinstance(path, str):
        raise Rejected(
            f"input {at}: a {file['class']} needs a path: a file id, a path in the project, sbg://, drs://, s3:// or "
            "gs://; Seven Bridges takes no literal contents"
        )
    rest = {name: item for name, item in file.items() if name != "location"}
    return {**rest, "path": visit(Reference(str(file["class"]), path, at))}


def _texts(value: object) -> list[str]:
    return [item for item in (value if isinstance(value, list) else [value]) if isinstance(item, str)]


def _could_be_file(text: str) -> bool:
    return is_file_id(text) or _ADDRESS.match(text) is not None


def _as_file(value: object, kind: str) -> object:
    if isinstance(value, list):
        return [_as_file(item, kind) for item in value]
    return {"class": kind, "path": value} if isinstance(value, str) else value
