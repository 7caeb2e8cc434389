"""No request goes out that a lease might not outlast.

Like the limiter of calls it stands in the clients, before each request: one call across the port may be several.
"""

from collections.abc import Callable
from datetime import timedelta

from wes_daemon.application.ports.errors import HeldBack, LeaseLost


def under_lease(
    take_turn: Callable[[str], None], require_trust: Callable[[timedelta], None], *, longest_request: timedelta
) -> Callable[[str], None]:
    """Take a turn, then look whether the lease lasts for as long as a request may take.

    What is returned raises `HeldBack` where it does not, and whatever `take_turn` raises.
    """

    def take(operation: str) -> None:
        take_turn(operation)
        try:
            require_trust(longest_request)
        except LeaseLost as error:
            raise HeldBack(f"{operation} was not sent: {error}", retry_after=longest_request) from error

    return take
