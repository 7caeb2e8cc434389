"""What PostgreSQL and SQLite tell of others' commits, and how a daemon goes on where they cannot."""

import logging
import threading
from datetime import timedelta

import pytest
from sqlalchemy import Connection, Engine, text

from tests.builders import ALL_DESTINATIONS, ALL_PROVIDERS
from tests.contracts.wakeup import BOUND, ChangeFeedContract, WatchedDatabase, listening
from tests.integration.conftest import Database
from tests.integration.persistence.harness import SqlHarness
from wes_daemon.adapters.persistence.change_feed import CHANNEL, DatabaseChangeFeed
from wes_daemon.adapters.persistence.engine import make_engine
from wes_daemon.adapters.persistence.transactions import writing
from wes_daemon.adapters.persistence.work_probe import SqlWorkProbe
from wes_daemon.domain.states import RunState

_LISTENERS = text("SELECT pid FROM pg_stat_activity WHERE query = :query AND datname = current_database()")


class SqlWatchedDatabase(WatchedDatabase):
    """A database, which others write to by connections of their own."""

    def __init__(self, engine: Engine, uri: str) -> None:
        self.engine = engine
        self._uri = uri
        self._store = SqlHarness(engine)
        # SQLite changes `data_version` twice for a commit that also begins its write-ahead log anew.
        self.further_hints = 1 if engine.dialect.name == "sqlite" else 0

    def change_feed(self) -> DatabaseChangeFeed:
        return DatabaseChangeFeed(make_engine(self._uri, connections=1), poll_every=timedelta(milliseconds=10))

    def queue(self, *ids: str) -> None:
        insert = text(
            "INSERT INTO workflow_runs (run_id, state, workflow_type, workflow_type_version, workflow_url)"
            " VALUES (:id, 'QUEUED', 'CWL', 'v1.2', 'file:///echo.cwl')"
        )
        with writing(self.engine) as connection:
            connection.execute(insert, [{"id": id} for id in ids])
            connection.commit()

    def cancel(self, run_id: str) -> None:
        self._store.move(run_id, RunState.CANCELING)

    def end(self, run_id: str) -> None:
        self._store.move(run_id, RunState.CANCELED)

    def delete(self, run_id: str) -> None:
        self._store.remove(run_id)


@pytest.fixture
def watched(engine: Engine, database: Database) -> WatchedDatabase:
    """On each kind of database in turn."""
    return SqlWatchedDatabase(engine, database.uri)


class TestDatabaseChangeFeed(ChangeFeedContract):
    """The fixture `watched` is above."""

    @pytest.fixture
    def watched(self, engine: Engine, database: Database) -> WatchedDatabase:
        return SqlWatchedDatabase(engine, database.uri)


def test_work_probes_and_passes_that_find_nothing_lead_to_no_hints(watched: SqlWatchedDatabase) -> None:
    work_probe, units = SqlWorkProbe(watched.engine), SqlHarness(watched.engine).units
    with listening(watched.change_feed()) as hints:
        hints.expect()
        work_probe.has_queued_runs(lambda _: None, serving=ALL_DESTINATIONS)
        work_probe.has_runs_ended_elsewhere(serving=ALL_PROVIDERS)
        with units() as unit:
            unit.submissions.enrol(lambda _: None, limit=10)
            unit.submissions.close_withdrawn(limit=10)
            unit.polls.to_cancel(limit=10, lease=timedelta(minutes=1), serving=ALL_PROVIDERS)
            unit.commit()

        assert hints.has_no_more()


def test_a_lost_connection_is_said_once_and_made_anew(
    watched: SqlWatchedDatabase, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    if database.kind == "sqlite":
        pytest.skip("nobody can take a file's connection away")
    caplog.set_level(logging.INFO)
    with listening(watched.change_feed()) as hints:
        hints.expect()
        end_listeners(watched.engine)
        hints.expect()
        watched.queue("run-1")
        hints.expect()

    assert [message.split()[0] for message in caplog.messages if message.startswith("change_feed.")] == [
        "change_feed.lost",
        "change_feed.back",
    ]
    assert not any(record.exc_info for record in caplog.records)


@pytest.mark.parametrize("uri", ["postgresql://u@127.0.0.1:1/runs", "sqlite:////proc/no/such/place.db"])
def test_a_database_that_is_away_is_said_once_and_holds_nobody_up(
    uri: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, attempts = make_engine(uri, connections=1), threading.Semaphore(0)
    connect = engine.connect

    def counted() -> Connection:
        attempts.release()
        return connect()

    monkeypatch.setattr(engine, "connect", counted)

    with listening(DatabaseChangeFeed(engine)) as hints:
        # Once the third attempt begins, two have failed.
        assert all(attempts.acquire(timeout=BOUND) for _ in range(3))
        assert hints.has_no_more()

    assert [message.split()[0] for message in caplog.messages] == ["change_feed.lost"]
    assert not any(record.exc_info for record in caplog.records)


def end_listeners(engine: Engine) -> None:
    """Take the connections of all who listen away."""
    with writing(engine) as connection:
        found = connection.execute(_LISTENERS, {"query": f"LISTEN {CHANNEL}"}).scalars().all()
        assert found
        for pid in found:
            connection.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
        connection.commit()
