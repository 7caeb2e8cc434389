"""One session of live tests: the mark of its runs, how many it may start, and how patient it is."""

import os
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from uuid import uuid4

from wes_daemon.domain.runs import IdempotencyKey


class QuotaExhausted(Exception):
    """This session has started as many runs as it may; nothing was started."""


class Budget:
    """So many starts and no more, whichever cloud and thread they come from.

    Requests to start are counted, not runs: one that is repeated counts twice, so there are never more runs than this.
    """

    def __init__(self, at_most: int) -> None:
        self.at_most = at_most
        self.spent = 0
        self._lock = threading.Lock()

    def spend(self) -> None:
        """Count one start; to be called before it.

        Raises:
            QuotaExhausted: there have been as many already.
        """
        with self._lock:
            if self.spent >= self.at_most:
                raise QuotaExhausted(f"LIVE_RUNS_AT_MOST={self.at_most}: as many runs were started; raise it to go on")
            self.spent += 1


def _variable(name: str, default: float) -> float:
    return float(os.environ.get(name) or default)


def _seconds(name: str, default: float) -> timedelta:
    return timedelta(seconds=_variable(name, default))


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveSession:
    """What all live tests of one `pytest -m live` share.

    Attributes:
        mark: how the name of every run of this session begins; no other session has had it, or will.
        patience: how long a run may take to arrive where its test wants it.
        settling: how long a service's lists may lag behind what was done.
    """

    budget: Budget = field(default_factory=lambda: Budget(int(_variable("LIVE_RUNS_AT_MOST", 60))))
    mark: str = field(default_factory=lambda: f"wes-live-{uuid4().hex[:12]}-")
    begun: datetime = field(default_factory=lambda: datetime.now(UTC))
    patience: timedelta = field(default_factory=lambda: _seconds("LIVE_PATIENCE_SECONDS", 2_700))
    between_looks: timedelta = field(default_factory=lambda: _seconds("LIVE_LOOK_SECONDS", 10))
    settling: timedelta = field(default_factory=lambda: _seconds("LIVE_SETTLING_SECONDS", 30))
    _numbers: "count[int]" = field(default_factory=lambda: count(1))

    def new_key(self) -> IdempotencyKey:
        """A key that was never used."""
        return IdempotencyKey(f"{self.mark}{next(self._numbers)}")
