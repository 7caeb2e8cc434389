"""How cwltool reads documents and files in a run: downloads with a bound, and no named pipes or devices.

Only the interfaces that cwltool offers to embedding programs are used: `fetcher_constructor` of `LoadingContext`,
`path_mapper` and `make_fs_access` of `RuntimeContext`.
This module imports cwltool; only the engine process may import it.
"""

import glob
import os
import re
import stat
import urllib.request
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, ClassVar
from urllib.parse import unquote, urlsplit

import requests
from cachecontrol import CacheControl
from cachecontrol.caches import FileCache
from cwltool.argparser import arg_parser
from cwltool.context import LoadingContext, RuntimeContext
from cwltool.errors import WorkflowException
from cwltool.pathmapper import MapperEnt, PathMapper
from cwltool.stdfsaccess import StdFsAccess
from schema_salad.exceptions import ValidationException
from schema_salad.fetcher import DefaultFetcher
from schema_salad.ref_resolver import file_uri

from wes_daemon.adapters.providers.local.disk import FULL, require_space, write_when_possible
from wes_daemon.adapters.providers.local.downloads import DownloadFailed, DownloadRefused, Downloads
from wes_daemon.domain.addresses import public_url

_HTTP = frozenset({"http", "https"})
_HTML = re.compile(r"\ufeff?\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html)\b", re.DOTALL | re.I)
_INCLUDED = re.compile(r"\$include[\"']?\s*:\s*[\"']?([^\s\"',}\]]+)")
_SCHEMAS = re.compile(r"\$schemas[\"']?\s*:\s*(\[[^\]]*\]|(?:\s*-[^\n]*)+|[^\n]*)")
_SPECIAL_FILES = {
    stat.S_IFIFO: "a named pipe (FIFO)",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class RunFiles:
    """What a run reads through cwltool, as classes to hand to cwltool.

    Attributes:
        is_unreachable: a download that the run needs failed, and may succeed in another run.
        has_met_full_disk: the disk had no space for an input file.
    """

    def __init__(self, downloads: Downloads, *, outputs: Path, has_failed: Callable[[], bool]) -> None:
        """Create what a run reads with.

        Args:
            outputs: the directory to which cwltool moves the outputs of the workflow.
            has_failed: whether a tool has failed.
        """
        self._downloads = downloads
        self._outputs = outputs
        self._has_failed = has_failed
        self.is_unreachable = False
        self.has_met_full_disk = False

    def document(self, session: requests.Session, url: str, headers: dict[str, str], *, is_needed: bool) -> str:
        """Download a document."""
        try:
            return self._downloads.text(session, url, headers)
        except DownloadRefused as error:
            raise ValidationException(str(error)) from error
        except DownloadFailed as error:
            self.is_unreachable |= is_needed
            raise ValidationException(str(error)) from error

    def is_missing(self, session: requests.Session, url: str) -> bool:
        """Whether a server says that it has no such file."""
        return self._downloads.is_missing(session, url)

    def input_file(self, url: str) -> Path:
        """Download an input file."""
        try:
            return self._downloads.file(_file_session(), url)
        except DownloadRefused as error:
            raise WorkflowException(str(error)) from error
        except DownloadFailed as error:
            self.is_unreachable = True
            raise WorkflowException(str(error)) from error
        except OSError as error:
            self.has_met_full_disk |= error.errno in FULL
            raise WorkflowException(f"cannot save {public_url(url)}, because {error.strerror}") from error

    def wait_for_space(self, folder: str) -> None:
        """Return when the outputs can be moved to `folder`, if it is their directory: nothing else has them.

        A run that has failed does not wait, because its own files may fill the disk.
        """
        if Path(folder) == self._outputs and not self._has_failed():
            write_when_possible(lambda: require_space(self._outputs), folder=self._outputs)

    def fetcher(self) -> Callable[..., "BoundedFetcher"]:
        """Return the class that reads documents."""
        return type("RunFetcher", (BoundedFetcher,), {"run_files": self, "texts": []})

    def path_mapper(self) -> type["DownloadingPathMapper"]:
        """Return the class that locates the files of a step."""
        return type("RunPathMapper", (DownloadingPathMapper,), {"run_files": self})


def read_with(files: RunFiles, arguments: Sequence[str], hooks: Mapping[str, Any], *, produced: Path) -> dict[str, Any]:
    """Return the arguments of `cwltool.main.main` with which it reads through `files`.

    Args:
        arguments: the command line with which it will be called.
        hooks: its other arguments.
        produced: the directory in which steps produce their files.
    """
    options = vars(arg_parser().parse_args(list(arguments)))
    loading = hooks.get("loadingContext") or LoadingContext(options)
    loading.fetcher_constructor = files.fetcher()
    runtime = RuntimeContext(options)
    runtime.path_mapper = files.path_mapper()
    access: type[StdFsAccess] = type("RunFsAccess", (RegularFilesAccess,), {"produced": produced})
    runtime.make_fs_access = access
    return {**hooks, "loadingContext": loading, "runtimeContext": runtime}


class BoundedFetcher(DefaultFetcher):
    """Reads documents, `$import`, `$include` and `$schemas`."""

    run_files: ClassVar[RunFiles]
    texts: ClassVar[list[str]]

    def fetch_text(self, url: str, content_types: list[str] | None = None) -> str:
        """Return the text at an address.

        Raises:
            ValidationException: it cannot be read, or is an HTML page in the place of a CWL document.
        """
        cached = self.cache.get(url)
        if isinstance(cached, str):
            return cached
        text = self._read(url, content_types)
        if _HTML.match(text) and not _is_among(url, _INCLUDED, self.texts):
            raise ValidationException(
                f"{public_url(url)} is an HTML page and not a CWL document; use the address of the file itself, "
                "such as the address behind a button 'Raw' or 'Download'"
            )
        if "$include" in text or "$schemas" in text:
            self.texts.append(text)
        return text

    def check_exists(self, url: str) -> bool:
        """Whether a reference is not known to be wrong; the download decides about a server that does not say."""
        if urlsplit(url).scheme not in _HTTP or url in self.cache or self.session is None:
            return bool(super().check_exists(url))
        return not self.run_files.is_missing(self.session, url)

    def _read(self, url: str, content_types: list[str] | None) -> str:
        parts = urlsplit(url)
        if parts.scheme in _HTTP and self.session is not None:
            headers = {"Accept": f"{', '.join(content_types)}, */*;q=0.8"} if content_types else {}
            # cwltool continues without a missing schema.
            is_needed = not _is_among(url, _SCHEMAS, self.texts)
            return self.run_files.document(self.session, url, headers, is_needed=is_needed)
        if parts.scheme == "file" and (kind := special_file(urllib.request.url2pathname(parts.path))):
            raise ValidationException(f"{url} is {kind} and cannot be read as a document")
        return str(super().fetch_text(url, content_types))


class DownloadingPathMapper(PathMapper):
    """Locates the files of a step, and downloads those that are addresses."""

    run_files: ClassVar[RunFiles]

    def setup(self, referenced_files: Any, basedir: str) -> None:
        """Map the files of a step, or those of the workflow's outputs before they are moved."""
        self.run_files.wait_for_space(self.stagedir)
        super().setup(referenced_files, basedir)

    def visit(self, obj: Any, stagedir: str, basedir: str, copy: bool = False, staged: bool = False) -> None:
        """Map one file or directory."""
        location = obj["location"]
        if urlsplit(location).scheme not in _HTTP or location in self:
            super().visit(obj, stagedir, basedir, copy, staged)
            return
        if obj["class"] == "Directory":
            raise WorkflowException(f"cannot fetch the directory {public_url(location)}; name its files as its listing")
        target = os.path.join(obj.get("dirname") or stagedir, obj["basename"])
        path = str(self.run_files.input_file(location))
        self._pathmap[location] = MapperEnt(path, target, "WritableFile" if copy else "File", staged)
        self.visitlisting(obj.get("secondaryFiles", []), stagedir, basedir, copy=copy, staged=staged)


class RegularFilesAccess(StdFsAccess):
    """Access to regular files and directories only: reading a named pipe would wait for its writer for ever."""

    produced: ClassVar[Path]

    def open(self, fn: str, mode: str) -> IO[Any]:
        """Open a file.

        Raises:
            WorkflowException: it is a named pipe, a socket or a device.
        """
        _require_regular(self._abs(fn))
        return super().open(fn, mode)

    def isdir(self, fn: str) -> bool:
        """Whether a path is a directory.

        Raises:
            WorkflowException: it is a named pipe, a socket or a device that a step has produced.
        """
        if Path(self._abs(fn)).is_relative_to(self.produced):
            _require_regular(self._abs(fn))
        return bool(super().isdir(fn))

    def glob(self, pattern: str) -> list[str]:
        """Return the addresses of the files that match a pattern; the directory before the pattern is no pattern."""
        path = self._abs(pattern)
        if self.basedir and path.startswith(f"{self.basedir}/"):
            path = glob.escape(self.basedir) + path[len(self.basedir) :]
        elif path == self.basedir:
            path = glob.escape(path)
        return [file_uri(str(self._abs(found))) for found in glob.glob(path)]


def special_file(path: str) -> str:
    """Describe a named pipe, a socket or a device, also at the end of a symbolic link; empty for other files."""
    try:
        return _SPECIAL_FILES.get(stat.S_IFMT(os.stat(path).st_mode), "")
    except (OSError, ValueError):
        return ""


def _require_regular(path: str) -> None:
    if kind := special_file(path):
        raise WorkflowException(
            f"{os.path.basename(path)!r} is {kind}, which is neither an input nor an output of a step: only files and "
            "directories are; let the tool that creates it remove it before it ends"
        )


def _file_session() -> requests.Session:
    # cwltool's own cache of input files, which all runs of a user share.
    home = os.environ.get("HOME") or os.path.expanduser("~")
    folder = os.environ.get("XDG_CACHE_HOME") or os.path.join(home, ".cache")
    return CacheControl(requests.Session(), cache=FileCache(os.path.join(folder, "cwltool")))


def _is_among(url: str, references: re.Pattern[str], texts: Collection[str]) -> bool:
    """Whether one of the documents refers to a file of this name in such a place."""
    name = unquote(urlsplit(url).path).rpartition("/")[2]
    return bool(name) and any(name in unquote(found) for text in texts for found in references.findall(text))
