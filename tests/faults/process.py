"""A daemon that a test can strike: the real command line, over a container with fault points.

By hand: `WES_FAULT=claim.after_commit:kill python -m tests.faults.process`, with the settings in the environment.
"""

import ctypes
import os
import signal
import sys
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NoReturn

from dependency_injector import providers

from tests import fault_points
from tests.fault_points import (
    ChangeFeedWithPoint,
    DirectoryWithPoints,
    RepairerWithPoint,
    add_points_to_session,
    units_with_points,
)
from wes_daemon.adapters.system import SystemClock
from wes_daemon.bootstrap import application
from wes_daemon.bootstrap.application import Application, application_of
from wes_daemon.bootstrap.container import Container
from wes_daemon.bootstrap.settings import Settings
from wes_daemon.entrypoints.cli.main import main

FAULTS = "WES_FAULT"
"""Comma-separated: `point:action[:nth]`, where `nth` counts how often the point is reached."""

FIRED = "WES_FAULT_FIRED"
"""File to which each fault is appended before it acts."""

CLOCK_SHIFT = "WES_CLOCK_SHIFT"
"""Seconds by which this process's clock is ahead."""

ACTIONS = ("kill", "stop", "raise", "exit")
EXIT_CODE = 70

# Source: prctl(2) of Linux.
_PR_SET_PDEATHSIG = 1


class Injected(Exception):
    """What a point raises that is told to: nothing that the code foresees."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens at a point, and at which of the times when it is reached."""

    point: str
    action: str
    nth: int = 1

    @classmethod
    def read(cls, text: str) -> "Fault":
        """As it stands in the environment."""
        point, action, *nth = text.strip().split(":")
        if point not in fault_points.POINTS or action not in ACTIONS:
            raise ValueError(f"{FAULTS}: {text}: no such point or action")
        return cls(point, action, int(nth[0]) if nth else 1)

    def __str__(self) -> str:
        return f"{self.point}:{self.action}:{self.nth}"


class Listener:
    """Acts where it is told to, in whatever thread comes by."""

    def __init__(self, faults: Sequence[Fault], fired: Path | None) -> None:
        self._faults = {(fault.point, fault.nth): fault for fault in faults}
        self._fired = fired
        self._reached: Counter[str] = Counter()
        self._lock = threading.Lock()

    def __call__(self, point: str) -> None:
        """The point is reached."""
        with self._lock:
            self._reached[point] += 1
            fault = self._faults.get((point, self._reached[point]))
            if fault is not None:
                self._note(fault)
        if fault is not None:
            _act(fault)

    def _note(self, fault: Fault) -> None:
        if self._fired is not None:
            with self._fired.open("a") as fired:
                fired.write(f"{fault}\n")


def run(arguments: Sequence[str], environment: Mapping[str, str], directory: Path, log: Path) -> NoReturn:
    """Become a daemon: in this directory, with this environment and no other, and with a log of its own."""
    _end_with_parent()
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(directory)
    written = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(written, 1)
    os.dup2(written, 2)
    sys.argv = ["wes-daemon", *arguments]
    start()


def start() -> NoReturn:
    """Run the command line as the environment and the arguments say."""
    faults = [Fault.read(text) for text in os.environ.get(FAULTS, "").split(",") if text]
    fired = os.environ.get(FIRED)
    if faults:
        fault_points.listen(Listener(faults, Path(fired) if fired else None))
        application.build_application = application_with_fault_points
    if shift := os.environ.get(CLOCK_SHIFT):
        _shift_clock(timedelta(seconds=float(shift)))
    main()
    raise AssertionError("the command line ends its process")


def application_with_fault_points(settings: Settings) -> Application:
    """Build the application as the command line does, with a wrapper around each object that has fault points."""
    container = Container(settings=settings)
    container.units.override(providers.Object(units_with_points(container.units())))
    add_points_to_session(container.daemon_session())
    container.directory.override(providers.Object(DirectoryWithPoints(container.directory())))
    container.change_feed.override(providers.Object(ChangeFeedWithPoint(container.change_feed())))
    container.daemon_repairer.override(providers.Object(RepairerWithPoint(container.daemon_repairer())))
    return application_of(container)


def _end_with_parent() -> None:
    """So that nothing is left behind where the tests themselves are killed."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _act(fault: Fault) -> None:
    match fault.action:
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "stop":
            os.kill(os.getpid(), signal.SIGSTOP)
        case "exit":
            os._exit(EXIT_CODE)
        case _:
            raise Injected(f"injected at {fault}")


def _shift_clock(shift: timedelta) -> None:
    def now(self: SystemClock) -> datetime:
        del self
        return datetime.now(UTC) + shift

    SystemClock.now = now  # type: ignore[method-assign]  # this is what a wrong clock is


if __name__ == "__main__":
    start()
