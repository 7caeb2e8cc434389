"""A small engine that keeps the convention of `cwl-runner`, for tests without a scheduler and without Toil.

It executes the tool of `tests/cwl/counted.cwl` itself, whichever document it is given.
Under the name `toil-cwl-runner` it reports its step as Toil 9 does: in the message file, and in log files.
With `--queue DIRECTORY` it has a scheduler: a file in the directory, named by the job's id, is a job.
"""

import argparse
import json
import os
import signal
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

NAME = "counted.cwl"
JOB = "kind-CWLJob/instance-1"
RECORD = "[2026-11-28T15:16:17+0000] [MainThread]"


def main() -> int:
    """Execute one run."""
    options = _options()
    signal.signal(signal.SIGTERM, signal.SIG_IGN if options.ignore_sigterm else lambda *_: sys.exit(1))
    if options.ready:
        Path(options.ready).write_text(json.dumps({"pid": os.getpid(), "environment": dict(os.environ)}))
    if options.words:
        sys.stderr.write(f"{options.words}\n")
        sys.stderr.flush()
    if options.prints:
        sys.stdout.write(f"{options.prints}\n")
    if options.gate:
        Path(options.gate).read_text()
    if options.exits is not None:
        return int(options.exits)
    job = _Job(options)
    try:
        return _step(options, json.loads(_path(options.inputs).read_text()), job)
    finally:
        job.end()


class _Job:
    """The job of the step in the scheduler."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._messages = Path(options.writeMessages) if options.writeMessages else None
        self.id = str(os.getpid())
        self._file = Path(options.queue, self.id) if options.queue else None
        if self._file:
            self._file.touch()
        self.say("JobIssuedMessage", NAME, JOB, "2")
        self.say("ExternalBatchIdMessage", "2", self.id, "SlurmBatchSystem")

    def say(self, kind: str, *fields: str) -> None:
        """Append a message."""
        if self._messages:
            with self._messages.open("a") as file:
                file.write("\t".join([f"toil.bus.{kind}", *fields]) + "\n")

    def end(self) -> None:
        """Remove the job from the queue."""
        if self._file:
            self._file.unlink(missing_ok=True)


def _step(options: argparse.Namespace, inputs: dict[str, Any], job: _Job) -> int:
    with Path(inputs["ledger"]).open("a") as ledger:
        ledger.write(f"{inputs['line']}\n")
    threading.Event().wait(inputs.get("seconds", 0))
    code = inputs.get("code", 0)
    words = f"ends with {code}\n"
    if code:
        sys.stderr.write(f"{words}ERROR [job {NAME}] completed permanentFail\n")
        if options.writeLogs:
            _write_log(Path(options.writeLogs), code, words)
        job.say("JobCompletedMessage", NAME, JOB, "1")
        job.say("JobFailedMessage", NAME, JOB)
        return 1
    job.say("JobCompletedMessage", NAME, JOB, "0")
    path = Path(options.outdir, "words")
    path.write_text(words)
    sys.stdout.write(json.dumps({"words": {"class": "File", "location": path.as_uri(), "basename": path.name}}))
    return 0


def _write_log(folder: Path, code: int, words: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"failed_CWLJob_{NAME}_000.log").write_text(
        f"{RECORD} [I] [toil.worker] Working on job 'CWLJob' {NAME} {JOB} v1\n"
        f"{RECORD} [W] [cwltool] [job {NAME}] exited with status: {code}\n"
        f"{RECORD} [E] [toil.cwl.cwltoil] Failed command standard error:\n{words}\n"
        f"{RECORD} [C] [toil.worker] Worker crashed with traceback:\nTraceback (most recent call last):\n"
        "cwl_utils.errors.WorkflowException: permanentFail\n"
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--outdir", required=True)
    for name in ("jobStore", "batchLogsDir", "writeLogs", "writeMessages"):
        parser.add_argument(f"--{name}")
    parser.add_argument("--no-container", action="store_true")
    parser.add_argument("--ignore-sigterm", action="store_true")
    parser.add_argument("--prints", help="Text for standard output.")
    parser.add_argument("--words", help="Text for standard error.")
    parser.add_argument("--exits", type=int, help="Ends at once with this exit code.")
    parser.add_argument("--gate", help="Named pipe for which it waits before it ends.")
    parser.add_argument("--queue")
    parser.add_argument("--ready", help="File that gets the process id and the environment.")
    parser.add_argument("document")
    parser.add_argument("inputs")
    return parser.parse_args()


def _path(text: str) -> Path:
    return Path(unquote(urlsplit(text).path)) if text.startswith("file:") else Path(text)


if __name__ == "__main__":
    with suppress(BrokenPipeError):
        sys.exit(main())
