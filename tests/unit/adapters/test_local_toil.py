"""What Toil 9 writes about its jobs, as the local provider reads it."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from wes_daemon.adapters.providers.local.external_engine import readable_log
from wes_daemon.adapters.providers.local.failure_messages import failure_message
from wes_daemon.adapters.providers.local.journal import Journal, Step, read_journal
from wes_daemon.adapters.providers.local.run_directory import RunDirectory
from wes_daemon.adapters.providers.local.toil import StepFollower, as_cwltool_log, remaining_jobs

AT = "[2026-11-28T15:16:17+0000] [MainThread]"
SAY, BREAK = "kind-CWLJob/instance-a", "kind-CWLJob/instance-b"


class FixedClock:
    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC)

    def monotonic(self) -> timedelta:
        return timedelta()


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    run = RunDirectory(tmp_path)
    for folder in (run.steps, run.engine_logs):
        folder.mkdir(parents=True)
    return run


def say(run: RunDirectory, *messages: str) -> None:
    """Append messages, with spaces for the tabs."""
    with run.engine_messages.open("a") as file:
        file.writelines("toil.bus." + message.replace(" ", "\t") + "\n" for message in messages)


def followed(run: RunDirectory) -> list[Step]:
    """Return the steps after the engine has ended."""
    StepFollower(run, Journal(run.steps, FixedClock())).close()
    return list(read_journal(run.steps)[0])


def failed_log(run: RunDirectory, number: int, job: str, *lines: str) -> None:
    text = "\n".join([f"{AT} [I] [toil.worker] Working on job 'CWLJob' a.cwl {job} v1", *lines])
    (run.engine_logs / f"failed_CWLJob_a.cwl_{number:03}.log").write_text(text)


def test_steps_are_the_jobs_of_tools_and_not_toils_own(run: RunDirectory) -> None:
    say(
        run,
        "JobIssuedMessage main.cwl kind-CWLWorkflow/instance-x 1",
        f"JobIssuedMessage main.cwl.say.echo.cwl {SAY} 2",
        "JobIssuedMessage main.cwl._resolve kind-ResolveIndirect/instance-y 3",
        f"JobCompletedMessage main.cwl.say.echo.cwl {SAY} 0",
        "QueueSizeMessage 1",
    )

    [step] = followed(run)

    assert (step.name, step.exit_code, step.has_failed, step.ended_at is not None) == (
        "main.cwl.say.echo.cwl", 0, False, True
    )  # fmt: skip


def test_a_step_that_is_tried_again_is_one_step(run: RunDirectory) -> None:
    say(run, f"JobIssuedMessage a.cwl {SAY} 2", f"JobCompletedMessage a.cwl {SAY} 1", f"JobIssuedMessage a.cwl {SAY} 3")
    say(run, f"JobCompletedMessage a.cwl {SAY} 0")

    [step] = followed(run)

    assert (step.exit_code, step.has_failed) == (0, False)


def test_a_failed_step_has_the_exit_code_and_the_words_of_its_last_attempt(run: RunDirectory) -> None:
    say(run, f"JobIssuedMessage a.cwl {SAY} 2", f"JobIssuedMessage b.cwl {BREAK} 3")
    say(run, f"JobCompletedMessage b.cwl {BREAK} 1", f"JobFailedMessage b.cwl {BREAK}")
    words = f"{AT} [E] [toil.cwl.cwltoil] Failed command standard error:"
    failed_log(run, 0, BREAK, f"{AT} [W] [cwltool] [job b] exited with status: 9", words, "first attempt", "")
    failed_log(
        run, 1, BREAK,
        f"{AT} [I] [cwltool] [job b] /tmp/x$ tool --password geheim",
        f"{AT} [W] [cwltool] [job b] exited with status: 3",
        words, "sample S1", "has no reads", "", f"{AT} [C] [toil.worker] Worker crashed with traceback:",
        "Traceback (most recent call last):", "cwl_utils.errors.WorkflowException: permanentFail",
    )  # fmt: skip
    failed_log(run, 2, SAY, words, "another step")

    steps = followed(run)

    message = failure_message(steps, run.steps, log="", base=run.path)
    assert message == "b.cwl exited 3: sample S1\nhas no reads"


def test_a_step_that_was_running_when_the_engine_died_has_no_end(run: RunDirectory) -> None:
    say(run, f"JobIssuedMessage a.cwl {SAY} 2")

    [step] = followed(run)

    assert step.ended_at is None


def test_half_a_line_is_read_when_it_is_whole(run: RunDirectory) -> None:
    run.engine_messages.write_bytes(f"toil.bus.JobIssuedMessage\ta\\tb\t{SAY}\t2\ntoil.bus.JobComple".encode())
    follower = StepFollower(run, Journal(run.steps, FixedClock()))
    follower.read()
    with run.engine_messages.open("a") as file:
        file.write(f"tedMessage\ta\t{SAY}\t0\n")

    follower.close()

    [step] = read_journal(run.steps)[0]
    assert (step.name, step.exit_code) == ("a\tb", 0)


def test_what_a_step_printed_is_its_log_unless_another_has_its_name(run: RunDirectory) -> None:
    shard = "kind-CWLJob/instance-c"
    say(
        run, f"JobIssuedMessage a.cwl {SAY} 2", f"JobIssuedMessage s.cwl {BREAK} 3", f"JobIssuedMessage s.cwl {shard} 4"
    )
    (run.engine_logs / "a.cwl.stderr_000.log").write_text("said it\n")
    (run.engine_logs / "s.cwl.stderr_000.log").write_text("which?\n")

    first, second, third = followed(run)

    assert (run.steps / first.stderr).read_text() == "said it\n"
    assert not any((run.steps / step.stderr).exists() for step in (second, third))


def test_jobs_without_an_end_remain_in_the_scheduler(run: RunDirectory) -> None:
    say(
        run,
        "JobIssuedMessage w kind-CWLWorkflow/instance-x 1",
        "ExternalBatchIdMessage 1 4711 SingleMachineBatchSystem",
        f"JobIssuedMessage a.cwl {SAY} 2",
        "ExternalBatchIdMessage 2 31 SlurmBatchSystem",
        f"JobCompletedMessage a.cwl {SAY} 0",
        f"JobIssuedMessage b.cwl {BREAK} 3",
        "ExternalBatchIdMessage 3 32 SlurmBatchSystem",
    )

    assert remaining_jobs(run) == ["32"]


def test_a_job_whose_id_is_only_in_the_log_yet_remains_in_the_scheduler(run: RunDirectory) -> None:
    queued = "[2026-11-28T15:18:12+0000] [Thread-2] [I] [toil.batchSystems.abstractGridEngineBatchSystem] Job"
    run.cwltool_stderr.write_text(
        f"{queued} a.cwl with batch system ID 2 queued as job 31\n"
        f"{queued} b.cwl with batch system ID 3 queued as job 32\n"
    )
    say(
        run,
        f"JobIssuedMessage a.cwl {SAY} 2",
        f"JobCompletedMessage a.cwl {SAY} 0",
        f"JobIssuedMessage b.cwl {BREAK} 3",
    )

    assert remaining_jobs(run) == ["32"]


def test_the_words_of_a_tool_are_no_jobs(run: RunDirectory) -> None:
    """Toil indents them in its log, and escapes line ends in its messages."""
    queued = (
        "[t] [Thread-2] [I] [toil.batchSystems.abstractGridEngineBatchSystem] Job a with batch system ID 2 queued as"
    )
    run.cwltool_stderr.write_text(f"\t{queued} job 31\nx {queued} job 31\n\t\r{queued} job 31\n")
    say(run, f"JobIssuedMessage a\\ntoil.bus.ExternalBatchIdMessage\\t2\\t31\\tSlurm {SAY} 2")

    assert remaining_jobs(run) == []


def test_toils_log_keeps_the_cause_and_not_what_follows_from_it() -> None:
    log = "\n".join(
        [
            f"{AT} [I] [toil.leader] Issued job",
            f"{AT} [E] [toil.batchSystems.singleMachine] Got exit code 1 (indicating failure) from job _toil_worker",
            f'{AT} [W] [toil.leader] Log from job "kind-CWLJob/instance-s" follows:',
            "=========>",
            f"\t{AT} [E] [cwltool] [job a.cwl] Job error:",
            "\tError collecting output for parameter 'report': Did not find output file",
            "<=========",
            f"{AT} [E] [root] The job store '/js' contains 1 failed jobs: 'CWLJob' a.cwl",
        ]
    )

    message = failure_message([], Path(), log=as_cwltool_log(log), base=Path())

    assert message == "[job a.cwl] Job error:\nError collecting output for parameter 'report': Did not find output file"


def test_an_exception_of_toil_is_reduced_to_its_last_message() -> None:
    log = "\n".join(
        [
            f"{AT} [I] [cwltool] Resolved 'a.cwl'",
            "Traceback (most recent call last):",
            '  File "process.py", line 438, in fill_in_defaults',
            "cwl_utils.errors.WorkflowException: Missing required input parameter 'text'",
            "",
            "The above exception was the direct cause of the following exception:",
            "",
            "Traceback (most recent call last):",
            '  File "cwltoil.py", line 5448, in main',
            "cwl_utils.errors.WorkflowException: Invalid job input record:",
            "a.cwl:5:3: Missing required input parameter 'text'",
        ]
    )

    assert readable_log(as_cwltool_log(log)) == (
        "Invalid job input record:\na.cwl:5:3: Missing required input parameter 'text'"
    )


def test_an_exception_in_a_job_ends_where_the_next_record_begins() -> None:
    log = "\n".join(
        [
            f"\t{AT} [C] [toil.worker] Worker crashed with traceback:",
            "\tTraceback (most recent call last):",
            '\t  File "worker.py", line 623, in workerScript',
            "\tcwltool.errors.UnsupportedRequirement: --no-container, but this tool has DockerRequirement",
            "\t",
            f"\t{AT} [E] [toil.worker] Exiting the worker because of a failed job on host vm",
        ]
    )

    assert readable_log(as_cwltool_log(log)) == "--no-container, but this tool has DockerRequirement"


def test_a_job_that_the_scheduler_has_ended_is_named_with_its_reason() -> None:
    log = "\n".join(
        [
            f"{AT} [W] [toil.leader] Job failed with exit value 143: 'CWLJob' sleep.cwl kind-CWLJob/instance-8 v1",
            "Exit reason: TIMELIMIT",
            "Failed job in backing scheduler: 1",
            f"{AT} [W] [toil.leader] The batch system left a non-empty file /tmp/toil_9.err.log:",
            f'{AT} [W] [toil.leader] Log from job "kind-CWLJob/instance-8" follows:',
            "=========>",
            "\tslurmstepd: error: *** JOB 1 ON vm CANCELLED DUE TO TIME LIMIT ***",
            "<=========",
            f"{AT} [W] [toil.job] Due to failure we are reducing the remaining try count",
        ]
    )

    message = failure_message([], Path(), log=readable_log(as_cwltool_log(log)), base=Path())

    assert message == (
        "the scheduler has ended the job of a step (TIMELIMIT)\nFailed job in backing scheduler: 1\n"
        "the job printed:\nslurmstepd: error: *** JOB 1 ON vm CANCELLED DUE TO TIME LIMIT ***"
    )


def test_a_step_that_failed_by_itself_was_not_ended_by_the_scheduler() -> None:
    assert "scheduler" not in as_cwltool_log(f"{AT} [W] [toil.leader] Job failed\nExit reason: FAILED")
