"""`wes-daemon` as a supervisor sees it: its log, its signals, its exit codes."""

import json
import logging
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, suppress
from pathlib import Path

import pytest
from sqlalchemy import inspect

from tests.functional.conftest import BOUND, CWL, Call, Launch, ended, says, stop, until
from tests.integration.persistence.service import create_tables
from wes_daemon.adapters.persistence.engine import make_engine
from wes_daemon.adapters.persistence.transactions import writing

QUICK = ("--poll-interval", "0.2", "--status-check-interval", "0.2")
SECRET = "hunter2-and-more"
MAIN = "from wes_daemon.entrypoints.cli.main import main\nmain()\n"
STOPS_WITHIN_TWO_SECONDS = (
    "from datetime import timedelta\n"
    "from wes_daemon.application.runtime.daemon import Daemon\n"
    "Daemon.__init__.__kwdefaults__['longest_stop'] -= timedelta(seconds=7)\n"
)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_daemon_in_order(number: signal.Signals, set_up: Path, launch: Launch) -> None:
    daemon = launch("--log-file", "daemon.log")
    until(says(set_up / "daemon.log", "daemon.started"))

    stop(daemon, number)

    code, _, stderr = ended(daemon)
    assert (code, stderr) == (0, "")
    assert says(set_up / "daemon.log", "daemon.stopped everything_ended=True")()


def test_its_first_line_says_what_is_in_force(set_up: Path, launch: Launch) -> None:
    daemon = launch("--max-concurrent-workflows", "3", "--log-file", "daemon.log", *QUICK)
    until(says(set_up / "daemon.log", "daemon.started"))
    stop(daemon)

    _, stdout, _ = ended(daemon)

    first = stdout.splitlines()[0]
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z INFO daemon\.starting version=", first)
    for held in ("poll_interval=0.2s", "max_concurrent_workflows=3", "default_provider=local", "database=sqlite:"):
        assert held in first
    assert (set_up / "daemon.log").read_text() == stdout


def test_its_first_line_names_a_relative_database_by_its_whole_path(clean: Path, launch: Launch) -> None:
    daemon = launch("--db-uri", "sqlite:///runs.db", "--log-file", "daemon.log")
    until(says(clean / "daemon.log", "daemon.started"))
    stop(daemon)

    _, stdout, _ = ended(daemon)

    assert f'database="sqlite:///{clean}/runs.db (relative to {clean})"' in stdout.splitlines()[0]


@pytest.mark.usefixtures("set_up")
def test_a_queued_run_is_run_and_followed_to_its_end(launch: Launch) -> None:
    launch("--log-file", "daemon.log", *QUICK, stdout=subprocess.DEVNULL)

    waited = ended(launch("submit", str(CWL / "two_steps.cwl"), "message=hi", "--wait"))
    failed = ended(launch("submit", str(CWL / "fail.cwl"), "--wait", "--json"))

    code, stdout, stderr = waited
    run_id, _, outputs = stdout.partition("\n")
    assert code == 0
    assert json.loads(outputs)["shouted"]["class"] == "File"
    assert [line.split()[2] for line in stderr.splitlines() if run_id in line.split()[1:2]][-1].rstrip(
        ":"
    ) == "COMPLETE"
    assert failed[0] == 1
    document = json.loads(failed[1])
    assert failed[2].endswith(f"wes-daemon: `wes-daemon show {document['run_id']}` shows more\n")
    assert document["state"] == "EXECUTOR_ERROR"
    assert "sample S1 has no reads" in document["daemon"]["error"]


def test_whoever_stops_following_leaves_the_run_alone(set_up: Path, launch: Launch, call: Call) -> None:
    with (set_up / "said").open("w") as said:
        process = launch("submit", "https://example.org/a.cwl", "--wait", stderr=said)
        until(says(set_up / "said", "QUEUED"))
    stop(process, signal.SIGINT)

    code, stdout, _ = ended(process)

    assert code == 130
    assert says(set_up / "said", f"`wes-daemon cancel {stdout.strip()}` would end it")()
    assert json.loads(call("show", stdout.strip(), "--json").stdout)["state"] == "QUEUED"


def test_a_second_ctrl_c_while_it_ends_is_no_bug(set_up: Path, launch: Launch) -> None:
    script = set_up / "impatient.py"
    script.write_text(
        "import atexit, os, signal\n"
        "from wes_daemon.entrypoints.cli import submit\n"
        "from wes_daemon.entrypoints.cli.main import main\n"
        "def press(*_):\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "def press_and_print(message, print_message=submit.print_message):\n"
        "    if 'no longer' in message:\n"
        "        press()\n"
        "    print_message(message)\n"
        "submit.print_message = press_and_print\n"
        "atexit.register(press)\n"
        "main()\n"
    )
    with (set_up / "said").open("w") as said:
        command = [sys.executable, str(script)]
        process = launch("submit", "https://example.org/a.cwl", "--wait", command=command, stderr=said)
        until(says(set_up / "said", "QUEUED"))
    stop(process, signal.SIGINT)

    code, _, _ = ended(process)

    assert code == 130
    assert says(set_up / "said", "no longer waiting; the run continues")()
    assert not says(set_up / "said", "Traceback")()
    assert not says(set_up / "said", "bug")()


def test_ctrl_c_is_heard_even_if_whoever_started_the_tests_ignores_it(launch: Launch) -> None:
    heeded = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        sleeper = launch(command=[sys.executable, "-c", "print(flush=True); import time; time.sleep(600)"])
    finally:
        signal.signal(signal.SIGINT, heeded)
    assert sleeper.stdout is not None
    sleeper.stdout.readline()

    stop(sleeper, signal.SIGINT)

    assert ended(sleeper)[0] == -signal.SIGINT


def test_a_second_signal_ends_it_at_once(set_up: Path, launch: Launch) -> None:
    daemon = _daemon_that_hangs(set_up, launch)
    stop(daemon)
    until(lambda: _handled(daemon, signal.SIGTERM))

    stop(daemon)

    # Where it ends by the first signal, however late, it ends with 0.
    code, _, _ = ended(daemon)
    assert code == 128 + signal.SIGTERM


def test_a_database_that_somebody_else_holds_does_not_keep_it_from_ending(set_up: Path, launch: Launch) -> None:
    script = set_up / "impatient.py"
    # With its own nine seconds it would have half a second for its last line before the process is ended anyway.
    script.write_text(f"{STOPS_WITHIN_TWO_SECONDS}{MAIN}")
    daemon = launch("--log-file", "daemon.log", *QUICK, command=[sys.executable, str(script)])
    until(says(set_up / "daemon.log", "daemon.started"))
    holder = sqlite3.connect(set_up / "runs.db", isolation_level=None)
    until(lambda: holder.execute("SELECT count(*) FROM daemons").fetchone() == (1,))
    holder.execute("BEGIN IMMEDIATE")
    time.sleep(0.5)  # so that the daemon's own writes wait for ours

    stop(daemon)

    code, _, stderr = ended(daemon)
    assert (code, stderr) == (0, "")
    assert says(set_up / "daemon.log", "daemon.stopped everything_ended=False")()
    holder.close()


def test_a_reader_of_its_log_who_reads_no_more_does_not_keep_it_from_ending(set_up: Path, launch: Launch) -> None:
    reading, writing = os.pipe()
    daemon = launch("--log-file", "daemon.log", stdout=writing, stderr=subprocess.DEVNULL)
    until(says(set_up / "daemon.log", "daemon.started"))
    _fill(writing)

    stop(daemon)

    assert daemon.wait(BOUND) == 0
    os.close(reading)
    os.close(writing)


def test_what_hangs_in_a_call_does_not_keep_it_from_ending(set_up: Path, launch: Launch) -> None:
    daemon = _daemon_that_hangs(set_up, launch, STOPS_WITHIN_TWO_SECONDS)

    stop(daemon)

    code, _, _ = ended(daemon)
    assert code == 0


def test_a_signal_counts_while_the_database_is_awaited(clean: Path, launch: Launch) -> None:
    daemon = launch("--db-uri", f"postgresql://u:{SECRET}@127.0.0.1:1/runs", "--log-file", "daemon.log")
    until(says(clean / "daemon.log", "database.unavailable"))

    stop(daemon)

    code, stdout, stderr = ended(daemon)
    assert code == 0
    assert stdout.count("database.unavailable") == 1
    assert SECRET not in stdout + stderr


@pytest.mark.parametrize(
    ("name", "value", "region"),
    [("AWS_DEFAULT_REGION", "eu-west-1", "eu-west-1"), ("AWS_PROFILE", "gone", "unknown"), ("X", "", "us-east-1")],
)
def test_the_first_line_names_the_providers_and_the_region_of_healthomics(
    clean: Path, launch: Launch, monkeypatch: pytest.MonkeyPatch, name: str, value: str, region: str
) -> None:
    """A3."""
    for known in [known for known in os.environ if known.startswith("AWS_")]:
        monkeypatch.delenv(known)
    monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_HEALTHOMICS_OUTPUT_URI", "s3://bucket/out")

    daemon = launch("--db-uri", f"sqlite:///{clean / 'runs.db'}", "--log-file", "daemon.log")
    until(says(clean / "daemon.log", "daemon.started"))
    stop(daemon)

    _, stdout, _ = ended(daemon)
    assert f' providers="healthomics=s3://bucket/out@{region}"\n' in stdout


def test_a_database_that_comes_later_is_taken_into_use(clean: Path, launch: Launch) -> None:
    file = clean / "runs.db"
    holder = sqlite3.connect(file, isolation_level=None)
    holder.execute("CREATE TABLE taken (x)")
    holder.execute("BEGIN EXCLUSIVE")
    launch("--db-uri", f"sqlite:///{file}", "--log-file", "daemon.log", stdout=subprocess.DEVNULL)
    until(says(clean / "daemon.log", "daemon.starting"))

    holder.execute("COMMIT")
    holder.close()

    until(says(clean / "daemon.log", "daemon.started"))


def test_tables_that_belong_to_a_service_are_awaited_with_one_line_and_then_used(
    clean: Path, launch: Launch, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri, log = f"sqlite:///{clean / 'runs.db'}", clean / "daemon.log"
    monkeypatch.setenv("DAEMON_SERVICE_TABLES", "wait")
    daemon = launch("--db-uri", uri, "--log-file", str(log), stdout=subprocess.DEVNULL)
    until(says(log, "service_tables.awaited"))
    engine = make_engine(uri, connections=1)
    assert inspect(engine).get_table_names() == []

    with writing(engine) as service:
        create_tables(service)
        service.commit()
    engine.dispose()

    until(says(log, "daemon.started"))
    stop(daemon)
    assert ended(daemon)[0] == 0
    lines = log.read_text().splitlines()
    [awaited] = [line for line in lines if "service_tables.awaited" in line]
    assert " WARNING " in awaited
    assert "workflow_runs and task_logs do not exist yet" in awaited
    assert sum("service_tables.found" in line for line in lines) == 1
    assert not any("database.unavailable" in line for line in lines)


def test_a_database_that_cannot_be_used_ends_it_as_misconfigured(clean: Path, launch: Launch) -> None:
    (clean / "no.db").write_text("this is no database, but long enough to be looked at as if it were one" * 20)

    code, _, stderr = ended(launch("--db-uri", f"sqlite:///{clean / 'no.db'}"))

    assert code == 3
    assert stderr.startswith("wes-daemon: the SQLite database")
    assert stderr.count("\n") == 1


def test_a_hangup_does_not_end_it_and_a_rotated_log_file_is_made_anew(set_up: Path, launch: Launch) -> None:
    log = set_up / "daemon.log"
    daemon = launch("--log-file", str(log), stdout=subprocess.DEVNULL)
    until(says(log, "daemon.started"))
    log.rename(set_up / "daemon.log.1")

    stop(daemon, signal.SIGHUP)
    stop(daemon)

    assert ended(daemon)[0] == 0
    assert says(log, "daemon.stopped")()


def test_a_misspelt_name_is_mentioned(set_up: Path, launch: Launch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAEMON_POLL_INTERVALL", "5")
    (set_up / ".env").write_text("DAEMON_WORKER=5\n")
    daemon = launch("--log-file", "daemon.log")
    until(says(set_up / "daemon.log", "daemon.started"))
    stop(daemon)

    _, stdout, _ = ended(daemon)

    assert "WARNING settings.misspelt name=DAEMON_POLL_INTERVALL meant=DAEMON_POLL_INTERVAL where=environment" in stdout
    assert "WARNING settings.misspelt name=DAEMON_WORKER meant=DAEMON_WORKERS where=.env" in stdout


def test_no_secret_is_ever_seen_at_debug(
    set_up: Path, launch: Launch, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEVENBRIDGES_API_TOKEN", SECRET)
    # So long must a name be unknown before its runs end.
    monkeypatch.setenv("DAEMON_LEASE_SECONDS", "2")
    refused = call("--log-level", "debug", "submit", "echo", "--tag", f"provider_type={SECRET}")
    call("db", "upgrade")
    _insert_with_provider(set_up / "runs.db", SECRET)
    daemon = launch("--log-level", "debug", "--log-file", "daemon.log", *QUICK)
    until(says(set_up / "daemon.log", "submit.rejected"))
    stop(daemon)

    _, stdout, stderr = ended(daemon)

    assert "***" in stdout
    assert "***" in refused.stderr
    assert SECRET not in refused.output + stdout + stderr + (set_up / "daemon.log").read_text()


@pytest.mark.parametrize("password", [f"{SECRET}#ss", f"{SECRET}/ss", f"{SECRET}?ss", f"{SECRET}@ss"])
def test_a_password_that_should_have_been_percent_encoded_is_in_no_log(
    password: str, clean: Path, launch: Launch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URI", f"postgresql://u:{password}@127.0.0.1:1/runs")
    daemon = launch("--log-level", "debug", "--log-file", "daemon.log")
    until(lambda: daemon.poll() is not None or says(clean / "daemon.log", "database.unavailable")())
    stop(daemon)

    _, stdout, stderr = ended(daemon)

    assert "127.0.0.1" in stdout or "percent-encode" in stderr
    assert SECRET not in stdout + stderr


def _fill(pipe: int) -> None:
    """Write into a pipe until nothing more goes into it."""
    os.set_blocking(pipe, False)
    for size in (512, 1):
        with suppress(BlockingIOError):
            while True:
                os.write(pipe, b"x" * size)
    os.set_blocking(pipe, True)


def _insert_with_provider(file: Path, name: str) -> None:
    """As a WES service does that does not know which providers there are; the error will repeat the name."""
    with sqlite3.connect(file) as connection:
        connection.execute(
            "INSERT INTO workflow_runs (run_id, state, workflow_type, workflow_type_version, workflow_url, tags)"
            " VALUES ('r1', 'QUEUED', 'CWL', 'v1.2', 'file:///a.cwl', ?)",
            [json.dumps({"provider_type": name})],
        )
    connection.close()


def _daemon_that_hangs(directory: Path, launch: Launch, changes: str = "") -> "subprocess.Popen[str]":
    """A daemon in whose provider a call never returns, with further changes to the package."""
    script = directory / "hanging.py"
    script.write_text(
        "import pathlib, threading\n"
        "from wes_daemon.adapters.providers.local.provider import LocalProvider\n"
        "def hang(*_):\n"
        "    pathlib.Path('hanging').touch()\n"
        "    threading.Event().wait()\n"
        "LocalProvider.submit = hang\n"
        f"{changes}{MAIN}"
    )
    ended(launch("submit", str(CWL / "echo.cwl")))
    daemon = launch(*QUICK, command=[sys.executable, str(script)])
    until((directory / "hanging").exists)
    return daemon


def _handled(process: "subprocess.Popen[str]", number: signal.Signals) -> bool:
    """Whether the process has taken the signal that was sent to it."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    pending = [int(line.split()[1], 16) for line in status.splitlines() if line.startswith(("SigPnd", "ShdPnd"))]
    return not any(mask >> (number - 1) & 1 for mask in pending)


@pytest.mark.usefixtures("set_up")
def test_the_level_of_the_environment_is_for_the_daemon(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAEMON_LOG_LEVEL", "DEBUG")

    assert "run.queued" not in call("submit", "https://example.org/a.cwl").stderr
    assert "INFO run.queued" in call("--log-level", "info", "submit", "https://example.org/a.cwl").stderr
    assert logging.getLogger("wes_daemon").level == logging.INFO
    assert os.environ["DAEMON_LOG_LEVEL"] == "DEBUG"


@pytest.mark.parametrize("auto_migrate", ["true", "false"])
def test_an_index_that_a_service_has_removed_is_created_again_at_the_start_or_named(
    set_up: Path, call: Call, launch: Launch, monkeypatch: pytest.MonkeyPatch, auto_migrate: str
) -> None:
    call("db", "upgrade")
    with closing(sqlite3.connect(set_up / "runs.db")) as connection, connection:
        connection.execute("DROP INDEX wes_daemon_runs_queued")
    monkeypatch.setenv("DAEMON_AUTO_MIGRATE", auto_migrate)

    daemon = launch("--log-file", "daemon.log")
    until(says(set_up / "daemon.log", "daemon.started"))
    stop(daemon)
    _, log, _ = ended(daemon)

    named = [line for line in log.splitlines() if "database.objects_missing" in line]
    missing = json.loads(call("db", "current", "--json").stdout)["missing"]
    if auto_migrate == "true":
        assert (named, missing) == ([], [])
    else:
        [line] = named
        assert " WARNING database.objects_missing objects=wes_daemon_runs_queued" in line
        assert "wes-daemon db upgrade" in line
        assert missing == ["wes_daemon_runs_queued"]
