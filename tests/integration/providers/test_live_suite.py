"""The live suite does what its document says, shown at simulators that move by themselves as real services do.

Each test is a `pytest -m live` in a process and a directory of its own, with the variables that a person would set.
"""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.integration.providers.sevenbridges_fixtures import authority
from tests.integration.providers.sevenbridges_harness import PROJECT, TOKEN
from tests.simulators.healthomics.server import HealthOmicsSimulator
from tests.simulators.healthomics.service import REGION, OmicsService
from tests.simulators.healthomics.workflows import ACCOUNT, Workflow
from tests.simulators.sevenbridges.platform import Platform
from tests.simulators.sevenbridges.server import Authority, serving

__all__ = ["authority"]

ROOT = Path(__file__).parents[3]
BOUND = 120
APP = f"{PROJECT}/wes-daemon-live"
WORKFLOW = "7654321"
INPUTS = {"seconds": "int", "code": "int"}
QUICK = {"LIVE_LOOK_SECONDS": "0.1", "LIVE_SETTLING_SECONDS": "0.1", "LIVE_PATIENCE_SECONDS": "20"}
OVER = ("COMPLETED", "FAILED", "ABORTED", "ABORTING")


@dataclass(frozen=True)
class Outcome:
    """What became of a `pytest -m live`."""

    code: int
    text: str
    passed: Collection[str]
    skipped: Mapping[str, str]
    failed: Mapping[str, str]


LiveSuite = Callable[..., Outcome]


@pytest.fixture
def live_suite(tmp_path: Path) -> LiveSuite:
    """Runs the live suite with these variables and none of this machine's accounts."""

    def run(variables: Mapping[str, str], *arguments: str) -> Outcome:
        ours = ("AWS_", "LIVE_", "SEVENBRIDGES_", "PYTEST_", "COV_")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        nowhere = {
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": "/nonexistent/config",
            "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent/credentials",
            "NO_PROXY": "127.0.0.1",
            "HOME": str(tmp_path),
        }
        report = tmp_path / "report.xml"
        where = ["-c", str(ROOT / "pyproject.toml"), "--rootdir", str(ROOT), str(ROOT / "tests" / "live")]
        options = ["-p", "no:cacheprovider", f"--junitxml={report}"]
        ended = subprocess.run(
            [sys.executable, "-m", "pytest", *where, *options, *arguments],
            env={**kept, **nowhere, **variables},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=BOUND,
        )
        return _outcome(ended.returncode, ended.stdout + ended.stderr, report)

    return run


@pytest.fixture
def platform() -> Platform:
    """A platform with the app that the document tells to install, and with somebody else's tasks."""
    platform = Platform(lambda: datetime.now(UTC))
    platform.add_token(TOKEN, PROJECT)
    platform.add_app(APP, INPUTS)
    return platform


@pytest.fixture
def sevenbridges(platform: Platform, authority: Authority) -> Iterator[Mapping[str, str]]:
    """The variables that lead to the platform."""
    with serving(platform, authority) as endpoint:
        yield QUICK | {
            "SEVENBRIDGES_API_ENDPOINT": endpoint,
            "SEVENBRIDGES_API_TOKEN": TOKEN,
            "SEVENBRIDGES_PROJECT": PROJECT,
            "SEVENBRIDGES_RATE_LIMIT": "off",
            "REQUESTS_CA_BUNDLE": str(authority.bundle),
            "LIVE_SEVENBRIDGES_APP": APP,
        }


@pytest.fixture
def omics() -> Iterator[HealthOmicsSimulator]:
    """A service with the workflow that the document tells to register."""
    with HealthOmicsSimulator() as simulator:
        simulator.service.workflows[WORKFLOW] = Workflow(WORKFLOW, ACCOUNT, parameters=dict.fromkeys(INPUTS, True))
        yield simulator


@pytest.fixture
def healthomics(omics: HealthOmicsSimulator) -> Mapping[str, str]:
    """The variables that lead to the service."""
    return QUICK | {
        "AWS_ENDPOINT_URL": omics.url,
        "AWS_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing-secret",
        "AWS_HEALTHOMICS_WORKFLOW_ROLE_ARN": f"arn:aws:iam::{ACCOUNT}:role/runs",
        "AWS_HEALTHOMICS_OUTPUT_URI": "s3://results/live",
        "AWS_HEALTHOMICS_RATE_LIMITS": "off",
        "LIVE_HEALTHOMICS_WORKFLOW": WORKFLOW,
    }


@pytest.mark.nightly
def test_the_contract_is_kept_at_seven_bridges_and_nothing_is_left(
    live_suite: LiveSuite, platform: Platform, sevenbridges: Mapping[str, str]
) -> None:
    strangers = _tasks_of_strangers(platform)

    with _moving(lambda: _move_tasks(platform, strangers)):
        outcome = live_suite(sevenbridges, "-m", "live", "-k", "SevenBridges")

    assert outcome.code == 0, outcome.text
    assert len(outcome.passed) > 20
    assert outcome.skipped == {}
    assert {id: platform.tasks[id] for id in strangers} == strangers
    assert {task["status"] for id, task in platform.tasks.items() if id not in strangers} <= set(OVER)


@pytest.mark.nightly
def test_the_contract_is_kept_at_healthomics_and_nothing_is_left(
    live_suite: LiveSuite, omics: HealthOmicsSimulator, healthomics: Mapping[str, str]
) -> None:
    stranger = _run_of_a_stranger(omics.service)

    with _moving(lambda: _move_runs(omics.service, stranger)):
        outcome = live_suite(healthomics, "-m", "live", "-k", "HealthOmics")

    assert outcome.code == 0, outcome.text
    assert len(outcome.passed) > 20
    assert all("in one step" in reason for reason in outcome.skipped.values()), outcome.skipped
    assert omics.service.run(stranger).status == "PENDING"
    ours = [entry.id for entry in omics.service.started if entry.id != stranger]
    assert ours
    assert all(omics.service.run(id).has_ended or omics.service.run(id).status == "STOPPING" for id in ours)


@pytest.mark.nightly
def test_a_test_that_fails_leaves_nothing_at_seven_bridges(
    live_suite: LiveSuite, platform: Platform, sevenbridges: Mapping[str, str]
) -> None:
    """Here no run ever ends, so the test gives up waiting."""
    impatient = {**sevenbridges, "LIVE_PATIENCE_SECONDS": "0.5"}

    outcome = live_suite(impatient, "-m", "live", "-k", "SevenBridges and (tells_when or answered_as_prepared)")

    assert outcome.code == 1, outcome.text
    assert "LIVE_PATIENCE_SECONDS" in outcome.failed["TestSevenBridgesLive.test_a_completed_run_has_a_start_and_an_end"]
    assert platform.started
    assert {task["status"] for task in platform.tasks.values()} == {"ABORTING"}


@pytest.mark.nightly
def test_a_test_that_fails_leaves_nothing_at_healthomics(
    live_suite: LiveSuite, omics: HealthOmicsSimulator, healthomics: Mapping[str, str]
) -> None:
    """Here a new run is not listed either, so only its id leads to it."""
    omics.service.lists_new_runs = False

    outcome = live_suite(
        {**healthomics, "LIVE_PATIENCE_SECONDS": "0.5"}, "-m", "live", "-k", "HealthOmics and tells_when"
    )

    assert outcome.code == 1, outcome.text
    [run] = omics.service.started
    assert omics.service.run(run.id).status == "STOPPING"


@pytest.mark.nightly
def test_wrong_credentials_fail_at_once_and_no_token_is_shown(
    live_suite: LiveSuite, platform: Platform, sevenbridges: Mapping[str, str]
) -> None:
    outcome = live_suite({**sevenbridges, "SEVENBRIDGES_API_TOKEN": "a-token-of-nobody"}, "-m", "live", "-k", "Seven")

    assert outcome.code == 1
    assert len(outcome.failed) > 20
    assert not outcome.passed
    assert not outcome.skipped
    assert "a-token-of-nobody" not in outcome.text
    assert "[secret]" in outcome.text
    assert not platform.tasks


@pytest.mark.nightly
def test_no_more_runs_are_started_than_were_allowed(
    live_suite: LiveSuite, omics: HealthOmicsSimulator, healthomics: Mapping[str, str]
) -> None:
    outcome = live_suite({**healthomics, "LIVE_RUNS_AT_MOST": "1"}, "-m", "live", "-k", "HealthOmics and two_keys")

    assert "LIVE_RUNS_AT_MOST=1" in outcome.failed["TestHealthOmicsLive.test_two_keys_are_two_runs"]
    assert len(omics.service.started) == 1
    assert "1 starts of at most 1" in outcome.text


@pytest.mark.nightly
def test_without_credentials_each_test_is_skipped_by_the_names_of_what_is_missing(live_suite: LiveSuite) -> None:
    outcome = live_suite({"SEVENBRIDGES_PROJECT": PROJECT}, "-m", "live")

    assert outcome.code == 0, outcome.text
    assert not outcome.passed
    assert set(outcome.skipped.values()) == {
        "not set: SEVENBRIDGES_API_TOKEN (or SEVENBRIDGES_API_TOKEN_FILE, SEVENBRIDGES_PROFILE), "
        "LIVE_SEVENBRIDGES_APP; see docs/live-tests.md",
        "not set: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or AWS_PROFILE), AWS_HEALTHOMICS_WORKFLOW_ROLE_ARN, "
        "AWS_HEALTHOMICS_OUTPUT_URI, LIVE_HEALTHOMICS_WORKFLOW; see docs/live-tests.md",
    }


@pytest.mark.parametrize("arguments", [(), ("-m", "not skipif")])
def test_nothing_is_started_unless_live_tests_are_asked_for(
    live_suite: LiveSuite, omics: HealthOmicsSimulator, healthomics: Mapping[str, str], arguments: Collection[str]
) -> None:
    outcome = live_suite(healthomics, *arguments)

    assert outcome.code == pytest.ExitCode.NO_TESTS_COLLECTED, outcome.text
    assert "deselected" in outcome.text
    assert not omics.calls


def _outcome(code: int, text: str, report: Path) -> Outcome:
    cases = list(ElementTree.parse(report).iter("testcase")) if report.exists() else []
    told = {
        kind: {_name(case): f"{found.get('message')}" for case in cases for found in case.findall(kind)}
        for kind in ("skipped", "failure", "error")
    }
    failed = told["failure"] | told["error"]
    passed = [name for case in cases if (name := _name(case)) not in told["skipped"] | failed]
    return Outcome(code, text, passed, told["skipped"], failed)


def _name(case: ElementTree.Element) -> str:
    return f"{case.get('classname', '').rpartition('.')[2]}.{case.get('name')}"


@contextmanager
def _moving(move: Callable[[], None]) -> Iterator[None]:
    """Something that a service does by itself, again and again."""
    stopped = threading.Event()

    def work() -> None:
        while not stopped.wait(0.05):
            move()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()


def _tasks_of_strangers(platform: Platform) -> Mapping[str, Mapping[str, Any]]:
    """A draft and a task that runs: of another session of these very tests, and of the daemon in production."""
    found = {}
    for name, status in (("wes-live-0123456789ab-1", "DRAFT"), ("wes-0123", "RUNNING")):
        id = platform.new_id("task")
        now = platform.now()
        task: dict[str, Any] = {
            **{"id": id, "name": name, "description": f"{name}\n", "project": PROJECT, "status": status},
            **{"created_time": platform.stamp(now), "start_time": None, "end_time": None, "_created": now},
            **{"batch": False, "parent": None, "errors": []},
        }
        platform.tasks[id] = task
        found[id] = dict(task)
    return found


def _move_tasks(platform: Platform, strangers: Collection[str]) -> None:
    with platform.lock:
        for id, task in list(platform.tasks.items()):
            if id in strangers:
                continue
            if task["status"] == "ABORTING":
                platform.move(id, "ABORTED")
            elif task["status"] == "QUEUED":
                platform.move(id, "RUNNING")
            elif task["status"] == "RUNNING" and not task["inputs"]["seconds"]:
                (platform.fail if task["inputs"]["code"] else platform.complete)(id)


def _run_of_a_stranger(service: OmicsService) -> str:
    request = {
        "workflowId": WORKFLOW,
        "roleArn": f"arn:aws:iam::{ACCOUNT}:role/runs",
        "outputUri": "s3://results/others",
        "parameters": {"seconds": 0, "code": 0},
    }
    service.operate("StartRun", {**request, "name": "wes-live-0123456789ab-1", "requestId": "somebody"})
    return service.started[-1].id


def _move_runs(service: OmicsService, stranger: str) -> None:
    with service.lock:
        for id in [entry.id for entry in service.started if entry.id != stranger]:
            run = service.run(id)
            inputs = run.request["parameters"]
            if run.status == "STOPPING" and run.message == "cancelled":
                service.reach(id, "CANCELLED")
            elif run.status in ("PENDING", "STARTING"):
                service.reach(id, "RUNNING")
            elif run.status == "RUNNING" and inputs["code"]:
                service.reach(id, "FAILED", failure="RUN_TASK_FAILED")
            elif run.status == "RUNNING" and not inputs["seconds"]:
                service.reach(id, "COMPLETED")
