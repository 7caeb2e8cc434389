"""The program that supervises the script of one run: it starts the script once, and records the result."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from wes_daemon_scripts.runs import OUTPUTS, PARAMS, SCRIPT, STDERR, STDOUT, RunDirectory

_PASSED_ON = ("PATH", "HOME", "LANG")
_POLL_SECONDS, _GRACE_SECONDS = 0.1, 5.0


def main(directory: str) -> None:
    """Start the run in the background, unless it was started before; return when it is marked as started."""
    run = RunDirectory(Path(directory))
    lock = run.start()
    if lock is not None and os.fork() == 0:
        _supervise(run, lock)


def _supervise(run: RunDirectory, lock: int) -> None:
    (run.path / "work").mkdir()
    with (run.path / STDOUT).open("wb") as stdout, (run.path / STDERR).open("wb") as stderr:
        if run.is_to_cancel:
            run.finish(exit_code=None, is_cancelled=True)
            return
        try:
            script = subprocess.Popen(
                ["/bin/sh", str(run.path / SCRIPT)],
                cwd=run.path / "work",
                env=_environment(run),
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
                pass_fds=[lock],
            )
        except OSError as error:
            stderr.write(f"the script cannot be started: {error.strerror}\n".encode())
            run.finish(exit_code=126, is_cancelled=False)
            return
        is_cancelled = _wait(script.pid, run)
        # The script was not reaped yet, so that no other process can have its number.
        with suppress(ProcessLookupError):
            os.killpg(script.pid, signal.SIGKILL)
        run.finish(exit_code=script.wait(), is_cancelled=is_cancelled)


def _environment(run: RunDirectory) -> Mapping[str, str]:
    """Return the environment of the script, without the daemon's variables, which include secrets."""
    params = {name: value for name, value in (run.read(PARAMS) or {}).items() if name.isidentifier()}
    return {
        **{name: os.environ[name] for name in _PASSED_ON if name in os.environ},
        **{f"WES_PARAM_{name}": str(value) for name, value in params.items() if isinstance(value, str | int | float)},
        "WES_PARAMS": str(run.path / PARAMS),
        "WES_OUTPUTS": str(run.path / OUTPUTS),
        "WES_KEY": run.request["key"],
    }


def _wait(script: int, run: RunDirectory) -> bool:
    """Wait until the script has ended, or its time after a cancel is over; return whether it was cancelled."""
    while not _has_ended(script):
        if run.is_to_cancel:
            os.killpg(script, signal.SIGTERM)
            end = time.monotonic() + _GRACE_SECONDS
            while not _has_ended(script) and time.monotonic() < end:
                time.sleep(_POLL_SECONDS)
            return True
        time.sleep(_POLL_SECONDS)
    return False


def _has_ended(process: int) -> bool:
    return os.waitid(os.P_PID, process, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None


if __name__ == "__main__":
    main(sys.argv[1])
