"""Where settings come from, and what is said of a wrong one."""

import json
import os
import sqlite3
from pathlib import Path

import pytest

from tests.functional.conftest import Call, Launch, ended


def current(call: Call, *arguments: str) -> Path:
    """The SQLite file that a command works on, told from its making."""
    before = set(Path.cwd().glob("*.db"))
    assert call(*arguments, "db", "upgrade").exit_code == 0
    [made] = set(Path.cwd().glob("*.db")) - before
    return made


def test_the_command_line_comes_before_the_environment_and_that_before_dot_env(
    clean: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    (clean / ".env").write_text(f"DATABASE_URI=sqlite:///{clean}/from_file.db\n")
    from_file = current(call)
    monkeypatch.setenv("DATABASE_URI", f"sqlite:///{clean}/from_environment.db")
    from_environment = current(call)
    from_command_line = current(call, "--db-uri", f"sqlite:///{clean}/from_option.db")

    names = [path.stem for path in (from_file, from_environment, from_command_line)]
    assert names == ["from_file", "from_environment", "from_option"]


def test_the_sub_commands_own_database_comes_before_the_daemons(clean: Path, call: Call) -> None:
    call("--db-uri", f"sqlite:///{clean}/first.db", "db", "upgrade", "--db-uri", f"sqlite:///{clean}/second.db")

    assert [path.name for path in clean.glob("*.db")] == ["second.db"]


def test_without_a_database_sub_commands_use_a_file_of_the_users_own_and_say_so(call: Call) -> None:
    created, result = call("db", "upgrade"), call("list", "--json")

    file = Path(os.environ["XDG_DATA_HOME"]) / "wes-daemon" / "runs.db"
    assert created.stderr == result.stderr == f"wes-daemon: DATABASE_URI is not set: using sqlite:///{file}\n"
    assert json.loads(result.stdout) == []
    assert file.exists()


def test_the_daemon_needs_a_database_and_says_how_to_name_it(launch: Launch) -> None:
    code, stdout, stderr = ended(launch())

    assert (code, stdout) == (3, "")
    assert stderr.startswith("wes-daemon: DATABASE_URI: not set.")
    assert "--db-uri" in stderr


@pytest.mark.parametrize("in_file", [False, True])
def test_a_name_that_is_like_that_of_the_database_is_asked_about(
    in_file: bool, clean: Path, call: Call, launch: Launch, monkeypatch: pytest.MonkeyPatch
) -> None:
    if in_file:
        (clean / ".env").write_text("DATABASE_URL=sqlite:////x\n")
    else:
        monkeypatch.setenv("DATABASE_URL", "sqlite:////x")

    daemon, listed = ended(launch()), call("list")

    question = "wes-daemon: DATABASE_URI is not set (DATABASE_URL is: did you mean that?)"
    assert daemon == (3, "", f"{question}\n")
    assert listed.stderr.startswith(f"{question}: using sqlite:///")


@pytest.mark.parametrize(
    ("option", "value", "right"),
    [
        ("--poll-interval", "0", "0<x<=86400"),
        ("--poll-interval", "nan", "such as 60 or 0.5"),
        ("--poll-interval", "soon", "not a valid number of seconds"),
        ("--status-check-interval", "-5", "0<x<=86400"),
        ("--max-concurrent-workflows", "0", "1<=x<=1000000"),
        ("--log-level", "LOUD", "'DEBUG'"),
        ("--db-uri", "runs.db", "sqlite:////absolute/path"),
        ("--db-uri", "mysql://host/db", "postgresql://"),
    ],
)
def test_a_wrong_option_is_wrong_usage_and_says_what_is_right(option: str, value: str, right: str, call: Call) -> None:
    result = call(option, value)

    assert result.exit_code == 2
    assert option in result.stderr
    assert right.casefold() in result.stderr.casefold()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DAEMON_POLL_INTERVAL", "often"),
        ("DAEMON_MAX_CONCURRENT_WORKFLOWS", "0"),
        ("DAEMON_DEFAULT_PROVIDER", "slurm"),
        ("DAEMON_LOG_LEVEL", "LOUD"),
        ("DATABASE_URI", "runs.db"),
    ],
)
def test_a_wrong_variable_is_misconfiguration_and_is_named(
    name: str, value: str, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)

    result = call("list")

    assert result.exit_code == 3
    assert result.stderr.startswith(f"wes-daemon: {name}: ")
    assert "Traceback" not in result.output


def test_all_wrong_variables_are_named_at_once(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAEMON_POLL_INTERVAL", "often")
    monkeypatch.setenv("DAEMON_WORKERS", "none")

    lines = call("list").stderr.splitlines()

    assert [line.split(":")[1].strip() for line in lines] == ["DAEMON_POLL_INTERVAL", "DAEMON_WORKERS"]


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("--log-file", "~nosuchuser/x", "list"), "--log-file"),
        (("demo", "--dir", "~nosuchuser/x"), "--dir"),
        (("submit", "~nosuchuser/x.cwl"), "WORKFLOW"),
        (("submit", "echo", "--params", "~nosuchuser/x"), "--params"),
        (("submit", "echo", "--attach", "~nosuchuser/x"), "--attach"),
        (("submit", "echo", "--attach", "x=~nosuchuser/x"), "--attach"),
        (("submit", "echo", "text=@~nosuchuser/x"), "text=@"),
    ],
)
def test_a_home_that_does_not_exist_is_wrong_usage(words: tuple[str, ...], named: str, call: Call) -> None:
    result = call(*words)

    assert result.exit_code == 2
    assert named in result.stderr
    assert "names a home that does not exist" in " ".join(result.stderr.split())


@pytest.mark.parametrize("option", [("--log-file", "/nowhere/at/all.log"), ("--log-file", "/proc/version/x")])
def test_a_log_file_that_cannot_be_opened_is_misconfiguration(option: tuple[str, str], uri: str, call: Call) -> None:
    result = call("--db-uri", uri, *option, "db", "upgrade")

    assert result.exit_code == 3
    assert "--log-file/DAEMON_LOG_FILE: /" in result.stderr


@pytest.mark.usefixtures("set_up")
def test_a_reader_does_not_need_the_daemons_log_file(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    call("db", "upgrade")
    monkeypatch.setenv("DAEMON_LOG_FILE", "/nowhere/at/all.log")

    assert call("list").exit_code == 0


def test_a_database_of_a_newer_version_is_misconfiguration(set_up: Path, call: Call) -> None:
    call("db", "upgrade")
    with sqlite3.connect(set_up / "runs.db") as connection:
        connection.execute("UPDATE wes_daemon_alembic_version SET version_num = '9999'")
    connection.close()

    result = call("list")

    assert result.exit_code == 3
    assert "newer wes-daemon" in result.stderr


def test_without_auto_migrate_the_command_that_upgrades_is_named(
    set_up: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    (set_up / "runs.db").touch()
    monkeypatch.setenv("DAEMON_AUTO_MIGRATE", "false")

    result = call("list")

    assert result.exit_code == 3
    assert "wes-daemon db upgrade" in result.stderr


def test_a_database_that_is_away_is_a_failure_in_one_line(call: Call) -> None:
    result = call("list", "--db-uri", "postgresql://u:hunter2@127.0.0.1:1/runs")

    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert "hunter2" not in result.output
