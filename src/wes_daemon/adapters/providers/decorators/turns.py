"""Who calls next, of those who want to call one operation of one service."""

import logging
import math
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import Enum, auto
from functools import partial
from typing import TypeVar

from wes_daemon.adapters.providers.decorators.blocks import Block, Demand
from wes_daemon.adapters.providers.decorators.purposes import Purpose, purpose
from wes_daemon.adapters.providers.decorators.rates import Rate
from wes_daemon.adapters.providers.decorators.shares import Share, Wish, hold, slow_down, take_share
from wes_daemon.application.ports.budgets import Revision, SharedBudgets
from wes_daemon.application.ports.environment import Clock
from wes_daemon.application.ports.errors import StorageMisconfigured, StorageUnavailable
from wes_daemon.application.runtime.event_log import log_event

_log = logging.getLogger(__name__)

T = TypeVar("T")

_NOTHING = timedelta(0)
# While a budget is empty: somebody who has to wait does not mind, and the database does.
_BETWEEN_ASKS = timedelta(seconds=1)
_LONGEST_NAP = timedelta(seconds=0.5)
_A_MOMENT = timedelta(seconds=0.05)
# Without a database nothing is known of the others: nine of them may do the same.
_ALONE = 10
_ASK_AGAIN_ALONE = timedelta(seconds=5)
_LONGEST_ANSWER = timedelta(seconds=1)
_EVERY_TENTH = 10


class _Next(Enum):
    """What somebody in the line does now: call, ask for more, hear what others have got, or sleep."""

    GO = auto()
    ASK = auto()
    LISTEN = auto()
    NAP = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """One budget.

    Attributes:
        name: the same for all who share it; holds no secret.
    """

    name: str
    rate: Rate
    budgets: SharedBudgets


class Turns:
    """Turns for calls that share one budget, for all threads of this process.

    The most urgent goes first, whoever has come earlier; every tenth turn is that of the least urgent.
    Nobody waits longer than `patience`.
    """

    def __init__(self, bucket: Bucket, *, clock: Clock, sleep: Callable[[timedelta], None]) -> None:
        self._bucket = bucket
        self._clock = clock
        self._sleep = sleep
        self._rate = bucket.rate
        self._per_second = bucket.rate.per_second
        self._block = Block()
        self._demand = Demand()
        self._left: tuple[int, timedelta] | None = None
        self._waiting: Counter[Purpose] = Counter()
        self._given = 0
        self._next_due = _NOTHING
        self._alone_due = _NOTHING
        self._held_until = _NOTHING
        self._ask_at = {True: _NOTHING, False: _NOTHING}
        self._is_scarce = {True: False, False: False}
        self._asking_since: timedelta | None = None
        self._is_alone = False
        self._changed = threading.Condition()

    def take(self, patience: timedelta, *, held_for: Callable[[], timedelta]) -> timedelta | None:
        """Return when it is this call's turn, or how long that would take where it is too long.

        Args:
            held_for: how long nobody may call anything of the service, whatever there is to spend.
        """
        mine = purpose()
        gives_up_at = self._clock.monotonic() + patience
        with self._in_line(mine):
            while True:
                with self._changed:
                    self._held_until = max(self._held_until, self._clock.monotonic() + held_for())
                    step, wait = self._step(mine)
                    if step is _Next.GO:
                        self._spend(mine)
                        return None
                    if step is not _Next.ASK and self._clock.monotonic() + wait > gives_up_at:
                        return wait
                    if step is _Next.LISTEN:
                        self._changed.wait(_A_MOMENT.total_seconds())
                if step is _Next.ASK:
                    self._ask()
                if step is _Next.NAP:
                    # No longer, for whoever was ahead may have given up.
                    self._sleep(min(wait, _LONGEST_NAP))

    def hold(self, time: timedelta) -> None:
        """Nobody calls for as long, in no process."""
        with self._changed:
            self._held_until = max(self._held_until, self._clock.monotonic() + time)
        self._tell(partial(hold, rate=self._rate, time=time))

    def slow_down(self) -> None:
        """The service has said that there are too many calls."""
        told = self._tell(partial(slow_down, rate=self._rate))
        per_second = told or slow_down(None, self._clock.now(), rate=self._rate)[1]
        with self._changed:
            is_news = per_second < self._per_second
            self._block, self._per_second = Block(), per_second
        if is_news:
            log_event(_log, logging.INFO, "budget.slowed", budget=self._bucket.name, per_second=f"{per_second:.3g}")

    def correct(self, rate: Rate) -> None:
        """The service names a rate: from now on the slower one holds of that and the configured one."""
        slower = min(self._bucket.rate, rate, key=lambda rate: rate.per_second)
        with self._changed:
            self._rate = replace(self._bucket.rate, calls=slower.calls, per=slower.per)

    def leave(self, calls: int, *, until: timedelta) -> None:
        """The service has so many calls left for everybody; until then it will not have more."""
        with self._changed:
            self._block.shrink_to(calls)
            before = self._left_at_service(self._clock.monotonic())
            self._left = (calls if before is None else min(before, calls), until)

    def _step(self, mine: Purpose) -> tuple[_Next, timedelta]:
        now = self._clock.monotonic()
        if self._held_until > now:
            return _Next.NAP, self._held_until - now
        if self._block.ends_at <= now:
            self._block = Block()
        if self._block.holds(urgent=mine.is_urgent):
            return self._step_by_pace(mine, now)
        if self._is_asking(now):
            return _Next.LISTEN, self._interval
        if self._asking_since is None and self._ask_at[mine.is_urgent] <= now:
            self._asking_since = now
            return _Next.ASK, _NOTHING
        if self._is_alone or self._asking_since is not None:
            return self._step_alone(mine, now)
        others = sum(self._waiting[purpose] for purpose in Purpose if purpose <= mine) - 1
        return _Next.NAP, self._ask_at[mine.is_urgent] - now + others * self._interval

    def _step_by_pace(self, mine: Purpose, now: timedelta) -> tuple[_Next, timedelta]:
        ahead = self._ahead_of(mine)
        wait = self._next_due - self._interval * (self._rate.burst - 1) - now
        if wait > _NOTHING:
            return _Next.NAP, wait + ahead * self._interval
        return (_Next.LISTEN, ahead * self._interval) if ahead else (_Next.GO, _NOTHING)

    def _step_alone(self, mine: Purpose, now: timedelta) -> tuple[_Next, timedelta]:
        """The database is away, or does not answer: a slow pace harms nobody, whatever the others do."""
        ahead = sum(self._waiting[purpose] for purpose in Purpose if purpose < mine)
        wait = self._alone_due + ahead * self._interval * _ALONE - now
        return (_Next.NAP, wait) if wait > _NOTHING else (_Next.GO, _NOTHING)

    def _ahead_of(self, mine: Purpose) -> int:
        """How many go first, of those who can."""
        order = list(Purpose) if (self._given + 1) % _EVERY_TENTH else list(reversed(Purpose))
        first = order[: order.index(mine)]
        return sum(self._waiting[other] for other in first if self._block.holds(urgent=other.is_urgent))

    def _spend(self, mine: Purpose) -> None:
        now = self._clock.monotonic()
        if self._block.holds(urgent=mine.is_urgent):
            self._block.spend(urgent=mine.is_urgent)
        self._demand.count(urgent=mine.is_urgent)
        self._given += 1
        self._next_due = max(self._next_due, now) + self._interval
        self._alone_due = now + self._interval * _ALONE

    def _ask(self) -> None:
        share: Share | None = None
        with self._changed:
            asked_at, rate, unspent = self._clock.monotonic(), self._rate, self._block
            wish, self._block = self._wish(asked_at, unspent), Block()
        try:
            share = self._tell(partial(take_share, rate=rate, wish=wish))
        finally:
            with self._changed:
                self._asking_since = None
                if share is None:
                    self._go_on_alone(unspent)
                else:
                    self._receive(share, asked_at + rate.lasting)
                self._changed.notify_all()

    def _wish(self, now: timedelta, unspent: Block) -> Wish:
        return Wish(
            urgent=self._wished(now, urgent=True),
            following=self._wished(now, urgent=False),
            unspent=unspent.open + unspent.reserved,
            unspent_kept=unspent.kept,
            at_most=self._left_at_service(now),
        )

    def _wished(self, now: timedelta, *, urgent: bool) -> int:
        waiting = sum(count for purpose, count in self._waiting.items() if purpose.is_urgent is urgent)
        expected = self._demand.expected(now, self._rate.lasting, urgent=urgent)
        if self._is_scarce[urgent]:
            # Whoever takes all that is there for seconds leaves nothing to other processes.
            expected = min(expected, math.ceil(self._between_asks / self._interval))
        return max(waiting, expected)

    def _receive(self, share: Share, ends_at: timedelta) -> None:
        now = self._clock.monotonic()
        self._block = Block(open=share.open, reserved=share.reserved, kept=share.kept, ends_at=ends_at)
        self._demand = Demand(since=now)
        self._left = None
        self._is_alone = False
        self._per_second = share.per_second
        self._held_until = max(self._held_until, now + share.held_for)
        for urgent, wait in ((True, share.urgent_in), (False, share.following_in)):
            self._is_scarce[urgent] = wait > _NOTHING
            self._ask_at[urgent] = now + max(wait, self._between_asks) if wait > _NOTHING else now

    def _go_on_alone(self, unspent: Block) -> None:
        self._block = unspent
        self._is_alone = True
        self._ask_at = dict.fromkeys(self._ask_at, self._clock.monotonic() + _ASK_AGAIN_ALONE)

    def _tell(self, revision: Revision[T]) -> T | None:
        """What the shared budget says to it; None while the database is away, which others say loudly enough."""
        try:
            return self._bucket.budgets.revise(self._bucket.name, revision)
        except (StorageUnavailable, StorageMisconfigured):
            return None

    def _is_asking(self, now: timedelta) -> bool:
        return self._asking_since is not None and now - self._asking_since <= _LONGEST_ANSWER

    def _left_at_service(self, now: timedelta) -> int | None:
        return self._left[0] if self._left and now < self._left[1] else None

    @property
    def _between_asks(self) -> timedelta:
        """Not so long that what is saved up meanwhile has no room."""
        return min(_BETWEEN_ASKS, timedelta(seconds=self._rate.stock / self._rate.per_second / 2))

    @property
    def _interval(self) -> timedelta:
        return timedelta(seconds=1 / self._per_second)

    @contextmanager
    def _in_line(self, mine: Purpose) -> Iterator[None]:
        with self._changed:
            self._waiting[mine] += 1
        try:
            yield
        finally:
            with self._changed:
                self._waiting[mine] -= 1
                self._changed.notify_all()
