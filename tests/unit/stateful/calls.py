"""Passes of daemons that can be stopped, gone on with and killed at the points that they reach.

Each pass that may be left standing has a thread of its own,
but only one of all threads runs at a time, and none beside whoever lets it run:
what happens, and in which order, is the same every time.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests import fault_points

_IN_TRANSACTION = ".before_commit"
_LONGEST_STRETCH = 60.0


class Killed(BaseException):
    """The process ends here, as by SIGKILL."""


@dataclass(frozen=True, slots=True)
class Strike:
    """What befalls a pass at a named point, where it comes there.

    Attributes:
        kills: whether its process dies there; else the pass is left standing there, or at the next point outside of a
            transaction.
        time: which time that it comes there, counted from 1 and from where it goes on.
    """

    point: str
    kills: bool
    time: int = 1


class Pass:
    """One pass of one daemon."""

    def __init__(self, work: Callable[[], object]) -> None:
        self.error: BaseException | None = None
        self.is_over = False
        self._work = work
        self._strike: Strike | None = None
        self._times = 0
        self._shall_die = False
        self._turn, self._stood = threading.Semaphore(0), threading.Semaphore(0)
        self._thread: threading.Thread | None = None

    @property
    def has_died(self) -> bool:
        """Whether it was ended by a strike."""
        return isinstance(self.error, Killed)

    def go_on(self, strike: Strike | None = None) -> None:
        """Let it run to its end, or to where it is struck."""
        self._strike, self._times = strike, 0
        with _listening(self._reached):
            if self._thread is None and strike is None:
                # Nothing can leave it standing, and changing threads takes longer than all that it does.
                self._work_to_the_end()
            else:
                self._let_thread_run()

    def kill(self) -> None:
        """End it where it stands."""
        self._shall_die = True
        self.go_on()

    def _let_thread_run(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, daemon=True)
            self._thread.start()
        else:
            self._turn.release()
        if not self._stood.acquire(timeout=_LONGEST_STRETCH):
            raise TimeoutError("a pass neither ends nor stands: does it wait for another one's lock?")
        if self.is_over:
            self._thread.join()

    def _run(self) -> None:
        self._work_to_the_end()
        self._stood.release()

    def _work_to_the_end(self) -> None:
        try:
            self._work()
        except (Killed, Exception) as error:  # noqa: BLE001 - whoever let it run judges what it has come to
            self.error = error
        self.is_over = True

    def _reached(self, point: str) -> None:
        if self._strike is None:
            return
        self._times += point == self._strike.point
        if self._times < self._strike.time:
            return
        if self._strike.kills:
            raise Killed(point)
        if not point.endswith(_IN_TRANSACTION):
            self._stand(point)

    def _stand(self, point: str) -> None:
        self._stood.release()
        self._turn.acquire()
        if self._shall_die:
            raise Killed(point)


@contextmanager
def _listening(listener: Callable[[str], None]) -> Iterator[None]:
    fault_points.listen(listener)
    try:
        yield
    finally:
        fault_points.listen(None)
