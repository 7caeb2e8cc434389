"""The WES service of February 2026 with a real daemon and real workflows: what the service reads in its own tables."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.conftest import PostgreSQL, as_text
from tests.integration.persistence.service_2026 import Installation, installed
from tests.integration.test_end_to_end import BOUND, CWL, Site


@pytest.fixture
def installation(postgresql_server: PostgreSQL) -> Iterator[Installation]:
    """The service and the daemon, set up as the page in `docs` says."""
    with installed(postgresql_server) as installation:
        yield installation


@pytest.fixture
def site(installation: Installation, tmp_path: Path) -> Iterator[Site]:
    """Where somebody runs daemons beside the service; whatever was started there has ended afterwards."""
    site = Site(tmp_path, as_text(installation.daemon_uri))
    yield site
    for daemon in site.daemons:
        daemon.kill()
        daemon.wait(BOUND)
    for process in site.processes():
        process.kill()
    site.application.close()


def test_runs_of_the_service_are_executed_cancelled_and_reported_in_its_own_tables(
    installation: Installation, site: Site
) -> None:
    service = installation.service
    site.start_daemon()

    service.queue("good", url=(CWL / "two_steps.cwl").as_uri(), params={"message": "hello"})
    service.queue("bad", url=(CWL / "fail.cwl").as_uri(), engine_parameters={"name": "on purpose"})
    for id in ("cancelling", "cancelled"):
        service.queue(id, url=(CWL / "sleep.cwl").as_uri())
    own = site.submit("echo.cwl", "message=hello")
    _until(lambda: [service.states()[id] for id in ("cancelling", "cancelled")] == ["RUNNING", "RUNNING"], site)
    service.set_state("cancelling", "CANCELING")
    service.set_state("cancelled", "CANCELED")
    ends = {"good": "COMPLETE", "bad": "EXECUTOR_ERROR", "cancelling": "CANCELED", "cancelled": "CANCELED"}
    _until(lambda: service.states() == {**ends, own: "COMPLETE"}, site)
    _until(lambda: not site.processes(), site)

    good, bad = service.run("good"), service.run("bad")
    assert good["outputs"]["shouted"]["class"] == "File"
    assert (good["exit_code"], bad["exit_code"]) == (0, 1)
    assert good["stdout_url"]
    assert good["start_time"] <= good["end_time"] <= good["updated_at"]
    assert {task["name"] for task in service.tasks("good")} == {"say", "shout"}
    assert "sample S1 has no reads" in json.dumps(bad["system_logs"])
    assert service.run(own)["outputs"]["said"]["class"] == "File"
    assert {run["run_id"] for run in json.loads(site.call("list", "--json").stdout)} == {*ends, own}
    assert site.show("good")["outputs"] == good["outputs"]
    for command in ("verify", "reconcile"):
        called = site.call(command)
        assert called.returncode == 0, called.stdout + called.stderr
    assert "Traceback" not in site.log()


def _until(holds: Callable[[], bool], site: Site) -> None:
    end = time.monotonic() + BOUND
    while not holds():
        assert time.monotonic() < end, f"{site.states()}\n{site.log()}"
        time.sleep(0.2)
