"""The status of a run, its failure message, its directory name, its environment, and errors of the file system."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from wes_daemon.adapters.providers.local.engine_parameters import is_allowed_variable, run_environment
from wes_daemon.adapters.providers.local.errors import translate_name_errors, translate_os_errors
from wes_daemon.adapters.providers.local.failure_messages import (
    MAX_CHARACTERS,
    cwltool_errors,
    failure_message,
    shorten,
    without_secrets,
)
from wes_daemon.adapters.providers.local.journal import Step
from wes_daemon.adapters.providers.local.run_directory import (
    NO_CWLTOOL,
    NO_SPACE,
    TERMINATED,
    UNREACHABLE,
    Ending,
    Result,
)
from wes_daemon.adapters.providers.local.status import RunSnapshot, status_report
from wes_daemon.adapters.providers.local.work_directory import directory_name, is_directory_name
from wes_daemon.application.ports.errors import Misconfigured, NotNow, Rejected
from wes_daemon.domain.runs import IdempotencyKey
from wes_daemon.domain.states import RunState

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def ended(exit_code: int | None, ending: Ending = Ending.EXITED) -> RunSnapshot:
    return RunSnapshot(started=True, started_at=NOW, result=Result(ending=ending, ended_at=NOW, exit_code=exit_code))


@pytest.mark.parametrize(
    ("snapshot", "state", "status"),
    [
        (RunSnapshot(), RunState.INITIALIZING, "prepared"),
        (RunSnapshot(has_runner=True), RunState.INITIALIZING, "prepared"),
        (RunSnapshot(cancelled=True), RunState.CANCELED, "cancelled"),
        (RunSnapshot(started=True, has_runner=True), RunState.RUNNING, "running"),
        (RunSnapshot(started=True, has_runner=True, cancelled=True), RunState.CANCELING, "cancelling"),
        (ended(0), RunState.COMPLETE, "exited 0"),
        (ended(1), RunState.EXECUTOR_ERROR, "exited 1"),
        (ended(33), RunState.EXECUTOR_ERROR, "exited 33"),
        (ended(2), RunState.SYSTEM_ERROR, "exited 2"),
        (ended(NO_SPACE), RunState.SYSTEM_ERROR, "exited 74"),
        (ended(UNREACHABLE), RunState.SYSTEM_ERROR, "exited 75"),
        (ended(TERMINATED), RunState.SYSTEM_ERROR, "exited 143"),
        (ended(NO_CWLTOOL), RunState.SYSTEM_ERROR, "exited 70"),
        (ended(-9), RunState.SYSTEM_ERROR, "killed 9"),
        (ended(None, Ending.LOST), RunState.SYSTEM_ERROR, "lost"),
        (ended(TERMINATED, Ending.CANCELLED), RunState.CANCELED, "cancelled"),
    ],
)
def test_snapshots_and_their_status(snapshot: RunSnapshot, state: RunState, status: str) -> None:
    report = status_report(snapshot)

    assert (report.state, report.provider_status) == (state, status)


def test_an_orphaned_run_has_started_and_has_neither_runner_nor_result() -> None:
    assert RunSnapshot(started=True).is_orphaned
    assert not RunSnapshot(started=True, has_runner=True).is_orphaned
    assert not RunSnapshot().is_orphaned
    assert not ended(1).is_orphaned


def test_a_result_is_read_as_it_was_written() -> None:
    result = Result(ending=Ending.EXITED, ended_at=NOW, exit_code=3, message="why")

    assert Result.from_object(result.as_object()) == result


def test_a_damaged_result_means_a_lost_run_and_not_a_running_one() -> None:
    assert Result.from_object({}).ending is Ending.LOST
    assert Result.from_object({"ended_at": "yesterday", "ending": "well"}).message


LOG = """[2026-01-02 03:04:05] INFO engine.py 3.3
[2026-01-02 03:04:05] ERROR Workflow error, try again with --debug for more information:
main.cwl:5:3: Missing required input
                                  parameter 'text'
[2026-01-02 03:04:05] WARNING Final process status is permanentFail
"""


def test_the_errors_are_extracted_from_cwltools_log() -> None:
    assert cwltool_errors(LOG) == "Workflow error:\nmain.cwl:5:3: Missing required input parameter 'text'"


def message_of(log: str) -> str:
    return failure_message([], Path("/w/wes-1/steps"), log=log, base=Path("/w/wes-1/attachments"))


def test_a_document_outside_of_the_work_directory_is_named_by_its_whole_path() -> None:
    log = "[2026-01-02 03:04:05] ERROR Tool definition failed validation:\n../../../data/a.cwl:3:1: bad '../x'\n"

    assert message_of(log) == "Tool definition failed validation:\n/data/a.cwl:3:1: bad '../x'"


def test_a_program_that_is_not_installed_is_told_with_what_fixes_it() -> None:
    log = "[2026-01-02 03:04:05] ERROR 'bwa' not found: [Errno 2] No such file or directory: 'bwa'\n"

    assert message_of(log).startswith("'bwa' not found")
    assert "install it on the daemon's machine" in message_of(log)


@pytest.mark.parametrize(
    ("printed", "reason"),
    [("Trying to pull a:3...\nError: no such host\n", "Error: no such host"), ("", "see the run's stderr")],
)
def test_an_image_that_cannot_be_fetched_is_told_with_the_engines_own_reason(printed: str, reason: str) -> None:
    log = (
        f"[2026-01-02 03:04:05] INFO ['podman', 'pull', 'a:3']\n{printed}"
        "[2026-01-02 03:04:05] ERROR Workflow or tool uses unsupported feature:\n"
        "Docker is required to run this tool: Command '['podman', 'pull', 'a:3']' returned non-zero exit status 125.\n"
    )

    assert message_of(log) == f"the container image could not be fetched with `podman pull a:3`: {reason}"


def test_a_log_in_another_format_is_shortened_to_its_end() -> None:
    assert cwltool_errors("something\nTraceback: ValueError: no\n").endswith("ValueError: no")
    assert cwltool_errors("") == ""


SCRIPT = """Expression evaluation error:
                       Expecting value: line 1 column 1 (char 0)
                       script was:
                       01 "use strict";
                       02 var inputs = {"token": "Geheim"};
                       03 (function(){return ((foo(1)));})()
                       stdout was: ''
                       stderr was: 'evalmachine.<anonymous>:3
                       (function(){return ((foo(1)));})()
                                            ^

                       ReferenceError: foo is not defined
                           at evalmachine.<anonymous>:14:31'
"""
UNEXPLAINED = SCRIPT.partition("evalmachine")[0] + "'\n"
TIMED_OUT = """Expression evaluation error:
Long-running script killed after 60 seconds: Javascript expression was: { while(true){} }
stdout was:
stderr was:
"""
AT = "[2026-01-02 03:04:05] "


@pytest.mark.parametrize(
    ("log", "message"),
    [
        (
            f"{AT}ERROR Workflow error:\nmain.cwl:5:13: {SCRIPT}{AT}WARNING Final process status is permanentFail\n",
            "main.cwl:5:13: a JavaScript expression failed: ReferenceError: foo is not defined, "
            "in (function(){return ((foo(1)));})()",
        ),
        (
            f"{AT}WARNING Failed to evaluate expression:\n{SCRIPT}",
            "a JavaScript expression failed: ReferenceError: foo is not defined, in (function(){return ((foo(1)));})()",
        ),
        (f"{AT}ERROR x\n{UNEXPLAINED}", "a JavaScript expression failed; see the run's stderr"),
        (f"{AT}ERROR x\n{TIMED_OUT}", "a JavaScript expression was ended because it ran for 60 seconds"),
    ],
)
def test_a_javascript_error_is_one_sentence_without_the_values_of_inputs(log: str, message: str) -> None:
    """D4."""
    assert message_of(log) == message


def test_a_parameter_reference_that_is_no_javascript_is_reported_as_cwltool_does() -> None:
    log = (
        f"{AT}ERROR Workflow error:\nmain.cwl:4:13: Expression evaluation error:\nSyntax error in reference '(1+1)'.\n"
    )

    assert "Syntax error in reference '(1+1)'." in message_of(log)


def test_only_a_complaint_of_cwltool_about_a_file_name_is_given_advice() -> None:
    """D4."""
    log = f"{AT}ERROR Workflow error:\nbad: Invalid filename: 'a b' contains illegal characters, says the tool\n"

    assert "relax_path_checks" not in message_of(log)


def test_a_long_text_is_shortened_to_its_last_whole_lines() -> None:
    text = "\n".join(f"line {number}" for number in range(1000))

    shortened = shorten(text)

    assert len(shortened) <= MAX_CHARACTERS + 2
    assert shortened.startswith("… line ")
    assert shortened.endswith("line 999")


def test_the_message_describes_the_first_of_several_failed_steps() -> None:
    steps = [
        Step(number=n, name=f"s{n}", cmd=(), started_at=NOW, stdout="", stderr="", exit_code=n, status="permanentFail")
        for n in (1, 2)
    ]

    assert failure_message(steps, Path("/nowhere"), log=LOG, base=Path()) == "s1 exited 1 (and 1 more failed)"


@pytest.mark.parametrize("key", ["../x", "a/b", "", ".", "..", ".hidden", "wes-A", "wes-é", "a\0b", "a" * 200, "~"])
def test_a_key_that_is_no_valid_file_name_gets_a_valid_directory_name(key: str) -> None:
    name = directory_name(IdempotencyKey(key))

    assert is_directory_name(name)
    assert "/" not in name
    assert not name.startswith(".")
    assert name == directory_name(IdempotencyKey(key))


def test_different_keys_have_different_directory_names() -> None:
    keys = ["wes-1", "wes-a", "wes-A", "wes/a", "wes a", "wes-a~", "../a", "a"]
    keys += [directory_name(IdempotencyKey(key)) for key in keys]

    assert len({directory_name(IdempotencyKey(key)) for key in set(keys)}) == len(set(keys))
    assert directory_name(IdempotencyKey("wes-7f3a.b_c")) == "wes-7f3a.b_c"


def test_a_failure_message_shows_no_secret_of_an_address() -> None:
    document = "https://u:Geheim@host/a.cwl?sig=Geheim#main"
    text = f"{document}:5:3: cannot load 'https://u:Geheim@host/b.cwl': HTTPPool('u:Geheim@host'): /a.cwl?sig=Geheim"

    shown = without_secrets(text, document)

    assert "Geheim" not in shown
    assert "'https://***@host/b.cwl'" in shown


def test_a_message_without_secrets_is_unchanged() -> None:
    text = "file:///a/main.cwl#main/step:5:3: what is this? (see https://www.commonwl.org/v1.2/)"

    assert without_secrets(text, "./main.cwl") == text


def test_a_run_sees_no_secret_of_the_daemon() -> None:
    given = {"PATH": "/bin", "LC_ALL": "C", "DATABASE_URI": "x", "AWS_ACCESS_KEY_ID": "x", "CWLTOOL_OPTIONS": "x"}

    assert run_environment(given) == {"PATH": "/bin", "LC_ALL": "C"}
    assert not is_allowed_variable("SB_AUTH_TOKEN")


def test_the_python_path_is_absolute() -> None:
    assert run_environment({"PATH": "/bin", "PYTHONPATH": "src:/lib"})["PYTHONPATH"] == f"{Path('src').absolute()}:/lib"


def test_a_full_disk_is_a_transient_error() -> None:
    with pytest.raises(NotNow, match="/work: No space left"), translate_os_errors(Path("/work")):
        raise OSError(28, "No space left on device")


def test_the_error_for_a_read_only_directory_names_the_setting() -> None:
    with (
        pytest.raises(Misconfigured, match=r"DAEMON_LOCAL_WORKDIR=/work: .*denied"),
        translate_os_errors(Path("/work")),
    ):
        raise PermissionError(13, "Permission denied")


def test_an_attachment_that_cannot_be_written_rejects_the_run() -> None:
    with pytest.raises(Rejected, match="attachment 'a/b'"), translate_name_errors("a/b"):
        raise NotADirectoryError(20, "Not a directory")


def test_an_error_that_is_in_no_table_passes_unchanged() -> None:
    with pytest.raises(OSError, match="Broken pipe"), translate_os_errors(Path("/work")):
        raise BrokenPipeError(32, "Broken pipe")
