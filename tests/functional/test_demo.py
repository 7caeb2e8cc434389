"""`wes-daemon demo`."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.functional.conftest import Call, Launch, ended, says, stop, until
from wes_daemon.bootstrap.settings import read_settings
from wes_daemon.domain.runs import ProviderType, RunId
from wes_daemon.entrypoints.cli.demo import DemoDirectory

_BIN = Path(sys.executable).parent
PATH_WITHOUT_US = os.pathsep.join(
    folder for folder in os.environ["PATH"].split(os.pathsep) if Path(folder).resolve() != _BIN.resolve()
)
LONGEST = 240
# The demonstration waits a few seconds for the runs that it cancels; a busy machine may need longer.
WAITS_LONGER = """\
from datetime import timedelta
from wes_daemon.entrypoints.cli import demo
from wes_daemon.entrypoints.cli.main import main
demo._CANCEL_TIMEOUT += timedelta(minutes=1)
main()
"""


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the one demonstration of these tests is kept."""
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def shown(directory: Path) -> "subprocess.CompletedProcess[str]":
    """A demonstration that somebody has watched without a terminal."""
    quiet = {name: value for name, value in os.environ.items() if not name.startswith(("DAEMON_", "DATABASE_"))}
    return subprocess.run(
        [sys.executable, "-m", "wes_daemon", "demo", "--dir", str(directory)],
        env=quiet | {"HOME": str(directory), "PATH": PATH_WITHOUT_US},
        capture_output=True,
        text=True,
        timeout=LONGEST,
    )


def test_its_runs_end_as_expected_and_their_outputs_are_there(
    directory: Path, shown: "subprocess.CompletedProcess[str]"
) -> None:
    assert shown.returncode == 0, shown.stderr
    assert "count_words: COMPLETE" in shown.stdout
    assert "fail_on_purpose: EXECUTOR_ERROR" in shown.stdout
    files = re.findall(r"([^\s,]+\.txt)", shown.stdout.split("Go on:")[0])
    assert len(files) == 4
    assert f"Files are below {directory}." in shown.stdout
    assert all(not Path(file).is_absolute() and (directory / file).is_file() for file in files)


def test_without_a_terminal_each_change_is_a_plain_line(shown: "subprocess.CompletedProcess[str]") -> None:
    assert re.search(r"^ +\d+s count_words COMPLETE", shown.stderr, re.MULTILINE)
    assert "\x1b" not in shown.stdout + shown.stderr


def test_what_it_says_about_going_on_works_also_where_the_shell_does_not_find_the_program(
    shown: "subprocess.CompletedProcess[str]",
) -> None:
    commands = [line.strip() for line in shown.stdout.split("Go on:")[1].splitlines() if line.strip()]

    called = subprocess.run(
        ["bash", "-e", "-m", "-c", "\n".join(commands)],
        env=os.environ | {"PATH": PATH_WITHOUT_US},
        capture_output=True,
        text=True,
        timeout=LONGEST,
    )

    assert called.returncode == 0, called.stderr
    assert len(commands) == 6
    assert called.stdout.count("EXECUTOR_ERROR") >= 2
    assert "25" in called.stdout


@pytest.mark.usefixtures("shown")
def test_the_database_is_that_of_the_directory_whatever_the_environment_says(directory: Path, call: Call) -> None:
    listed = json.loads(call("list", "--json", "--db-uri", f"sqlite:///{directory / 'runs.db'}").stdout)

    assert {run["state"] for run in listed} == {"COMPLETE", "EXECUTOR_ERROR"}


def test_ctrl_c_stops_it_and_leaves_no_run_behind(clean: Path, launch: Launch, call: Call) -> None:
    script = clean / "patient.py"
    script.write_text(WAITS_LONGER)
    with (clean / "said").open("w") as said:
        process = launch("demo", "--dir", "demo", command=[sys.executable, str(script)], stderr=said)
        until(says(clean / "said", "RUNNING"))
    stop(process, signal.SIGINT)

    code, _, _ = ended(process)

    assert code == 130
    assert says(clean / "said", f"The files so far stay in {clean / 'demo'}")()
    listed = json.loads(call("list", "--json", "--db-uri", f"sqlite:///{clean / 'demo' / 'runs.db'}").stdout)
    assert {run["state"] for run in listed} <= {"CANCELED", "COMPLETE", "EXECUTOR_ERROR"}


def test_without_cwltool_it_says_what_to_install(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wes_daemon.adapters.providers.local.provider.find_spec", lambda _: None)

    result = call("demo")

    assert result.exit_code == 3
    assert "pip install 'wes-daemon[local]' or, in a clone, pip install '.[local]'" in result.stderr


@pytest.mark.parametrize(("on_path", "typed"), [(True, "wes-daemon"), (False, str(_BIN / "wes-daemon"))])
def test_the_program_is_named_as_the_shell_finds_it(on_path: bool, typed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(_BIN) if on_path else PATH_WITHOUT_US)
    monkeypatch.setattr(sys, "argv", [str(_BIN / "wes-daemon")])

    hints = DemoDirectory(Path("/demo"), ProviderType.LOCAL, ["DAEMON_LOCAL_WORKDIR"]).next_steps(RunId("r1"))

    assert f"\n  {typed} show r1\n" in hints


def test_settings_for_the_database_of_a_service_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAEMON_SERVICE_TABLES", "wait")
    monkeypatch.setenv("DAEMON_SCHEMA", "daemon")
    place = DemoDirectory(Path("/demo"), ProviderType.LOCAL, ["DAEMON_LOCAL_WORKDIR"])

    settings = read_settings(**place.settings)

    assert (settings.service_tables, settings.daemon_schema) == ("create", None)
    assert "\n  unset DAEMON_SERVICE_TABLES DAEMON_SCHEMA\n" in place.next_steps(RunId("r1"))


@pytest.mark.parametrize("database", ["postgresql://host/db"])
def test_it_does_not_pretend_to_use_another_database(database: str, call: Call) -> None:
    result = call("--db-uri", database, "demo")

    assert result.exit_code == 2
    assert "--dir" in result.stderr


def test_a_directory_with_settings_of_its_own_is_left_alone(clean: Path, call: Call) -> None:
    (clean / ".env").write_text("DAEMON_WORKERS=4\n")

    result = call("demo", "--dir", shlex.quote(str(clean)))

    assert result.exit_code == 2
    assert (clean / ".env").read_text() == "DAEMON_WORKERS=4\n"
