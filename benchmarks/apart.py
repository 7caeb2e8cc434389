"""Measuring in a process of its own, which nothing that was measured before has made large, warm or slow."""

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
    """Calls functions in fresh processes, in an empty directory, with no settings but those that are given."""

    def __init__(self, environment: Mapping[str, str] | None = None, *, within: float = 600) -> None:
        """Do nothing yet; `within` so many seconds each call has ended or is ended."""
        self._environment = environment or {}
        self._within = within

    def __call__(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What the function returns; arguments and answer are pickled.

        Raises:
            NotMeasured: as the function says, or it has not come to an end in time.
            RuntimeError: it has raised anything else.
        """
        receiving, sending = spawning.Pipe(duplex=False)
        with TemporaryDirectory(prefix="wes-bench-") as directory:
            settings = {"HOME": directory, "NO_PROXY": "127.0.0.1", **self._environment}
            process = spawning.Process(target=_call, args=(sending, directory, settings, function, args, kwargs))
            process.start()
            sending.close()
            try:
                answer: T = self._answer(receiving)
            finally:
                process.kill()
                process.join()
        return answer

    def _answer(self, receiving: Connection) -> Any:
        if not receiving.poll(self._within):
            raise NotMeasured(f"nothing was measured within {self._within:g} s")
        try:
            error, answer = receiving.recv()
        except EOFError:
            raise RuntimeError("the process that measures has died") from None
        if error is not None:
            raise error
        return answer


def side_by_side(number: int, function: Callable[..., T], *args: object) -> Sequence[T]:
    """What the function returns in each of so many fresh processes; its first argument lets them begin together."""
    gate = spawning.Barrier(number)
    with ThreadPoolExecutor(number) as pool:
        calls = [pool.submit(Apart(), function, gate, *args) for _ in range(number)]
        return [call.result() for call in calls]


def set_up(directory: str | Path, environment: Mapping[str, str]) -> None:
    """Make this process one that knows of nothing else, and ends with its parent."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    kept = inherited()
    os.environ.clear()
    os.environ.update({**kept, **environment})
    os.chdir(directory)
    logging.disable(logging.WARNING)


def inherited() -> dict[str, str]:
    """What a process needs of the environment, whatever it does."""
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
    except BaseException:  # noqa: BLE001 - whoever waits for the answer is told, whatever it was
        sending.send((RuntimeError(traceback.format_exc()), None))
