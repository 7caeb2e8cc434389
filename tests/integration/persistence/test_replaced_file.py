"""A SQLite file that a restore replaces while it is open: it is noticed, and nothing is written to the former one."""

import logging
import os
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine

from tests.integration.persistence.conftest import disposed
from tests.integration.persistence.harness import SqlHarness
from wes_daemon.adapters.persistence.change_feed import DatabaseChangeFeed
from wes_daemon.adapters.persistence.engine import make_engine
from wes_daemon.adapters.persistence.transactions import reading, writing
from wes_daemon.application.ports.errors import StorageUnavailable


@pytest.fixture
def path(tmp_path: Path, sqlite_template: Path) -> Path:
    """A database that the daemon uses."""
    return Path(shutil.copy(sqlite_template, tmp_path / "runs.db"))


@pytest.fixture
def engine(path: Path) -> Iterator[Engine]:
    with disposed(make_engine(f"sqlite:///{path}", connections=3, busy_timeout=timedelta(seconds=5))) as engine:
        yield engine


@pytest.fixture
def store(engine: Engine) -> SqlHarness:
    return SqlHarness(engine)


def a_backup(path: Path, template: Path, *runs: str) -> Path:
    """Another database, with these runs."""
    backup = Path(shutil.copy(template, path.with_name("backup.db")))
    with disposed(make_engine(f"sqlite:///{backup}", connections=1)) as engine:
        SqlHarness(engine).queue(*runs)
    return backup


def runs_in(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return [id for (id,) in connection.execute("SELECT run_id FROM workflow_runs ORDER BY run_id")]


def test_what_is_written_after_a_restore_is_in_the_file_that_was_restored(
    store: SqlHarness, path: Path, sqlite_template: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store.queue("former")

    os.replace(a_backup(path, sqlite_template, "restored"), path)
    store.queue("later")

    assert runs_in(path) == ["later", "restored"]
    assert [record.levelno for record in caplog.records if "database.replaced" in record.message] == [logging.WARNING]


def test_the_file_that_was_replaced_keeps_all_that_was_committed_to_it(
    store: SqlHarness, path: Path, sqlite_template: Path
) -> None:
    store.queue("former")
    former = path.rename(path.with_name("former.db"))

    os.replace(a_backup(path, sqlite_template), path)
    store.queue("later")

    assert runs_in(former) == ["former"]
    assert runs_in(path) == ["later"]


def test_nothing_is_opened_while_a_transaction_on_the_former_file_is_open(
    engine: Engine, store: SqlHarness, path: Path, sqlite_template: Path
) -> None:
    store.queue("former")

    with reading(engine):
        os.replace(a_backup(path, sqlite_template), path)
        with pytest.raises(StorageUnavailable, match="was replaced"):
            store.queue("too early")

    store.queue("later")
    assert runs_in(path) == ["later"]


def test_a_transaction_during_which_the_file_was_replaced_leaves_no_connection_behind(
    engine: Engine, store: SqlHarness, path: Path, sqlite_template: Path
) -> None:
    with writing(engine) as connection:
        os.replace(a_backup(path, sqlite_template), path)
        connection.exec_driver_sql("SELECT 1")

    store.queue("later")

    assert runs_in(path) == ["later"]


def test_a_file_that_was_removed_is_waited_for_and_not_made_again(store: SqlHarness, path: Path) -> None:
    store.queue("former")
    kept = path.rename(path.with_name("kept.db"))

    with pytest.raises(StorageUnavailable, match="was removed: put it back"):
        store.queue("later")
    assert not path.exists()

    kept.rename(path)
    store.queue("later")
    assert runs_in(path) == ["former", "later"]


def test_two_engines_of_a_process_wait_for_each_other(store: SqlHarness, path: Path, sqlite_template: Path) -> None:
    store.queue("former")
    with disposed(make_engine(f"sqlite:///{path}", connections=1)) as other, reading(other):
        os.replace(a_backup(path, sqlite_template), path)
        with pytest.raises(StorageUnavailable, match="was replaced"):
            store.queue("too early")

    store.queue("later")
    assert runs_in(path) == ["later"]


def test_the_change_feed_goes_on_with_the_file_that_was_restored(
    store: SqlHarness, path: Path, sqlite_template: Path
) -> None:
    hinted = threading.Semaphore(0)
    feed = DatabaseChangeFeed(make_engine(f"sqlite:///{path}", connections=1), poll_every=timedelta(milliseconds=5))
    thread = threading.Thread(target=feed.listen, args=(hinted.release,))
    thread.start()
    assert hinted.acquire(timeout=30)

    os.replace(a_backup(path, sqlite_template, "restored"), path)

    # The feed hints once more when it has connected to the other file.
    assert hinted.acquire(timeout=30)
    store.queue("later")
    assert hinted.acquire(timeout=30)
    feed.close()
    thread.join(30)
    assert runs_in(path) == ["later", "restored"]
