"""A database that fails under a running daemon: it waits, says so once, and goes on; each run is started once."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import psycopg2
import pytest
from psycopg2.extensions import connection as Session  # noqa: N812 - the driver's name is no class's
from sqlalchemy import Engine, event

from tests.integration.persistence.outages import PromptProvider, Site
from tests.integration.persistence.proxy import Loss, Proxy
from tests.integration.persistence.server import PostgreSQLServer
from wes_daemon.adapters.persistence.engine import make_engine

# Short, for the tests wait for it; long enough for a busy machine to answer in time where nothing is wrong.
ANSWER_WITHIN = timedelta(seconds=6)
BUSY_TIMEOUT = timedelta(seconds=6)

NewSite = Callable[[Engine], Site]


@pytest.fixture
def new_site(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[NewSite]:
    """Makes sites, which have ended afterwards."""
    monkeypatch.chdir(tmp_path)
    sites: list[Site] = []

    def make(engine: Engine) -> Site:
        site = Site(engine, PromptProvider(), caplog)
        sites.append(site)
        return site

    yield make
    for site in sites:
        site.stop()
        site.engine.dispose()


class Server(PostgreSQLServer):
    """A server that a test may kill and give orders."""

    def __init__(self) -> None:
        super().__init__()
        self.has_crashed = threading.Event()

    def _arguments(self) -> Iterator[str | Path]:
        yield from super()._arguments()
        # Otherwise a crash would undo what was committed.
        yield from ("-c", "synchronous_commit=on")

    @property
    def socket(self) -> str:
        """Where it listens."""
        return f"{self.uri().partition('?host=')[2]}/.s.PGSQL.5432"

    def crash(self) -> None:
        """Stop it as `pg_ctl stop -m immediate` does."""
        os.kill(int((self._data / "postmaster.pid").read_text().splitlines()[0]), signal.SIGQUIT)
        self.stop()
        self.has_crashed.set()

    def session(self) -> Session:
        """A session that may write, whatever the server's default is, and commits by itself."""
        session = psycopg2.connect(self.uri(), options="-c default_transaction_read_only=off")
        session.autocommit = True
        return session

    def order(self, *statements: str) -> None:
        """Execute these."""
        with closing(self.session()) as session, session.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    def count(self, statement: str) -> int:
        """The number that answers a question."""
        with closing(self.session()) as session, session.cursor() as cursor:
            cursor.execute(statement)
            [answer] = cursor.fetchone() or (0,)
        return int(answer)


@pytest.fixture(scope="module")
def one_server() -> Iterator[Server]:
    """A server for this module."""
    server = Server()
    server.start()
    yield server
    server.remove()


@pytest.fixture
def server(one_server: Server) -> Server:
    """The server, running and with an empty database."""
    one_server.stop()
    one_server.start()
    one_server.order("DROP SCHEMA public CASCADE", "CREATE SCHEMA public")
    return one_server


class TestPostgreSQL:
    """A server, and what lies between it and the daemon."""

    @pytest.fixture
    def site(self, server: Server, new_site: NewSite) -> Site:
        site = new_site(make_engine(server.uri(), connections=12, response_timeout=ANSWER_WITHIN))
        site.prepare()
        return site

    @pytest.fixture
    def proxy(self, server: Server) -> Iterator[Proxy]:
        proxy = Proxy(server.socket)
        yield proxy
        proxy.close()

    @pytest.fixture
    def far_site(self, server: Server, proxy: Proxy, new_site: NewSite) -> Site:
        """A site that reaches the server through the proxy."""
        uri = f"postgresql://postgres@127.0.0.1:{proxy.port}/postgres?connect_timeout=6"
        site = new_site(make_engine(uri, connections=12, response_timeout=ANSWER_WITHIN))
        site.prepare()
        return site

    def test_a_server_that_crashes_while_a_provider_answers(self, site: Site, server: Server) -> None:
        site.queue(20)
        site.provider.during_submission = lambda number: server.crash() if number == 7 else None

        site.start()
        site.until(lambda: server.has_crashed.is_set() and site.said("database.unavailable") == 1)
        server.start()

        site.assert_came_through(20)

    def test_a_server_that_becomes_a_replica_and_is_left(self, site: Site, server: Server) -> None:
        site.queue(10)
        site.start()
        site.until(lambda: site.complete() == 10)

        server.order("ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()")
        site.until(lambda: site.said("database.unavailable") == 1)
        server.order("ALTER SYSTEM RESET default_transaction_read_only", "SELECT pg_reload_conf()")
        site.until(lambda: site.said("database.back") == 1)
        site.queue(10)

        site.assert_came_through(20)

    def test_all_sessions_that_are_ended_while_providers_answer(self, site: Site, server: Server) -> None:
        site.queue(20)
        end_all = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'wes-daemon'"
        site.provider.during_submission = lambda number: server.order(end_all) if number in (3, 12) else None

        site.start()

        site.assert_came_through(20, outages=None)

    @pytest.mark.parametrize("loss", Loss)
    def test_commits_whose_answers_are_lost_on_the_way(self, far_site: Site, proxy: Proxy, loss: Loss) -> None:
        far_site.queue(20)
        far_site.provider.during_submission = lambda number: proxy.lose_commits(3, loss) if number == 5 else None

        far_site.start()

        far_site.assert_came_through(20)
        assert proxy.lost == 3

    def test_a_proxy_that_takes_everything_and_gives_nothing(self, far_site: Site, proxy: Proxy) -> None:
        far_site.queue(10)
        far_site.provider.during_submission = lambda number: proxy.mute() if number == 5 else None

        far_site.start()
        far_site.until(lambda: far_site.said("database.unavailable") == 1)
        proxy.speak()

        far_site.assert_came_through(10)

    def test_a_rival_that_waits_for_the_daemon_as_the_daemon_does_for_it(self, site: Site, server: Server) -> None:
        site.queue(1)
        server.order("ALTER SYSTEM SET deadlock_timeout = '100ms'", "SELECT pg_reload_conf()")
        rival = Rival(server)
        site.provider.during_submission = lambda number: rival.get_in_the_way() if number == 1 else None

        site.start()

        site.assert_came_through(1, outages=0)
        assert site.said("database.contended") == 1
        rival.end()
        server.order("ALTER SYSTEM RESET deadlock_timeout", "SELECT pg_reload_conf()")

    def test_a_rival_that_keeps_a_lock_for_long(self, site: Site, server: Server) -> None:
        site.queue(3)
        with closing(psycopg2.connect(server.uri())) as rival, rival.cursor() as cursor:
            cursor.execute("LOCK TABLE submissions IN EXCLUSIVE MODE")
            site.start()
            site.until(lambda: site.said("database.unavailable") == 1)
            waiting = server.count("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")

        site.assert_came_through(3)
        assert waiting <= 12


class Rival:
    """A session that asks for two locks in the other order than the daemon, and is never the one that is undone."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._session = psycopg2.connect(server.uri())
        self._asking = threading.Thread(target=self._ask_for_what_the_daemon_has, daemon=True)

    def get_in_the_way(self) -> None:
        """Take the polls; ask for the submissions as soon as the daemon asks for the polls."""
        with self._session.cursor() as cursor:
            cursor.execute("SET deadlock_timeout = '1min'")
            cursor.execute("LOCK TABLE polls IN EXCLUSIVE MODE")
        self._asking.start()

    def end(self) -> None:
        """Give everything back."""
        self._asking.join(30)
        self._session.close()

    def _ask_for_what_the_daemon_has(self) -> None:
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        for _ in range(200):
            if self._server.count(waiting):
                break
            threading.Event().wait(0.02)
        with self._session.cursor() as cursor:
            cursor.execute("SELECT 1 FROM submissions FOR UPDATE")
        self._session.rollback()


class TestSqlite:
    """A file that others use, and a disk that has an end."""

    def test_a_file_that_another_process_keeps_for_itself(self, tmp_path: Path, new_site: NewSite) -> None:
        site = new_site(make_engine(f"sqlite:///{tmp_path}/runs.db", connections=12, busy_timeout=BUSY_TIMEOUT))
        site.prepare()
        site.queue(10)
        keeper = Keeper(tmp_path / "runs.db")
        site.provider.during_submission = lambda number: keeper.take() if number == 5 else None

        site.start()
        site.until(lambda: keeper.has_it.is_set() and site.said("database.unavailable") == 1)
        keeper.end()

        site.assert_came_through(10)

    def test_a_disk_that_is_full(self, tmp_path: Path, new_site: NewSite) -> None:
        engine = make_engine(f"sqlite:///{tmp_path}/runs.db", connections=12)
        disk = Disk(engine)
        site = new_site(engine)
        site.prepare()
        site.queue(100)
        disk.fill()

        site.start()
        site.until(lambda: site.said("database.unavailable") == 1)
        started = len(site.provider.started)
        disk.free()

        site.assert_came_through(100)
        assert started == 0


class Keeper:
    """Another process that has the only lock on a file until it is told to end."""

    _PROGRAM = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30);"
        "c.execute('BEGIN IMMEDIATE'); print('taken', flush=True); sys.stdin.read()"
    )

    def __init__(self, path: Path) -> None:
        self.has_it = threading.Event()
        self._path = path
        self._process: subprocess.Popen[bytes] | None = None

    def take(self) -> None:
        """Return when it has the lock."""
        self._process = subprocess.Popen(
            [sys.executable, "-c", self._PROGRAM, self._path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"taken\n"
        self.has_it.set()

    def end(self) -> None:
        """Let go of it."""
        assert self._process is not None
        self._process.communicate(timeout=30)


class Disk:
    """What a SQLite file may grow to."""

    _PLENTY = 1 << 30

    def __init__(self, engine: Engine) -> None:
        self._pages = self._PLENTY
        event.listen(engine, "checkout", self._limit)

    def fill(self) -> None:
        """The file is as large as it may be."""
        self._pages = 1

    def free(self) -> None:
        """There is room again."""
        self._pages = self._PLENTY

    def _limit(self, connection: sqlite3.Connection, *_: object) -> None:
        connection.execute(f"PRAGMA max_page_count = {self._pages}").close()
