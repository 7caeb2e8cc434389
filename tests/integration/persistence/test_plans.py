"""What has ended costs nothing any more: no statement of the daemon goes through it.

Real use cases work on a database in which twenty thousand runs have ended, and every night a hundred thousand; each
statement that goes to the driver is explained by the database in the moment in which it is sent.
"""

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta

import pytest
from sqlalchemy import Engine, text

from tests.builders import NOON, a_report, a_submission_policy
from tests.contracts.persistence_harness import ServiceRow
from tests.integration.conftest import PostgreSQL
from tests.integration.persistence.conftest import disposed
from tests.integration.persistence.crowd import ENDED, LIVE, Crowd, fill
from tests.integration.persistence.harness import SqlHarness
from tests.integration.persistence.plans import GROWING, Statement, Watch
from tests.memory.events import MemoryHints
from tests.unit.application.conftest import World
from wes_daemon.adapters.memory.providers import MemoryProvider, MemoryProviderDirectory, PreparingMemoryProvider
from wes_daemon.adapters.persistence.engine import make_engine
from wes_daemon.adapters.persistence.schema import Schema
from wes_daemon.adapters.persistence.transactions import writing
from wes_daemon.adapters.persistence.unit_of_work import SqlUnitsOfWork
from wes_daemon.adapters.persistence.work_probe import SqlWorkProbe
from wes_daemon.application.following.follow_events import FollowEvents
from wes_daemon.application.ports.errors import NotNow, OutcomeUnknown, Rejected
from wes_daemon.application.ports.leases import DaemonInfo, SessionId
from wes_daemon.application.ports.providers import ProviderTask, RunDetails
from wes_daemon.application.runtime.stop_signal import StopSignal
from wes_daemon.domain.runs import ProviderType
from wes_daemon.domain.states import RunState

GREAT = Crowd(ended=ENDED, live=LIVE)
CROWDS = {"great": GREAT, "small": GREAT.divided(5)}
HOURS = timedelta(hours=6)

_WITH_TASKS = RunDetails(outputs={"answer": 42}, tasks=[ProviderTask(id="task-1", name="align")])


class Site:
    """A daemon at work among a great many runs that have ended."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.store = SqlHarness(engine)
        self.local, self.sevenbridges = MemoryProvider(status_batch=1_000), PreparingMemoryProvider()
        self.world = World(
            submission_policy=a_submission_policy(
                concurrency_limit=100_000,
                per_provider_limits={ProviderType.SEVENBRIDGES: 1_000},
                default_provider=ProviderType.LOCAL,
            )
        )
        self.world.units = SqlUnitsOfWork(engine)
        self.world.directory = MemoryProviderDirectory(
            {ProviderType.LOCAL: self.local, ProviderType.SEVENBRIDGES: self.sevenbridges}
        )
        # As the daemon itself does, which has beats for each provider.
        self.daemon = self.world.daemon(serving={ProviderType.LOCAL})
        self.other_daemon = self.world.daemon(serving={ProviderType.SEVENBRIDGES})
        self._announce_the_dead()

    def queue(self, *ids: str, provider: str = "local") -> None:
        """A service queues runs."""
        for id in ids:
            self.store.put(ServiceRow(run_id=id, tags=f'{{"provider_type": "{provider}"}}'))

    def submit_everything(self) -> None:
        """As often as it takes."""
        for daemon in (self.daemon, self.other_daemon) * 3:
            daemon.submit()

    def _announce_the_dead(self) -> None:
        info = DaemonInfo(id=SessionId("daemon-dead"), host="node-2", pid=8, version="1.0", started_at=NOON)
        with self.world.units() as work:
            work.leases.open(info, lasting=timedelta(seconds=-60))
            work.commit()


def _first_pass(site: Site) -> None:
    """Rows are enrolled, runs of another daemon adopted, orphans resumed, what is ready submitted."""
    site.submit_everything()


def _nothing_to_submit(site: Site) -> None:
    site.daemon.submit()
    site.daemon.submit.resolve_takeovers()


def _submissions(site: Site) -> None:
    """Accepted in one step and in two, deferred, in doubt, rejected."""
    site.queue(*[f"one-{number}" for number in range(20)])
    site.queue(*[f"two-{number}" for number in range(20)], provider="sevenbridges")
    site.local.fail_next(NotNow("busy"), OutcomeUnknown("the answer was lost"), Rejected("no such workflow"))
    site.submit_everything()


def _nothing_to_refresh(site: Site) -> None:
    site.daemon.refresh()


def _refreshes(site: Site) -> None:
    """Quiet ones, news, ends with and without details, and runs that a provider does not know."""
    ids = [site.local.id_of(key) for key in site.local.started]
    for id in ids[:20]:
        site.local.put(id, a_report(RunState.RUNNING))
    for id in ids[20:40]:
        site.local.put(id, a_report(RunState.COMPLETE), _WITH_TASKS)
    site.local.fail_next(NotNow("not yet"), operation="details")
    site.local.forget(ids[41])
    site.daemon.refresh(ahead=HOURS)


def _nobody_can_be_asked(site: Site) -> None:
    site.queue("asked-later")
    site.daemon.submit()
    site.local.fail_next(NotNow("busy"), operation="statuses")
    site.daemon.refresh(ahead=HOURS)


def _cancels(site: Site) -> None:
    site.daemon.cancel()


def _nothing_to_cancel(site: Site) -> None:
    site.daemon.cancel()


def _events(site: Site) -> None:
    hints = MemoryHints(site.world.clock)
    for number in range(30):
        hints.send(f"held-{number}", f"cancelled-{number}", f"somebody-elses-{number}")
    follow = FollowEvents(
        source=hints,
        provider=ProviderType.LOCAL,
        units=site.world.units,
        refresh=lambda: None,
        clock=site.world.clock,
        stop=StopSignal(),
    )
    assert follow().made_due > 0
    site.daemon.refresh()


def _looks(site: Site) -> None:
    """What a beat asks before it begins, while there is nothing to do: all of it has to be looked at then."""
    work_probe, serving = SqlWorkProbe(site.engine), {ProviderType.HEALTHOMICS}
    asked = [
        work_probe.has_queued_runs(lambda _: None, serving=serving),
        work_probe.has_takeovers(site.daemon.daemon_session.id, serving=serving),
        work_probe.has_runs_to_adopt(),
        work_probe.has_cancelled_runs(serving=serving),
        work_probe.has_interrupted_runs(serving=serving),
        work_probe.has_runs_ended_elsewhere(serving=serving),
        work_probe.has_due_polls(serving=serving),
    ]
    assert not any(asked)


def _heartbeats(site: Site) -> None:
    site.daemon.daemon_session.renew()


STEPS: Mapping[str, Callable[[Site], None]] = {
    "first pass": _first_pass,
    "nothing to submit": _nothing_to_submit,
    "submissions": _submissions,
    "nothing to refresh": _nothing_to_refresh,
    "refreshes": _refreshes,
    "nobody can be asked": _nobody_can_be_asked,
    "cancels": _cancels,
    "nothing to cancel": _nothing_to_cancel,
    "events": _events,
    "looks": _looks,
    "heartbeats": _heartbeats,
}
"""What a daemon does, in this order."""


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(("sqlite", "small"), id="sqlite"),
        pytest.param(("postgresql", "small"), id="postgresql"),
        pytest.param(("sqlite", "great"), id="sqlite, great", marks=pytest.mark.nightly),
        pytest.param(("postgresql", "great"), id="postgresql, great", marks=pytest.mark.nightly),
    ],
)
def crowd(request: pytest.FixtureRequest) -> tuple[str, Crowd]:
    """The kind of a database, and who is in it."""
    kind, size = request.param
    return kind, CROWDS[size]


@pytest.fixture(scope="module")
def most_rows(crowd: tuple[str, Crowd]) -> int:
    """As many as a statement may touch."""
    return crowd[1].most_rows


@pytest.fixture(scope="module")
def crowded(
    crowd: tuple[str, Crowd], request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Engine]:
    """A database of each kind with a great many runs, as well known to its planner as it is in service."""
    kind, groups = crowd
    with _crowded(kind, groups, request, tmp_path_factory) as engine:
        yield engine


@pytest.fixture(scope="module")
def site(crowded: Engine) -> Site:
    """A daemon on it."""
    return Site(crowded)


@pytest.fixture(scope="module")
def day(crowded: Engine, site: Site) -> Mapping[str, list[Statement]]:
    """What was sent at each step."""
    sent = {}
    for name, step in STEPS.items():
        with Watch(crowded).listening() as watch:
            step(site)
        sent[name] = watch.statements
    return sent


@pytest.mark.parametrize("step", STEPS)
def test_no_statement_goes_through_what_has_ended(
    day: Mapping[str, list[Statement]], most_rows: int, step: str
) -> None:
    complaints = {one for statement in day[step] for one in statement.complaints(most_rows=most_rows)}

    assert day[step]
    assert not complaints, "\n".join(sorted(complaints))


def test_the_day_touches_every_table_that_grows(day: Mapping[str, list[Statement]]) -> None:
    written = " ".join(statement.sql for statements in day.values() for statement in statements)

    assert [table for table in GROWING if table not in written] == []


@pytest.mark.parametrize(
    ("index", "step"),
    [
        ("polls_due", _nothing_to_refresh),
        ("submissions_ready", _nothing_to_submit),
        ("submissions_held", _events),
        ("wes_daemon_runs_queued", _nothing_to_submit),
        ("wes_daemon_runs_cancelling", _nothing_to_cancel),
    ],
)
def test_an_index_that_is_missing_is_noticed(
    crowded: Engine,
    site: Site,
    day: Mapping[str, list[Statement]],
    most_rows: int,
    index: str,
    step: Callable[[Site], None],
) -> None:
    assert day

    with _without(crowded, index), Watch(crowded).listening() as watch:
        step(site)

    assert [one for statement in watch.statements for one in statement.complaints(most_rows=most_rows)]


@contextmanager
def _without(engine: Engine, index: str) -> Iterator[None]:
    known = "SELECT indexdef FROM pg_indexes WHERE indexname = :name"
    if engine.dialect.name == "sqlite":
        known = "SELECT sql FROM sqlite_master WHERE name = :name"
    with writing(engine) as connection:
        definition = connection.execute(text(known), {"name": index}).scalar_one()
        connection.execute(text(f"DROP INDEX {index}"))
        connection.commit()
    yield
    with writing(engine) as connection:
        connection.exec_driver_sql(definition)
        connection.commit()


@contextmanager
def _uri(kind: str, request: pytest.FixtureRequest, folders: pytest.TempPathFactory) -> Iterator[str]:
    """An up-to-date database for the whole module."""
    if kind == "sqlite":
        path = folders.mktemp("plans") / "runs.db"
        shutil.copy(request.getfixturevalue("sqlite_template"), path)
        yield f"sqlite:///{path}"
        return
    server: PostgreSQL = request.getfixturevalue("postgresql_server")
    uri = server.create()
    with disposed(make_engine(uri, connections=1)) as engine:
        Schema(engine).upgrade()
    yield uri
    server.drop(uri)


@contextmanager
def _crowded(
    kind: str, crowd: Crowd, request: pytest.FixtureRequest, folders: pytest.TempPathFactory
) -> Iterator[Engine]:
    with _uri(kind, request, folders) as uri, disposed(make_engine(uri, connections=5)) as engine:
        fill(engine, [*crowd.ended, *crowd.live])
        # Nobody does so for SQLite.
        if engine.dialect.name == "postgresql":
            with engine.connect() as connection:
                connection.execute(text("ANALYZE"))
                connection.commit()
        yield engine
