"""Daemon processes whose passes stand, go on, die and stop as they are told."""

from collections.abc import Callable, Collection, Mapping
from enum import Enum, auto

from tests.unit.application.conftest import DaemonUnderTest, World
from tests.unit.stateful.calls import Pass, Strike
from wes_daemon.application.ports.errors import LeaseLost, StorageUnavailable
from wes_daemon.domain.runs import ProviderType

_PASSING = (StorageUnavailable, LeaseLost)
"""What may end a pass without being a bug: the next one goes on."""


class Loop(Enum):
    """What a daemon does in a thread of its own."""

    SUBMIT = auto()
    CANCEL = auto()
    REFRESH = auto()
    HEARTBEAT = auto()


class Process:
    """One daemon: at most one pass of each loop is executing, as in the real one."""

    def __init__(self, world: World, serving: Collection[ProviderType]) -> None:
        daemon = world.daemon(serving)
        self.bugs: list[BaseException] = []
        self.has_ended = False
        self._daemon = daemon
        self._works = _works_of(daemon)
        self._standing: dict[Loop, Pass] = {}

    @property
    def is_submitting(self) -> bool:
        """Whether it may be just about to send something."""
        return Loop.SUBMIT in self._standing

    def execute_pass(
        self, loop: Loop, strike: Strike | None = None, *, work: Callable[[], object] | None = None
    ) -> None:
        """Let the pass that stands go on, or begin one; and end the process if it is killed, or stopped and done."""
        current = self._standing.pop(loop, None) or Pass(work or self._works[loop])
        current.go_on(strike)
        if not current.is_over:
            self._standing[loop] = current
        elif current.has_died:
            self.kill()
        elif current.error is not None and not isinstance(current.error, _PASSING):
            self.bugs.append(current.error)
        self._end_if_done()

    def resolve(self, strike: Strike | None = None) -> None:
        """A look at what is in doubt only, in the place of a whole pass."""
        self.execute_pass(Loop.SUBMIT, strike, work=self._daemon.submit.resolve_takeovers)

    def kill(self) -> None:
        """End it as SIGKILL does; its lease goes on until it runs out."""
        for each in self._standing.values():
            each.kill()
        self._standing.clear()
        self.has_ended = True

    def stop(self) -> None:
        """Ask it to end; what is under way is brought to its end first."""
        self._daemon.stop.set()
        self._end_if_done()

    def finish(self) -> None:
        """Let whatever stands come to its end."""
        for loop in tuple(self._standing):
            self.execute_pass(loop)

    def _end_if_done(self) -> None:
        if self.has_ended or self._standing or not self._daemon.stop.is_raised:
            return
        self.has_ended = True
        try:
            self._daemon.daemon_session.close()
        except StorageUnavailable:
            return


def _works_of(daemon: DaemonUnderTest) -> Mapping[Loop, Callable[[], object]]:
    return {
        Loop.SUBMIT: daemon.submit,
        Loop.CANCEL: daemon.cancel,
        Loop.REFRESH: daemon.refresh,
        Loop.HEARTBEAT: daemon.daemon_session.renew,
    }
