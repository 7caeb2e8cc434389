"""Prepares the inputs of a run for a task: replaces every file and directory by its id on the platform."""

import json
import re
from collections.abc import Callable, Collection, Mapping
from datetime import timedelta
from urllib.parse import quote, unquote, urlsplit

from wes_daemon.adapters.json_values import as_object, as_objects, as_text
from wes_daemon.adapters.providers.sevenbridges.client import SevenBridgesClient
from wes_daemon.adapters.providers.sevenbridges.config import SevenBridgesConfig
from wes_daemon.adapters.providers.sevenbridges.errors import Failure, provider_error
from wes_daemon.adapters.providers.sevenbridges.files import Reference, find_file, is_address, is_file_id
from wes_daemon.adapters.providers.sevenbridges.imports import Imports
from wes_daemon.adapters.providers.sevenbridges.task_request import TaskRequest
from wes_daemon.application.ports.errors import AnswerLost, NotNow, OutcomeUnknown, Rejected, Unavailable

FILE_FORMS = "a file id, a path in the project, sbg://owner/project/path, drs://, s3:// or gs://"

IdOf = Callable[[Reference], str]
"""Returns the id of a file or directory."""

_IMPORT_DELAY = timedelta(seconds=30)
_CLASSES = ("File", "Directory")


class InputFiles:
    """Finds the ids of a run's input files, and imports the files that are in buckets."""

    def __init__(self, client: SevenBridgesClient, config: SevenBridgesConfig, *, imports: Imports) -> None:
        self._client = client
        self._config = config
        self._imports = imports

    def prepare(self, request: TaskRequest) -> Mapping[str, object]:
        """Return the inputs with file ids. Starts the necessary imports and does not wait for them.

        Raises:
            NotNow: imports are in progress; `retry_after` says when to try again.
            Rejected: a file does not exist or cannot be used.
        """
        importing: list[str] = []

        def id_of(reference: Reference) -> str:
            id = self.file_id(reference, project=request.project, attachments=request.attachments)
            if id is None:
                importing.append(str(reference))
            return id or ""

        inputs = self._with_ids(request, id_of)
        if importing:
            raise NotNow(f"import under way: {', '.join(importing)}", retry_after=_IMPORT_DELAY)
        return inputs

    def file_id(self, reference: Reference, *, project: str, attachments: Collection[str]) -> str | None:
        """Return the file's id, or None while its import is in progress.

        Raises:
            Rejected: the file does not exist or cannot be used.
            Failure, NotNow: the search for the file failed.
        """
        path = reference.path
        scheme = _scheme(reference)
        if is_file_id(path):
            return path
        if scheme == "sbg":
            return self._id_by_address(reference)
        if scheme == "drs":
            return self._id_by_drs(reference)
        if scheme in ("s3", "gs"):
            return self._imports.file_id(reference, project)
        if scheme:
            raise _unsupported(reference, scheme)
        return self._id_by_path(reference, project=project, attachments=attachments)

    def _with_ids(self, request: TaskRequest, id_of: IdOf) -> Mapping[str, object]:
        try:
            return replace_paths(self._with_files(request), id_of)
        except Failure as failure:
            # A folder or an import may have been created; the next attempt finds it. A run was certainly not created.
            error = provider_error(failure)
            if isinstance(error, OutcomeUnknown):
                kind = Unavailable if isinstance(error, AnswerLost) else NotNow
                raise kind(str(failure), retry_after=failure.retry_after) from failure
            raise

    def _with_files(self, request: TaskRequest) -> Mapping[str, object]:
        """Return the inputs with strings for files written as objects.

        The app's ports are requested only if there may be such strings.
        """
        ports = string_ports(request.inputs)
        if not ports:
            return request.inputs
        kinds = file_ports(self._client, request.app)
        return strings_as_files(request.inputs, {port: kind for port, kind in kinds.items() if port in ports})

    def _id_by_address(self, reference: Reference) -> str:
        owner, _, rest = unquote(reference.path.removeprefix("sbg://")).partition("/")
        project, _, path = rest.partition("/")
        if not (owner and project and path.strip("/")):
            raise Rejected(f"input {reference.at}: {reference} is not of the form sbg://owner/project/path")
        return find_file(self._client, reference, project=f"{owner}/{project}", path=path)

    def _id_by_path(self, reference: Reference, *, project: str, attachments: Collection[str]) -> str:
        if reference.path.removeprefix("./") in attachments:
            raise Rejected(
                f"input {reference.at}: {reference} is an attachment, and attachments are not uploaded to "
                f"Seven Bridges: upload it to the project {project} and name it by its path there"
            )
        return find_file(self._client, reference, project=project, path=reference.path)

    def _id_by_drs(self, reference: Reference) -> str:
        parts = urlsplit(reference.path)
        id = parts.path.rpartition("/")[2]
        if self._is_platform_host(parts.hostname or "") and is_file_id(id):
            return id
        raise Rejected(
            f"input {reference.at}: {reference} is not a file of this platform: "
            "import it into the project first, then name it by its id or path there"
        )

    def _is_platform_host(self, host: str) -> bool:
        if known := self._config.known_drs_host:
            return host == known
        # The endpoint's DRS host is not documented: accept likely hosts, and let the service check the file id.
        domain = self._config.host.partition(".")[2]
        return host == self._config.host or (host.endswith(f".{domain}") and "ga4gh" in host)


def replace_paths(inputs: Mapping[str, object], id_of: IdOf) -> Mapping[str, object]:
    """Return the inputs with an id as the path of every file and directory, at any depth.

    Raises:
        Rejected: a file has no path, such as a literal.
    """
    return {name: _replace_paths(value, id_of, at=name) for name, value in inputs.items()}


def string_ports(inputs: Mapping[str, object]) -> frozenset[str]:
    """Return the ports with a string that may stand for a file; only the app's port types decide whether it does."""
    return frozenset(name for name, value in inputs.items() if any(map(_may_be_file, _strings(value))))


def strings_as_files(inputs: Mapping[str, object], kinds: Mapping[str, str]) -> Mapping[str, object]:
    """Return the inputs with each string of a file port written as an object of class `File` or `Directory`.

    Args:
        kinds: `File` or `Directory`, by port.
    """
    return {name: _string_as_file(value, kinds[name]) if name in kinds else value for name, value in inputs.items()}


def file_ports(client: SevenBridgesClient, app: str) -> Mapping[str, str]:
    """Return `File` or `Directory` for each of the app's input ports that takes one. Costs one call.

    Raises:
        Failure: the app cannot be read.
    """
    document = as_object(client.get("GetApp", f"/apps/{quote(app)}").get("raw"))
    return {port: kind for port, type in _port_types(document.get("inputs")) if (kind := _file_kind(type))}


def _replace_paths(value: object, id_of: IdOf, *, at: str) -> object:
    if isinstance(value, list):
        return [_replace_paths(item, id_of, at=f"{at}[{number}]") for number, item in enumerate(value)]
    if not isinstance(value, Mapping):
        return value
    inner = {name: _replace_paths(item, id_of, at=f"{at}.{name}") for name, item in value.items()}
    return _with_id(inner, id_of, at=at) if value.get("class") in _CLASSES else inner


def _with_id(file: Mapping[str, object], id_of: IdOf, *, at: str) -> Mapping[str, object]:
    path = file.get("path") or file.get("location")
    if not isinstance(path, str):
        raise Rejected(
            f"input {at}: a {file['class']} needs a path: a file id, a path in the project, sbg://, drs://, s3:// or "
            "gs://; Seven Bridges accepts no literal contents"
        )
    rest = {name: item for name, item in file.items() if name != "location"}
    return {**rest, "path": id_of(Reference(str(file["class"]), path, at))}


def _strings(value: object) -> list[str]:
    return [item for item in (value if isinstance(value, list) else [value]) if isinstance(item, str)]


def _may_be_file(text: str) -> bool:
    return is_file_id(text) or is_address(text)


def _string_as_file(value: object, kind: str) -> object:
    if isinstance(value, list):
        return [_string_as_file(item, kind) for item in value]
    return {"class": kind, "path": value} if isinstance(value, str) else value


def _port_types(inputs: object) -> list[tuple[str, object]]:
    """Return each port's name and type, from either form of a CWL document."""
    if isinstance(inputs, Mapping):
        return [(str(name), port.get("type") if isinstance(port, Mapping) else port) for name, port in inputs.items()]
    # draft-2 writes `#name`, packed documents `#main/name`.
    return [(re.split(r"[#/]", as_text(port.get("id")))[-1], port.get("type")) for port in as_objects(inputs)]


def _file_kind(type: object) -> str | None:
    match = re.search(r"\b(File|Directory)\b", json.dumps(type))
    return match.group(1) if match else None


def _scheme(reference: Reference) -> str:
    try:
        return urlsplit(reference.path).scheme if "://" in reference.path else ""
    except ValueError:
        # The error is not chained: its text may contain credentials of the address.
        raise Rejected(f"input {reference.at}: {reference} is not an address; it may be {FILE_FORMS}") from None


def _unsupported(reference: Reference, scheme: str) -> Rejected:
    reason = (
        "Seven Bridges has no API that fetches from web addresses; upload the file to the project, or put it into "
        "a bucket that is attached as a volume"
        if scheme in ("http", "https", "ftp")
        else f"Seven Bridges does not know {scheme}:// addresses"
    )
    return Rejected(f"input {reference.at}: {reference}: {reason}; it may be {FILE_FORMS}")
