"""The former daemon was killed in the middle: each row that it left is followed, ended or named; none is doubled."""

import logging
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import Database
from tests.integration.former_daemon import (
    COMPLETE,
    DRAFT,
    FAILED,
    RUNNING,
    WAITING,
    FormerDaemon,
    FormerHealthOmics,
    FormerSevenBridges,
    Left,
)
from tests.integration.providers.healthomics_harness import CONFIG, simulated
from tests.integration.providers.sevenbridges_fixtures import api, authority, harness, trusted
from tests.integration.providers.sevenbridges_harness import PROJECT, TOKEN, SevenBridgesHarness
from tests.simulators.healthomics import faults as healthomics_faults
from tests.simulators.healthomics.server import HealthOmicsSimulator
from tests.simulators.sevenbridges.faults import BAD_GATEWAY
from wes_daemon import Application, RunId, RunState, read_settings
from wes_daemon.adapters.system import SystemClock
from wes_daemon.application.ports.checks import RUN_IS_EXPLAINED
from wes_daemon.application.reconciling.adopt_inherited_runs import InheritedReport
from wes_daemon.application.reconciling.discrepancies import Discrepancy, DiscrepancyKind, Repair, Tolerances
from wes_daemon.bootstrap.application import application_of
from wes_daemon.bootstrap.container import Container

__all__ = ["api", "authority", "harness", "trusted"]

MONTH = timedelta(days=30)

FOLLOWED = (
    Left(kind="its id is recorded", state="RUNNING", runs=[RUNNING], is_recorded=True),
    Left(kind="its id was lost", state="RUNNING", runs=[RUNNING]),
    Left(kind="paused", state="PAUSED", runs=[RUNNING]),
    Left(kind="killed after the call", state="INITIALIZING", runs=[RUNNING]),
    Left(kind="unknown with its id", state="UNKNOWN", runs=[RUNNING], is_recorded=True),
    Left(kind="unknown without its id", state="UNKNOWN", runs=[RUNNING]),
    Left(kind="queued at the provider", state="QUEUED", runs=[WAITING]),
    Left(kind="queued with its id", state="QUEUED", runs=[WAITING], is_recorded=True),
    Left(kind="submitted three times", state="RUNNING", runs=[RUNNING, RUNNING, WAITING]),
    Left(kind="queued and submitted twice", state="QUEUED", runs=[RUNNING, WAITING], is_recorded=True),
)
ENDED_MEANWHILE = (
    Left(kind="ended meanwhile", state="RUNNING", runs=[COMPLETE]),
    Left(kind="queued and ended", state="QUEUED", runs=[COMPLETE]),
    Left(kind="initializing and ended", state="INITIALIZING", runs=[COMPLETE]),
)
NEW = (Left(kind="never submitted", state="QUEUED"),)
NAMED = (
    Left(kind="killed before the call", state="INITIALIZING"),
    Left(kind="running without a run", state="RUNNING"),
    Left(kind="unknown without a run", state="UNKNOWN"),
)
CANCELLED = (
    Left(kind="cancelled with its id", state="CANCELED", runs=[RUNNING], is_recorded=True),
    Left(kind="cancelled without its id", state="CANCELED", runs=[RUNNING]),
    Left(kind="cancelled of three", state="CANCELED", runs=[RUNNING, WAITING, RUNNING]),
    Left(kind="being cancelled", state="CANCELING", runs=[RUNNING]),
    Left(kind="being cancelled, no run", state="CANCELING"),
)
HISTORY = (
    Left(kind="complete", state="COMPLETE", runs=[COMPLETE], is_recorded=True),
    Left(kind="failed", state="EXECUTOR_ERROR", runs=[FAILED]),
    Left(kind="cancelled and stopped", state="CANCELED", runs=[FAILED]),
)
STOPPED = ("ABORTED", "CANCELLED")


@dataclass(frozen=True)
class Site:
    """A database and two clouds that the former daemon has left, and the settings of the daemon that follows it."""

    container: Container
    formers: Sequence[FormerDaemon]
    sevenbridges: SevenBridgesHarness
    healthomics: HealthOmicsSimulator

    @property
    def application(self) -> Application:
        return application_of(self.container)

    def leave(self, *kinds: Left) -> list[tuple[FormerDaemon, str]]:
        """Leave these rows with each cloud."""
        return [(former, former.leave(left)) for former in self.formers for left in kinds]

    def pass_often(self) -> None:
        """Make passes, and let the clouds go on, until nothing changes any more."""
        for _ in range(4):
            self.application.run_once()
            for former in self.formers:
                former.cloud.tick()

    def state(self, run_id: str) -> RunState:
        return self.application.get_run(RunId(run_id)).run.state

    def provider_run(self, run_id: str) -> str:
        """The provider run that is followed; of HealthOmics the bare id."""
        found = self.application.get_run(RunId(run_id)).run.provider_run_id
        return (found or "none").partition("/")[0]

    def started(self, run_id: str) -> Counter[str]:
        """How often a provider run was ever started for the run, by its name."""
        names = Counter(name for former in self.formers for name in former.cloud.names())
        return Counter({name: names[name] for name in (f"WES-{run_id}", f"wes-{run_id}") if names[name]})

    def found(self) -> Sequence[tuple[str, DiscrepancyKind, Repair]]:
        """What `reconcile` finds, changes of the last minutes included."""
        return [(each.run_id, each.kind, each.repair) for each in self._compare()]

    def repair(self) -> None:
        with self.another_process() as application:
            application.reconcile.repair(
                [each for each in self._compare() if each.repair is not Repair.NONE], tolerances=self._tolerances
            )

    @contextmanager
    def another_process(self) -> Iterator[Application]:
        """What another process of the daemon, or a command, calls."""
        application = application_of(Container(settings=self.container.settings()))
        try:
            yield application
        finally:
            application.close()

    def unexplained(self) -> set[str]:
        """The runs of the notice of `verify`."""
        [result] = [each for each in self.application.verify().results if each.check is RUN_IS_EXPLAINED]
        found = {str(violation.run_id) for violation in result.first}
        return found if len(found) == result.count else {f"{result.count} runs"}

    @property
    def _tolerances(self) -> Tolerances:
        return replace(self.application.tolerances, recent=timedelta(0), draft_age=timedelta(0))

    def _compare(self) -> Sequence[Discrepancy]:
        with self.another_process() as application:
            report = application.reconcile(window=MONTH * 120, tolerances=self._tolerances)
        assert not report.not_compared
        return report.discrepancies


@pytest.fixture
def site(
    database: Database, harness: SevenBridgesHarness, api: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Site]:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith(("SEVENBRIDGES_", "DAEMON_"))]:
        monkeypatch.delenv(name)
    with simulated(monkeypatch, SystemClock().now) as simulator:
        settings = read_settings(
            database_uri=database.uri,
            max_concurrent_workflows=100,
            status_check_interval=0.05,
            sevenbridges_api_token=TOKEN,
            sevenbridges_api_endpoint=harness.config.endpoint,
            sevenbridges_project=PROJECT,
            sevenbridges_rate_limit="off",
            aws_access_key_id=CONFIG.access_key_id,
            aws_secret_access_key=CONFIG.secret_access_key,
            aws_region=CONFIG.region,
            aws_healthomics_workflow_role_arn=CONFIG.role_arn,
            aws_healthomics_output_uri=CONFIG.output_uri,
            aws_healthomics_rate_limits="off",
        )
        container = Container(settings=settings)
        clouds = (FormerSevenBridges(harness, api), FormerHealthOmics(simulator))
        formers = [FormerDaemon(container.engine(), cloud) for cloud in clouds]
        yield Site(container, formers, harness, simulator)
        container.engine().dispose()


def test_every_row_is_followed_ended_or_named_and_none_is_doubled(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    followed, ended = site.leave(*FOLLOWED), site.leave(*ENDED_MEANWHILE)
    new, named = site.leave(*NEW), site.leave(*NAMED)
    cancelled, history = site.leave(*CANCELLED), site.leave(*HISTORY)
    before = {run_id: site.started(run_id) for _, run_id in (*followed, *ended, *named, *cancelled, *history)}

    site.pass_often()

    for former, run_id in followed:
        assert site.provider_run(run_id) == former.ids[run_id][0], run_id
        assert site.state(run_id) in (RunState.INITIALIZING, RunState.RUNNING, RunState.PAUSED), run_id
    assert {site.state(run_id) for _, run_id in (*ended, *new)} == {RunState.COMPLETE}
    assert {run_id: site.started(run_id) for run_id in before} == before
    assert all(site.started(run_id) == {f"wes-{run_id}": 1} for _, run_id in new)
    assert {site.state(run_id) for _, run_id in cancelled} == {RunState.CANCELED}
    for former, run_id in cancelled:
        assert {former.cloud.status(id) for id in former.ids[run_id]} <= set(STOPPED), run_id
    unmatched = {run_id for _, run_id in named}
    assert site.unexplained() == {"6 runs"}
    assert {run_id for run_id, kind, _ in site.found() if kind is DiscrepancyKind.UNMATCHED_RUN} == unmatched
    assert {site.state(run_id) for run_id in unmatched} == {
        RunState.INITIALIZING,
        RunState.RUNNING,
        RunState.UNKNOWN,
    }
    [warning] = {record.getMessage() for record in caplog.records if "inherited.unmatched" in record.getMessage()}
    assert "runs=6" in warning


def test_reconcile_shows_the_duplicates_and_cancels_them(site: Site) -> None:
    left = site.leave(*[each for each in FOLLOWED if len(each.runs) > 1])
    site.application.run_once()

    found = [(run_id, repair) for run_id, kind, repair in site.found() if kind is DiscrepancyKind.FORMER_DUPLICATE]
    site.repair()
    site.pass_often()

    assert Counter(found) == Counter((run_id, Repair.CANCEL) for former, run_id in left for _ in former.ids[run_id][1:])
    for former, run_id in left:
        first, *others = former.ids[run_id]
        assert site.provider_run(run_id) == first
        assert {former.cloud.status(id) for id in others} <= set(STOPPED)
        assert former.cloud.status(first) not in STOPPED
    assert site.found() == []


def test_reconcile_before_the_first_start_adopts_like_the_daemon(site: Site) -> None:
    site.container.schema().upgrade()
    left = site.leave(*FOLLOWED)

    site.repair()
    site.pass_often()

    for former, run_id in left:
        assert site.provider_run(run_id) == former.ids[run_id][0], run_id
        assert site.started(run_id) == {f"WES-{run_id}": len(former.ids[run_id])}


def test_a_run_that_goes_on_although_its_row_has_failed_is_shown_and_cancelled_only_on_request(site: Site) -> None:
    lost_answer = Left(kind="answer lost", state="SYSTEM_ERROR", runs=[RUNNING])
    recorded = Left(kind="complete too early", state="COMPLETE", runs=[RUNNING], is_recorded=True)
    left = site.leave(lost_answer, recorded)
    site.pass_often()
    statuses = {former.cloud.status(id) for former, run_id in left for id in former.ids[run_id]}

    found = site.found()
    site.repair()
    site.pass_often()

    assert statuses == {"RUNNING"}
    assert sorted(found) == sorted((run_id, DiscrepancyKind.ORPHANED_RUN, Repair.CANCEL) for _, run_id in left)
    assert {former.cloud.status(id) for former, run_id in left for id in former.ids[run_id]} == set(STOPPED)
    assert {site.state(run_id) for _, run_id in left} == {RunState.SYSTEM_ERROR, RunState.COMPLETE}


def test_a_renamed_task_of_a_cancelled_row_is_found_by_the_id_in_the_tags(site: Site) -> None:
    former = site.formers[0]
    run_id = former.leave(Left(kind="renamed", state="CANCELED", runs=[RUNNING], is_recorded=True))
    [id] = former.ids[run_id]
    site.sevenbridges.platform.tasks[id]["name"] = "sample 7"
    site.application.run_once()

    found = site.found()
    site.repair()

    assert found == [(run_id, DiscrepancyKind.ORPHANED_RUN, Repair.CANCEL)]
    assert former.cloud.status(id) == "ABORTING"


def test_of_several_attempts_the_one_that_did_not_fail_is_followed(site: Site) -> None:
    left = site.leave(Left(kind="failed first", state="RUNNING", runs=[FAILED, RUNNING]))

    site.pass_often()

    assert [site.provider_run(run_id) for former, run_id in left] == [former.ids[run_id][1] for former, run_id in left]
    assert site.found() == []


def test_a_draft_is_no_run_and_is_never_started(site: Site) -> None:
    [former, _] = site.formers
    queued = former.leave(Left(kind="queued draft", state="QUEUED", runs=[DRAFT]))
    initializing = former.leave(Left(kind="initializing draft", state="INITIALIZING", runs=[DRAFT]))

    site.pass_often()

    assert site.started(queued) == {f"wes-{queued}": 1}
    assert site.state(queued) is RunState.COMPLETE
    assert site.started(initializing) == {}
    assert site.unexplained() == {initializing}
    drafts = {run_id for run_id, kind, _ in site.found() if kind is DiscrepancyKind.LEFTOVER_DRAFT}
    assert drafts == {queued, initializing}


def test_while_a_provider_cannot_be_searched_nothing_is_submitted_there_and_other_rows_go_on(site: Site) -> None:
    sevenbridges, healthomics = site.formers
    doubtful = sevenbridges.leave(Left(kind="queued", state="QUEUED", runs=[WAITING]))
    other = healthomics.leave(Left(kind="queued", state="QUEUED", runs=[WAITING]))
    platform = site.sevenbridges.platform
    platform.faults.storm(lambda operation: BAD_GATEWAY if operation == "list_tasks" else None)

    site.application.run_once()
    during = (site.provider_run(doubtful), site.provider_run(other), site.started(doubtful))
    platform.faults.storm(None)
    with site.another_process() as restarted:
        restarted.run_once()

    assert during == ("none", healthomics.ids[other][0], {f"WES-{doubtful}": 1})
    assert site.provider_run(doubtful) == sevenbridges.ids[doubtful][0]
    assert site.started(doubtful) == {f"WES-{doubtful}": 1}


def test_a_cancellation_is_passed_on_once_the_provider_answers_again(site: Site) -> None:
    [former] = [each for each in site.formers if isinstance(each.cloud, FormerHealthOmics)]
    run_id = former.leave(Left(kind="cancelled", state="CANCELED", runs=[RUNNING]))
    site.healthomics.faults.weather = lambda _: healthomics_faults.bad_gateway()

    site.application.run_once()
    [before] = [former.cloud.status(id) for id in former.ids[run_id]]
    site.healthomics.faults.weather = lambda _: None
    with site.another_process() as restarted:
        restarted.run_once()

    assert before == "RUNNING"
    assert [former.cloud.status(id) for id in former.ids[run_id]] == ["STOPPING"]


def test_a_run_of_another_owner_with_the_former_name_is_not_adopted(site: Site) -> None:
    [former] = [each for each in site.formers if isinstance(each.cloud, FormerHealthOmics)]
    run_id = former.leave(Left(kind="borrowed", state="RUNNING", runs=[RUNNING]))
    [id] = former.ids[run_id]
    run = site.healthomics.service.run(id)
    run.request = {**run.request, "tags": {"WES-RunId": "another"}}

    site.application.run_once()

    assert site.provider_run(run_id) == "none"
    assert site.unexplained() == {run_id}


def test_an_unmatched_run_that_a_person_queues_again_is_searched_once_more_and_submitted_once(site: Site) -> None:
    [former, _] = site.formers
    run_id = former.leave(Left(kind="no run", state="RUNNING"))
    site.pass_often()
    former.leave(Left(kind="no run", state="QUEUED"))

    site.pass_often()

    assert site.state(run_id) is RunState.COMPLETE
    assert site.started(run_id) == {f"wes-{run_id}": 1}


def test_once_everything_is_adopted_no_provider_is_searched(site: Site) -> None:
    site.leave(*FOLLOWED[:5], *CANCELLED, *HISTORY)
    site.pass_often()
    site.sevenbridges.platform.calls.clear()
    calls_before = len(site.healthomics.calls)

    report = site.container.adopt_inherited_runs()()

    assert report == InheritedReport()
    assert site.sevenbridges.platform.calls == []
    assert site.healthomics.calls[calls_before:] == []
