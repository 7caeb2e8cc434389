"""What the former daemon has left: where runs are searched, and what becomes of them."""

import logging
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest

from tests.builders import a_report, a_run
from tests.unit.application.reconciling import SEVENBRIDGES, Site
from wes_daemon.adapters.memory.providers import MemoryProvider
from wes_daemon.application.ports.errors import Misconfigured, NotEnabled, NotNow
from wes_daemon.application.ports.reconcile_queries import RecordedRun, UnexplainedRun
from wes_daemon.application.ports.submissions import SubmissionState
from wes_daemon.application.reconciling.adopt_inherited_runs import AdoptInheritedRuns, InheritedReport
from wes_daemon.domain.runs import ProviderRunId, ProviderType, RunId
from wes_daemon.domain.states import RunState

HEALTHOMICS, LOCAL = ProviderType.HEALTHOMICS, ProviderType.LOCAL


class Inheritance:
    """A database that the former daemon has left, and providers in memory."""

    def __init__(self, default: ProviderType = SEVENBRIDGES) -> None:
        self.site = Site()
        self.site.pass_time(timedelta(days=1))
        self.healthomics = MemoryProvider(clock=self.site.clock)
        self.site.directory.providers[HEALTHOMICS] = self.healthomics
        self.hints: list[str] = []
        self.destination: ProviderType | None = None
        self.adopt = AdoptInheritedRuns(
            queries=self.site.queries,
            units=self.site.units,
            providers=self.site.directory,
            repairer=self.site.repairer,
            clock=self.site.clock,
            stop=self.site.stop,
            default_provider=default,
            destination=lambda run: self.destination or run.destination_if_valid(default),
            hint=lambda: self.hints.append("hint"),
        )

    def leave(
        self,
        run_id: str,
        state: RunState,
        tags: Mapping[str, object] | None = None,
        start_time: datetime | None = None,
    ) -> None:
        """Leave a row that the first session has inherited."""
        run = a_run(run_id, state, tags=tags or {}, start_time=start_time or self.site.clock.now())
        self.site.store.insert(run)
        self.site.queries.records[run.id] = RecordedRun(
            run_id=run.id, state=state, submission=SubmissionState.INHERITED
        )
        self.site.queries.unexplained[run.id] = UnexplainedRun(run=run, is_inherited=True)

    def searched(self) -> Mapping[ProviderType, int]:
        """How often each provider was searched."""
        providers = {SEVENBRIDGES: self.site.provider, HEALTHOMICS: self.healthomics}
        return {type: provider.calls.count("former_runs") for type, provider in providers.items()}

    def adopted(self, run_id: str) -> ProviderRunId | None:
        return self.site.store.run(RunId(run_id)).provider_run_id


@pytest.fixture
def here() -> Inheritance:
    return Inheritance()


@pytest.mark.parametrize("state", [RunState.QUEUED, RunState.INITIALIZING, RunState.RUNNING, RunState.UNKNOWN])
def test_a_run_that_a_provider_has_under_its_former_name_is_adopted(here: Inheritance, state: RunState) -> None:
    here.leave("run-1", state)
    id = here.site.provider.start_former(RunId("run-1"))

    report = here.adopt()

    assert report == InheritedReport(adopted=1)
    assert here.adopted("run-1") == id
    assert here.site.timeline() == [f"ada@lab: adopted sevenbridges run {id}"]


@pytest.mark.parametrize("year", [1, 9999])
def test_an_implausible_start_time_harms_no_search(here: Inheritance, year: int) -> None:
    here.leave("run-1", RunState.QUEUED, start_time=datetime(year, 1, 1, tzinfo=UTC))
    id = here.site.provider.start_former(RunId("run-1"))
    here.site.pass_time(timedelta(days=100))
    here.leave("run-2", RunState.QUEUED)

    report = here.adopt()

    assert report == InheritedReport(adopted=1, released=1)
    assert here.adopted("run-1") == id


def test_the_oldest_of_several_runs_is_adopted_and_the_others_are_logged(
    here: Inheritance, caplog: pytest.LogCaptureFixture
) -> None:
    here.leave("run-1", RunState.RUNNING)
    ids = []
    for _ in range(3):
        ids.append(here.site.provider.start_former(RunId("run-1")))
        here.site.pass_time(timedelta(minutes=1))

    here.adopt()

    assert here.adopted("run-1") == ids[0]
    logged = [record.getMessage() for record in caplog.records if "former_duplicate" in record.getMessage()]
    assert [id for line in logged for id in ids if f"provider_id={id} " in line] == ids[1:]


def test_a_failed_attempt_is_adopted_only_if_there_is_no_other(here: Inheritance) -> None:
    failed = a_report(RunState.EXECUTOR_ERROR)
    for run_id in ("retried", "failed"):
        here.leave(run_id, RunState.RUNNING)
        here.site.provider.start_former(RunId(run_id), failed)
    here.site.pass_time(timedelta(minutes=1))
    retry = here.site.provider.start_former(RunId("retried"))

    report = here.adopt()

    assert report.adopted == 2
    assert here.adopted("retried") == retry


def test_a_queued_run_that_no_provider_has_is_released_at_once(here: Inheritance) -> None:
    here.leave("run-1", RunState.QUEUED)
    here.leave("run-2", RunState.CANCELING)

    report = here.adopt()

    assert report == InheritedReport(released=2)
    assert here.site.units.released == ["run-1", "run-2"]
    assert here.hints == ["hint"]


def test_an_active_run_that_no_provider_has_stays_and_is_logged_once(
    here: Inheritance, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    for number in range(7):
        here.leave(f"run-{number}", RunState.RUNNING)

    reports = [here.adopt(), here.adopt()]

    assert [len(report.unmatched) for report in reports] == [7, 7]
    [line] = [record.getMessage() for record in caplog.records]
    assert line == 'inherited.unmatched runs=7 first="run-0 run-1 run-2 run-3 run-4"'
    assert here.site.units.released == []


def test_a_run_is_searched_only_at_the_provider_that_its_tags_name(here: Inheritance) -> None:
    here.leave("run-1", RunState.QUEUED, {"provider_type": "healthomics"})

    here.adopt()

    assert here.searched() == {SEVENBRIDGES: 0, HEALTHOMICS: 1}


def test_a_queued_run_that_names_no_provider_is_searched_at_the_default_and_at_the_former_default() -> None:
    here = Inheritance(default=HEALTHOMICS)
    here.leave("run-1", RunState.QUEUED)
    id = here.site.provider.start_former(RunId("run-1"))

    here.adopt()

    assert here.adopted("run-1") == id
    assert here.site.store.run(RunId("run-1")).provider == SEVENBRIDGES


def test_an_active_run_that_names_no_provider_is_searched_everywhere(here: Inheritance) -> None:
    here.leave("run-1", RunState.RUNNING)
    id = here.healthomics.start_former(RunId("run-1"))

    here.adopt()

    assert here.adopted("run-1") == id


def test_a_run_whose_provider_was_not_searched_because_of_a_stop_is_not_released(here: Inheritance) -> None:
    here.leave("run-1", RunState.QUEUED)
    here.site.stop.set()

    report = here.adopt()

    assert here.searched() == {SEVENBRIDGES: 0, HEALTHOMICS: 0}
    assert report == InheritedReport(not_searched=(RunId("run-1"),))
    assert here.site.units.released == []


@pytest.mark.parametrize("error", [NotNow("busy"), Misconfigured("the token expired")])
def test_a_run_whose_provider_cannot_be_searched_waits(
    here: Inheritance, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    here.leave("run-1", RunState.QUEUED)
    here.leave("run-2", RunState.QUEUED, {"provider_type": "healthomics"})
    here.site.provider.fail_next(error, operation="former_runs")

    during, afterwards = here.adopt(), here.adopt()

    assert (during.released, during.not_searched) == (1, ("run-1",))
    assert (afterwards.released, afterwards.not_searched) == (1, ())
    [line] = [record.getMessage() for record in caplog.records]
    assert line.startswith("inherited.cannot_search provider=sevenbridges reason=")


def test_a_bug_in_one_search_does_not_release_its_runs(here: Inheritance) -> None:
    here.leave("run-1", RunState.QUEUED)
    here.site.provider.fail_next(RuntimeError("a bug"), operation="former_runs")

    report = here.adopt()

    assert (report.released, report.not_searched) == (0, ("run-1",))


def test_runs_wait_for_a_provider_that_is_not_set_up_here_if_they_would_be_submitted_to_it(
    here: Inheritance, caplog: pytest.LogCaptureFixture
) -> None:
    provider = here.site.directory.providers[SEVENBRIDGES]
    here.site.directory.providers[SEVENBRIDGES] = NotEnabled("not set up here")
    here.leave("run-1", RunState.QUEUED)
    here.leave("run-2", RunState.QUEUED, {"provider_type": "healthomics"})

    before = here.adopt()
    here.site.directory.providers[SEVENBRIDGES] = provider
    afterwards = here.adopt()

    assert (before.released, before.not_searched) == (1, ("run-1",))
    assert afterwards.released == 1
    [line] = [record.getMessage() for record in caplog.records]
    assert line == 'inherited.cannot_search provider=sevenbridges reason="not set up here"'


def test_a_run_waits_for_the_provider_of_its_workflow_engine_as_for_one_that_its_tags_name(here: Inheritance) -> None:
    here.destination = HEALTHOMICS
    here.site.directory.providers[HEALTHOMICS] = NotEnabled("not set up here")
    here.leave("run-1", RunState.QUEUED)

    assert here.adopt().not_searched == ("run-1",)


def test_another_provider_without_credentials_does_not_delay_an_active_run(here: Inheritance) -> None:
    here.leave("run-1", RunState.RUNNING)
    here.healthomics.fail_next(Misconfigured("no credentials"), operation="former_runs")

    assert here.adopt().unmatched == ("run-1",)


def test_cancellations_are_passed_on_to_every_run_of_a_cancelled_row(here: Inheritance) -> None:
    here.leave("run-1", RunState.CANCELED)
    del here.site.queries.unexplained[RunId("run-1")]
    here.site.queries.inherited_ended = True
    ids = [here.site.provider.start_former(RunId("run-1")) for _ in range(2)]
    ids.append(here.healthomics.start_former(RunId("run-1")))

    report = here.adopt()

    assert report == InheritedReport(cancelled=3)
    assert sorted([*here.site.provider.cancelled, *here.healthomics.cancelled]) == sorted(ids)
    assert not here.site.queries.inherited_ended


def test_a_row_that_has_ended_otherwise_is_left_to_reconcile(here: Inheritance) -> None:
    here.leave("run-1", RunState.SYSTEM_ERROR)
    del here.site.queries.unexplained[RunId("run-1")]
    here.site.queries.inherited_ended = True
    here.site.provider.start_former(RunId("run-1"))

    here.adopt()

    assert here.site.provider.cancelled == []


@pytest.mark.parametrize("operation", ["former_runs", "cancel"])
def test_a_cancellation_that_failed_is_repeated_by_the_next_pass(here: Inheritance, operation: str) -> None:
    here.leave("run-1", RunState.CANCELED)
    del here.site.queries.unexplained[RunId("run-1")]
    here.site.queries.inherited_ended = True
    here.site.provider.start_former(RunId("run-1"))
    here.site.provider.fail_next(NotNow("busy"), operation=operation)

    reports = [here.adopt().cancelled, here.adopt().cancelled, here.adopt().cancelled]

    assert reports == [0, 1, 0]


def test_without_anything_left_no_provider_is_called(here: Inheritance) -> None:
    assert here.adopt() == InheritedReport()
    assert here.searched() == {SEVENBRIDGES: 0, HEALTHOMICS: 0}
