"""`list`, `show` and `cancel`: what they print for people and for programs, and how they end."""

import json
import os
import pty
import subprocess
from pathlib import Path

import pytest

from tests.functional.conftest import Call, Launch, ended, program

pytestmark = pytest.mark.usefixtures("set_up")


@pytest.fixture
def run_ids(call: Call) -> list[str]:
    """Three queued runs, oldest first; the last is meant for another provider."""
    return [
        call("submit", "https://example.org/a.cwl", *more).stdout.strip()
        for more in ([], ["message=hello"], ["--provider", "healthomics", "--no-checks"])
    ]


def test_an_empty_list_says_so_beside_the_output(call: Call) -> None:
    call("db", "upgrade")

    result = call("list")

    assert (result.exit_code, result.stdout) == (0, "")
    assert "wes-daemon submit" in result.stderr
    assert json.loads(call("list", "--json").stdout) == []


def test_a_list_in_a_pipe_is_plain_and_nothing_in_it_is_cut(run_ids: list[str], launch: Launch) -> None:
    _, stdout, _ = ended(launch("list"))

    head, *rows = stdout.splitlines()
    assert head.split()[:2] == ["RUN", "STATE"]
    assert {row.split()[0] for row in rows} == set(run_ids)
    assert all("https://example.org/a.cwl" in row for row in rows)
    assert "\x1b" not in stdout


def test_filters_restrict_and_limits_cut(run_ids: list[str], call: Call) -> None:
    def listed(*options: str) -> set[str]:
        return {run["run_id"] for run in json.loads(call("list", "--json", *options).stdout)}

    call("cancel", run_ids[0])

    assert listed("--state", "canceling") == {run_ids[0]}
    assert listed("--state", "QUEUED", "--state", "CANCELING") == set(run_ids)
    assert len(listed("--limit", "2")) == 2


@pytest.mark.usefixtures("set_up", "run_ids")
def test_whoever_reads_only_the_head_of_a_list_sees_no_complaint() -> None:
    script = '"$@" list --json | head -n 1; echo "${PIPESTATUS[0]}"'

    called = subprocess.run(["bash", "-c", script, "bash", *program()], capture_output=True, text=True)

    assert called.stderr == ""
    assert called.stdout.splitlines()[0] == "["


@pytest.mark.usefixtures("set_up", "run_ids")
def test_a_reader_that_is_gone_ends_a_command_silently(launch: Launch) -> None:
    process = launch("list", "--json", stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.close()
    process.stdout = None

    code, _, stderr = ended(process)

    assert (code, stderr) == (141, "")


def test_one_run_as_the_run_log_of_wes(run_ids: list[str], call: Call) -> None:
    shown = json.loads(call("show", run_ids[1], "--json").stdout)

    assert set(shown) == {"run_id", "request", "state", "run_log", "task_logs", "outputs", "daemon"}
    assert shown["request"]["workflow_params"] == {"message": "hello"}
    [queued] = shown["daemon"]["timeline"]
    assert (queued["after"], queued["why"]) == ("QUEUED", "queued")
    assert queued["at"].endswith("Z")
    assert "null" not in json.dumps(shown)


@pytest.mark.parametrize("option", [["--json"], []])
@pytest.mark.parametrize("name", ["parametersUri", "parameters_uri"])
def test_the_address_of_a_file_with_parameters_is_not_shown(call: Call, name: str, option: list[str]) -> None:
    """B8: it may be presigned."""
    address = "s3://private/parameters.json"
    given = ["--engine-parameter", f"{name}={address}", "--tag", f"provider_{name}={address}"]
    refused = call("submit", "--provider", "healthomics", "omics:1234567", *given)
    assert refused.exit_code != 0
    assert "private" not in refused.output
    run_id = call("submit", "--no-checks", "--provider", "healthomics", "omics:1234567", *given).stdout.strip()

    for result in (call("show", run_id, *option), call("list", *option)):
        assert result.exit_code == 0
        assert "private" not in result.output


def test_one_run_for_a_person(run_ids: list[str], call: Call) -> None:
    result = call("show", run_ids[1])

    assert run_ids[1] in result.stdout
    assert '"message": "hello"' in result.stdout
    assert "Timeline" in result.stdout


@pytest.mark.parametrize("arguments", [["show", "nobody"], ["show", "nobody", "--json"], ["cancel", "nobody"]])
def test_an_unknown_run_is_a_failure_that_says_where_it_was_looked_for(
    arguments: list[str], uri: str, call: Call
) -> None:
    call("db", "upgrade")

    result = call(*arguments)

    assert result.exit_code == 1
    assert "nobody: there is no such run" in result.output
    assert f"looked in {uri}; `wes-daemon list` shows the runs in it" in result.stderr
    assert "Traceback" not in result.output


def test_all_runs_are_cancelled_even_if_one_cannot_be(run_ids: list[str], call: Call) -> None:
    result = call("cancel", run_ids[0], "nobody", run_ids[1])

    assert result.exit_code == 1
    assert [line.split()[-1] for line in result.stdout.splitlines()] == ["CANCELING", "run", "CANCELING"]
    assert "`wes-daemon list` shows the runs in it" in result.stderr


def test_cancelling_twice_is_no_failure(run_ids: list[str], call: Call) -> None:
    first, second = (call("cancel", run_ids[0], "--json") for _ in range(2))

    assert first.exit_code == second.exit_code == 0
    assert json.loads(first.stdout) == json.loads(second.stdout) == [{"run_id": run_ids[0], "state": "CANCELING"}]


def test_text_from_a_row_is_no_markup_and_steers_no_terminal(call: Call) -> None:
    evil = "[bold red]\x1b[31mred\x1b]0;title\x07\n2026-01-01 forged"
    run_id = call("submit", "https://example.org/a.cwl", "--tag", f"note={evil}").stdout.strip()

    for arguments in (["show", run_id], ["show", run_id, "--json"], ["list"], ["list", "--json"]):
        result = call(*arguments)

        assert "\x1b" not in result.stdout
        assert "\x07" not in result.stdout
        assert "\n2026-01-01 forged" not in result.stdout
    assert "[bold red]" in call("show", run_id).stdout


@pytest.mark.parametrize(
    "arguments",
    [["list"], ["list", "--json"], ["show", "r1"], ["cancel", "r1"], ["db", "current"], ["db", "current", "--json"]],
    ids=" ".join,
)
def test_what_only_reads_makes_no_database(arguments: list[str], clean: Path, call: Call) -> None:
    result = call(*arguments, "--db-uri", "sqlite:///deep/down/runs.db")

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"wes-daemon: there is no database at {clean}/deep/down/runs.db: the folder")
    assert list(clean.iterdir()) == []


@pytest.mark.parametrize("arguments", [["list"], ["list", "--json"], ["--help"], ["show", "RUN"]], ids=" ".join)
def test_an_output_that_cannot_be_written_is_no_bug(arguments: list[str], run_ids: list[str], launch: Launch) -> None:
    with Path("/dev/full").open("w") as full:
        code, _, stderr = ended(launch(*[run_ids[0] if one == "RUN" else one for one in arguments], stdout=full))

    assert code == 1
    assert stderr.endswith("wes-daemon: cannot write to standard output: No space left on device\n")
    assert "bug" not in stderr
    assert "Exception ignored" not in stderr


def test_a_path_is_never_folded_even_on_a_narrow_terminal(call: Call) -> None:
    address = f"https://example.org/{'/'.join(['a', 'long', 'way'] * 20)}/a.cwl"
    run_id = call("submit", address).stdout.strip()

    lines = _in_a_terminal("show", run_id).splitlines()

    [line] = [line for line in lines if address in line]
    assert line.endswith(address)


@pytest.mark.parametrize(("more", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_colour_is_for_terminals_without_no_color(
    more: dict[str, str], coloured: bool, run_ids: list[str], call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    call("cancel", *run_ids)
    monkeypatch.setenv("TERM", "xterm-256color")
    for name, value in more.items():
        monkeypatch.setenv(name, value)

    seen = _in_a_terminal("list")

    assert ("\x1b[33mCANCELING" in seen) is coloured
    assert ("\x1b" in seen) is coloured
    assert all(run_id in seen for run_id in run_ids)


def _in_a_terminal(*arguments: str) -> str:
    reader, writer = pty.openpty()
    process = subprocess.Popen(program(*arguments), stdout=writer, stderr=subprocess.DEVNULL)
    os.close(writer)
    seen = bytearray()
    try:
        while chunk := os.read(reader, 4096):
            seen += chunk
    except OSError:
        pass  # how Linux says that the other side of a terminal is closed
    finally:
        os.close(reader)
        process.wait()
    return seen.decode()
