"""A call gate for tests that calls a function before each request."""

from collections.abc import Callable
from datetime import datetime

from wes_daemon.application.ports.call_gate import ALL_OPERATIONS, Allowance, CallGate, OpenCallGate


class AskingGate:
    """Calls `ask` with the operation's name before each request, then the inner gate; `ask` may raise."""

    def __init__(self, ask: Callable[[str], object], inner: CallGate | None = None) -> None:
        self._ask = ask
        self._inner = inner or OpenCallGate()

    def acquire(self, operation: str) -> None:
        self._ask(operation)
        self._inner.acquire(operation)

    def observe(self, allowance: Allowance) -> None:
        self._inner.observe(allowance)

    def throttled(self, operation: str) -> None:
        self._inner.throttled(operation)

    def block_until(self, until: datetime, operation: str = ALL_OPERATIONS, *, reason: str) -> None:
        self._inner.block_until(until, operation, reason=reason)
