"""From a URI to an engine, and what is refused on the way."""

import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, select, text

from tests.contracts.persistence_harness import ME
from tests.integration.conftest import as_text
from wes_daemon.adapters.persistence.engine import database_url, make_engine
from wes_daemon.adapters.persistence.expressions import store_now
from wes_daemon.adapters.persistence.transactions import reading, writing
from wes_daemon.adapters.persistence.unit_of_work import SqlUnitsOfWork
from wes_daemon.application.ports.errors import StorageMisconfigured, StorageUnavailable


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg2"])
def test_the_documented_uri_means_the_driver_that_is_installed(scheme: str) -> None:
    url = database_url(f"{scheme}://user:p%40ss@db.example:5433/wes?sslmode=require")

    assert url.render_as_string(hide_password=False) == (
        "postgresql+psycopg2://user:p%40ss@db.example:5433/wes?sslmode=require"
    )


@pytest.mark.parametrize("uri", ["sqlite:////var/lib/runs.db", "sqlite:///runs.db"])
def test_a_sqlite_uri_stays_as_it_is(uri: str) -> None:
    assert str(database_url(uri)) == uri


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        (
            "mysql://user:secret@host/wes",
            r"mysql://, but MySQL.* not supported.*PostgreSQL and SQLite: use postgresql://",
        ),
        ("mysql+pymysql://user:secret@host/wes", r"mysql\+pymysql://, but MySQL.* not supported.*use postgresql://"),
        ("mariadb+mariadbconnector://user:secret@host/wes", r"MariaDB are not supported.*use postgresql://"),
        ("postgresql+asyncpg://user:secret@host/wes", r"asyncpg://.*use postgresql://"),
        ("postgresql://user:secret@host:port/wes", "cannot be read"),
        ("postgresql://user:secret@secret@host/wes", "percent-encode"),
        ("postgresql://host?password=x@secret/wes", "percent-encode"),
        ("/var/lib/secret.db", "has no scheme"),
        ("", "has no scheme"),
        ("secret", "has no scheme"),
        ("sqlite://", r"in memory.*sqlite:////absolute"),
        ("sqlite:///:memory:", r"in memory.*sqlite:////absolute"),
        ("sqlite:///file:secret?mode=memory&uri=true", "in memory"),
        ("sqlite://var/lib/secret.db", "too few slashes"),
    ],
)
def test_a_uri_that_cannot_be_used_says_what_would_be_right_and_tells_no_secret(uri: str, says: str) -> None:
    with pytest.raises(StorageMisconfigured, match=says) as refused:
        make_engine(uri, connections=1)

    assert "secret" not in str(refused.value)
    assert refused.value.__cause__ is None


def test_making_an_engine_connects_to_nothing(tmp_path: Path) -> None:
    make_engine(f"sqlite:///{tmp_path}/new/runs.db", connections=1)
    make_engine("postgresql://nobody@nowhere.invalid/wes", connections=1)

    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_does_not_exist_is_named_with_what_creates_it_and_is_not_created(tmp_path: Path) -> None:
    engine = make_engine(f"sqlite:///{tmp_path}/new deep/runs.db", connections=1)

    with pytest.raises(StorageMisconfigured) as refused, reading(engine):
        pass

    assert f"the folder {tmp_path}/new deep does not exist: create it (mkdir -p '{tmp_path}/new deep')" in str(
        refused.value
    )
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_a_file_is_misconfigured(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    engine = make_engine(f"sqlite:///{tmp_path}/file/runs.db", connections=1)

    with pytest.raises(StorageMisconfigured, match="check the path"), reading(engine):
        pass


def test_what_only_reads_does_not_change_the_mode_of_a_sqlite_file(tmp_path: Path) -> None:
    file = tmp_path / "runs.db"
    with closing(sqlite3.connect(file)) as service, service:
        service.execute("CREATE TABLE workflow_runs (run_id TEXT)")
    before = file.read_bytes()
    engine = make_engine(f"sqlite:///{file}", connections=1)

    with reading(engine) as connection:
        connection.execute(text("SELECT * FROM workflow_runs"))
    engine.dispose()

    assert file.read_bytes() == before


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_what_sqlite_has_committed_survives_a_loss_of_power(engine: Engine) -> None:
    with writing(engine) as connection:
        settings = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }

    assert settings == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 30_000}


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_whoever_may_write_has_the_write_lock_of_sqlite_from_the_start(engine: Engine) -> None:
    other = sqlite3.connect(str(engine.url.database), timeout=0)

    with closing(other), writing(engine), pytest.raises(sqlite3.OperationalError, match="locked"):
        other.execute("BEGIN IMMEDIATE")


def test_a_program_that_reads_a_file_of_an_older_mode_does_not_delay_a_write(tmp_path: Path) -> None:
    """Its open transaction keeps the file from being switched to write-ahead logging."""
    path = tmp_path / "runs.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("CREATE TABLE a_table (a_column)")
        other.execute("BEGIN")
        other.execute("SELECT * FROM a_table").fetchall()
        engine = make_engine(f"sqlite:///{path}", connections=1, busy_timeout=timedelta(hours=1))

        with writing(engine) as connection:
            assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "delete"
        other.execute("COMMIT")
        with writing(engine) as connection:
            assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        engine.dispose()


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_what_postgresql_has_waited_for_is_seen_afterwards(engine: Engine) -> None:
    with reading(engine) as connection:
        assert connection.exec_driver_sql("SHOW transaction_isolation").scalar() == "read committed"
        assert connection.exec_driver_sql("SHOW application_name").scalar() == "wes-daemon"


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_whoever_has_waited_in_a_transaction_goes_by_the_time_that_it_is_then(engine: Engine) -> None:
    with reading(engine) as connection:
        earlier = connection.execute(select(store_now())).scalar_one()

        later = connection.execute(select(store_now())).scalar_one()

    assert later > earlier


def test_a_unit_of_work_for_which_no_connection_is_left_says_so(engine: Engine) -> None:
    narrow = make_engine(as_text(engine.url), connections=1, busy_timeout=timedelta(milliseconds=50))

    with reading(narrow), pytest.raises(StorageUnavailable, match="in use"), SqlUnitsOfWork(narrow)():
        pass

    narrow.dispose()


def test_a_unit_of_work_is_of_no_use_before_it_is_entered_and_after_its_commit(engine: Engine) -> None:
    unit = SqlUnitsOfWork(engine)()
    with pytest.raises(RuntimeError, match="not open"):
        unit.leases.close(ME)

    with unit:
        unit.commit()
        with pytest.raises(RuntimeError, match="not open"):
            unit.leases.close(ME)


def test_after_its_commit_a_unit_of_work_holds_nothing_back_from_others(engine: Engine) -> None:
    with SqlUnitsOfWork(engine)() as unit:
        unit.commit()

        with writing(engine) as connection:
            connection.execute(text("DELETE FROM daemons"))


def test_a_unit_of_work_inside_another_is_told_instead_of_waiting_for_itself(tmp_path: Path) -> None:
    engine = make_engine(f"sqlite:///{tmp_path}/runs.db", connections=2)
    units = SqlUnitsOfWork(engine)

    with units(), pytest.raises(RuntimeError, match="open in this thread already"), units():
        pass

    engine.dispose()
