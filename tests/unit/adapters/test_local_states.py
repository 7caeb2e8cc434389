"""What the marks of a run mean, and the words for a failure."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from wes_daemon.adapters.providers.local.complaints import LONGEST, complaint, cut, cwltool_words, without_secrets
from wes_daemon.adapters.providers.local.environment import may_pass, run_environment
from wes_daemon.adapters.providers.local.errors import translated, translated_name
from wes_daemon.adapters.providers.local.journal import Step
from wes_daemon.adapters.providers.local.naming import directory_name, is_directory_name
from wes_daemon.adapters.providers.local.result import NO_CWLTOOL, TERMINATED, Ending, Result
from wes_daemon.adapters.providers.local.states import Marks, report
from wes_daemon.application.ports.errors import Misconfigured, NotNow, Rejected
from wes_daemon.domain.runs import IdempotencyKey
from wes_daemon.domain.states import RunState

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def ended(exit_code: int | None, ending: Ending = Ending.EXITED) -> Marks:
    return Marks(started=True, started_at=NOW, result=Result(ending=ending, ended_at=NOW, exit_code=exit_code))


@pytest.mark.parametrize(
    ("marks", "state", "word"),
    [
        (Marks(), RunState.INITIALIZING, "prepared"),
        (Marks(has_runner=True), RunState.INITIALIZING, "prepared"),
        (Marks(cancelled=True), RunState.CANCELED, "cancelled"),
        (Marks(started=True, has_runner=True), RunState.RUNNING, "running"),
        (Marks(started=True, has_runner=True, cancelled=True), RunState.CANCELING, "cancelling"),
        (ended(0), RunState.COMPLETE, "exited 0"),
        (ended(1), RunState.EXECUTOR_ERROR, "exited 1"),
        (ended(33), RunState.EXECUTOR_ERROR, "exited 33"),
        (ended(2), RunState.SYSTEM_ERROR, "exited 2"),
        (ended(TERMINATED), RunState.SYSTEM_ERROR, "exited 143"),
        (ended(NO_CWLTOOL), RunState.SYSTEM_ERROR, "exited 70"),
        (ended(-9), RunState.SYSTEM_ERROR, "killed 9"),
        (ended(None, Ending.LOST), RunState.SYSTEM_ERROR, "lost"),
        (ended(TERMINATED, Ending.CANCELLED), RunState.CANCELED, "cancelled"),
    ],
)
def test_marks_and_their_meaning(marks: Marks, state: RunState, word: str) -> None:
    told = report(marks)

    assert (told.state, told.provider_status) == (state, word)


def test_an_orphan_has_started_and_has_neither_runner_nor_result() -> None:
    assert Marks(started=True).is_orphaned
    assert not Marks(started=True, has_runner=True).is_orphaned
    assert not Marks().is_orphaned
    assert not ended(1).is_orphaned


def test_a_result_is_read_as_it_was_written() -> None:
    result = Result(ending=Ending.EXITED, ended_at=NOW, exit_code=3, message="why")

    assert Result.read(result.as_object()) == result


def test_a_damaged_result_is_a_lost_run_and_not_a_running_one() -> None:
    assert Result.read({}).ending is Ending.LOST
    assert Result.read({"ended_at": "yesterday", "ending": "well"}).message


LOG = """[2026-01-02 03:04:05] INFO engine.py 3.3
[2026-01-02 03:04:05] ERROR Workflow error, try again with --debug for more information:
main.cwl:5:3: Missing required input
                                  parameter 'text'
[2026-01-02 03:04:05] WARNING Final process status is permanentFail
"""


def test_cwltools_errors_are_told_without_the_rest_of_its_log() -> None:
    assert cwltool_words(LOG) == "Workflow error:\nmain.cwl:5:3: Missing required input parameter 'text'"


def test_a_log_of_another_form_is_told_from_its_end() -> None:
    assert cwltool_words("something\nTraceback: ValueError: no\n").endswith("ValueError: no")
    assert cwltool_words("") == ""


def test_a_message_keeps_the_end_of_a_long_text_in_whole_lines() -> None:
    text = "\n".join(f"line {number}" for number in range(1000))

    shortened = cut(text)

    assert len(shortened) <= LONGEST + 2
    assert shortened.startswith("… line ")
    assert shortened.endswith("line 999")


def test_of_several_failed_steps_the_first_is_told() -> None:
    steps = [
        Step(number=n, name=f"s{n}", cmd=(), started_at=NOW, stdout="", stderr="", exit_code=n, status="permanentFail")
        for n in (1, 2)
    ]

    assert complaint(steps, Path("/nowhere"), LOG) == "s1 exited 1 (and 1 more failed)"


@pytest.mark.parametrize("key", ["../x", "a/b", "", ".", "..", ".hidden", "wes-A", "wes-é", "a\0b", "a" * 200, "~"])
def test_a_key_that_is_no_file_name_gets_one(key: str) -> None:
    name = directory_name(IdempotencyKey(key))

    assert is_directory_name(name)
    assert "/" not in name
    assert not name.startswith(".")
    assert name == directory_name(IdempotencyKey(key))


def test_keys_and_directories_are_one_to_one() -> None:
    keys = ["wes-1", "wes-a", "wes-A", "wes/a", "wes a", "wes-a~", "../a", "a"]
    keys += [directory_name(IdempotencyKey(key)) for key in keys]

    assert len({directory_name(IdempotencyKey(key)) for key in set(keys)}) == len(set(keys))
    assert directory_name(IdempotencyKey("wes-7f3a.b_c")) == "wes-7f3a.b_c"


def test_the_words_for_a_failure_show_no_secret_of_an_address() -> None:
    document = "https://u:Geheim@host/a.cwl?sig=Geheim#main"
    words = f"{document}:5:3: cannot load 'https://u:Geheim@host/b.cwl': HTTPPool('u:Geheim@host'): /a.cwl?sig=Geheim"

    told = without_secrets(words, document)

    assert "Geheim" not in told
    assert "'https://***@host/b.cwl'" in told


def test_words_without_addresses_stay_as_they_are() -> None:
    words = "file:///a/main.cwl#main/step:5:3: what is this? (see https://www.commonwl.org/v1.2/)"

    assert without_secrets(words, "./main.cwl") == words


def test_secrets_stay_with_the_daemon() -> None:
    given = {"PATH": "/bin", "LC_ALL": "C", "DATABASE_URI": "x", "AWS_ACCESS_KEY_ID": "x", "CWLTOOL_OPTIONS": "x"}

    assert run_environment(given) == {"PATH": "/bin", "LC_ALL": "C"}
    assert not may_pass("SB_AUTH_TOKEN")


def test_the_python_path_leads_to_the_same_places_from_anywhere() -> None:
    assert run_environment({"PATH": "/bin", "PYTHONPATH": "src:/lib"})["PYTHONPATH"] == f"{Path('src').absolute()}:/lib"


def test_a_full_disk_is_not_for_ever() -> None:
    with pytest.raises(NotNow, match="/work: No space left"), translated(Path("/work")):
        raise OSError(28, "No space left on device")


def test_a_directory_that_may_not_be_written_names_its_setting() -> None:
    with pytest.raises(Misconfigured, match=r"DAEMON_LOCAL_WORKDIR=/work: .*denied"), translated(Path("/work")):
        raise PermissionError(13, "Permission denied")


def test_an_attachment_that_cannot_be_a_file_is_the_requests_fault() -> None:
    with pytest.raises(Rejected, match="attachment 'a/b'"), translated_name("a/b"):
        raise NotADirectoryError(20, "Not a directory")


def test_what_is_in_no_table_passes_unchanged() -> None:
    with pytest.raises(OSError, match="Broken pipe"), translated(Path("/work")):
        raise BrokenPipeError(32, "Broken pipe")
