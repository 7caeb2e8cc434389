"""The whole: real CWL documents, run by the real cwltool, over SQLite and PostgreSQL, from the command line."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.integration.conftest import Database
from wes_daemon import RunFilter, WorkflowRequest, build_application, read_settings

CWL = Path(__file__).parents[1] / "cwl"
BOUND = 120
RUNS = 4
# The contract suite runs on both kinds of database; these tests show that the parts work together.
MOSTLY_SQLITE = ["sqlite", pytest.param("postgresql", marks=pytest.mark.nightly)]
MOSTLY_POSTGRESQL = ["postgresql", pytest.param("sqlite", marks=pytest.mark.nightly)]


class Site:
    """A directory in which somebody runs daemons on one database."""

    def __init__(self, directory: Path, uri: str) -> None:
        self.directory = directory
        self.workdir = directory / "local-runs"
        self._environment = {
            **{name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ},
            "HOME": str(directory),
            "DATABASE_URI": uri,
            "DAEMON_LOCAL_WORKDIR": str(self.workdir),
            "DAEMON_DEFAULT_PROVIDER": "local",
            "DAEMON_LEASE_SECONDS": "2",
        }
        self.daemons: list[subprocess.Popen[bytes]] = []
        self.application = build_application(read_settings(database_uri=uri))

    def start_daemon(self) -> "subprocess.Popen[bytes]":
        """Start one more daemon."""
        with (self.directory / "daemon.log").open("ab") as log:
            daemon = subprocess.Popen(
                [*self._command("--poll-interval", "0.2", "--status-check-interval", "0.2")],
                env=self._environment,
                cwd=self.directory,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self.daemons.append(daemon)
        return daemon

    def call(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Call a command to its end."""
        return subprocess.run(
            self._command(*arguments),
            env=self._environment,
            cwd=self.directory,
            capture_output=True,
            text=True,
            timeout=BOUND,
        )

    def submit(self, document: str, *arguments: str) -> str:
        """Queue a run and return its id."""
        called = self.call("submit", str(CWL / document), *arguments)
        assert called.returncode == 0, called.stderr
        return called.stdout.strip()

    def show(self, run_id: str) -> dict[str, Any]:
        """What `show --json` tells."""
        shown: dict[str, Any] = json.loads(self.call("show", run_id, "--json").stdout)
        return shown

    def queue(self, document: str, **params: object) -> None:
        """Queue a run from Python."""
        request = WorkflowRequest(
            workflow_url=(CWL / document).as_uri(),
            workflow_type="CWL",
            workflow_type_version="v1.2",
            workflow_params=params,
        )
        self.application.create_run(request)

    def states(self) -> Counter[str]:
        """How many runs are in which state."""
        return Counter(record.run.state for record in self.application.list_runs(RunFilter(limit=1000)))

    def log(self) -> str:
        """What the daemons have logged."""
        return (self.directory / "daemon.log").read_text()

    def processes(self) -> list[psutil.Process]:
        """What runs for the local provider of this site."""
        return [process for process in psutil.process_iter() if _belongs_to(process, self.workdir)]

    def _command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "wes_daemon", *arguments]


@pytest.fixture
def site(database: Database, tmp_path: Path) -> Iterator[Site]:
    """A site on each kind of database in turn; whatever was started there has ended afterwards."""
    site = Site(tmp_path, database.uri)
    yield site
    for daemon in site.daemons:
        daemon.kill()
        daemon.wait(BOUND)
    for process in site.processes():
        process.kill()
    site.application.close()


# On SQLite `test_daemon.py` of the functional tests brings these two documents to their ends.
@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_a_workflow_of_two_steps_completes_with_outputs_tasks_and_times(site: Site) -> None:
    site.start_daemon()

    run_id = site.submit("two_steps.cwl", "message=hello")
    _until(lambda: site.states()["COMPLETE"] == 1, site)

    run = site.show(run_id)
    shouted = Path(run["outputs"]["shouted"]["location"].removeprefix("file://"))
    assert shouted.read_text().strip() == "HELLO"
    assert {task["name"] for task in run["task_logs"]} == {"say", "shout"}
    assert all(task["exit_code"] == 0 and task["start_time"] and task["end_time"] for task in run["task_logs"])
    assert run["run_log"]["start_time"] <= run["run_log"]["end_time"]
    assert run["request"]["tags"] == {"provider_type": "local", "provider_id": f"wes-{run_id}"}


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_a_tool_that_exits_1_is_an_executor_error_with_its_words(site: Site) -> None:
    site.start_daemon()

    run_id = site.submit("fail.cwl")
    _until(lambda: site.states()["EXECUTOR_ERROR"] == 1, site)

    assert "sample S1 has no reads" in site.show(run_id)["daemon"]["error"]


@pytest.mark.parametrize("database", MOSTLY_SQLITE, indirect=True)
def test_a_cancelled_run_is_canceled_and_leaves_no_process(site: Site) -> None:
    site.start_daemon()
    run_id = site.submit("sleep.cwl")
    _until(lambda: site.states()["RUNNING"] == 1, site)

    cancelled = site.call("cancel", run_id)

    assert cancelled.returncode == 0, cancelled.stderr
    _until(lambda: site.states()["CANCELED"] == 1, site)
    _until(lambda: not site.processes(), site)


@pytest.mark.parametrize("database", MOSTLY_POSTGRESQL, indirect=True)
def test_a_killed_daemon_that_is_started_again_ends_all_runs_and_has_started_each_once(site: Site) -> None:
    ledger, end = site.directory / "ledger", site.directory / "end"
    for number in range(RUNS):
        site.queue("counted.cwl", ledger=str(ledger), line=f"run-{number}", file=str(end))
    daemon = site.start_daemon()
    _until(lambda: len(_lines(ledger)) >= 2, site)

    daemon.send_signal(signal.SIGKILL)
    daemon.wait(BOUND)
    site.start_daemon()
    end.touch()

    _until(lambda: site.states()["COMPLETE"] == RUNS, site)
    assert sorted(_lines(ledger)) == sorted(f"run-{number}" for number in range(RUNS))


def test_two_daemons_start_each_run_once(site: Site) -> None:
    ledger = site.directory / "ledger"
    for number in range(RUNS):
        site.queue("counted.cwl", ledger=str(ledger), line=f"run-{number}")

    site.start_daemon()
    site.start_daemon()

    _until(lambda: site.states()["COMPLETE"] == RUNS, site)
    assert sorted(_lines(ledger)) == sorted(f"run-{number}" for number in range(RUNS))


@pytest.mark.parametrize("database", MOSTLY_SQLITE, indirect=True)
def test_a_daemon_told_to_stop_ends_in_order_and_the_next_one_goes_on(site: Site) -> None:
    end = site.directory / "end"
    site.queue("counted.cwl", ledger=str(site.directory / "ledger"), line="once", file=str(end))
    daemon = site.start_daemon()
    _until(lambda: site.states()["RUNNING"] == 1, site)

    daemon.terminate()
    code = daemon.wait(BOUND)
    site.start_daemon()
    end.touch()

    assert code == 0
    _until(lambda: site.states()["COMPLETE"] == 1, site)
    assert _lines(site.directory / "ledger") == ["once"]


@pytest.mark.parametrize("database", MOSTLY_POSTGRESQL, indirect=True)
def test_one_pass_at_a_time_from_cron_brings_a_run_to_its_end(site: Site) -> None:
    site.submit("echo.cwl", "message=hello")

    def pass_made() -> bool:
        assert site.call("run-once").returncode == 0
        return site.states()["COMPLETE"] == 1

    _until(pass_made, site)


def _lines(path: Path) -> list[str]:
    return path.read_text().split() if path.exists() else []


def _belongs_to(process: psutil.Process, workdir: Path) -> bool:
    try:
        return any(str(workdir) in word for word in process.cmdline())
    except psutil.Error:
        return False


def _until(holds: Callable[[], bool], site: Site) -> None:
    end = time.monotonic() + BOUND
    while not holds():
        assert time.monotonic() < end, f"{site.states()}\n{site.log()}"
        time.sleep(0.2)
