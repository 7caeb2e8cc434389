"""What Toil says about the steps of a run, and its jobs in a scheduler: read from its files, written to the journal.

Toil appends a line to a message file (`--writeMessages`) when a job is issued, receives an id from the scheduler, or
ends. The line has no time, so the follower reads the file while the run goes on, and notes when it has found the line.
The formats are those of Toil 9 (`toil/bus.py`, `toil/statsAndLogging.py`).
"""

import re
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from wes_daemon.adapters.providers.local.failure_messages import read_tail
from wes_daemon.adapters.providers.local.journal import SUCCESS, Journal, Step
from wes_daemon.adapters.providers.local.run_directory import RunDirectory

_PAUSE = timedelta(seconds=1)
# The jobs of these kinds are steps; the others, such as `CWLWorkflow`, are Toil's own work and run beside the engine.
_STEP_KINDS = ("kind-CWLJob/",)
# Its ids are those of processes on the daemon's machine, and not of jobs in a scheduler.
_LOCAL_BATCH_SYSTEM = "SingleMachineBatchSystem"
_RECORD = re.compile(
    r"\[(?P<day>\d{4}-\d\d-\d\d)T(?P<time>\d\d:\d\d:\d\d)\S*\] \[[^\]]*\] "
    r"\[(?P<level>[DIWEC])\] \[(?P<module>[\w.]+)\] (?P<text>.*)"
)
_LEVELS = {"D": "DEBUG", "I": "INFO", "W": "WARNING", "E": "ERROR", "C": "CRITICAL"}
# What Toil's own parts report as an error follows from the error of the step, which cwltool or its CWL part reports.
_CAUSES = ("cwltool", "toil.cwl")
_CRASH = "with traceback:"
_SUMMARY = "The job store "
_BLOCK_START, _BLOCK_END = "=========>", "<========="
_JOB_OUTPUT = "The batch system left a non-empty file "
# `toil.batchSystems.abstractBatchSystem.BatchJobExitReason`, without the ends that a step itself is the reason for.
_ENDED_BY_SCHEDULER = re.compile("Exit reason: (LOST|KILLED|MEMLIMIT|MISSING|MAXJOBDURATION|PARTITION|TIMELIMIT)")
_QUEUED = re.compile(
    r"\[[^\]]*\] \[Thread-[^\]]*\] \[I\] \[toil\.batchSystems\.abstractGridEngineBatchSystem\] "
    r"Job .* with batch system ID (?P<batch>\d+) queued as job (?P<id>\S+)"
)
_JOB = re.compile(r"\[toil\.worker\] Working on job .* (?P<job>kind-\S+) v\d+$", re.MULTILINE)
_LOG = re.compile(r"(.+\.(?:stdout|stderr))_\d+\.log").fullmatch
_EXIT = re.compile(r"\] exited with status: (\d+)$")
_WORDS = re.compile(r"Failed command standard (?:error|output):$")


class StepFollower:
    """Copies what Toil reports about the steps into the journal, in a thread, until it is closed."""

    def __init__(self, run: RunDirectory, journal: Journal) -> None:
        self._run = run
        self._journal = journal
        self._read_bytes = 0
        self._steps: dict[str, Step] = {}
        self._exit_codes: dict[str, str] = {}
        self._ended: set[str] = set()
        self._failures: dict[str, tuple[int | None, str]] = {}
        self._read_logs: set[Path] = set()
        self._is_closed = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Copy the rest, when the engine has ended."""
        self._is_closed.set()
        self._thread.join()
        self.read()
        for job in self._steps:
            # Toil reports a failed attempt, and then fails the job or tries it again.
            if self._exit_codes.get(job, "0") != "0":
                self._end_failed(job)
        self._keep_logs()

    def read(self) -> None:
        """Copy what is new.

        Raises:
            OSError: a file cannot be read or written; the next call continues there.
        """
        try:
            with self._run.engine_messages.open("rb") as file:
                file.seek(self._read_bytes)
                for line in file:
                    if not line.endswith(b"\n"):
                        return
                    self._copy(_message(line))
                    self._read_bytes += len(line)
        except FileNotFoundError:
            return

    def _copy(self, message: Sequence[str]) -> None:
        match message:
            case ["JobIssuedMessage", name, job, _] if job.startswith(_STEP_KINDS) and job not in self._steps:
                self._steps[job] = self._journal.begin(name, (), stdout=None, stderr=None)
            case ["JobCompletedMessage", _, job, code] if job in self._steps:
                self._complete(job, code)
            case ["JobFailedMessage", _, job] if job in self._steps:
                self._end_failed(job)

    def _follow(self) -> None:
        while not self._is_closed.wait(_PAUSE.total_seconds()):
            with suppress(OSError):
                self.read()

    def _complete(self, job: str, exit_code: str) -> None:
        self._exit_codes[job] = exit_code
        if exit_code == "0" and job not in self._ended:
            self._ended.add(job)
            self._journal.end(self._steps[job], exit_code=0, status=SUCCESS)

    def _end_failed(self, job: str) -> None:
        if job in self._ended:
            return
        self._ended.add(job)
        step = self._steps[job]
        exit_code, words = self._failure(job)
        if words:
            self._write_log(step.stderr, words)
        self._journal.end(step, exit_code=exit_code, status="permanentFail")

    def _failure(self, job: str) -> tuple[int | None, str]:
        """Return the exit code of a step's tool and what the tool said, from the log of its last attempt."""
        for path in sorted(set(self._run.engine_logs.glob("failed_*.log")) - self._read_logs):
            self._read_logs.add(path)
            log = read_tail(path)
            for found in _JOB.finditer(log):
                self._failures[found["job"]] = _exit_and_words(log)
        return self._failures.get(job, (None, ""))

    def _keep_logs(self) -> None:
        """Keep what a step printed as its log; steps with equal names cannot be told apart."""
        logs = {found[1]: path for path in sorted(self._run.engine_logs.glob("*.log")) if (found := _LOG(path.name))}
        steps = Counter(step.name for step in self._steps.values())
        for step in self._steps.values():
            for stream, target in (("stdout", step.stdout), ("stderr", step.stderr)):
                log = logs.get(f"{_file_name(step.name)}.{stream}")
                if log and steps[step.name] == 1 and not (self._run.steps / target).exists():
                    self._write_log(target, read_tail(log))

    def _write_log(self, target: str, text: str) -> None:
        with suppress(OSError):  # A log that a full disk refuses must not change the run's result.
            (self._run.steps / target).write_text(text, encoding="utf-8", errors="replace")


def remaining_jobs(run: RunDirectory) -> Sequence[str]:
    """Return the scheduler's ids of the jobs of which Toil has not reported an end."""
    batch_of_job: dict[str, str] = {}
    ids: dict[str, str] = {}
    local: set[str] = set()
    for message in _read_messages(run):
        match message:
            case ["JobIssuedMessage", _, job, batch]:
                batch_of_job[job] = batch
            case ["ExternalBatchIdMessage", batch, _, system] if system == _LOCAL_BATCH_SYSTEM:
                local.add(batch)
            case ["ExternalBatchIdMessage", batch, id, _]:
                ids[batch] = id
            case ["JobCompletedMessage", _, job, _]:
                batch_of_job.pop(job, None)
    batches = [batch for batch in batch_of_job.values() if batch not in local]
    if not ids.keys() >= set(batches):
        # The message of an id comes seconds after the submission, and the line of the log at once.
        ids = {**_logged_ids(run), **ids}
    return [ids[batch] for batch in batches if batch in ids]


def as_cwltool_log(log: str) -> str:
    """Rewrite Toil's log in the form of cwltool's, without the errors that only follow from the error of a step."""
    lines: list[str] = []
    stamp, is_kept, is_job_output = "", True, False
    for line in log.split("\n"):
        text = line.removeprefix("\t")
        if record := _RECORD.match(text):
            if record["text"].startswith(_SUMMARY):
                break  # What follows repeats the logs of the failed steps.
            stamp = f"[{record['day']} {record['time']}]"
            is_cause = record["module"].startswith(_CAUSES) or record["text"].endswith(_CRASH)
            is_kept = is_cause or record["level"] not in "EC"
            is_job_output |= record["text"].startswith(_JOB_OUTPUT)
            text = f"{stamp} {_LEVELS[record['level']]} {record['text']}"
        elif reason := _ENDED_BY_SCHEDULER.fullmatch(text):
            text = f"{stamp} ERROR the scheduler has ended the job of a step ({reason[1]})"
        elif text == _BLOCK_START:
            is_kept = is_job_output
            text = f"{stamp} ERROR the job printed:"
        elif text == _BLOCK_END:
            is_kept = is_job_output = False
        if is_kept and text:
            lines.append(text)
    return "\n".join(lines)


def _exit_and_words(log: str) -> tuple[int | None, str]:
    exit_code: int | None = None
    words: dict[bool, list[str]] = {}
    current: list[str] | None = None
    for line in log.split("\n"):
        if _RECORD.match(line):
            current = None
            if found := _EXIT.search(line):
                exit_code = int(found[1])
            elif _WORDS.search(line):
                current = words.setdefault("standard error:" in line, [])
        elif current is not None:
            current.append(line)
    return exit_code, "\n".join(words.get(True) or words.get(False) or []).strip()


def _read_messages(run: RunDirectory) -> Sequence[Sequence[str]]:
    with suppress(FileNotFoundError):
        return [_message(line) for line in run.engine_messages.read_bytes().split(b"\n")[:-1]]
    return []


def _logged_ids(run: RunDirectory) -> Mapping[str, str]:
    """Return the scheduler's ids by Toil's own numbers of jobs; texts of tools are indented in Toil's log."""
    with suppress(FileNotFoundError):
        log = run.cwltool_stderr.read_bytes().decode(errors="replace")  # Not as text: a "\r" is no end of a line.
        return {found["batch"]: found["id"] for line in log.split("\n") if (found := _QUEUED.fullmatch(line))}
    return {}


def _message(line: bytes) -> Sequence[str]:
    """Return the kind and the fields of a line of the message file; empty for a damaged one."""
    try:
        kind, *fields = line.rstrip(b"\n").split(b"\t")
        return [kind.decode().rpartition(".")[2], *(field.decode("unicode_escape") for field in fields)]
    except UnicodeDecodeError:
        return []


def _file_name(name: str) -> str:
    """Return the beginning of the names of a step's log files."""
    return name.replace("-", "--").replace("/", "-").replace(" ", "_").replace("'", "").replace('"', "")
