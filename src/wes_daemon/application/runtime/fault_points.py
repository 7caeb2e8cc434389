"""Named places at which a test injects a failure; without a listener they do nothing.

No setting enables them: a test calls `listen` from its own code.
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
"""All fault points; the middle word says whether the place is before or after a commit or a call."""

_listener: Callable[[str], None] | None = None


def reached(point: str) -> None:
    """Call the listener with this point's name."""
    if _listener is not None:
        _listener(point)


def listen(listener: Callable[[str], None] | None) -> None:
    """Call `listener` at each point from now on, in the thread that reaches it; None removes the listener."""
    global _listener
    _listener = listener
