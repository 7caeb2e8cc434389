"""What the operating system's refusals mean for a run."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from wes_daemon.application.ports.errors import Misconfigured, NotNow, Rejected

# The machine is short of something that comes back. It is not `Unavailable`, which might open a circuit:
# that no run can be written keeps nobody from looking at those that there are, and from cancelling them.
PASSING = frozenset(
    {
        *(errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM),
        *(errno.EIO, errno.ESTALE, errno.EINTR, errno.ETIMEDOUT, errno.ENOLCK),
    }
)
# The directory is not what it should be.
MISCONFIGURED = frozenset(
    {
        *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR, errno.EEXIST, errno.ENOTEMPTY),
        *(errno.ELOOP, errno.ENAMETOOLONG, errno.ENOSYS, errno.EOPNOTSUPP),
    }
)
# An attachment's name cannot be the name of a file, or two attachments want to be file and folder at once.
UNNAMEABLE = frozenset({errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ})


@contextmanager
def translated(workdir: Path) -> Iterator[None]:
    """Turn what goes wrong in the work directory into the errors of the port; the rest is a bug and passes."""
    try:
        yield
    except OSError as error:
        if error.errno in PASSING:
            raise NotNow(f"the local provider's directory {workdir}: {error.strerror}") from error
        if error.errno in MISCONFIGURED:
            raise unusable(workdir, error.strerror) from error
        raise


@contextmanager
def translated_name(attachment: str) -> Iterator[None]:
    """Turn what the file system says to an attachment's name into a rejection of the run."""
    try:
        yield
    except OSError as error:
        if error.errno in UNNAMEABLE:
            raise _unnameable(attachment, error.strerror) from error
        raise
    except UnicodeEncodeError as error:
        raise _unnameable(attachment, error.reason) from error


def unusable(workdir: Path, reason: str | None) -> Misconfigured:
    """The error for a work directory that cannot be worked in."""
    return Misconfigured(
        f"DAEMON_LOCAL_WORKDIR={workdir}: {reason}; name a directory on a local disk that the daemon may write to"
    )


def _unnameable(attachment: str, reason: str | None) -> Rejected:
    return Rejected(f"attachment {attachment!r} cannot be written: {reason}; rename it")
