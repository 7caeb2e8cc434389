"""Turns the arguments of `wes-daemon submit` into a run request with its tags and attachments."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import NoReturn
from urllib.parse import quote, urlsplit

import click

from wes_daemon.domain.runs import (
    PROVIDER_TYPE_TAG,
    Attachment,
    EngineProviders,
    ProviderType,
    RunId,
    RunSummary,
    WorkflowRequest,
)
from wes_daemon.entrypoints.cli.cwl_document import check_is_workflow, declared_version, read_inputs
from wes_daemon.entrypoints.cli.local_files import exists, expand_home, has_scheme, is_directory, is_file
from wes_daemon.entrypoints.cli.parameters import (
    file_parameters,
    named_values,
    parameters_from_arguments,
    require_readable_here,
    with_absolute_files,
    with_attached_names,
)
from wes_daemon.entrypoints.cli.workflow_inputs import DeclaredInputs

_CWL = "CWL"
_TYPES: Mapping[str, str] = {".cwl": "CWL", ".wdl": "WDL", ".nf": "NFL"}
_SUFFIXES = frozenset({*_TYPES, ".json", ".yaml", ".yml"})
_SUFFIX = re.compile(r"\.[A-Za-z]{1,5}")
_NOT_IN_A_URL = re.compile(r"[\s#%?]")
_ARGUMENT = "WORKFLOW"
_STANDARD_INPUT = "-"
_SLASHES_OF_AN_APP = 2
_VERSIONS: Mapping[str, str] = {"CWL": "v1.2", "WDL": "1.0", "NFL": "DSL2"}


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmitArguments:
    """The arguments of `submit` that describe the run, as they were written.

    Attributes:
        checks: whether the inputs are compared with those that the workflow declares.
    """

    workflow: str
    values: Sequence[str] = ()
    params: str | None = None
    type: str | None = None
    type_version: str | None = None
    tags: Sequence[str] = ()
    provider: str | None = None
    engine: str | None = None
    engine_version: str | None = None
    engine_parameters: Sequence[str] = ()
    attach: Sequence[str] = ()
    checks: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRun:
    """The run that is to be queued.

    Attributes:
        is_found: whether the workflow is a file of this machine or an attachment, or looks like an address.
    """

    request: WorkflowRequest
    is_found: bool = True
    tags: Mapping[str, object] = field(default_factory=dict)
    attachments: Sequence[Attachment] = ()


def read_new_run(
    arguments: SubmitArguments,
    *,
    default: ProviderType,
    engines: EngineProviders,
    run_here: Collection[ProviderType],
) -> NewRun:
    """Read the arguments and the files that they name.

    Args:
        default: the provider if neither the tags nor the engine name one.
        engines: the providers that workflow engines name.
        run_here: the providers that execute runs on this machine, and read its files.

    Raises:
        click.UsageError: an argument is wrong, or a file cannot be read.
    """
    if arguments.engine_version and not arguments.engine:
        raise click.UsageError("--engine-version needs --engine, the name of the engine.")
    names = [text.partition("=")[0] for text in arguments.attach]
    source = _find_workflow(arguments.workflow, names)
    files = _attached_files(arguments.attach, workflow=source.file)
    url, files = _with_workflow(source, files)
    tags = _tags(arguments)
    destination = summary(tags, arguments.engine).destination_if_valid(default, engines)
    runs_here = destination in run_here
    type = arguments.type or source.type
    inputs = _declared_inputs(source, files, type) if arguments.checks else None
    parameters = _parameters(arguments, inputs, resolve_files=not files and runs_here)
    parameters = {name: with_attached_names(value, files) for name, value in parameters.items()}
    if arguments.checks and runs_here:
        require_readable_here(parameters)
    _check_names(parameters, inputs)
    request = WorkflowRequest(
        workflow_url=url,
        workflow_type=type,
        workflow_type_version=arguments.type_version or source.type_version(type),
        workflow_params=parameters,
        workflow_engine=arguments.engine,
        workflow_engine_version=arguments.engine_version,
        workflow_engine_parameters=named_values(arguments.engine_parameters, "--engine-parameter"),
    )
    attachments = [Attachment(name=name, content=_content(file)) for name, file in files.items()]
    is_found = source.file is not None or url.partition("#")[0] in files or has_scheme(url)
    return NewRun(request=request, is_found=is_found, tags=tags, attachments=attachments)


def similar_file(name: str) -> str:
    """Return the name with the suffix of a workflow, if there is such a file; else an empty text."""
    names = [f"{name}{suffix}" for suffix in _TYPES]
    return next((each for each in names if is_file(expand_home(each, _ARGUMENT), _ARGUMENT)), "")


def summary(tags: Mapping[str, object], engine: str | None) -> RunSummary:
    """Return a run without an id, for the rule that chooses its provider."""
    return RunSummary(id=RunId(""), tags=tags, workflow_engine=engine)


@dataclass(frozen=True, slots=True, kw_only=True)
class _WorkflowSource:
    """Where a workflow is.

    Attributes:
        url: its URL, or the provider's own name for it.
        file: its path, if it is a file of this machine.
        fragment: `#` and the name of one of several workflows in the file, or empty.
    """

    url: str
    file: Path | None = None
    fragment: str = ""

    @property
    def type(self) -> str:
        """The type by the file's suffix, or else CWL."""
        return _TYPES.get(PurePosixPath(urlsplit(self.url).path).suffix.lower(), "CWL")

    def type_version(self, type: str) -> str:
        """Return the version that a CWL file declares, or else the usual one."""
        if type.upper() == _CWL and self.file and (version := declared_version(_content(self.file))):
            return version
        return _VERSIONS.get(type.upper(), _VERSIONS["CWL"])


def _find_workflow(text: str, attached: Collection[str]) -> _WorkflowSource:
    """Find the workflow by the argument WORKFLOW: a file, an attachment's name, a URL, or a provider's name for it."""
    if text == _STANDARD_INPUT:
        _refuse_workflow(text, "a workflow cannot be read from standard input")
    whole = expand_home(text, _ARGUMENT)
    if text and is_file(whole, _ARGUMENT):
        return _file_source(whole, "")
    path, hash_sign, name = text.partition("#")
    file = expand_home(path, _ARGUMENT)
    if path and is_file(file, _ARGUMENT):
        return _file_source(file, f"{hash_sign}{name}")
    if not path or path in attached or has_scheme(text):
        return _WorkflowSource(url=text)
    if is_directory(file, _ARGUMENT):
        _refuse_workflow(text, "is a directory")
    if exists(file, _ARGUMENT):
        _refuse_workflow(text, "is no regular file")
    if _looks_like_path(path):
        _refuse_workflow(text, "there is no such file")
    return _WorkflowSource(url=text)


def _file_source(file: Path, fragment: str) -> _WorkflowSource:
    file = file.resolve()
    return _WorkflowSource(url=f"{file.as_uri()}{fragment}", file=file, fragment=fragment)


def _refuse_workflow(text: str, problem: str) -> NoReturn:
    raise click.BadParameter(
        f"{text}: {problem}; name a file, an address such as https://…, or a workflow as its provider calls it.",
        param_hint=_ARGUMENT,
    )


def _looks_like_path(text: str) -> bool:
    suffix = PurePosixPath(text).suffix
    # A service may call its workflows owner/project/name, where the workflow's own name may contain a dot.
    may_be_app = text.count("/") == _SLASHES_OF_AN_APP and suffix.lower() not in _SUFFIXES
    return text.startswith(("./", "../", "/", "~")) or (_SUFFIX.fullmatch(suffix) is not None and not may_be_app)


def _attached_files(arguments: Sequence[str], workflow: Path | None) -> dict[str, Path]:
    """Return the files that `FILE` and `NAME=FILE` of --attach name, by attachment name."""
    files: dict[str, Path] = {}
    for text in arguments:
        name, file = _named_file(text, workflow)
        if files.setdefault(name, file) != file:
            raise click.BadParameter(
                f"{files[name]} and {file} would both be called {name}; write NAME=FILE for one of them.",
                param_hint="--attach",
            )
    return files


def _named_file(text: str, workflow: Path | None) -> tuple[str, Path]:
    plain = expand_home(text, "--attach")
    if is_file(plain, "--attach"):
        return _name_relative_to(workflow, plain.resolve()), plain.resolve()
    name, equals, path = text.partition("=")
    file = expand_home(path, "--attach")
    if not (equals and name and is_file(file, "--attach")):
        folder = file if path else plain
        problem = "is a directory; attach its files one by one" if is_directory(folder, "--attach") else None
        problem = problem or "there is no such file; write FILE, or NAME=FILE"
        raise click.BadParameter(f"{path or text}: {problem}.", param_hint="--attach")
    return name, file.resolve()


def _name_relative_to(workflow: Path | None, file: Path) -> str:
    """Return the name under which the workflow finds the file: relative to the workflow's folder if it is below it."""
    if workflow and file.is_relative_to(workflow.parent):
        return file.relative_to(workflow.parent).as_posix()
    return file.name


def _with_workflow(source: _WorkflowSource, files: dict[str, Path]) -> tuple[str, dict[str, Path]]:
    """Attach the workflow's own file, too: it names the other files relative to itself."""
    if not files or source.file is None:
        return source.url, files
    known = next((name for name, file in files.items() if file == source.file), source.file.name)
    if files.get(known, source.file) != source.file:
        raise click.BadParameter(
            f"{known} is the name of the workflow's own file; attach {files[known]} under another name, as NAME=FILE.",
            param_hint="--attach",
        )
    # Encoded only where it must be: `v1:echo.cwl` remains as it is.
    url = quote(known) if _NOT_IN_A_URL.search(known) else known
    return f"{url}{source.fragment}", {known: source.file, **files}


def _tags(arguments: SubmitArguments) -> dict[str, object]:
    tags: dict[str, object] = dict(named_values(arguments.tags, "--tag"))
    if not arguments.provider:
        return tags
    if tags.get(PROVIDER_TYPE_TAG, arguments.provider) != arguments.provider:
        raise click.UsageError(f"--provider and --tag {PROVIDER_TYPE_TAG}=… name two providers; leave one of them out.")
    return {**tags, PROVIDER_TYPE_TAG: arguments.provider}


def _declared_inputs(source: _WorkflowSource, files: Mapping[str, Path], type: str) -> DeclaredInputs | None:
    """Check the workflow's file, if it is on this machine, and return the inputs that a CWL document declares."""
    name, _, fragment = source.url.partition("#")
    file = source.file or files.get(name)
    if file is None:
        return None
    text = check_is_workflow(str(file), _content(file))
    return read_inputs(str(file), text, source.fragment or fragment) if type.upper() == _CWL else None


def _check_names(parameters: Mapping[str, object], inputs: DeclaredInputs | None) -> None:
    if inputs and (problems := inputs.problems(parameters)):
        raise click.UsageError(f"{'; '.join(problems)}. With --no-checks the run is queued all the same.")


def _parameters(
    arguments: SubmitArguments, inputs: DeclaredInputs | None, *, resolve_files: bool
) -> Mapping[str, object]:
    from_file = file_parameters(arguments.params) if arguments.params else {}
    from_arguments = parameters_from_arguments(arguments.values, inputs)
    if not resolve_files:
        return {**from_file, **from_arguments}
    folder = Path()
    if arguments.params and arguments.params != _STANDARD_INPUT:
        folder = expand_home(arguments.params, "--params").parent
    resolved = {name: with_absolute_files(value, folder, f"{name} in --params") for name, value in from_file.items()}
    return resolved | {name: with_absolute_files(value, Path(), name) for name, value in from_arguments.items()}


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise click.UsageError(f"{file} cannot be read: {error.strerror}.") from error
