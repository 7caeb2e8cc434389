"""Files of this machine that arguments name. A text is a file's name before it is an address."""

import re
import stat
from contextlib import suppress
from errno import ELOOP, ENAMETOOLONG, ENOENT, ENOTDIR
from pathlib import Path

import click

_ABSENT = frozenset({ENOENT, ENOTDIR, ELOOP, ENAMETOOLONG})
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:")
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*://|file:/", re.IGNORECASE)


def expand_home(text: str, hint: str) -> Path:
    """Return the path with a `~` at its beginning replaced.

    Raises:
        click.BadParameter: it names a home that does not exist; `hint` names the argument.
    """
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise click.BadParameter(f"{text!r} names a home that does not exist.", param_hint=hint) from error


def exists(path: Path, hint: str) -> bool:
    """Return whether there is a file or a directory; no file has a name that is too long for the file system.

    Raises:
        click.BadParameter: that cannot be found out; `hint` names the argument.
    """
    return _mode(path, hint) is not None


def is_file(path: Path, hint: str) -> bool:
    """As `exists`, for regular files."""
    return stat.S_ISREG(_mode(path, hint) or 0)


def is_directory(path: Path, hint: str) -> bool:
    """As `exists`, for directories."""
    return stat.S_ISDIR(_mode(path, hint) or 0)


def has_scheme(text: str) -> bool:
    """Return whether the text can be a URL rather than a path: `omics:1234567`, but `v1:echo.cwl` as well."""
    return _SCHEME.match(text) is not None


def is_address(text: str) -> bool:
    """Return whether the text can only be a URL: `s3://bucket/x`, but not `chr1:1000-2000.bam`."""
    return _ADDRESS.match(text) is not None


def _mode(path: Path, hint: str) -> int | None:
    # A ValueError is raised for names that contain NUL.
    with suppress(ValueError):
        try:
            return path.stat().st_mode
        except OSError as error:
            if error.errno not in _ABSENT:
                raise click.BadParameter(f"{path} cannot be found: {error.strerror}.", param_hint=hint) from error
    return None
