"""The plan of a run: the validated submission, reduced to what the runner needs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from pathlib import Path, PurePosixPath
from typing import Self
from urllib.parse import SplitResult, quote, unquote, urljoin, urlsplit

from wes_daemon.adapters.providers.local.engine_parameters import (
    ContainerEngine,
    EngineParameters,
    OnError,
    read_engine_parameters,
)
from wes_daemon.adapters.providers.local.engines import ExternalEngine, require_supported
from wes_daemon.adapters.providers.local.run_directory import RunDirectory, read_object
from wes_daemon.application.ports.errors import Rejected, WrongProvider
from wes_daemon.application.ports.providers import Submission
from wes_daemon.domain.addresses import public_url
from wes_daemon.domain.errors import InvalidRequest
from wes_daemon.domain.runs import Attachment, WorkflowRequest

VERSIONS = ("v1.0", "v1.1", "v1.2")
FETCH_TIMEOUT = timedelta(seconds=60)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What the runner executes.

    Attributes:
        document: an address, or a reference relative to the attachments; percent-encoded, with its fragment.
        inputs_file: the name of the file among the attachments that contains the workflow's inputs.
        fetch_timeout: the longest wait for the next byte of a download.
        engine: what executes the workflow; `None` is the built-in engine.
    """

    document: str
    inputs_file: str
    parameters: EngineParameters
    fetch_timeout: timedelta = FETCH_TIMEOUT
    engine: ExternalEngine | None = None

    def as_object(self) -> Mapping[str, object]:
        """Return the JSON object to write."""
        return {
            "document": self.document,
            "inputs_file": self.inputs_file,
            "fetch_timeout": self.fetch_timeout.total_seconds(),
            "parallel": self.parameters.parallel,
            "on_error": self.parameters.on_error.value,
            "preserve_environment": list(self.parameters.preserve_environment),
            "container": self.parameters.container,
            "relax_path_checks": self.parameters.relax_path_checks,
            "engine": self.engine.as_object() if self.engine else None,
        }

    @classmethod
    def from_object(cls, found: Mapping[str, object]) -> Self:
        """Read a JSON object that `as_object` returned."""
        names = found.get("preserve_environment")
        container = found.get("container")
        fetch_timeout = found.get("fetch_timeout")
        return cls(
            document=str(found["document"]),
            inputs_file=str(found["inputs_file"]),
            parameters=EngineParameters(
                parallel=found.get("parallel") is True,
                on_error=OnError(str(found.get("on_error", OnError.STOP))),
                preserve_environment=[str(name) for name in names] if isinstance(names, list) else [],
                container=None if container is None else ContainerEngine(str(container)),
                relax_path_checks=found.get("relax_path_checks") is True,
            ),
            fetch_timeout=timedelta(seconds=fetch_timeout) if isinstance(fetch_timeout, int | float) else FETCH_TIMEOUT,
            engine=ExternalEngine.from_object(found.get("engine")),
        )

    def document_address(self, run: RunDirectory) -> str:
        """Return the absolute address of the workflow document."""
        return urljoin(f"{run.attachments.as_uri()}/", self.document)


def make_plan(submission: Submission, *, engine: ExternalEngine | None = None) -> Plan:
    """Validate a submission for an engine; `None` is the built-in one.

    Raises:
        Rejected: the submission can never be executed here; the message says how to correct it.
    """
    request = submission.request
    try:
        request.validate()
        parameters = read_engine_parameters(request.engine_parameters)
    except InvalidRequest as error:
        raise Rejected(str(error)) from error
    _check_type(request)
    if engine:
        require_supported(engine, request.engine_parameters)
    _check_texts(request.params, "workflow_params")
    return Plan(
        document=_document(request.workflow_url, submission.attachments),
        inputs_file=_unused_name(submission.attachments),
        parameters=parameters,
        engine=engine,
    )


def recorded_engine(run: RunDirectory) -> ExternalEngine | None:
    """Return the engine with which a run was prepared; `None` is the built-in one."""
    return ExternalEngine.from_object((read_object(run.request) or {}).get("engine"))


def _check_type(request: WorkflowRequest) -> None:
    if request.workflow_type.strip().lower() != "cwl":
        raise WrongProvider(f"workflow_type is {request.workflow_type!r}: the local provider runs CWL only")
    version = request.workflow_type_version.strip().lower()
    if version and f"v{version.removeprefix('v')}" not in VERSIONS:
        known = ", ".join(VERSIONS)
        raise Rejected(f"workflow_type_version is {request.workflow_type_version!r}: the local provider runs {known}")


def _check_texts(value: object, place: str) -> None:
    """Reject lone surrogates: JSON can express them, and no file can contain them."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            _check_text(str(name), f"{place}, in a name")
            _check_texts(inner, f"{place}.{name}")
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            _check_texts(inner, f"{place}[{index}]")
    elif isinstance(value, str):
        _check_text(value, place)


def _check_text(text: str, place: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        # Not `from error`: that error contains the value.
        found = f"U+{ord(text[error.start]):04X}"
        raise Rejected(
            f"{place} contains {found}, half of a surrogate pair: decode the text as UTF-8 or UTF-16"
        ) from None


def _document(url: str, attachments: Sequence[Attachment]) -> str:
    # The name of an attachment may look like an address: `v1:echo.cwl`.
    if url.partition("#")[0] in {attachment.name for attachment in attachments}:
        return _attachment_reference(url, attachments)
    scheme = _split(url).scheme
    if scheme in ("http", "https"):
        return url
    if scheme == "file":
        return _local_file(url)
    if scheme or url.startswith("/"):
        raise _wrong_provider(
            url, ": use http(s)://…, file:///… for a file on the daemon's machine, or the name of an attachment"
        )
    return _attachment_reference(url, attachments)


def _local_file(url: str) -> str:
    parts = _split(url)
    if parts.netloc not in ("", "localhost"):
        raise _rejected(url, f" names the machine {parts.hostname!r}: write file:///… with three slashes")
    if not Path(unquote(parts.path)).is_file():
        raise _rejected(url, ": there is no such file on the daemon's machine")
    return parts._replace(netloc="").geturl()


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:
        # Not `from error`: the text of that error can contain a password.
        raise _rejected(url, " is no valid address: percent-encode its special characters") from None


def _attachment_reference(url: str, attachments: Sequence[Attachment]) -> str:
    path, hash_sign, fragment = url.partition("#")
    names = {str(PurePosixPath(attachment.name)) for attachment in attachments}
    candidates = (str(PurePosixPath(spelling)) for spelling in (path, unquote(path)))
    for name in candidates:
        if name in names:
            # Without the "./" a name such as "a:b.cwl" would be an address with a scheme.
            return f"./{quote(name)}{hash_sign}{fragment}"
    if names:
        raise _rejected(url, f" names no attachment: the attachments are {', '.join(sorted(names))}")
    raise _wrong_provider(
        url,
        " is no address, and the run has no attachments: use http(s)://…, file:///… for a file on the daemon's "
        "machine, or attach the workflow under this name",
    )


def _rejected(url: str, reason: str) -> Rejected:
    return Rejected(f"workflow_url {public_url(url)!r}{reason}")


def _wrong_provider(url: str, reason: str) -> WrongProvider:
    return WrongProvider(str(_rejected(url, reason)))


def _unused_name(attachments: Sequence[Attachment]) -> str:
    """Return a name for the inputs file that no attachment has.

    The inputs file is placed among the attachments, because cwltool resolves relative paths against its location.
    """
    used = {PurePosixPath(attachment.name).parts[0].lower() for attachment in attachments}
    return next(name for n in count() if (name := f"wes-inputs-{n}.json") not in used)
