"""What people ask for: a new run, a look at one or many, a cancel."""

from datetime import timedelta

import pytest

from tests.builders import a_request, a_run, an_attachment
from tests.unit.application.conftest import DaemonUnderTest, World
from wes_daemon.adapters.memory.environment import CountingIds
from wes_daemon.application.ports.errors import RunNotFound
from wes_daemon.application.ports.queries import RunFilter
from wes_daemon.application.requests.create_run import CreateRun
from wes_daemon.application.requests.request_cancel import RequestCancel
from wes_daemon.domain.errors import IllegalTransition, InvalidRequest, UnknownProvider
from wes_daemon.domain.runs import ProviderType, RunId
from wes_daemon.domain.states import RunState


@pytest.fixture
def create_run(world: World) -> CreateRun:
    return CreateRun(units=world.plain_units, clock=world.clock, ids=CountingIds("run"), by="ada@lab")


@pytest.fixture
def request_cancel(world: World) -> RequestCancel:
    return RequestCancel(units=world.plain_units, clock=world.clock, by="ada@lab")


class TestCreate:
    def test_a_new_run_is_queued_with_all_it_carries(self, world: World, create_run: CreateRun) -> None:
        run_id = create_run(a_request(), tags={"project": "p"}, attachments=[an_attachment()])

        record = world.queries.get(run_id)
        assert (record.run.state, record.run.tags, record.attachments) == (
            RunState.QUEUED,
            {"project": "p"},
            ("echo.cwl",),
        )

    def test_its_timeline_says_who_queued_it(self, world: World, create_run: CreateRun) -> None:
        run_id = create_run(a_request())

        [entry] = world.store.timeline(run_id)
        assert (entry.by, entry.before, entry.after, entry.why) == ("ada@lab", None, RunState.QUEUED, "queued")

    def test_what_can_never_run_is_not_stored(self, world: World, create_run: CreateRun) -> None:
        with pytest.raises(InvalidRequest):
            create_run(a_request(workflow_params=["a"]))

        assert world.store.runs == {}

    @pytest.mark.parametrize(("name", "width"), [("workflow_url", 500), ("workflow_type", 50), ("workflow_engine", 50)])
    def test_what_a_database_would_cut_is_refused(
        self, world: World, create_run: CreateRun, name: str, width: int
    ) -> None:
        with pytest.raises(InvalidRequest, match=f"{name} is longer than the {width} characters"):
            create_run(a_request(**{name: "u" * (width + 1)}))

        assert world.store.runs == {}

    def test_a_tag_that_is_no_name_of_a_provider_is_refused(self, world: World, create_run: CreateRun) -> None:
        with pytest.raises(UnknownProvider):
            create_run(a_request(), tags={"provider_type": "azure batch"})

        assert world.store.runs == {}


class TestCancel:
    def test_a_run_is_cancelling_once_somebody_asked(self, world: World, request_cancel: RequestCancel) -> None:
        world.queue(a_run(state=RunState.RUNNING))

        run = request_cancel(RunId("run-1"))

        assert run.state is world.run().state is RunState.CANCELING
        assert [entry.why for entry in world.store.timeline(run.id)] == ["cancel requested"]

    def test_asking_twice_changes_nothing(self, world: World, request_cancel: RequestCancel) -> None:
        world.queue(a_run(state=RunState.CANCELING))

        request_cancel(RunId("run-1"))

        assert world.store.timeline(RunId("run-1")) == ()

    def test_an_ended_run_is_refused(self, world: World, request_cancel: RequestCancel) -> None:
        world.queue(a_run(state=RunState.COMPLETE))

        with pytest.raises(IllegalTransition, match="COMPLETE"):
            request_cancel(RunId("run-1"))

    def test_an_unknown_run_is_said_to_be_unknown(self, request_cancel: RequestCancel) -> None:
        with pytest.raises(RunNotFound, match="run-9"):
            request_cancel(RunId("run-9"))


class TestRead:
    def test_one_run_is_read_with_everything(self, world: World, daemon: DaemonUnderTest) -> None:
        world.queue(a_run())
        daemon.submit()

        record = world.queries.get(RunId("run-1"))

        assert (record.run.provider, record.run.provider_run_id) == (ProviderType.SEVENBRIDGES, "memory-1")
        assert record.destination == ProviderType.SEVENBRIDGES

    def test_an_unknown_run_is_said_to_be_unknown(self, world: World) -> None:
        with pytest.raises(RunNotFound, match="run-9"):
            world.queries.get(RunId("run-9"))

    def test_many_are_listed_newest_first(self, world: World, daemon: DaemonUnderTest) -> None:
        for number in range(3):
            world.queue(a_run(f"run-{number}"))
            daemon.submit()
            world.clock.advance(timedelta(minutes=1))

        records = world.queries.list(RunFilter(limit=2))

        assert [record.run.id for record in records] == ["run-2", "run-1"]

    def test_a_list_can_be_narrowed_by_state_and_provider(self, world: World, daemon: DaemonUnderTest) -> None:
        world.queue(a_run("run-1"), a_run("run-2", tags={"provider_type": "no name"}))
        daemon.submit()

        by_state = world.queries.list(RunFilter(states=[RunState.SYSTEM_ERROR]))
        by_provider = world.queries.list(RunFilter(provider=ProviderType.SEVENBRIDGES))

        assert [record.run.id for record in by_state] == ["run-2"]
        assert [record.run.id for record in by_provider] == ["run-1"]
