"""Commands that read, or change a run only, neither create nor upgrade a database."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Engine, inspect, text

from tests.functional.conftest import CWL, Call
from tests.integration.conftest import PostgreSQL
from tests.integration.persistence.server import PostgreSQLServer
from wes_daemon.adapters.persistence.engine import make_engine
from wes_daemon.adapters.persistence.location import VERSION_TABLE
from wes_daemon.adapters.persistence.schema import Schema
from wes_daemon.adapters.persistence.transactions import writing

READERS = (("list", "--json"), ("show", "run-1"), ("verify",), ("reconcile",))
WRITERS = (("cancel", "run-1"), ("resolve", "run-1", "--fail"), ("reconcile", "--apply", "--yes"))
CREATORS = (("submit", "https://example.org/echo.cwl"), ("run-once",), ("db", "upgrade"))

as_words = " ".join


@pytest.fixture(scope="module")
def postgresql() -> Iterator[PostgreSQL]:
    """A server of these tests' own."""
    server = PostgreSQLServer()
    server.start()
    yield PostgreSQL(server.uri())
    server.remove()


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, clean: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """An engine on an empty database, which the environment names."""
    if request.param == "postgresql":
        server: PostgreSQL = request.getfixturevalue("postgresql")
        uri = server.create()
    else:
        (clean / "runs.db").touch()
        uri = f"sqlite:///{clean / 'runs.db'}"
    monkeypatch.setenv("DATABASE_URI", uri)
    engine = make_engine(uri, connections=2)
    yield engine
    engine.dispose()
    if request.param == "postgresql":
        server.drop(uri)


def put_at(engine: Engine, revision: str) -> None:
    """Prepare the database, and let it say that it is at another revision."""
    Schema(engine).upgrade()
    with writing(engine) as connection:
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = :revision"), {"revision": revision})
        connection.commit()


@pytest.mark.parametrize("words", [*READERS, *WRITERS], ids=as_words)
def test_an_empty_database_stays_empty_and_the_command_that_prepares_it_is_named(
    words: tuple[str, ...], engine: Engine, call: Call
) -> None:
    result = call(*words)

    assert (result.exit_code, result.stdout) == (3, "")
    assert "never prepared for the daemon" in result.stderr
    assert "`wes-daemon db upgrade`" in result.stderr
    assert result.stderr.count("\n") == 1
    assert inspect(engine).get_table_names() == []


def test_the_schema_of_an_empty_database_is_none(engine: Engine, call: Call) -> None:
    result = call("db", "current")

    assert (result.exit_code, result.stdout.splitlines()[0]) == (0, "current: none")
    assert inspect(engine).get_table_names() == []


@pytest.mark.parametrize("words", [*READERS, *WRITERS, ("submit", "https://example.org/echo.cwl")], ids=as_words)
def test_a_newer_client_does_not_upgrade_a_database_under_running_daemons(
    words: tuple[str, ...], engine: Engine, call: Call
) -> None:
    put_at(engine, "0004")

    result = call(*words)

    assert (result.exit_code, result.stdout) == (3, "")
    assert "is at revision 0004, but" in result.stderr
    assert "run `wes-daemon db upgrade`" in result.stderr
    assert Schema(engine).current() == "0004"


@pytest.mark.parametrize("words", [*READERS, *WRITERS, *CREATORS], ids=as_words)
def test_a_newer_schema_is_said_as_such(words: tuple[str, ...], engine: Engine, call: Call) -> None:
    put_at(engine, "9999")

    result = call(*words)

    assert (result.exit_code, result.stdout) == (3, "")
    assert "a newer wes-daemon has upgraded it" in result.stderr
    assert Schema(engine).current() == "9999"


@pytest.mark.parametrize("words", CREATORS, ids=as_words)
def test_a_command_that_needs_tables_creates_them_in_an_empty_database(
    words: tuple[str, ...], engine: Engine, call: Call
) -> None:
    call(*words)

    Schema(engine).check()


@pytest.mark.parametrize("words", READERS, ids=as_words)
def test_a_role_that_may_only_read_can_read(words: tuple[str, ...], postgresql: PostgreSQL, call: Call) -> None:
    uri = postgresql.create()
    owner = make_engine(uri, connections=1)
    Schema(owner).upgrade()
    with writing(owner) as connection:
        for statement in ("DROP ROLE IF EXISTS guest", "CREATE ROLE guest LOGIN IN ROLE pg_read_all_data"):
            connection.execute(text(statement))
        connection.commit()

    result = call(*words, "--db-uri", uri.replace("postgres@", "guest@"))

    assert result.exit_code == (1 if words[0] == "show" else 0), result.output
    owner.dispose()
    postgresql.drop(uri)


@pytest.mark.parametrize("words", [*READERS, *WRITERS, ("db", "current")], ids=as_words)
def test_no_file_is_created_in_the_users_data_directory(
    words: tuple[str, ...], clean: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = clean / "data of the user"
    monkeypatch.setenv("XDG_DATA_HOME", str(data))

    result = call(*words)

    assert (result.exit_code, result.stdout) == (1, "")
    assert f"there is no database at {data}/wes-daemon/runs.db yet" in result.stderr
    assert not data.exists()


@pytest.mark.parametrize(
    "address", ["file:{}/runs.db?uri=true", "file:///{}/runs.db?uri=true", "file:runs.db?uri=true"]
)
def test_a_file_that_is_named_by_a_uri_of_its_own_is_not_created(address: str, clean: Path, call: Call) -> None:
    result = call("list", "--db-uri", f"sqlite:///{address.format(clean)}")

    assert (result.exit_code, result.stdout) == (1, "")
    assert "there is no database at " in result.stderr
    assert list(clean.iterdir()) == []


@pytest.mark.parametrize("words", [*READERS, *WRITERS, ("db", "current")], ids=as_words)
def test_the_file_of_a_service_is_not_changed(words: tuple[str, ...], clean: Path, call: Call) -> None:
    file = clean / "service.db"
    with closing(sqlite3.connect(file)) as service, service:
        service.execute("CREATE TABLE workflow_runs (run_id TEXT)")
    before = file.read_bytes()

    call(*words, "--db-uri", f"sqlite:///{file}")

    assert file.read_bytes() == before
    assert [path.name for path in clean.iterdir()] == ["service.db"]


@pytest.mark.parametrize("words", CREATORS, ids=as_words)
def test_a_folder_that_does_not_exist_is_misconfiguration_and_is_not_created(
    words: tuple[str, ...], clean: Path, call: Call
) -> None:
    result = call(*words, "--db-uri", "sqlite:///deep/down/runs.db")

    assert (result.exit_code, result.stdout) == (3, "")
    assert f"the folder {clean}/deep/down does not exist: create it (mkdir -p {clean}/deep/down)" in result.stderr
    assert list(clean.iterdir()) == []


@pytest.mark.parametrize("words", CREATORS, ids=as_words)
def test_the_file_in_the_users_data_directory_is_created(
    words: tuple[str, ...], clean: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(clean / "data"))

    call(*words)

    assert (clean / "data" / "wes-daemon" / "runs.db").exists()


@pytest.mark.parametrize("words", [*READERS, *WRITERS, *CREATORS], ids=as_words)
def test_tables_that_belong_to_a_service_are_awaited_in_one_line(
    words: tuple[str, ...], engine: Engine, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAEMON_SERVICE_TABLES", "wait")

    result = call(*words)

    assert (result.exit_code, result.stdout) == (3, "")
    assert "workflow_runs and task_logs do not exist yet" in result.stderr
    assert result.stderr.count("\n") == 1
    assert inspect(engine).get_table_names() == []


def test_every_command_works_where_the_daemons_tables_have_a_schema_of_their_own(
    clean: Path, postgresql: PostgreSQL, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = postgresql.create()
    for name, value in {
        "DATABASE_URI": uri,
        "DAEMON_SCHEMA": "daemon",
        "DAEMON_DEFAULT_PROVIDER": "local",
        "DAEMON_LOCAL_WORKDIR": str(clean / "local"),
    }.items():
        monkeypatch.setenv(name, value)

    run_id = call("submit", str(CWL / "two_steps.cwl"), "message=hi").stdout.strip()
    called = [
        call(*words)
        for words in (
            ("cancel", run_id),
            ("run-once",),
            ("list",),
            ("show", run_id),
            ("verify",),
            ("reconcile",),
            ("db", "current"),
            ("db", "upgrade"),
        )
    ]

    assert [result.exit_code for result in called] == [0] * len(called), [result.output for result in called]
    assert "CANCELED" in called[2].stdout
    assert "up to date: yes" in called[-2].stdout
    engine = make_engine(uri, connections=1)
    assert set(inspect(engine).get_table_names()) == {"workflow_runs", "task_logs"}
    engine.dispose()
    postgresql.drop(uri)


def test_a_schema_of_the_daemon_is_refused_for_sqlite(clean: Path, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAEMON_SCHEMA", "daemon")

    result = call("submit", "https://example.org/echo.cwl", "--db-uri", f"sqlite:///{clean}/runs.db")

    assert result.exit_code == 3
    assert "DAEMON_SCHEMA is set, but SQLite has no schemas: remove DAEMON_SCHEMA" in result.stderr
    assert list(clean.iterdir()) == []
