"""Daemons behind pgbouncer in transaction mode: nothing that they use belongs to a session."""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from threading import Event

import psycopg2
import pytest

from tests.contracts.wakeup import listening
from tests.integration.persistence.outages import PromptProvider, Site
from tests.integration.persistence.server import UNPRIVILEGED, PostgreSQLServer
from wes_daemon.adapters.persistence.change_feed import DatabaseChangeFeed
from wes_daemon.adapters.persistence.engine import make_engine
from wes_daemon.adapters.persistence.transactions import reading, writing

PROGRAM = shutil.which("pgbouncer", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"]))
RUNS = 200

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="pgbouncer is not installed")

_SETTINGS = """
[databases]
* = host={server} user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 4
logfile = {folder}/log
"""


class Pooler:
    """A pgbouncer before a server, with fewer sessions than any daemon has connections. It refuses to run as root."""

    def __init__(self, server: PostgreSQLServer) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="wes-pooler-"))
        self._port = _free_port()
        settings = self._folder / "pgbouncer.ini"
        host = server.uri().partition("?host=")[2]
        settings.write_text(_SETTINGS.format(server=host, port=self._port, folder=self._folder))
        user = UNPRIVILEGED if os.geteuid() == 0 else None
        if user:
            shutil.chown(self._folder, UNPRIVILEGED)
        self._process = subprocess.Popen(
            [PROGRAM or "", "-q", str(settings)], cwd=self._folder, stderr=subprocess.DEVNULL, user=user
        )
        self._await()

    @property
    def uri(self) -> str:
        """How to reach the server through it."""
        return f"postgresql://postgres@127.0.0.1:{self._port}/postgres"

    def remove(self) -> None:
        """End it and delete everything."""
        self._process.kill()
        self._process.wait(timeout=30)
        shutil.rmtree(self._folder)

    def _await(self) -> None:
        for _ in range(1_200):
            with suppress(psycopg2.OperationalError):
                psycopg2.connect(self.uri).close()
                return
            Event().wait(0.05)
        raise RuntimeError(f"pgbouncer did not start: {(self._folder / 'log').read_text()}")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


@pytest.fixture
def server() -> Iterator[PostgreSQLServer]:
    """A server of its own: how many sessions it has is looked at."""
    server = PostgreSQLServer()
    server.start()
    yield server
    server.remove()


@pytest.fixture
def pooler(server: PostgreSQLServer) -> Iterator[Pooler]:
    """A pooler before it."""
    pooler = Pooler(server)
    yield pooler
    pooler.remove()


def test_two_daemons_share_four_sessions_and_start_each_run_once(
    pooler: Pooler, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    provider = PromptProvider()
    one, other = (Site(make_engine(pooler.uri, connections=12), provider, caplog) for _ in range(2))
    one.prepare()
    one.queue(RUNS)

    one.start()
    other.start()

    one.assert_came_through(RUNS, outages=0)
    other.stop()
    assert other.everything_ended
    for site in (one, other):
        site.engine.dispose()


def test_what_others_find_in_a_shared_session_is_what_the_server_gives(
    pooler: Pooler, server: PostgreSQLServer
) -> None:
    engine = make_engine(pooler.uri, connections=1)

    for _ in range(3):
        with writing(engine) as connection:
            connection.exec_driver_sql("SELECT 1")
            connection.commit()

    assert _settings(pooler.uri) == _settings(server.uri())
    engine.dispose()


def test_behind_a_pooler_nobody_listens_in_a_session_that_others_share(
    pooler: Pooler, caplog: pytest.LogCaptureFixture
) -> None:
    with listening(DatabaseChangeFeed(make_engine(pooler.uri, connections=1))) as hints:
        hints.expect()
        assert hints.has_no_more()
        engine = make_engine(pooler.uri, connections=1)
        with reading(engine) as connection:
            listened_to = connection.exec_driver_sql("SELECT pg_listening_channels()").all()
        engine.dispose()

    assert listened_to == []
    assert sum("change_feed.none" in message for message in caplog.messages) == 1


def _settings(uri: str) -> Sequence[object]:
    """What a session may have changed, as somebody else's program finds it."""
    question = "SELECT name, setting FROM pg_settings WHERE name IN %s ORDER BY name"
    with closing(psycopg2.connect(uri)) as connection, connection.cursor() as cursor:
        cursor.execute(question, [("lock_timeout", "default_transaction_isolation", "statement_timeout")])
        return cursor.fetchall()
