"""Full disks: find out whether one is full, name it, and keep what cannot be written until it can be written."""

import errno
import os
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryFile

from wes_daemon.adapters.system import sleep

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
LONGEST_WAIT = timedelta(days=7)
"""How long something is kept that cannot be written."""

_PAUSE = timedelta(seconds=5)
_NEEDED_BYTES = 1 << 16
_PASSING = FULL | {errno.EIO, errno.ESTALE, errno.EROFS, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN}


def require_space(folder: Path) -> None:
    """Check that a few small files can be written into a directory.

    Raises:
        OSError: they cannot; nothing was changed.
    """
    with TemporaryFile(prefix=".space-", dir=folder) as file:
        file.write(bytes(_NEEDED_BYTES))
        file.flush()


def is_full(folder: Path) -> bool:
    """Whether the file system of a directory is full, or the quota of this user is used up; tried by writing."""
    try:
        require_space(folder)
    except OSError as error:
        return error.errno in FULL
    return False


def is_nearly_full(folder: Path) -> bool:
    """Whether users have no space left, without writing anything; quotas are not seen."""
    with suppress(OSError):
        found = os.statvfs(folder)
        return found.f_bavail * found.f_frsize < _NEEDED_BYTES or (found.f_files > 0 and found.f_favail == 0)
    return False


def no_space(folder: Path) -> str:
    """Say that the file system of a directory is full: `no space is left on the file system /data`."""
    return f"no space is left on the file system {mount_point(folder)}"


def describe(folder: Path, error: OSError) -> str:
    """Say what is wrong with which file system: `No space left on device: the file system /data`."""
    return f"{error.strerror}: the file system {mount_point(folder)}"


def mount_point(path: Path) -> Path:
    """Return where the file system of a path is mounted; the path need not exist."""
    resolved = path.resolve()
    return next((each for each in (resolved, *resolved.parents) if os.path.ismount(each)), Path("/"))


def write_when_possible(
    write: Callable[[], None],
    *,
    folder: Path,
    longest_wait: timedelta = LONGEST_WAIT,
    pause: Callable[[timedelta], None] = sleep,
) -> None:
    """Call `write` until it succeeds, as long as its error can pass, at most for `longest_wait`.

    Args:
        folder: the directory that is written to; without it there is nothing to wait for.

    Raises:
        OSError: the error cannot pass, or has not passed.
    """
    for _ in range(longest_wait // _PAUSE):
        try:
            write()
        except OSError as error:
            if error.errno not in _PASSING or _is_gone(folder):
                raise
            pause(_PAUSE)
        else:
            return
    write()


def _is_gone(folder: Path) -> bool:
    """Whether a directory certainly exists no more; a file system that has an error does not say."""
    try:
        folder.stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False
