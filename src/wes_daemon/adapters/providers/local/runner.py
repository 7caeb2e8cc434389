"""The process that sees one run through: `python -m wes_daemon.adapters.providers.local.runner DIRECTORY`.

It leaves the process that was started at once, and belongs to nobody from then on.
It holds the run's lock as long as it lives; it is the only one that starts cwltool, and it does so once.
"""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path

from wes_daemon.adapters.providers.local.complaints import complaint, exit_words, read_end, without_secrets
from wes_daemon.adapters.providers.local.durable import read_object
from wes_daemon.adapters.providers.local.ending import tidy
from wes_daemon.adapters.providers.local.environment import RUN_VARIABLE
from wes_daemon.adapters.providers.local.journal import read_journal
from wes_daemon.adapters.providers.local.process_tree import end_processes
from wes_daemon.adapters.providers.local.result import NO_CWLTOOL, Ending, Result
from wes_daemon.adapters.providers.local.run_directory import RunDirectory
from wes_daemon.adapters.system import SystemClock, sleep

ENGINE = "wes_daemon.adapters.providers.local.engine"
GRACE = timedelta(seconds=5)
_RETRIES = 500
_BETWEEN_RETRIES = timedelta(milliseconds=10)


def main(arguments: Sequence[str]) -> int:
    """Detach, and return when the run is taken; what was forked then sees it through."""
    taken, announcement = os.pipe()
    if os.fork():
        os.close(announcement)
        os.read(taken, 1)  # ends with the byte, or with the process that would have written it
        return 0
    os.close(taken)
    os.setsid()
    see_through(RunDirectory(Path(arguments[0])), lambda: os.close(announcement))
    return 0


def see_through(run: RunDirectory, announce: Callable[[], None]) -> None:
    """Take the run, run it, write down how it ended; return at once when it was taken before."""
    # Somebody who only looks whether a runner lives holds the lock for an instant: hence the retries.
    for _ in range(_RETRIES):
        with run.held() as is_held:
            if is_held:
                if run.mark_started(SystemClock().now()):
                    announce()
                    run.conclude(_follow(run))
                return
        if run.has_started:
            return
        sleep(_BETWEEN_RETRIES)


def _follow(run: RunDirectory) -> Result:
    # Open before the mark is looked for: whoever marks later rings, whoever marked earlier is seen.
    bell = os.open(run.bell, os.O_RDWR)
    if run.is_cancelled:
        tidy(run, grace=timedelta())
        return _result(run, None)
    with run.cwltool_stdout.open("wb") as stdout, run.cwltool_stderr.open("wb") as stderr:
        cwltool = subprocess.Popen(
            [sys.executable, "-P", "-m", ENGINE, str(run.path)],
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            env=_cwltool_environment(run),
            cwd=run.attachments,  # cwltool names files in its complaints relative to where it works
            start_new_session=True,
        )
    threading.Thread(target=_end_when_rung, args=(run, bell), daemon=True).start()
    exit_code = cwltool.wait()
    tidy(run, grace=GRACE)
    return _result(run, exit_code)


def _cwltool_environment(run: RunDirectory) -> Mapping[str, str]:
    # cwltool would load the images of Singularity to where it works.
    images = {"CWL_SINGULARITY_CACHE": str(run.temporary)}
    return {**images, **os.environ, RUN_VARIABLE: str(run.path), "TMPDIR": str(run.temporary)}


def _end_when_rung(run: RunDirectory, bell: int) -> None:
    while not run.is_cancelled:
        os.read(bell, 1)
    end_processes(run, grace=GRACE)


def _result(run: RunDirectory, exit_code: int | None) -> Result:
    # Somebody may have cancelled when all was done already.
    cancelled = run.is_cancelled and exit_code != 0
    return Result(
        ending=Ending.CANCELLED if cancelled else Ending.EXITED,
        ended_at=SystemClock().now(),
        exit_code=exit_code,
        message="" if cancelled or exit_code == 0 else _why(run, exit_code),
    )


def _why(run: RunDirectory, exit_code: int | None) -> str:
    log = read_end(run.cwltool_stderr)
    if exit_code == NO_CWLTOOL:
        return log.strip()
    if exit_code is not None and exit_code < 0:
        return f"cwltool {exit_words(exit_code)}"
    document = (read_object(run.request) or {}).get("document", "")
    return without_secrets(complaint(read_journal(run.steps).steps, run.steps, log), str(document))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
