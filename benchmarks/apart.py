"""Measurements in fresh processes, whose memory and caches are not affected by earlier measurements."""

import ctypes
import logging
import multiprocessing
import os
import signal
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ParamSpec, TypeVar

from benchmarks.figure import NotMeasured

P = ParamSpec("P")
T = TypeVar("T")

spawning = multiprocessing.get_context("spawn")

_KEPT = ("PATH", "LANG", "PYTHONPATH")
# Source: prctl(2) of Linux.
_PR_SET_PDEATHSIG = 1


class Apart:
    """Calls functions in fresh processes, each in an empty directory and with the given settings only."""

    def __init__(self, environment: Mapping[str, str] | None = None, *, within: float = 600) -> None:
        """Set the environment of the processes; a call that takes longer than `within` seconds is killed."""
        self._environment = environment or {}
        self._within = within

    def __call__(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return the result of the function; arguments and result are pickled.

        Raises:
            NotMeasured: the function raised it, or did not end in time.
            RuntimeError: the function raised another error.
        """
        receiving, sending = spawning.Pipe(duplex=False)
        with TemporaryDirectory(prefix="wes-bench-") as directory:
            settings = {"HOME": directory, "NO_PROXY": "127.0.0.1", **self._environment}
            process = spawning.Process(target=_call, args=(sending, directory, settings, function, args, kwargs))
            process.start()
            sending.close()
            try:
                result: T = self._result(receiving)
            finally:
                process.kill()
                process.join()
        return result

    def _result(self, receiving: Connection) -> Any:
        if not receiving.poll(self._within):
            raise NotMeasured(f"nothing was measured within {self._within:g} s")
        try:
            error, result = receiving.recv()
        except EOFError:
            raise RuntimeError("the measuring process died") from None
        if error is not None:
            raise error
        return result


def side_by_side(number: int, function: Callable[..., T], *args: object) -> Sequence[T]:
    """Return the results of `number` fresh processes; the function's first argument is a barrier for their start."""
    gate = spawning.Barrier(number)
    with ThreadPoolExecutor(number) as pool:
        calls = [pool.submit(Apart(), function, gate, *args) for _ in range(number)]
        return [call.result() for call in calls]


def set_up(directory: str | Path, environment: Mapping[str, str]) -> None:
    """Give this process a clean environment and directory, and end it when its parent ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    inherited_variables = inherited()
    os.environ.clear()
    os.environ.update({**inherited_variables, **environment})
    os.chdir(directory)
    logging.disable(logging.WARNING)


def inherited() -> dict[str, str]:
    """Return the part of the environment that every process needs."""
    return {name: os.environ[name] for name in _KEPT if name in os.environ}


def _call(
    sending: Connection,
    directory: str,
    environment: Mapping[str, str],
    function: Callable[..., object],
    args: tuple[object, ...],
    kwargs: Mapping[str, object],
) -> None:
    set_up(directory, environment)
    try:
        sending.send((None, function(*args, **kwargs)))
    except NotMeasured as error:
        sending.send((error, None))
    except BaseException:  # noqa: BLE001 - the parent process raises it
        sending.send((RuntimeError(traceback.format_exc()), None))
