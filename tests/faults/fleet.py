"""Daemons under a supervisor: whichever ends is started again, and how it ended is looked at."""

import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from tests.faults.daemons import DaemonProcess
from tests.faults.process import EXIT_CODE, FAULTS, FIRED
from tests.faults.waiting import eventually

_KILLED, _TOLD_TWICE = -signal.SIGKILL, 128 + signal.SIGTERM


@dataclass
class Slot:
    """A place for one daemon at a time.

    Attributes:
        extras: settings of this place alone.
        faults: what the present process was told to do at which points; empty where nothing.
    """

    number: int
    extras: Mapping[str, str] = field(default_factory=dict)
    process: DaemonProcess | None = None
    faults: str = ""


class Fleet:
    """So many daemons on one site.

    Attributes:
        slots: the places; each has a process while the fleet is supervised.
        longest_stop: seconds that a daemon may take to stop.
        arm: asked, at each start, what the process of this slot is to do at which points.
        problems: what was wrong with how processes ended.
        processes: all that were ever started.
        fired: the faults that have struck at points, in order.
    """

    def __init__(self, size: int, environment: Mapping[str, str], directory: Path, *, longest_stop: float) -> None:
        self.longest_stop = longest_stop
        self.slots = [Slot(number) for number in range(size)]
        self.arm: Callable[[Slot], str] = lambda _: ""
        self.problems: list[str] = []
        self.processes: list[DaemonProcess] = []
        self._environment = environment
        self._directory = directory
        self._fired = directory / "fired"
        self._numbers = count(1)

    @property
    def alive(self) -> Sequence[Slot]:
        """The places whose daemon is there."""
        return [slot for slot in self.slots if slot.process is not None and slot.process.exit_code is None]

    @property
    def fired(self) -> Sequence[str]:
        """The faults that have struck at points, in order."""
        return self._fired.read_text().split() if self._fired.exists() else []

    @property
    def last_fired(self) -> float:
        """When the latest of them struck, in seconds since the epoch."""
        return self._fired.stat().st_mtime

    def supervise(self) -> None:
        """Start whatever is not there."""
        for slot in self.slots:
            if slot.process is None or slot.process.exit_code is not None:
                self._look_at_end(slot.process)
                slot.faults = self.arm(slot)
                slot.process = self.launch(faults=slot.faults, extras=slot.extras)

    def launch(self, *arguments: str, faults: str = "", extras: Mapping[str, str] | None = None) -> DaemonProcess:
        """Start one more process of the command line, which nobody supervises."""
        environment = {**self._environment, **(extras or {}), FAULTS: faults, FIRED: str(self._fired)}
        log = self._directory / f"process-{next(self._numbers):04}.log"
        process = DaemonProcess(arguments, environment, directory=self._directory, log=log)
        self.processes.append(process)
        return process

    def disarm(self) -> None:
        """Replace whatever may still strike, and let nothing strike any more."""
        self.arm = lambda _: ""
        for slot in self.alive:
            if slot.faults and slot.process is not None:
                slot.process.end()
        self.supervise()

    def stop(self) -> Sequence[DaemonProcess]:
        """Tell every daemon to stop, wait as long as that may take, and return them."""
        stopped = [slot.process for slot in self.alive if slot.process is not None]
        for process in stopped:
            eventually(lambda process=process: process.has_begun, within=self.longest_stop)  # type: ignore[misc]
            process.send(signal.SIGTERM)
        for process in stopped:
            process.wait(self.longest_stop)
            self._look_at_end(process)
        return stopped

    def end(self) -> None:
        """Kill all that is left."""
        for process in self.processes:
            process.end()

    def _look_at_end(self, process: DaemonProcess | None) -> None:
        if process is None:
            return
        code = process.exit_code
        # The second signal may come when all is over but the end of the interpreter.
        told = [0, _TOLD_TWICE, -signal.SIGTERM][: 3 if process.told > 1 else process.told]
        if code is None:
            self.problems.append(f"{process.log.name}: did not stop within {self.longest_stop} s")
        elif code not in (_KILLED, EXIT_CODE, *told):
            self.problems.append(f"{process.log.name}: ended by itself with {code}")
