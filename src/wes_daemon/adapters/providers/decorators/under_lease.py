"""No request goes out that the daemon's lease might not outlast.

The check stands in the clients' call gate, before each request: one call across the port may be several requests.
"""

from collections.abc import Callable
from datetime import datetime, timedelta

from wes_daemon.application.ports.call_gate import ALL_OPERATIONS, Allowance, CallGate
from wes_daemon.application.ports.errors import LeaseLost, NotSent


class LeaseCheckedGate:
    """A `CallGate` that permits a call only where the lease lasts longer than the longest request."""

    def __init__(
        self, inner: CallGate, *, require_trust: Callable[[timedelta], None], longest_request: timedelta
    ) -> None:
        self._inner = inner
        self._require_trust = require_trust
        self._longest_request = longest_request

    def acquire(self, operation: str) -> None:
        """Acquire from the inner gate, then check the lease; raises `NotSent` where the lease may end too early."""
        self._inner.acquire(operation)
        try:
            self._require_trust(self._longest_request)
        except LeaseLost as error:
            raise NotSent(f"{operation} was not sent: {error}", retry_after=self._longest_request) from error

    def observe(self, allowance: Allowance) -> None:
        """Pass the report on."""
        self._inner.observe(allowance)

    def throttled(self, operation: str) -> None:
        """Pass the report on."""
        self._inner.throttled(operation)

    def block_until(self, until: datetime, operation: str = ALL_OPERATIONS) -> None:
        """Pass the report on."""
        self._inner.block_until(until, operation)
