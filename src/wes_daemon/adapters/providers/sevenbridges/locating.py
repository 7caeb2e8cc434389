"""From what a user may write for a file to the file's id."""

from collections.abc import Collection
from urllib.parse import unquote, urlsplit

from wes_daemon.adapters.providers.sevenbridges.config import SevenBridgesConfig
from wes_daemon.adapters.providers.sevenbridges.files import Files
from wes_daemon.adapters.providers.sevenbridges.imports import Imports
from wes_daemon.adapters.providers.sevenbridges.inputs import Reference, is_file_id
from wes_daemon.application.ports.errors import Rejected

FORMS = "a file id, a path in the project, sbg://owner/project/path, drs://, s3:// or gs://"


class Locator:
    """Finds files, and has those of buckets imported."""

    def __init__(self, config: SevenBridgesConfig, *, files: Files, imports: Imports) -> None:
        self._config = config
        self._files = files
        self._imports = imports

    def file_id(self, reference: Reference, project: str, attachments: Collection[str]) -> str | None:
        """The file's id, or None while its import is under way.

        Raises:
            Rejected: there is no such file, or none that can be had.
            Failure, NotNow: it could not be looked for.
        """
        path = reference.path
        scheme = _scheme(reference)
        if is_file_id(path):
            return path
        if scheme == "sbg":
            return self._by_address(reference)
        if scheme == "drs":
            return self._by_drs(reference)
        if scheme in ("s3", "gs"):
            return self._imports.file_id(reference, project)
        if scheme:
            raise _refused(reference, scheme)
        return self._by_path(reference, project, attachments)

    def _by_address(self, reference: Reference) -> str:
        owner, _, rest = unquote(reference.path.removeprefix("sbg://")).partition("/")
        project, _, path = rest.partition("/")
        if not (owner and project and path.strip("/")):
            raise Rejected(f"input {reference.at}: {reference} is not of the form sbg://owner/project/path")
        return self._files.find(f"{owner}/{project}", path, reference)

    def _by_path(self, reference: Reference, project: str, attachments: Collection[str]) -> str:
        if reference.path.removeprefix("./") in attachments:
            raise Rejected(
                f"input {reference.at}: {reference} is an attachment, and those are not uploaded to "
                f"Seven Bridges: upload it to the project {project} and name it by its path there"
            )
        return self._files.find(project, reference.path, reference)

    def _by_drs(self, reference: Reference) -> str:
        parts = urlsplit(reference.path)
        id = parts.path.rpartition("/")[2]
        if self._is_of_platform(parts.hostname or "") and is_file_id(id):
            return id
        raise Rejected(
            f"input {reference.at}: {reference} is no file of this platform: "
            "import it into the project first, then name it by its id or path there"
        )

    def _is_of_platform(self, host: str) -> bool:
        if known := self._config.known_drs_host:
            return host == known
        # Not documented for this endpoint: what else it may be is judged by the service, by the file's id.
        domain = self._config.host.partition(".")[2]
        return host == self._config.host or (host.endswith(f".{domain}") and "ga4gh" in host)


def _scheme(reference: Reference) -> str:
    try:
        return urlsplit(reference.path).scheme if "://" in reference.path else ""
    except ValueError:
        # Its text may repeat what stands before the path.
        raise Rejected(f"input {reference.at}: {reference} is no address; it may be {FORMS}") from None


def _refused(reference: Reference, scheme: str) -> Rejected:
    reason = (
        "Seven Bridges has no API that fetches from web addresses; upload the file to the project, or put it into "
        "a bucket that is attached as a volume"
        if scheme in ("http", "https", "ftp")
        else f"Seven Bridges does not know {scheme}:// addresses"
    )
    return Rejected(f"input {reference.at}: {reference}: {reason}; it may be {FORMS}")
