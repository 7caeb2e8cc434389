"""What WORKFLOW and --attach on a command line mean: an address, a file, the files that go with it."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

import click

from wes_daemon.domain.runs import Attachment
from wes_daemon.entrypoints.cli.paths import at_home

_TYPES: Mapping[str, str] = {".cwl": "CWL", ".wdl": "WDL", ".nf": "NFL"}
_SUFFIXES = frozenset({*_TYPES, ".json", ".yaml", ".yml"})
_SUFFIX = re.compile(r"\.[A-Za-z]{1,5}")
_SLASHES_OF_AN_APP = 2
_VERSIONS: Mapping[str, str] = {"CWL": "v1.2", "WDL": "1.0", "NFL": "DSL2"}

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:")
_CWL_VERSION = re.compile(r"""^\s*\{?\s*["']?cwlVersion["']?\s*:\s*["']?(?P<version>[\w.\-]+)""", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowSource:
    """Where a workflow is.

    Attributes:
        url: the address, or the provider's own name for it.
        file: where it is a file of this machine.
        fragment: names one of several workflows in the file; with its `#`, or empty.
    """

    url: str
    file: Path | None = None
    fragment: str = ""

    @property
    def type(self) -> str:
        """What its name tells; CWL where that tells nothing."""
        return _TYPES.get(PurePosixPath(urlsplit(self.url).path).suffix.lower(), "CWL")

    def type_version(self, type: str) -> str:
        """What a CWL file says of itself, else what is usual."""
        if type.upper() == "CWL" and self.file and (found := _CWL_VERSION.search(_text(self.file))):
            return found["version"]
        return _VERSIONS.get(type.upper(), _VERSIONS["CWL"])


def has_scheme(text: str) -> bool:
    """Whether it is an address rather than a path."""
    return _SCHEME.match(text) is not None


def find_workflow(given: str, attached: Collection[str]) -> WorkflowSource:
    """What WORKFLOW means; `attached` are the names of attachments, which it may be one of.

    Raises:
        click.BadParameter: it must be meant as a file, but there is none.
    """
    path, hash_sign, name = given.partition("#")
    file = at_home(path, "WORKFLOW")
    if not path or has_scheme(given) or (path in attached and not file.exists()):
        return WorkflowSource(url=given)
    if file.is_file():
        fragment = f"{hash_sign}{name}"
        return WorkflowSource(url=f"{file.resolve().as_uri()}{fragment}", file=file.resolve(), fragment=fragment)
    if file.is_dir() or _looks_like_path(path):
        problem = "is a directory" if file.is_dir() else "there is no such file"
        raise click.BadParameter(
            f"{given}: {problem}; name a file, an address such as https://…, or a workflow as its provider calls it.",
            param_hint="WORKFLOW",
        )
    return WorkflowSource(url=given)


def read_attachments(given: Sequence[str], beside: Path | None) -> dict[str, Path]:
    """What `FILE` and `NAME=FILE` of --attach mean: the attachments' files by name.

    Args:
        beside: the workflow's file: attachments below its folder are named relative to that, so that it finds them.
    """
    found: dict[str, Path] = {}
    for text in given:
        name, file = _named_file(text, beside)
        if found.setdefault(name, file) != file:
            raise click.BadParameter(
                f"{found[name]} and {file} would both be called {name}; write NAME=FILE for one of them.",
                param_hint="--attach",
            )
    return found


def attachments(files: Mapping[str, Path]) -> Sequence[Attachment]:
    """The attachments with their contents."""
    return [Attachment(name=name, content=_bytes(file)) for name, file in files.items()]


def _named_file(text: str, beside: Path | None) -> tuple[str, Path]:
    plain = at_home(text, "--attach")
    if plain.is_file():
        return _name_beside(plain.resolve(), beside), plain.resolve()
    name, equals, path = text.partition("=")
    file = at_home(path, "--attach")
    if not (equals and name and file.is_file()):
        raise click.BadParameter(f"{path or text}: there is no such file.", param_hint="--attach")
    return name, file.resolve()


def _name_beside(file: Path, beside: Path | None) -> str:
    if beside and file.is_relative_to(beside.parent):
        return file.relative_to(beside.parent).as_posix()
    return file.name


def _looks_like_path(text: str) -> bool:
    suffix = PurePosixPath(text).suffix
    # Seven Bridges calls an app owner/project/app, and the last may have a dot.
    may_be_app = text.count("/") == _SLASHES_OF_AN_APP and suffix.lower() not in _SUFFIXES
    return text.startswith(("./", "../", "/", "~")) or (_SUFFIX.fullmatch(suffix) is not None and not may_be_app)


def _text(file: Path) -> str:
    return _bytes(file).decode("utf-8", "replace")


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise click.UsageError(f"{file} cannot be read: {error.strerror}.") from error
