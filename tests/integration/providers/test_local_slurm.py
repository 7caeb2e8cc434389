"""The local provider with Toil on a real Slurm cluster, through the real daemon.

`WES_DAEMON_TEST_TOIL=/path/to/toil-cwl-runner pytest -m nightly tests/integration/providers/test_local_slurm.py`,
as root, with Slurm and munge installed; one run takes about half a minute, because Toil starts slowly.
"""

import os
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path

import psutil
import pytest

from tests.integration.providers import slurm as clusters
from tests.integration.providers.local_harness import wait_until
from tests.integration.providers.local_site import Site
from tests.integration.providers.slurm import Slurm, running_slurm

TOIL = os.environ.get("WES_DAEMON_TEST_TOIL", "")
OPTIONS = "--batchSystem slurm --disableCaching --disableChaining True --retryCount 0 --no-container"
LONG = timedelta(minutes=40)

pytestmark = [
    pytest.mark.nightly,
    pytest.mark.timeout(2700),
    pytest.mark.skipif(bool(clusters.missing()), reason=clusters.missing() or "Slurm is installed"),
    pytest.mark.skipif(not TOIL, reason="WES_DAEMON_TEST_TOIL names no toil-cwl-runner"),
]


@pytest.fixture(scope="module")
def slurm() -> Iterator[Slurm]:
    # Not pytest's directory: the path of a socket may have about a hundred characters.
    with tempfile.TemporaryDirectory(prefix="slurm-") as folder, running_slurm(Path(folder)) as found:
        yield found


@pytest.fixture
def site(tmp_path: Path, slurm: Slurm) -> Iterator[Site]:
    site = Site(
        tmp_path,
        **slurm.variables,
        DAEMON_LOCAL_ENGINE=f"{TOIL} {OPTIONS}",
        DAEMON_LOCAL_ENGINE_VARIABLES="SLURM_CONF",
        DAEMON_LOCAL_ENGINE_CANCEL_JOBS="scancel",
    )
    yield site
    site.close()


def jobs_of(slurm: Slurm, site: Site, id: str) -> list[Mapping[str, str]]:
    """The ended jobs of a run, which Toil has submitted in the run's directory."""
    folder = str(site.workdir / f"wes-{id}")
    return [job for job in slurm.ended_jobs() if job["WorkDir"].startswith(f"{folder}/")]


def running_job(slurm: Slurm, site: Site) -> str:
    """Start a run whose step goes on; return the run's id when its job runs."""
    id = site.submit("sleep.cwl")
    wait_until(lambda: any(" RUNNING " in job for job in slurm.queue()), "the job to run")
    return id


def test_a_failed_step_is_named_with_its_words_and_its_exit_code(site: Site, slurm: Slurm) -> None:
    id = site.submit("failing_step.cwl")

    wait_until(lambda: site.states()[id] == "EXECUTOR_ERROR", "the run to fail", LONG)

    shown = site.show(id)
    assert shown["request"]["tags"]["error"] == "failing_step.cwl.break.fail.cwl exited 3: sample S1 has no reads"
    tasks = {task["name"]: task["exit_code"] for task in shown["task_logs"]}
    assert tasks == {"failing_step.cwl.say.echo.cwl": 0, "failing_step.cwl.break.fail.cwl": 3}
    assert sorted(job["JobState"] for job in jobs_of(slurm, site, id)) == ["COMPLETED", "FAILED"]


def test_a_cancelled_run_leaves_no_job_in_the_queue(site: Site, slurm: Slurm) -> None:
    id = running_job(slurm, site)

    site.call("cancel", id)

    wait_until(lambda: site.states()[id] == "CANCELED", "the run to be cancelled")
    assert slurm.queue() == []
    assert [job["JobState"] for job in jobs_of(slurm, site, id)] == ["CANCELLED"]


def test_an_engine_that_was_killed_leaves_no_job_in_the_queue(site: Site, slurm: Slurm) -> None:
    id = running_job(slurm, site)
    outputs = str(site.workdir / f"wes-{id}" / "outputs")
    [engine] = [process for process in psutil.process_iter(["cmdline"]) if outputs in (process.info["cmdline"] or [])]

    engine.kill()

    wait_until(lambda: site.states()[id] == "SYSTEM_ERROR", "the run to end")
    wait_until(lambda: not slurm.queue(), "the job to end")
    assert [job["JobState"] for job in jobs_of(slurm, site, id)] == ["CANCELLED"]


def test_a_job_that_a_person_has_ended_is_named(site: Site, slurm: Slurm) -> None:
    id = running_job(slurm, site)

    [job] = [line.split()[0] for line in slurm.queue()]

    slurm.call("scancel", job)

    wait_until(lambda: site.states()[id] == "EXECUTOR_ERROR", "the run to fail")
    # Slurm's own words follow if the job had run for long enough to have a file for them.
    assert site.show(id)["request"]["tags"]["error"].startswith(
        f"the scheduler has ended the job of a step (KILLED)\nFailed job in backing scheduler: {job}"
    )


def test_of_twenty_runs_none_is_lost_or_doubled_when_the_daemon_is_killed(site: Site, slurm: Slurm) -> None:
    ids = [site.submit("two_steps.cwl", f"message=run {number}") for number in range(20)]

    for ended in (4, 10, 16):
        wait_until(lambda: Counter(site.states().values())["COMPLETE"] >= ended, f"{ended} runs to end", LONG)  # noqa: B023 -- it is called at once
        site.restart()
    wait_until(lambda: {"QUEUED", "INITIALIZING", "RUNNING"}.isdisjoint(site.states().values()), "all to end", LONG)

    assert Counter(site.states().values()) == {"COMPLETE": 20}
    for number, id in enumerate(ids):
        shown = site.show(id)
        assert Path(shown["outputs"]["shouted"]["path"]).read_text() == f"RUN {number}\n"
        assert {task["name"]: task["exit_code"] for task in shown["task_logs"]} == {
            "two_steps.cwl.say.echo.cwl": 0,
            "two_steps.cwl.shout.shout.cwl": 0,
        }
        jobs = jobs_of(slurm, site, id)
        assert Counter(job["Name"].split("_", 3)[3] for job in jobs) == {
            "two_steps.cwl.say.echo.cwl": 1,
            "two_steps.cwl.shout.shout.cwl": 1,
        }
        assert {job["JobState"] for job in jobs} == {"COMPLETED"}
    assert slurm.queue() == []
