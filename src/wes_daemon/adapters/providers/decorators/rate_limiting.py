"""Every call to a service waits its turn.

One call across the port may be several calls to a service, and services count their own operations.
So the limiter is no `WorkflowProvider` but goes into a provider's client, which takes a turn before each request
and passes on what the service says of its limits.
"""

import threading
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from hashlib import sha256

from wes_daemon.adapters.providers.decorators.rates import ALL, Rate, window_rate
from wes_daemon.adapters.providers.decorators.turns import Bucket, Turns
from wes_daemon.application.ports.budgets import SharedBudgets
from wes_daemon.application.ports.call_gate import Allowance
from wes_daemon.application.ports.environment import Clock
from wes_daemon.application.ports.errors import NotSent, Throttled

_NOTHING = timedelta(0)
_HARDLY_NEWS = timedelta(seconds=1)
# Source: docs.sevenbridges.com, "API rate limit"; the only service that names a limit with its answers.
_NAMED_WINDOW = timedelta(minutes=5)


class BudgetSpent(Throttled, NotSent):
    """It was not the call's turn for too long: nothing was sent, so that it says nothing of the service."""


def account_name(service: str, *identity: str) -> str:
    """What the budgets of one account at one service are called; tells nothing of what identifies it."""
    return f"{service}:{sha256(chr(0).join(identity).encode()).hexdigest()[:16]}"


class RateLimiter:
    """Turns for the operations of one service and credential, for all threads, and with other processes.

    Args:
        rates: by operation, or `ALL`; an operation that no rate speaks of is only held back by `block_until`.
        budgets: where the budgets are shared.
        account: the same for all who share them, see `account_name`.
        patience: a longer wait is not waited for but answered with `BudgetSpent`.
    """

    def __init__(
        self,
        rates: Mapping[str, Rate],
        *,
        budgets: SharedBudgets,
        account: str,
        clock: Clock,
        sleep: Callable[[timedelta], None],
        patience: timedelta = timedelta(seconds=10),
    ) -> None:
        buckets = {key: Bucket(name=f"{account}:{key}", rate=rate, budgets=budgets) for key, rate in rates.items()}
        self._turns = {key: Turns(bucket, clock=clock, sleep=sleep) for key, bucket in buckets.items()}
        self._clock = clock
        self._sleep = sleep
        self._patience = patience
        self._held_until: dict[str, timedelta] = {}
        self._lock = threading.Lock()

    def acquire(self, operation: str) -> None:
        """Return when it is this call's turn; see `purposes` for who goes first.

        Not while a unit of work is open in this thread.

        Raises:
            BudgetSpent: that would take too long; no turn was taken, and it says when to come again.
        """
        turns = self._turns_of(operation)
        if turns is None:
            wait = self._wait_for_hold(operation)
        else:
            wait = turns.take(self._patience, held_for=lambda: self._held_for(operation))
        if wait is not None:
            raise BudgetSpent(f"the budget for {operation} is used up", retry_after=wait)

    def block_until(self, until: datetime, operation: str = ALL) -> None:
        """The service named a time: nobody calls the operation (`ALL`: any operation) before it."""
        time = until - self._clock.now()
        with self._lock:
            before, end = self._held_until.get(operation, _NOTHING), self._clock.monotonic() + time
            self._held_until[operation] = max(before, end)
        # Many answers name the same time, some of them in whole seconds.
        if end > before + _HARDLY_NEWS and (turns := self._turns_of(operation)):
            turns.hold(time)

    def throttled(self, operation: str) -> None:
        """The service has turned a call away, for there were too many of this operation."""
        if turns := self._turns_of(operation):
            turns.slow_down()

    def observe(self, allowance: Allowance) -> None:
        """The service has said what it lets all operations together do; others may spend the same."""
        turns = self._turns.get(ALL)
        if turns is None:
            return
        if allowance.limit:
            turns.correct(window_rate(allowance.limit, _NAMED_WINDOW))
        now = self._clock.now()
        if allowance.remaining is not None and allowance.resets_at and allowance.resets_at > now:
            turns.leave(allowance.remaining, until=self._clock.monotonic() + (allowance.resets_at - now))

    def _wait_for_hold(self, operation: str) -> timedelta | None:
        while (wait := self._held_for(operation)) > _NOTHING:
            if wait > self._patience:
                return wait
            self._sleep(wait)
        return None

    def _held_for(self, operation: str) -> timedelta:
        with self._lock:
            until = max(self._held_until.get(key, _NOTHING) for key in (ALL, operation))
        return until - self._clock.monotonic()

    def _turns_of(self, operation: str) -> Turns | None:
        return self._turns.get(operation) or self._turns.get(ALL)
