"""Tables and rows of any WES service, drawn at random, and a daemon that serves them."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import psycopg2
from dependency_injector.providers import Object
from hypothesis import strategies as st
from sqlalchemy import Engine, make_url, text

from tests.builders import NOON, a_report, some_details
from tests.contracts.persistence_harness import MINUTE
from tests.integration.conftest import as_text
from tests.integration.persistence.harness import SqlHarness
from wes_daemon.adapters.memory.providers import MemoryProvider, MemoryProviderDirectory
from wes_daemon.adapters.persistence.transactions import writing
from wes_daemon.application.ports.errors import StorageRefused
from wes_daemon.application.ports.queries import RunFilter
from wes_daemon.bootstrap.application import application_of
from wes_daemon.bootstrap.container import Container
from wes_daemon.bootstrap.settings import read_settings
from wes_daemon.domain.runs import IdempotencyKey, ProviderType
from wes_daemon.domain.states import RunState

SECRET = "hunter2-is-the-password"
"""Is in the parameters of every odd row, and must not occur in any log."""

_GOOD = 3
_PASSES = 6
_STATES = ", ".join(f"'{state}'" for state in RunState)
_REFUSED, _LOCKED = "refused", "locked"

_ID_TYPES = {
    "postgresql": ("VARCHAR(36)", "VARCHAR(64)", "CHAR(50)", "TEXT", "UUID", "BIGINT", "INTEGER"),
    "sqlite": ("VARCHAR(36)", "CHAR(36)", "BIGINT", "INTEGER", "TEXT"),
}
_STATE_TYPES = {"postgresql": ("VARCHAR(20)", "CHAR(20)", "TEXT", "run_state"), "sqlite": ("VARCHAR(20)", "TEXT")}
_JSON_TYPES = {"postgresql": ("JSON", "JSONB", "TEXT"), "sqlite": ("JSON", "TEXT")}
_TIME_TYPES = {"postgresql": ("TIMESTAMP", "TIMESTAMP WITH TIME ZONE"), "sqlite": ("TIMESTAMP", "TEXT")}
_TASK_TABLES = (
    "id VARCHAR(36) PRIMARY KEY, name VARCHAR(200) NOT NULL",
    "id VARCHAR(36) PRIMARY KEY, name VARCHAR(4) NOT NULL",
    "id VARCHAR(36) PRIMARY KEY, name VARCHAR(200) NOT NULL, made_by_python TEXT NOT NULL",
    "id INTEGER PRIMARY KEY, name VARCHAR(200) NOT NULL",
    "id VARCHAR(36) PRIMARY KEY, name VARCHAR(200) NOT NULL CHECK (name <> 'align')",
)

_TIMES = {
    "postgresql": (
        "infinity",
        "-infinity",
        "20241-01-01",
        "0044-03-15 BC",
        "0001-01-01 00:00:00+05:30",
        "0001-01-01 00:00:00-05:30",
        "9999-12-31 23:59:59-12",
        "2026-01-01 12:00:00",
    ),
    "sqlite": (
        "0001-01-01T00:00:00+05:30",
        "9999-12-31T23:59:59-05:30",
        "20241-01-01 00:00:00",
        "yesterday",
        "",
        "1767268800",
        "2026-01-01 12:00:00",
    ),
}
_JSON_TEXTS = (
    "{}",
    "null",
    "[]",
    "7",
    '"a text"',
    '"{\\"provider_type\\": \\"sevenbridges\\"}"',
    '{"provider_type": "no-such-provider"}',
    '{"provider_id": "nobody-has-it", "provider_type": "sevenbridges"}',
    '{"provider_id": 7}',
    '{"name": "\\u0141\\u00f3d\\u017a \\ud834\\udd1e"}',
    '{"n": 1e308, "deep": ' + "[" * 150 + "]" * 150 + "}",
)
_ANY_STATES = (*RunState, "NONSENSE", "queued", "")


@dataclass(frozen=True, kw_only=True)
class OddRow:
    """A row of a service that may be wrong in every column."""

    state: str
    tags: str | None
    params: str | None
    engine: str | None
    url: str
    start_time: str | None
    end_time: str | None
    marks: frozenset[str]


@dataclass(frozen=True, kw_only=True)
class Service:
    """What a service's tables and rows are."""

    kind: str
    run_id: str
    state: str
    json: str
    time: str
    tasks: str
    refusing: str
    odd: Sequence[OddRow]


@st.composite
def services(draw: st.DrawFn, kind: str) -> Service:
    """Any service on one kind of database."""
    state = draw(st.sampled_from(_STATE_TYPES[kind]))
    states = tuple(RunState) if state == "run_state" else _ANY_STATES
    json_texts = st.none() | st.sampled_from(_JSON_TEXTS)
    times = st.none() | st.sampled_from(_TIMES[kind])
    odd = st.builds(
        OddRow,
        state=st.sampled_from(states) | st.just("QUEUED"),
        tags=json_texts,
        params=json_texts,
        engine=st.sampled_from([None, "", "cwltool", "Arvados", "SevenBridges", "Ł"]),
        url=st.sampled_from(["", "file:///a.cwl", "not a url", "é" * 400]),
        start_time=times,
        end_time=times,
        marks=st.frozensets(st.sampled_from([_REFUSED, _LOCKED])),
    )
    return Service(
        kind=kind,
        run_id=draw(st.sampled_from(_ID_TYPES[kind])),
        state=state,
        json=draw(st.sampled_from(_JSON_TYPES[kind])),
        time=draw(st.sampled_from(_TIME_TYPES[kind])),
        tasks=draw(st.sampled_from(_TASK_TABLES)),
        refusing=draw(st.sampled_from(["nothing", "every state", "end states", "without a word"])),
        odd=draw(st.lists(odd, max_size=4)),
    )


class ServedTables:
    """The tables of one service, with good rows among the odd ones."""

    def __init__(self, engine: Engine, service: Service) -> None:
        self._engine = engine
        self._service = service
        ids = _ids(service.run_id, _GOOD + len(service.odd))
        # A good row comes first, one last, and the others among the odd ones.
        self.good = [ids[0], ids[-1], *ids[1 : _GOOD - 1]]
        self._odd = dict(zip([id for id in ids if id not in self.good], service.odd, strict=True))

    def create(self) -> None:
        """Create the service's tables."""
        service = self._service
        columns = (
            f"run_id {service.run_id} PRIMARY KEY, state {service.state} NOT NULL, workflow_params {service.json},"
            " workflow_type VARCHAR(50), workflow_type_version VARCHAR(20), workflow_engine VARCHAR(50),"
            f" workflow_engine_version VARCHAR(20), workflow_url VARCHAR(500), tags {service.json},"
            f" start_time {service.time}, end_time {service.time}, mark TEXT"
        )
        tasks = (
            f"{service.tasks.partition(',')[0]}, run_id {service.run_id}, cmd {service.json}, stdout VARCHAR(500),"
            f" start_time {service.time}, end_time {service.time}, stderr VARCHAR(500), exit_code INTEGER,"
            f" system_logs {service.json},{service.tasks.partition(',')[2]}"
        )
        if service.kind == "postgresql":
            self._execute(f"CREATE TYPE run_state AS ENUM ({_STATES})")
        self._execute(f"CREATE TABLE workflow_runs ({columns})", f"CREATE TABLE task_logs ({tasks})")

    def fill(self) -> None:
        """Insert all rows, in the order of their ids."""
        with writing(self._engine) as connection:
            for id in sorted([*self.good, *self._odd], key=_order):
                # The service's own tables refuse some values, such as a character that the encoding lacks.
                with suppress(StorageRefused), connection.begin_nested():
                    connection.execute(text(_INSERT), self._values(id))
            connection.commit()
        for statement in _refusing(self._service):
            self._execute(statement)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Another session keeps the marked rows locked; of a SQLite file nothing can be locked but the whole."""
        if self._service.kind == "sqlite":
            yield
            return
        uri = as_text(make_url(as_text(self._engine.url)).set(drivername="postgresql"))
        with closing(psycopg2.connect(uri)) as session, session.cursor() as cursor:
            cursor.execute(f"SELECT 1 FROM workflow_runs WHERE strpos(mark, '{_LOCKED}') > 0 FOR UPDATE")
            yield
            session.rollback()

    def states(self) -> Mapping[str, str]:
        """The state of each good row, as the service reads it."""
        with self._engine.connect() as connection:
            rows = connection.execute(text("SELECT run_id, state FROM workflow_runs")).all()
        found = {str(run_id).strip(): str(state).strip() for run_id, state in rows}
        return {id: found[id] for id in self.good}

    def _values(self, id: str) -> Mapping[str, Any]:
        odd = self._odd.get(id)
        if odd is None:
            secret = json.dumps({"n": 1})
            return {**_GOOD_VALUES, "id": id, "params": secret}
        marks = " ".join(sorted(odd.marks))
        values = {name: getattr(odd, name) for name in ("state", "tags", "engine", "url", "start_time", "end_time")}
        params = odd.params or json.dumps({"password": SECRET})
        return {**values, "id": id, "params": params, "mark": f"{marks} {SECRET}"}

    def _execute(self, *statements: str) -> None:
        with writing(self._engine) as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)
            connection.commit()


_GOOD_VALUES: Mapping[str, Any] = {
    "state": "QUEUED",
    "tags": "{}",
    "engine": None,
    "url": "file:///good.cwl",
    "start_time": None,
    "end_time": None,
    "mark": "",
}

_INSERT = (
    "INSERT INTO workflow_runs (run_id, state, workflow_params, workflow_type, workflow_type_version,"
    " workflow_engine, workflow_url, tags, start_time, end_time, mark)"
    " VALUES (:id, :state, :params, 'CWL', 'v1.2', :engine, :url, :tags, :start_time, :end_time, :mark)"
)


def _ids(declared: str, count: int) -> Sequence[str]:
    if declared in ("BIGINT", "INTEGER"):
        return [str(number) for number in range(1, count + 1)]
    if declared == "UUID":
        return [str(UUID(int=number)) for number in range(1, count + 1)]
    width = {"VARCHAR(64)": 64, "TEXT": 300, "CHAR(50)": 40}.get(declared, 36)
    return [f"{number}".rjust(width, "r") for number in range(1, count + 1)]


def _order(id: str) -> int:
    return int(id.lstrip("r-0") or "0", 16)


def _refusing(service: Service) -> Iterator[str]:
    """Triggers that refuse changes of the marked rows."""
    conditions = {
        "every state": "",
        "end states": " AND NEW.state IN ('COMPLETE', 'SYSTEM_ERROR', 'CANCELED')",
        "without a word": "",
    }
    if service.refusing not in conditions:
        return
    is_silent = service.refusing == "without a word"
    if service.kind == "sqlite":
        act = "RAISE(IGNORE)" if is_silent else f"RAISE(ABORT, 'refused: {SECRET[:7]}')"
        yield (
            f"CREATE TRIGGER refuse BEFORE UPDATE ON workflow_runs WHEN instr(OLD.mark, '{_REFUSED}')"
            f"{conditions[service.refusing]} BEGIN SELECT {act}; END"
        )
        return
    act = "RETURN NULL" if is_silent else "RAISE EXCEPTION 'refused' USING DETAIL = OLD.workflow_params::text"
    yield (
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        f" IF strpos(OLD.mark, '{_REFUSED}') > 0{conditions[service.refusing].replace('NEW.state', 'NEW.state::text')}"
        f" THEN {act}; END IF; RETURN NEW; END $$"
    )
    yield "CREATE TRIGGER refuse BEFORE UPDATE ON workflow_runs FOR EACH ROW EXECUTE FUNCTION refuse()"


class ServingDaemon:
    """The application on the tables, over a provider that ends each run that it has accepted."""

    def __init__(self, uri: str, engine: Engine, tables: ServedTables) -> None:
        self._tables = tables
        self._store = SqlHarness(engine)
        self._provider = MemoryProvider()
        container = Container(settings=read_settings(database_uri=uri, max_concurrent_workflows=100, workers=4))
        container.directory.override(Object(MemoryProviderDirectory({ProviderType.SEVENBRIDGES: self._provider})))
        self._application = application_of(container)

    @property
    def starts(self) -> Mapping[str, int]:
        """How often each good run was started."""
        started = self._provider.started
        return {id: started.count(IdempotencyKey(f"wes-{id}")) for id in self._tables.good}

    def serve(self) -> None:
        """Make passes until the good runs are complete, at most a fixed number, beside locked rows; then some more."""
        with self._tables.locked():
            for _ in range(_PASSES):
                self._pass()
                if set(self._tables.states().values()) == {"COMPLETE"}:
                    break
        for _ in range(2):
            self._pass()

    def read(self) -> None:
        """Everything that people read, over all rows."""
        application = self._application
        for record in application.list_runs(RunFilter()):
            application.get_run(record.run.id)
        application.verify()
        application.reconcile(window=timedelta(days=1), tolerances=application.tolerances)

    def close(self) -> None:
        """Close the connections."""
        self._application.close()

    def _pass(self) -> None:
        self._application.run_once()
        for key in self._provider.started:
            report = a_report(RunState.COMPLETE, started_at=NOON, ended_at=NOON + MINUTE)
            self._provider.put(self._provider.id_of(key), report, some_details())
        # Longer than other passes skip a run that was polled or could not be written.
        self._store.let_pass(2 * MINUTE)


@contextmanager
def own_schema(uri: str, number: int) -> Iterator[str]:
    """The URI of a new schema in a PostgreSQL database; it is dropped afterwards."""
    name = f"service_{number}"
    with ExitStack() as stack, closing(psycopg2.connect(uri)) as session:
        session.autocommit = True
        cursor = stack.enter_context(session.cursor())
        cursor.execute(f"CREATE SCHEMA {name}")
        yield as_text(make_url(uri).update_query_dict({"options": f"-csearch_path={name}"}))
        cursor.execute(f"DROP SCHEMA {name} CASCADE")
