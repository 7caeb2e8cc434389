"""Nobody waits for ever for a server that is there and says nothing."""

import os
import socket
import threading
from collections.abc import Iterator
from datetime import timedelta

import psycopg2
import pytest
from sqlalchemy import Engine, text

from tests.integration.persistence.proxy import Proxy
from tests.integration.persistence.server import PostgreSQLServer
from wes_daemon.adapters.persistence.engine import make_engine
from wes_daemon.adapters.persistence.errors import storage_error
from wes_daemon.adapters.persistence.response_timeouts import _Socket
from wes_daemon.adapters.persistence.transactions import reading, upgrading, writing
from wes_daemon.application.ports.errors import StorageUnavailable

BOUND = 30.0
# Short, for most tests wait for it; long enough for a busy machine to answer in time where nothing is wrong.
WITHIN = timedelta(seconds=3)
LONGER = "SELECT pg_sleep(5)"


@pytest.fixture(scope="module")
def server() -> Iterator[PostgreSQLServer]:
    """A server for this module."""
    server = PostgreSQLServer()
    server.start()
    yield server
    server.remove()


@pytest.fixture
def proxy(server: PostgreSQLServer) -> Iterator[Proxy]:
    """What lies between."""
    proxy = Proxy(f"{server.uri().partition('?host=')[2]}/.s.PGSQL.5432")
    yield proxy
    proxy.close()


@pytest.fixture
def far(proxy: Proxy) -> Iterator[Engine]:
    """An engine that reaches the server through the proxy, and waits for so long."""
    uri = f"postgresql://postgres@127.0.0.1:{proxy.port}/postgres?connect_timeout=6"
    engine = make_engine(uri, connections=2, response_timeout=WITHIN)
    yield engine
    engine.dispose()


def keepers() -> list[threading.Thread]:
    """The threads that look after answers."""
    return [thread for thread in threading.enumerate() if thread.name == "response-timeouts"]


def test_a_statement_without_an_answer_is_given_up_and_the_next_one_finds_a_new_connection(
    far: Engine, proxy: Proxy
) -> None:
    with reading(far) as connection:
        connection.execute(text("SELECT 1"))
        proxy.mute()
        with pytest.raises(StorageUnavailable, match="no answer within 3 s"):
            connection.execute(text("SELECT 1"))

    proxy.speak()
    with reading(far) as connection:
        assert connection.execute(text("SELECT 1")).scalar() == 1


def test_a_commit_without_an_answer_is_given_up(far: Engine, proxy: Proxy) -> None:
    with writing(far) as connection:
        connection.execute(text("SELECT 1"))
        proxy.mute()

        with pytest.raises(StorageUnavailable, match="no answer within 3 s"):
            connection.commit()


def test_the_pools_question_whether_a_connection_lives_is_given_up_too(far: Engine, proxy: Proxy) -> None:
    with reading(far) as connection:
        connection.execute(text("SELECT 1"))
    proxy.mute()

    with pytest.raises(StorageUnavailable), reading(far):
        pass


def test_a_statement_that_takes_too_long_is_given_up_but_not_in_an_upgrade(far: Engine) -> None:
    with upgrading(far) as connection:
        connection.execute(text(LONGER))
        connection.commit()

    with writing(far) as connection, pytest.raises(StorageUnavailable, match="no answer"):
        connection.execute(text(LONGER))


def test_whoever_waits_for_a_lock_is_told_by_the_server_before_that(far: Engine, server: PostgreSQLServer) -> None:
    rival = psycopg2.connect(server.uri())
    rival.cursor().execute("SELECT pg_advisory_xact_lock(1)")

    with writing(far) as connection, pytest.raises(StorageUnavailable, match="lock timeout"):
        connection.execute(text("SELECT pg_advisory_xact_lock(1)"))

    rival.close()


def test_one_thread_looks_after_all_of_an_engines_connections_and_ends_with_it(far: Engine) -> None:
    before = keepers()

    with reading(far) as one, reading(far) as other:
        for connection in (one, other, one):
            connection.execute(text("SELECT 1"))
    [keeper] = set(keepers()) - set(before)
    far.dispose()
    keeper.join(BOUND)

    assert not keeper.is_alive()
    assert keeper.daemon


def test_a_server_that_became_a_replica_is_left_for_a_new_connection(far: Engine) -> None:
    asked = text("SELECT pg_backend_pid()")
    with writing(far) as connection:
        before = connection.execute(asked).scalar()
        connection.execute(text("SET TRANSACTION READ ONLY"))
        with pytest.raises(StorageUnavailable, match="read-only"):
            connection.execute(text("CREATE TABLE anything (id int)"))

    with reading(far) as connection:
        assert connection.execute(asked).scalar() != before


def test_a_file_that_has_got_the_number_of_a_closed_line_is_left_alone() -> None:
    ours, theirs = socket.socketpair()
    somebodys, other_end = socket.socketpair()
    number = ours.detach()
    connected = _Socket(number)
    os.dup2(somebodys.fileno(), number)

    connected.shut_down()

    somebodys.sendall(b"still here")
    assert other_end.recv(100) == b"still here"
    os.close(number)
    for end in (theirs, somebodys, other_end):
        end.close()


def test_an_answer_that_breaks_off_in_the_middle_means_a_server_that_has_gone(far: Engine) -> None:
    """What psycopg2 raises then has neither a code nor a class of its own."""
    broken_off = psycopg2.DatabaseError("server closed the connection unexpectedly")

    assert isinstance(storage_error(broken_off, far.url), StorageUnavailable)
    assert storage_error(psycopg2.ProgrammingError("can't adapt type"), far.url) is None
