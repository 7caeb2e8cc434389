"""Real processes are waited for by looking again, and never for longer than is said."""

import time
from collections.abc import Callable

_LOOK_SECONDS = 0.05


def pause() -> None:
    """Until the next look."""
    time.sleep(_LOOK_SECONDS)


def eventually(holds: Callable[[], bool], *, within: float) -> bool:
    """Whether something comes to hold in so many seconds."""
    end = time.monotonic() + within
    while not holds():
        if time.monotonic() > end:
            return False
        pause()
    return True
