"""Named places at which a test may kill, stop or fail the process; elsewhere they do nothing.

There is no setting for it: whoever wants to listen has to call `listen` from code of their own.
"""

from collections.abc import Callable

POINTS = (
    "claim.before_commit",
    "claim.after_commit",
    "submit.before_call",
    "submit.after_answer",
    "prepared.before_commit",
    "prepared.after_commit",
    "start.before_call",
    "start.after_answer",
    "accepted.before_commit",
    "accepted.after_commit",
    "refresh.after_taking",
    "refresh.after_answer",
    "refresh.before_commit",
    "refresh.after_commit",
    "cancel.before_call",
    "cancel.after_answer",
    "lease.before_renewal",
    "lease.after_renewal",
    "janitor.before_removal",
    "stop.begun",
)
"""All of them; the middle word says whether the database has been told, or the provider."""

_listener: Callable[[str], None] | None = None


def reached(point: str) -> None:
    """Tell whoever listens that this point is reached."""
    if _listener is not None:
        _listener(point)


def listen(listener: Callable[[str], None] | None) -> None:
    """Have `listener` called at each point, in the thread that reaches it, from now on; None: nobody listens."""
    global _listener
    _listener = listener
