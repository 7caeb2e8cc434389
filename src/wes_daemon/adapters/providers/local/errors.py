"""Translation of operating system errors into the errors of the provider port."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from wes_daemon.adapters.providers.local.disk import FULL, describe
from wes_daemon.application.ports.errors import Misconfigured, NotNow, Rejected

# The machine lacks a resource that becomes available again. The error is not `Unavailable`, which can open the
# circuit breaker: existing runs can be read and cancelled even while no new run can be written.
TRANSIENT = frozenset(
    {
        *FULL,
        *(errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM),
        *(errno.EIO, errno.ESTALE, errno.EINTR, errno.ETIMEDOUT, errno.ENOLCK),
    }
)
# The work directory is missing, is not a directory, is not writable, or is on an unsuitable file system.
MISCONFIGURED = frozenset(
    {
        *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR, errno.EEXIST, errno.ENOTEMPTY),
        *(errno.ELOOP, errno.ENAMETOOLONG, errno.ENOSYS, errno.EOPNOTSUPP),
    }
)
# The name of an attachment is not a valid file name, or is the name of a parent directory of another attachment.
INVALID_NAME = frozenset({errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ})


@contextmanager
def translate_os_errors(workdir: Path) -> Iterator[None]:
    """Raise the port's error for an error in the work directory. An error in no table is a bug and passes unchanged."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise NotNow(f"the local provider's directory {workdir}: {describe(workdir, error)}") from error
        if error.errno in TRANSIENT:
            raise NotNow(f"the local provider's directory {workdir}: {error.strerror}") from error
        if error.errno in MISCONFIGURED:
            raise unusable_directory(workdir, error.strerror) from error
        raise


@contextmanager
def translate_name_errors(attachment: str) -> Iterator[None]:
    """Raise `Rejected` when the file system refuses the name of an attachment."""
    try:
        yield
    except OSError as error:
        if error.errno in INVALID_NAME:
            raise _invalid_name(attachment, error.strerror) from error
        raise
    except UnicodeEncodeError as error:
        raise _invalid_name(attachment, error.reason) from error


def unusable_directory(workdir: Path, reason: str | None) -> Misconfigured:
    """Return the error for a work directory that cannot be used."""
    return Misconfigured(
        f"DAEMON_LOCAL_WORKDIR={workdir}: {reason}; name a directory on a local disk that the daemon may write to"
    )


def _invalid_name(attachment: str, reason: str | None) -> Rejected:
    return Rejected(f"attachment {attachment!r} cannot be written: {reason}; rename it")
